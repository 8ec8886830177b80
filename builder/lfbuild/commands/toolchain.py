"""`toolchain`: the compilers that engines are made with: which there are, where they are, and getting one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.engine.zig import INSTALL_HINT, find_zig
from lfbuild.errors import ToolError

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.commands.settings import Settings
    from lfbuild.report import Report

KINDS = ("zig", "cosmocc")


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundToolchain:
    """A toolchain, or why there is none."""

    kind: str
    version: str = ""
    path: Path | None = None
    problem: str = ""
    hint: str = ""


def list_toolchains(settings: Settings) -> tuple[FoundToolchain, ...]:
    """Every kind that lfbuild knows, found or not."""
    return tuple(_look_for(kind, settings) for kind in KINDS)


def where_toolchain(kind: str, version: str | None, *, settings: Settings) -> FoundToolchain:
    """The toolchain of that kind.

    Raises:
        ToolError: it is not on this machine, or is another version.
    """
    if kind == "zig":
        zig = find_zig(version)
        return FoundToolchain(kind=kind, version=zig.version, path=zig.program)
    raise ToolError(kind, "is not known")


def install_toolchain(kind: str, version: str | None, *, settings: Settings, report: Report) -> FoundToolchain:
    """Get the toolchain, unless it is here.

    Raises:
        ToolError: this kind is installed by other means, which the hint names.
        FetchError: it cannot be downloaded.
        IntegrityError: what was downloaded is not what it should be.
    """
    if kind == "zig":
        try:
            return where_toolchain(kind, version, settings=settings)
        except ToolError as error:
            raise ToolError(
                kind, "is a Python package, and pip installs it", hint=error.hint or INSTALL_HINT
            ) from error
    raise ToolError(kind, "is not known")


def _look_for(kind: str, settings: Settings) -> FoundToolchain:
    try:
        return where_toolchain(kind, None, settings=settings)
    except ToolError as error:
        return FoundToolchain(kind=kind, problem=error.what, hint=error.hint)
