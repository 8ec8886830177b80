"""Finds the tools of a build: CMake and Ninja as installed beside lfbuild, npm and launchers on the search path."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lfbuild.host.machine import Machine

LAUNCHERS = ("ccache", "sccache", "distcc", "icecc")
BUILD_HINT = "install it with: pip install 'lfbuild[build]'"


def find_cmake() -> Path:
    """The `cmake` package's own program: one on the path may be too old, and its version would decide what happens.

    Raises:
        ToolError: the package is not installed.
    """
    return _packaged("cmake", "data/bin/cmake")


def find_ninja() -> Path:
    """The `ninja` package's program.

    Raises:
        ToolError: the package is not installed.
    """
    return _packaged("ninja", "data/bin/ninja")


def find_launcher(name: str, machine: Machine) -> Path:
    """A compiler launcher on the machine's search path.

    Raises:
        ToolError: it is none that lfbuild knows, or is not there.
    """
    if name not in LAUNCHERS:
        raise ToolError(name, f"is no compiler launcher, only {', '.join(LAUNCHERS)} are")
    found = machine.find_program(name)
    if found is None:
        raise ToolError(name, "the compiler launcher is not installed", hint="install it, or build without a launcher")
    return found


def find_node(machine: Machine) -> tuple[Path, Path]:
    """npm and the node it runs in, for a recipe with `ui = true`.

    Raises:
        ToolError: one of the two is not there.
    """
    npm, node = machine.find_program("npm"), machine.find_program("node")
    if npm is None or node is None:
        hint = "install Node.js with npm, or set 'ui = false' in the recipe's [engine]"
        raise ToolError("npm", "is not installed, and the chat page is built with it", hint=hint)
    return npm, node


def _packaged(name: str, inside: str) -> Path:
    """A program that a wheel brought: inside its package, or among the scripts that were installed with it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ToolError(name, "is not installed beside lfbuild", hint=BUILD_HINT)
    suffix = sysconfig.get_config_var("EXE") or ""
    for path in (Path(spec.origin).parent / inside, *_scripts(name)):
        candidate = path.with_name(name + suffix)
        if candidate.is_file():
            return candidate
    raise ToolError(name, "its package holds no program", hint=BUILD_HINT)


def _scripts(name: str) -> Iterator[Path]:
    """Where the package's programs may be. Its own list comes first: pip installs what a build needs beside the
    environment, and only that list knows where."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        listed = importlib.metadata.distribution(name).files or []
        yield from (Path(str(file.locate())).resolve() for file in listed if file.name in {name, f"{name}.exe"})
    yield Path(sysconfig.get_path("scripts")) / name
