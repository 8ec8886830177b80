"""The C layer is compiled with the host's compiler and sanitizers, once a session, and asked through small programs.

For Windows it is compiled with zig, and wine runs the program.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

ROOT = Path(__file__).parents[2]
STUBS = ROOT / "stubs"
STRICT = ("-Wall", "-Wextra", "-Werror", "-g", "-O1")
POSIX_ONLY = frozenset({"platform_posix.c", "weights_descriptor.c", "weights_map.c"})
WINDOWS_ONLY = frozenset({"platform_windows.c", "weights_windows.c"})
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


def layer_sources(*, windows: bool = False) -> list[Path]:
    """All of a system's, but for what is compiled together with the variants of an engine (test_cpu_variants.py)."""
    others = {*(POSIX_ONLY if windows else WINDOWS_ONLY), "cpu_variants.c"}
    return sorted(source for source in STUBS.glob("*.c") if source.name not in others)


def runner(*command: str | Path, **always: str) -> Probe:
    def run(*words: str | Path, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"ASAN_OPTIONS": "allocator_may_return_null=1", **always, **variables}
        return subprocess.run(
            [*command, *map(str, words)],
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
    probe = [Path(__file__).parent / name for name in ("probe.c", "probe_common.c")]
    return compile_program(compiler, target, [*probe, *layer_sources()], "-std=c11", *ALIASES, *SANITIZERS)


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Wine:
    """Runs programs of Windows, in a Windows of the tests' own."""

    program: Path
    prefix: Path

    @property
    def environment(self) -> dict[str, str]:
        # The two overrides keep wine from offering to download .NET and a browser.
        quiet = {"WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree,mshtml="}
        return {"WINEPREFIX": str(self.prefix), "HOME": str(self.prefix), "LC_ALL": "C.UTF-8", **quiet}


@pytest.fixture(scope="session")
def zig() -> str:
    ziglang = pytest.importorskip("ziglang", reason="zig is not installed (lfbuild[zig])")
    return str(Path(ziglang.__file__).parent / "zig")


@pytest.fixture(scope="session")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Wine:
    found = shutil.which("wine64") or shutil.which("wine64", path="/usr/lib/wine")
    if platform.system() != "Linux" or found is None:
        pytest.skip("wine64, which runs programs of Windows, is not here")
    made = Wine(program=Path(found), prefix=tmp_path_factory.mktemp("wine") / "prefix")
    # The first start makes the prefix and talks about it; the tests compare every word.
    subprocess.run([made.program, "cmd", "/c", "exit"], env=made.environment, capture_output=True, check=True)
    return made


# Stripped: for other programs zig would make all its libraries again.
WINDOWS = ("-target", "x86_64-windows-gnu", "-s")


@pytest.fixture(scope="session")
def windows_layer(zig: str, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The layer's objects."""
    folder, sources = tmp_path_factory.mktemp("layer"), layer_sources(windows=True)
    return [
        compile_program(zig, folder / f"{source.stem}.obj", [source], "cc", *WINDOWS, "-std=c11", "-c")
        for source in sources
    ]


@pytest.fixture(scope="session")
def windows_probe_path(zig: str, windows_layer: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("stubs") / "probe.exe"
    probe = [Path(__file__).parent / name for name in ("probe_windows.c", "probe_common.c")]
    return compile_program(zig, target, [*probe, *windows_layer], "cc", *WINDOWS, "-std=c11", "-lshell32")


@pytest.fixture
def windows_probe(wine: Wine, windows_probe_path: Path) -> Probe:
    return runner(wine.program, windows_probe_path, **wine.environment)
