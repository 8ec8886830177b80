"""A launcher made by the host's compiler with sanitizers, a tiny engine, and files made of the two.

The launchers that zig makes are the same sources: test_compiled.py holds them against a few of the same starts.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.launcher.files import CPUS, Engine, Plan, write_file
from tests.stubs.conftest import SANITIZERS, STUBS, compile_program, find_compiler

from lfbuild.engine.launcher import launcher_sources

if TYPE_CHECKING:
    from collections.abc import Mapping

TARGET = f"linux-{platform.machine()}"
ENGINE_SOURCE = Path(__file__).parent / "engine.c"
Result = subprocess.CompletedProcess[str]


def answer(path: Path | str, *words: str, argv0: Path | str | None = None, no_args: str = "-") -> str:
    """What the engine says when it was started as it should be."""
    lines = [f"argv {argv0 or path}", *(f"argv {word}" for word in words), f"file {path}", f"no-args {no_args}"]
    return "".join(f"{line}\n" for line in lines)


def start(
    *words: str | Path, cwd: Path | None = None, stdin: str = "", variables: Mapping[str, str | Path] | None = None
) -> Result:
    """Run a program with these variables and no others."""
    environment = {name: str(value) for name, value in (variables or {}).items()}
    return subprocess.run(
        words,
        cwd=cwd,
        env={"ASAN_OPTIONS": "detect_leaks=0"} | environment,
        input=stdin,
        capture_output=True,
        check=False,
        encoding="utf-8",
        errors="surrogateescape",
    )


@dataclass(frozen=True, kw_only=True)
class World:
    """Where files stand and where their engines are placed."""

    folder: Path
    head: bytes = field(repr=False)
    engine: Engine

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def placed(self) -> Path:
        return self.cache / self.engine.slice().digest[:32]

    def plan(self, **changes: object) -> Plan:
        values: dict[str, object] = {"head": self.head, "engines": (self.engine,)}
        return Plan(**(values | changes))  # type: ignore[arg-type]  # a test's own keyword arguments

    def write(self, name: str = "tiny.lf", **changes: object) -> Path:
        return write_file(self.folder / name, self.plan(**changes))

    def start(self, path: Path | str, *words: str, **more: str | Path) -> Result:
        variables = {"LFBUILD_CACHE_DIR": self.cache, "PATH": os.environ["PATH"], **more}
        return start(path, *words, variables=variables)

    def in_cache(self) -> list[str]:
        return sorted(path.name for path in self.cache.iterdir()) if self.cache.is_dir() else []


def whole(path: Path, *, members: int = 3, engines: int = 1) -> str:
    """What --lf-verify says of a file in which it found nothing."""
    return (
        f"{path}: its members and engines are whole (members: {members}, engines: {engines}); "
        f"for its head and all other bytes run: lfbuild verify {path}\n"
    )


def assert_refused(result: Result, sentence: str) -> None:
    assert (result.stderr, result.stdout, result.returncode) == (f"{sentence}\n", "", 1)


@pytest.fixture(scope="session")
def sanitized_launcher(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return _compile_launcher(tmp_path_factory)


NO_EXECVEAT = """
#include <errno.h>
long no_syscall(long number, ...) {
    (void)number;
    errno = ENOSYS;
    return -1;
}
"""


@pytest.fixture(scope="session")
def launcher_by_name(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """One that starts its engine by a name, as on macOS and before Linux 3.19."""
    source = tmp_path_factory.mktemp("source") / "no_syscall.c"
    source.write_text(NO_EXECVEAT)
    return _compile_launcher(tmp_path_factory, source, "-Dsyscall=no_syscall")


def _compile_launcher(tmp_path_factory: pytest.TempPathFactory, *more: Path | str) -> bytes:
    pytest.importorskip("ziglang", reason="BLAKE3 and DEFLATE are zig's, which is not installed (lfbuild[zig])")
    gcc, folder = find_compiler("gcc"), tmp_path_factory.mktemp("launcher")
    parts = [("inflate.zig", "baseline", "ReleaseSafe"), ("blake3.zig", "baseline", "ReleaseSmall")]
    if platform.machine() == "x86_64":
        parts.append(("blake3.zig", "x86_64_v3", "ReleaseSmall"))
    objects = [_zig_object(folder, *part) for part in parts]
    sources = [STUBS / name for name in launcher_sources(TARGET)]
    program = compile_program(
        gcc,
        folder / "launcher",
        [*sources, *objects, *(word for word in more if isinstance(word, Path))],
        "-std=c11",
        *SANITIZERS,
        f'-DLFBUILD_TARGET="{TARGET}"',
        "-s",
        *(word for word in more if isinstance(word, str)),
    )
    return program.read_bytes()


def _zig_object(folder: Path, source: str, cpu: str, mode: str) -> Path:
    target = folder / f"{Path(source).stem}-{cpu}.o"
    command = [sys.executable, "-m", "ziglang", "build-obj", str(STUBS / "launcher" / source), "-fPIC", "-O", mode]
    command += [
        "-target",
        f"{platform.machine()}-linux-gnu",
        f"-mcpu={cpu}",
        "-fstrip",
        "-fno-stack-check",
        f"-femit-bin={target}",
    ]
    environment = {**os.environ, "ZIG_LOCAL_CACHE_DIR": str(folder / "zig")}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return target


@pytest.fixture(scope="session")
def engine_program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    target = tmp_path_factory.mktemp("engine") / "engine"
    return compile_program(find_compiler("gcc"), target, [ENGINE_SOURCE], "-s").read_bytes()


def make_world(folder: Path, head: bytes, program: bytes) -> World:
    """A folder of its own for files with this head and this engine."""
    return World(folder=folder, head=head, engine=Engine(program=program, target=TARGET, cpus=CPUS[platform.machine()]))


@pytest.fixture
def world(tmp_path: Path, sanitized_launcher: bytes, engine_program: bytes) -> World:
    return make_world(tmp_path, sanitized_launcher, engine_program)


@pytest.fixture
def namespace(tmp_path: Path) -> list[str]:
    """The beginning of a command that may mount what it likes and is the only one that sees it."""
    words = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    try:
        tried = subprocess.run([*words, "mount", "-t", "tmpfs", "none", tmp_path], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if tried.returncode != 0:
        pytest.skip("this machine does not let a test mount anything")
    return words
