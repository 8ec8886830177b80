"""Finds a toolchain by the name a recipe calls it by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.engine.cosmocc import Cosmocc, find_cosmocc
from lfbuild.engine.zig import Zig, find_zig
from lfbuild.errors import ToolError

if TYPE_CHECKING:
    from lfbuild.engine.job import ToolchainFacts
    from lfbuild.engine.toolchain import Toolchain
    from lfbuild.host.machine import Machine
    from lfbuild.store import Store

KINDS = ("cosmocc", "zig")


def find_toolchain(
    kind: str, *, version: str | None, machine: Machine, store: Store, cosmocc_folder: Path | None
) -> Toolchain:
    """The toolchain of that kind on this machine; without a `version`, the one lfbuild is made for.

    `cosmocc_folder` is where the user says a cosmocc is; without it the search path and the store are looked at.

    Raises:
        ToolError: there is no such kind, it is not installed, or it is another version.
    """
    if kind == "zig":
        return find_zig(version)
    if kind == "cosmocc":
        return find_cosmocc(version, folder=cosmocc_folder, machine=machine, store=store)
    raise ToolError(kind, f"is no toolchain, only {' and '.join(KINDS)} are")


def named_toolchain(facts: ToolchainFacts) -> Toolchain:
    """A toolchain that is not here, by what an engine of its says of it: good for keys, not for compiling.

    Raises:
        ToolError: there is no such kind.
    """
    if facts.kind == "zig":
        return Zig(program=Path("zig"), version=facts.version)
    if facts.kind == "cosmocc":
        return Cosmocc(root=Path("cosmocc"), version=facts.version, sha256=facts.sha256)
    raise ToolError(facts.kind, f"is no toolchain, only {' and '.join(KINDS)} are")
