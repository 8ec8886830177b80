"""The tiny world of engine tests: a ten-file project, and the machine's own compiler behind the same seam."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.engine.tiny import write_tiny_project

from lfbuild.engine.render import render
from lfbuild.engine.toolchain import Rendering
from lfbuild.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from lfbuild.engine.cpu import Goal


@dataclass(frozen=True, kw_only=True, slots=True)
class HostCompiler:
    """The compiler of the machine: nobody's toolchain, but fast, and CMake treats it as any other."""

    version: str = "1"
    kind: str = "host"
    sha256: str = ""
    compiler_type: str = "gcc"
    libraries: tuple[str, ...] = ()

    @property
    def targets(self) -> Mapping[str, tuple[str, ...]]:
        return {"linux-x86_64": ("x86_64",), "both": ("x86_64", "aarch64")}

    def identity(self, goal: Goal) -> str:
        return f"host {self.version} {goal.architecture}"

    def rendering(self, goal: Goal) -> Rendering:
        prefix = '-ffile-prefix-map="$LFBUILD_FOLDER"=/lfbuild'
        plain = f"#!/bin/sh\n{render('plain-folders.sh')}"
        commands = {f"host-{tool}": f'{plain}exec {tool} {prefix} "$@"\n' for tool in ("cc", "c++")}
        commands |= {f"host-{tool}": f'#!/bin/sh\nexec {tool} "$@"\n' for tool in ("ar", "ranlib")}
        toolchain = render("zig-toolchain.cmake", prefix="host", architecture=goal.architecture, system="Linux")
        return Rendering(commands=commands, files={"toolchain.cmake": toolchain})

    def environment(self, *, cache: Path, scratch: Path) -> Mapping[str, str]:
        return {"HOST_CACHE": str(cache), "HOST_SCRATCH": str(scratch)}

    def libraries_command(self, goal: Goal, *, folder: Path, jobs: int) -> Sequence[str | Path]:
        del goal, folder, jobs
        return self.libraries

    def finish(self, programs: Mapping[str, Path], head: Path, *, call: Callable[[Sequence[str | Path]], None]) -> None:
        call(["/bin/cp", next(iter(programs.values())), head])


@pytest.fixture
def compiler() -> HostCompiler:
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler on this machine")
    return HostCompiler()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_tiny_project(tmp_path / "source")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")
