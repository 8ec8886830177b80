"""What a file is made from, as make and CMake read it; and that they build again just what changed."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.commands.world import RECIPE, keep_engines, keep_launchers

import lfbuild
from lfbuild.cli import main
from lfbuild.commands.depfile import rule

CI = Path(__file__).parents[2] / "ci"
Captured = pytest.CaptureFixture[str]
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="the package ziglang is not installed"
)


def test_names_are_written_as_make_reads_them() -> None:
    text = rule([Path("a b.llamafile")], [Path("cost $5.toml"), Path("#1.gguf")])

    assert text == "a\\ b.llamafile: cost\\ $$5.toml \\#1.gguf\ncost\\ $$5.toml:\n\\#1.gguf:\n"


def test_a_plan_tells_the_files_that_a_recipe_names_and_its_lock(world: Path, capsys: Captured) -> None:
    assert main(["lock", "chat.toml", "--quiet"]) == 0

    assert main(["plan", "chat.toml", "--quiet", "--depfile", "chat.d"]) == 0

    files = ["chat.toml", "chat.lock", "engine/common/arg.cpp", "engine/src/llama-arch.cpp", "tiny.gguf"]
    first, *others = (world / "chat.d").read_text(encoding="utf-8").splitlines()
    assert first == f"chat.llamafile: {' '.join(files)}"
    assert others == [f"{name}:" for name in files]


@pytest.mark.parametrize("verb", ["build", "plan"])
@pytest.mark.parametrize("name", ["chat.toml", "chat.lock", "tiny.gguf", "notes.txt", "chat.llamafile"])
def test_a_depfile_is_never_written_over_what_it_tells_of(world: Path, capsys: Captured, verb: str, name: str) -> None:
    notes = '[[file]]\nname = "notes.txt"\nsource = { path = "notes.txt" }\n'
    (world / "chat.toml").write_text(f"{RECIPE}{notes}", encoding="utf-8")
    (world / "notes.txt").write_bytes(b"notes")
    (world / "chat.llamafile").write_bytes(b"an earlier one")
    assert main(["lock", "chat.toml", "--quiet"]) == 0
    before = (world / name).read_bytes()
    capsys.readouterr()

    assert main([verb, "chat.toml", "--depfile", name, "--quiet"]) == 2

    told = capsys.readouterr().err
    assert "is the file that would be written" in told
    assert told.endswith("lfbuild: hint: name another file with --depfile\n")
    assert (world / name).read_bytes() == before


@pytest.fixture
def shell(world: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny world with everything compiled, and `lfbuild` as a program on PATH that counts its starts."""
    keep_engines(world, capsys)
    keep_launchers(world, f"linux-{platform.machine()}")
    program = world / "bin" / "lfbuild"
    program.parent.mkdir()
    package = Path(lfbuild.__file__).parents[1]
    program.write_text(
        f'#!/bin/sh\necho "$@" >>"{world}/calls"\nPYTHONPATH="{package}" exec "{sys.executable}" -m lfbuild "$@"\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return world


def run(*words: str | Path, cwd: Path) -> str:
    finished = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr


def calls(world: Path) -> int:
    return len((world / "calls").read_text(encoding="utf-8").splitlines())


def change_arguments(world: Path) -> None:
    (world / "chat.toml").write_text(RECIPE.replace('"0"]', '"1"]'), encoding="utf-8")
    later(world / "chat.toml")


def later(path: Path) -> None:
    """As an editor would, an hour later: so it does not matter how long a build takes."""
    future = path.stat().st_mtime + 3600
    os.utime(path, (future, future))


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_builds_again_what_changed_and_nothing_else(shell: Path) -> None:
    (shell / "Makefile").write_text(f"all: chat.llamafile\ninclude {CI}/lfbuild.mk\n", encoding="utf-8")

    assert "packing" in run("make", cwd=shell)
    assert "Nothing to be done" in run("make", cwd=shell)
    assert calls(shell) == 1

    change_arguments(shell)
    said = run("make", cwd=shell)
    assert "packing" in said
    assert "compiling" not in said
    assert '"1"' in run("unzip", "-p", "chat.llamafile", ".lfbuild/recipe.toml", cwd=shell)

    later(shell / "chat.llamafile")
    later(shell / "chat.llamafile")
    assert "Nothing to be done" in run("make", cwd=shell)
    for _ in range(3):
        later(shell / "tiny.gguf")
    assert "packing" in run("make", cwd=shell)
    assert calls(shell) == 3


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_lets_lfbuild_say_which_model_is_gone(shell: Path) -> None:
    (shell / "Makefile").write_text(f"all: chat.llamafile\ninclude {CI}/lfbuild.mk\n", encoding="utf-8")
    run("make", cwd=shell)
    (shell / "tiny.gguf").unlink()

    failed = subprocess.run(["make"], cwd=shell, capture_output=True, text=True, check=False)

    assert failed.returncode == 2
    assert f"lfbuild: {shell}/tiny.gguf: " in failed.stderr


@pytest.mark.parametrize("generator", ["Ninja", "Unix Makefiles"])
def test_cmake_builds_again_what_changed_and_nothing_else(shell: Path, generator: str) -> None:
    from lfbuild.engine.tools import find_cmake, find_ninja

    cmake = find_cmake()
    (shell / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(chat LANGUAGES NONE)\n"
        f"include({CI}/lfbuild.cmake)\nlfbuild_add_llamafile(chat RECIPE chat.toml FLAGS --target host)\n",
        encoding="utf-8",
    )
    tool = [f"-DCMAKE_MAKE_PROGRAM={find_ninja()}"] if generator == "Ninja" else []
    run(cmake, "-G", generator, "-B", "out", *tool, cwd=shell)

    run(cmake, "--build", "out", cwd=shell)
    run(cmake, "--build", "out", cwd=shell)
    assert (calls(shell), (shell / "out" / "chat.llamafile").is_file()) == (1, True)

    change_arguments(shell)
    assert "compiling" not in run(cmake, "--build", "out", cwd=shell)
    assert calls(shell) == 2
    for _ in range(2):
        later(shell / "tiny.gguf")
    run(cmake, "--build", "out", cwd=shell)
    assert calls(shell) == 3


def test_cmake_tells_recipes_apart_whose_names_have_a_dot(shell: Path) -> None:
    from lfbuild.engine.tools import find_cmake, find_ninja

    (shell / "CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.20)\nproject(chat LANGUAGES NONE)\ninclude({CI}/lfbuild.cmake)\n"
        "lfbuild_add_llamafile(small RECIPE chat.Q4_1.toml)\nlfbuild_add_llamafile(large RECIPE chat.Q8_0.toml)\n",
        encoding="utf-8",
    )
    run(find_cmake(), "-G", "Ninja", "-B", "out", f"-DCMAKE_MAKE_PROGRAM={find_ninja()}", cwd=shell)

    rules = (shell / "out" / "build.ninja").read_text(encoding="utf-8")
    assert "build chat.Q4_1.llamafile " in rules
    assert "build chat.Q8_0.llamafile " in rules
