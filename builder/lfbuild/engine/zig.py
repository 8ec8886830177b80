"""zig as a C and C++ cross compiler: where the `ziglang` package put it, and the commands CMake is given.

A program needs nothing of its system but what every one of them has: on Linux the kernel (musl is linked in), on
Windows 10 and macOS the libraries they come with.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.engine.render import render
from lfbuild.engine.toolchain import Rendering
from lfbuild.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lfbuild.engine.cpu import Goal

TRIPLES = {
    "linux-x86_64": "x86_64-linux-musl",
    "linux-aarch64": "aarch64-linux-musl",
    "windows-x86_64": "x86_64-windows-gnu",
    "macos-aarch64": "aarch64-macos.13.0",
    "macos-x86_64": "x86_64-macos.13.0",
}
"""Each target in zig's words. By itself zig would ask for macOS 15; nothing here needs more than 13 (2022)."""
_SYSTEMS = {"linux": "Linux", "windows": "Windows", "macos": "Darwin"}
"""CMake's names of systems."""
_NEEDS_LIBRARIES = "needs-libraries.cpp"
_THROWS = "#include <string>\nint main(int argc, char ** argv) { throw std::string(argv[argc - 1]); }\n"
_IDLE_JOBS = 4
"""Of zig's jobs some only wait for others. Measured with zig 0.17.1 on two cores, for linux-x86_64: 160 s as `zig cc`
does it, 173 s with -j3, 102 s with -j4, 95 s with -j6."""
INSTALL_HINT = "install it with: pip install 'lfbuild[zig]'"


@dataclass(frozen=True, kw_only=True, slots=True)
class Zig:
    """One installed zig."""

    program: Path
    version: str

    @property
    def kind(self) -> str:
        """`zig`."""
        return "zig"

    @property
    def sha256(self) -> str:
        """Nothing: a released version is one set of bytes, which pip has checked."""
        return ""

    @property
    def compiler_type(self) -> str:
        """Its C compiler is clang."""
        return "clang"

    @property
    def targets(self) -> Mapping[str, tuple[str, ...]]:
        """Each system and architecture is a target of its own."""
        return {target: (target.partition("-")[2],) for target in TRIPLES}

    def identity(self, goal: Goal) -> str:
        """`zig 0.17.1 x86_64-linux-musl`."""
        return f"zig {self.version} {TRIPLES[goal.target]}"

    def rendering(self, goal: Goal) -> Rendering:
        """Wrappers named after version and target, so that a distcc server can offer the same by name."""
        triple = TRIPLES[goal.target]
        prefix = f"zig-{self.version}-{triple}"
        values = {"zig": self.program, "identity": self.identity(goal), "triple": triple, "goal": goal}
        compilers = {f"{prefix}-{tool}": render("zig-compiler.sh", tool=tool, **values) for tool in ("cc", "c++")}
        others = {f"{prefix}-{tool}": render("zig-other.sh", tool=tool, **values) for tool in ("ar", "ranlib", "rc")}
        system = _SYSTEMS[goal.target.partition("-")[0]]
        toolchain = render("zig-toolchain.cmake", prefix=prefix, architecture=goal.architecture, system=system)
        return Rendering(commands=compilers | others, files={"toolchain.cmake": toolchain, _NEEDS_LIBRARIES: _THROWS})

    def environment(self, *, cache: Path, scratch: Path) -> Mapping[str, str]:
        """The libraries zig builds for itself (minutes of CPU) stay in `cache`; copies of objects do not."""
        return {"ZIG_GLOBAL_CACHE_DIR": str(cache / f"zig-{self.version}"), "ZIG_LOCAL_CACHE_DIR": str(scratch / "zig")}

    def libraries_command(self, goal: Goal, *, folder: Path, jobs: int) -> Sequence[str | Path]:
        """musl or MinGW, libc++ and libunwind, by linking a program that needs them: a second when they are there.

        `zig cc` compiles them too, but takes no number of jobs: on two cores it compiles one file at a time.
        """
        options = ("-target", TRIPLES[goal.target], "-O", "ReleaseFast", "-fstrip", "-lc", "-lc++")
        program = f"-femit-bin={folder / _NEEDS_LIBRARIES}.program"
        return (self.program, "build-exe", *options, f"-j{jobs + _IDLE_JOBS}", folder / _NEEDS_LIBRARIES, program)

    def finish(self, programs: Mapping[str, Path], head: Path, *, call: Callable[[Sequence[str | Path]], None]) -> None:
        """The one program is the head; the linker has stripped it already."""
        del call
        (program,) = programs.values()
        program.rename(head)


def find_zig(version: str | None) -> Zig:
    """The zig of the `ziglang` package in lfbuild's own environment.

    Raises:
        ToolError: the package is not there, or is another version than the recipe pins.
    """
    spec = importlib.util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise ToolError("zig", "the package 'ziglang' is not installed beside lfbuild", hint=INSTALL_HINT)
    installed = importlib.metadata.version("ziglang")
    if version is not None and installed != version:
        raise ToolError(
            "zig",
            f"the recipe wants version {version}, but {installed} is installed",
            hint=f"install it with: pip install ziglang=={version}",
        )
    program = Path(spec.origin).parent / "zig"
    if not program.is_file():
        raise ToolError("zig", f"the package 'ziglang' {installed} holds no compiler", hint=INSTALL_HINT)
    return Zig(program=program, version=installed)
