"""The seam between an engine's build and the compiler that carries it out.

A toolchain says which targets it makes and hands over text: the wrapper commands that CMake calls and the CMake
toolchain file that names them. It joins the programs of several architectures into one head. How a build is run, and
where a toolchain is looked for, is not its business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from lfbuild.engine.cpu import Goal


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendering:
    """What one architecture's compile needs on disk before CMake starts."""

    commands: Mapping[str, str]
    """Executable scripts by file name."""
    files: Mapping[str, str]
    """Other files by name; `toolchain.cmake` is one of them and finds the commands in `bin` beside it."""


class Toolchain(Protocol):
    """A C and C++ compiler with its libraries, found on this machine."""

    @property
    def kind(self) -> str:
        """The name recipes call it by: `zig`, `cosmocc`."""

    @property
    def version(self) -> str:
        """Its own version."""

    @property
    def sha256(self) -> str:
        """The digest of its files or bundle, where the version alone does not decide its bytes; else empty."""

    @property
    def compiler_type(self) -> str:
        """What a compiler launcher should take it for: `clang` or `gcc`."""

    @property
    def targets(self) -> Mapping[str, tuple[str, ...]]:
        """The targets it makes, each with the architectures that go into its head."""

    def identity(self, goal: Goal) -> str:
        """One line that names everything of the compiler that decides an object's bytes: for job keys and ccache."""

    def rendering(self, goal: Goal) -> Rendering:
        """The wrappers and files for compiling one architecture of a target."""

    def environment(self, *, cache: Path, scratch: Path) -> Mapping[str, str]:
        """The variables it needs: `cache` outlives the build, `scratch` does not."""

    def libraries_command(self, goal: Goal, *, folder: Path, jobs: int) -> Sequence[str | Path]:
        """What compiles the libraries that it does not come with, for programs of this goal; empty if it makes none.

        Run in `folder`, where the files of `rendering` are. They stay in the cache.
        """

    def finish(self, programs: Mapping[str, Path], head: Path, *, call: Callable[[Sequence[str | Path]], None]) -> None:
        """Make the file `head` out of each architecture's linked program; `call` runs a command or raises."""
