"""The whole matrix: five systems, all CPU levels, three forms of a head. Compiles for the better part of an hour."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.system.arm_machine import make_root, run_in_root
from tests.system.conftest import LAUNCHER, RECIPES, run_lfbuild
from tests.system.test_heads import (
    QUESTION,
    TEN_MINUTES,
    WINE,
    compare_with_inspect,
    extracted_engine,
    found_and_started,
    from_shell,
)

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.full

SYSTEMS = ("linux-x86_64", "linux-aarch64", "windows-x86_64", "macos-aarch64", "macos-x86_64")
EMULATED = ("completion", "-p", "The capital of France is", "-n", "4", "-t", "2", "-no-cnv", "--no-warmup")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A recipe's file, made once."""
    made: dict[str, Path] = {}

    def build(recipe: str) -> Path:
        if recipe not in made:
            folder = tmp_path_factory.mktemp(recipe)
            run_lfbuild("build", RECIPES / f"{recipe}.toml", *LAUNCHER, cwd=folder)
            (made[recipe],) = folder.iterdir()
        return made[recipe]

    return build


@pytest.mark.parametrize("recipe", ["portable", "unix", "linux"])
def test_each_form_answers_here_and_is_whole(built: Callable[[str], Path], recipe: str) -> None:
    file = built(recipe)

    answer = subprocess.run(["sh", "-c", '"$0" "$@"', file, *QUESTION], capture_output=True, text=True, check=False)

    assert "Paris" in answer.stdout, answer.stderr[-2000:]
    assert subprocess.run(["unzip", "-tq", file], capture_output=True, check=False).returncode == 0
    assert "every byte is as its manifest promises" in run_lfbuild("verify", file, cwd=file.parent).stdout


@pytest.mark.parametrize("shell", ["bash", "dash", "zsh", "fish", "busybox"])
@pytest.mark.parametrize("recipe", ["portable", "unix", "linux"])
def test_each_form_answers_from_every_shell(built: Callable[[str], Path], recipe: str, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")

    answer = subprocess.run(from_shell(shell, built(recipe)), capture_output=True, text=True, check=False)

    assert "Paris" in answer.stdout, answer.stderr[-2000:]


@pytest.mark.parametrize("recipe", ["unix", "linux"])
@pytest.mark.parametrize("starter", [[], ["env", "-i", "PATH=/usr/bin:/bin"]], ids=["execve", "env"])
def test_a_script_and_an_elf_are_started_by_execve(
    built: Callable[[str], Path], recipe: str, starter: list[str]
) -> None:
    answer = subprocess.run([*starter, built(recipe), *QUESTION], capture_output=True, text=True, check=False)

    assert "Paris" in answer.stdout, answer.stderr[-2000:]


@pytest.mark.parametrize("recipe", ["unix", "linux"])
def test_find_starts_a_script_and_an_elf(built: Callable[[str], Path], recipe: str) -> None:
    assert "Paris" in found_and_started(built(recipe))


@pytest.mark.parametrize("recipe", ["portable", "unix", "linux"])
def test_what_each_form_says_of_itself_is_what_inspect_says(built: Callable[[str], Path], recipe: str) -> None:
    compare_with_inspect(built(recipe))


def test_all_engines_together_are_small(built: Callable[[str], Path]) -> None:
    listed = json.loads(run_lfbuild("list", built("portable"), "--json", cwd=Path.cwd()).stdout)

    stored = {item["name"]: item["stored_bytes"] for item in listed if item["name"].startswith(".lfbuild/engine/")}
    assert set(stored) == {f".lfbuild/engine/{system}" for system in SYSTEMS}
    assert sum(stored.values()) <= 60_000_000


def test_the_engine_for_windows_answers(built: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> None:
    if WINE is None:
        pytest.skip("wine64 is not installed, and nothing else here starts a Windows program")
    program = tmp_path_factory.mktemp("a folder – ä") / "smollm2.exe"
    shutil.copy2(built("portable"), program)
    environment = os.environ | {"WINEPREFIX": str(tmp_path_factory.mktemp("wine")), "WINEDEBUG": "-all"}

    answer = subprocess.run(
        [WINE, program, *QUESTION], env=environment, capture_output=True, text=True, check=False, timeout=TEN_MINUTES
    )

    assert "Paris" in answer.stdout, answer.stderr[-2000:]


def test_the_engine_for_arm_answers(built: Callable[[str], Path]) -> None:
    emulator = shutil.which("qemu-aarch64")
    if emulator is None:
        pytest.skip("qemu-aarch64 is not installed (Debian: qemu-user)")
    file = built("portable")
    engine = extracted_engine(file, "linux-aarch64")
    environment = os.environ | {"LFBUILD_FILE": str(file), "LFBUILD_CPU": "best"}

    answer = subprocess.run(
        [emulator, engine, *EMULATED], env=environment, capture_output=True, text=True, check=False, timeout=1800
    )

    assert "Paris" in answer.stdout, answer.stderr[-2000:]
    assert ": CPU level armv8" in answer.stderr


@pytest.mark.parametrize("recipe", ["portable", "unix"])
def test_the_same_file_answers_on_an_arm_machine(built: Callable[[str], Path], recipe: str, tmp_path: Path) -> None:
    """By bash: under qemu 7, arm64's busybox cannot start its own applets from a script, by /proc/self/exe."""
    root = make_root(tmp_path)
    shutil.copy2(built(recipe), root / "chat file")

    answer = run_in_root(root, "/bin/bash", "/chat file", *EMULATED, timeout=TEN_MINUTES)

    assert "Paris" in answer.stdout, answer.stderr[-2000:]


def test_it_starts_on_an_arm_machine_with_nothing_but_busybox(built: Callable[[str], Path], tmp_path: Path) -> None:
    """As an ELF, which needs no shell."""
    if os.geteuid() != 0:
        pytest.skip("chroot is root's")
    built("portable")  # so that the engine is there
    root = make_root(tmp_path)
    words = ("build", RECIPES / "portable.toml", *LAUNCHER, "--target", "linux-aarch64", "-o", root / "chat file")
    run_lfbuild(*words, cwd=tmp_path)

    answer = run_in_root(root, "/chat file", *EMULATED, timeout=TEN_MINUTES)

    assert "Paris" in answer.stdout, answer.stderr[-2000:]


@pytest.mark.parametrize("target", ["macos-aarch64", "macos-x86_64"])
def test_an_engine_for_macos_is_what_its_loader_wants(built: Callable[[str], Path], target: str) -> None:
    lief = pytest.importorskip("lief", reason="the package lief is not installed")
    program = lief.MachO.parse(str(extracted_engine(built("portable"), target))).at(0)

    names = {str(command.command).rpartition(".")[2] for command in program.commands}
    assert {"SEGMENT_64", "MAIN", "LOAD_DYLINKER", "BUILD_VERSION"} <= names
    assert {library.name for library in program.libraries} <= {"/usr/lib/libSystem.B.dylib"}
    if target == "macos-aarch64":  # what is not signed does not start on Apple's own processors
        assert program.has_code_signature


def test_the_same_recipe_gives_the_same_bytes(built: Callable[[str], Path], tmp_path: Path) -> None:
    first = built("portable")

    run_lfbuild("build", RECIPES / "portable.toml", *LAUNCHER, cwd=tmp_path, TZ="Asia/Tokyo")

    (second,) = tmp_path.iterdir()
    assert sha256(second) == sha256(first)


def sha256(path: Path) -> str:
    """Of a whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
