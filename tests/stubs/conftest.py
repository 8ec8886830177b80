"""The C layer is compiled with the host's compiler and sanitizers, once a session, and asked through small programs."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Protocol

import pytest

ROOT = Path(__file__).parents[2]
STUBS = ROOT / "stubs"
STRICT = ("-Wall", "-Wextra", "-Werror", "-g", "-O1")
ALIASES = ('-DLFBUILD_VERB_ALIASES="server=serve,client=cli,get=download"',)
"""As an engine's build passes them to the C layer."""
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


class Probe(Protocol):
    """Runs a probe; words in, what it did out."""

    def __call__(
        self, *words: str | Path, cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]: ...


def find_compiler(name: str) -> str:
    found = shutil.which(name)
    if platform.system() != "Linux" or found is None:
        pytest.skip(f"the C layer is tested on Linux with {name}, which is not here")
    return found


def compile_program(compiler: str, target: Path, sources: list[Path], *options: str) -> Path:
    command = [compiler, *options, *STRICT, f"-I{STUBS}", *map(str, sources), "-o", str(target)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return target


def layer_sources() -> list[Path]:
    return sorted(STUBS.glob("*.c"))


def runner(program: Path) -> Probe:
    def run(*words: str | Path, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"ASAN_OPTIONS": "allocator_may_return_null=1", **variables}
        return subprocess.run(
            [program, *map(str, words)],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="surrogateescape",
        )

    return run


@pytest.fixture(scope="session")
def probe_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = find_compiler("gcc")
    target = tmp_path_factory.mktemp("stubs") / "probe"
    return compile_program(
        compiler, target, [Path(__file__).parent / "probe.c", *layer_sources()], "-std=c11", *ALIASES, *SANITIZERS
    )


@pytest.fixture(scope="session")
def probe(probe_path: Path) -> Probe:
    return runner(probe_path)


@pytest.fixture(scope="session")
def probe_istream(tmp_path_factory: pytest.TempPathFactory) -> Probe:
    compiler, cxx = find_compiler("gcc"), find_compiler("g++")
    folder = tmp_path_factory.mktemp("istream")
    objects = []
    for source in layer_sources():
        target = folder / f"{source.stem}.o"
        compile_program(compiler, target, [source], "-std=c11", "-c", *ALIASES, *SANITIZERS)
        objects.append(target)
    sources = [Path(__file__).parent / "probe_istream.cpp", *objects]
    return runner(compile_program(cxx, folder / "probe_istream", sources, "-std=c++17", *SANITIZERS))


@pytest.fixture
def page_bytes() -> int:
    return os.sysconf("SC_PAGESIZE")
