"""One file on several machines: started by everything that starts programs, at the CPU level that the machine has.

Behind `real`, what CI compiles anyway: this machine's engine, and Windows' as the one that is cross-compiled.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.system.conftest import LAUNCHER, RECIPES, run_file, run_lfbuild

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.real

QUESTION = ("completion", "-p", "The capital of France is", "-n", "8", "-t", "2")
WINE = shutil.which("wine64") or next(iter(map(str, Path("/usr/lib/wine").glob("wine64"))), None)
TEN_MINUTES = 600


@pytest.fixture(scope="module")
def with_windows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`recipes/smollm2.toml` for Windows too, which makes it a polyglot."""
    if WINE is None:
        pytest.skip("wine64 is not installed, and nothing else here starts a Windows program")
    folder = tmp_path_factory.mktemp("with windows – ä")
    text = (RECIPES / "smollm2.toml").read_text(encoding="utf-8")
    recipe = folder / "smollm2.toml"
    recipe.write_text(text.replace('["host"]', '["host", "windows-x86_64"]'), encoding="utf-8")
    run_lfbuild("build", recipe, *LAUNCHER, cwd=folder)
    return folder / "smollm2.llamafile"


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Variables for wine, with a folder of its own."""
    environment = os.environ | {"WINEPREFIX": str(tmp_path_factory.mktemp("wine")), "WINEDEBUG": "-all"}
    yield environment
    server = shutil.which("wineserver64") or "/usr/lib/wine/wineserver64"
    subprocess.run([server, "-k"], env=environment, check=False)


@pytest.mark.parametrize(
    "starter",
    [[], ["env", "-i"], ["bash", "-c", '"$0" "$@"'], ["dash", "-c", '"$0" "$@"'], ["busybox", "sh", "-c", '"$0" "$@"']],
    ids=lambda words: words[0] if words else "execve",
)
def test_a_file_for_one_linux_is_a_plain_program(smollm2: Path, starter: list[str]) -> None:
    if starter and shutil.which(starter[0]) is None:
        pytest.skip(f"{starter[0]} is not installed")

    answer = subprocess.run([*starter, smollm2, *QUESTION], capture_output=True, text=True, check=False)

    assert "Paris" in answer.stdout, answer.stderr[-2000:]


def test_find_starts_it(smollm2: Path) -> None:
    assert "Paris" in found_and_started(smollm2)


def found_and_started(file: Path) -> str:
    """What a file says that `find` has started."""
    words = ["find", file.parent, "-name", file.name, "-exec", "{}", *QUESTION, ";"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the levels in the recipe are those of x86-64")
def test_the_best_level_is_taken_and_another_one_can_be_asked_for(smollm2: Path) -> None:
    levels = told_levels(smollm2)

    best, least = (run_file(smollm2, *QUESTION, LFBUILD_CPU=level) for level in ("best", levels[-1]))

    assert re.search(r": CPU level (\S+)$", best.stderr, re.MULTILINE)
    assert f": CPU level {levels[-1]}\n" in least.stderr
    assert "Paris" in best.stdout
    assert "Paris" in least.stdout


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the levels in the recipe are those of x86-64")
@pytest.mark.parametrize(
    ("cpu", "level"), [("Haswell,-hle,-rtm", "x86-64-v3"), ("EPYC-Rome", "x86-64-v3"), ("Nehalem", None)]
)
def test_a_lesser_cpu_gets_a_lesser_level_or_one_sentence(smollm2: Path, cpu: str, level: str | None) -> None:
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        pytest.skip("qemu-x86_64 is not installed (Debian: qemu-user)")
    engine = extracted_engine(smollm2, "linux-x86_64")
    words = [emulator, "-cpu", cpu, engine, "completion", "-p", "Hi", "-n", "1", "-t", "1", "-no-cnv", "--no-warmup"]
    environment = os.environ | {"LFBUILD_FILE": str(smollm2), "LFBUILD_CPU": "best"}

    ran = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=TEN_MINUTES)

    if level is None:
        assert ran.returncode == 1
        assert re.search(r"this program needs a CPU with x86-64-v3, and this one lacks .*avx", ran.stderr), ran.stderr
    else:
        assert f": CPU level {level}\n" in ran.stderr, ran.stderr[-2000:]


def test_it_starts_where_there_is_nothing_but_busybox(smollm2: Path, tmp_path: Path) -> None:
    shell = static_busybox()
    root = tmp_path / "root"
    for folder in ("bin", "dev", "tmp"):
        (root / folder).mkdir(parents=True)
    os.mknod(root / "dev" / "urandom", stat.S_IFCHR | 0o666, os.makedev(1, 9))  # every container has it
    shutil.copy2(shell, root / "bin" / "busybox")
    (root / "bin" / "sh").symlink_to("busybox")
    shutil.copy2(smollm2, root / "chat file")

    changed_root = shutil.which("chroot") or "/usr/sbin/chroot"
    inside = [changed_root, root, "/bin/sh", "-c", '"$0" "$@"', "/chat file", *QUESTION]
    answer = subprocess.run(inside, env={}, capture_output=True, text=True, check=False)

    assert "Paris" in answer.stdout, answer.stderr[-2000:]


@pytest.mark.parametrize("file", ["smollm2", "with_windows"])
def test_what_the_file_says_of_itself_is_what_inspect_says(file: str, request: pytest.FixtureRequest) -> None:
    compare_with_inspect(request.getfixturevalue(file))


def compare_with_inspect(path: Path) -> None:
    """Both ways, every slice."""
    told = run_file(path, "--lf-info")
    inspected = json.loads(run_lfbuild("inspect", path, "--json", cwd=path.parent).stdout)["slices"]

    assert told.returncode == 0, told.stderr
    lines = [line.split() for line in told.stdout.splitlines()]
    engines = [tuple(words[1:]) for words in lines if words[:1] == ["engine"]]
    assert sorted(engines) == sorted(map(engine_words, inspected))
    assert engines
    (here,) = (tuple(words[1:]) for words in lines if words[:1] == ["here"])
    assert here in {(item["target"], item["member"]) for item in inspected}


def test_the_file_verifies_itself_and_gives_its_members_out(smollm2: Path, tmp_path: Path) -> None:
    verified = subprocess.run([smollm2, "--lf-verify"], capture_output=True, text=True, check=False)
    subprocess.run([smollm2, "--lf-extract", ".args"], cwd=tmp_path, capture_output=True, check=True)

    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert (tmp_path / ".args").read_text(encoding="utf-8").startswith("cli\n")


@pytest.mark.parametrize("shell", ["bash", "dash", "zsh", "fish", "busybox"])
def test_a_polyglot_answers_from_every_shell(with_windows: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")

    answer = subprocess.run(from_shell(shell, with_windows), capture_output=True, text=True, check=False)

    assert "Paris" in answer.stdout, answer.stderr[-2000:]


def from_shell(shell: str, file: Path) -> list[str]:
    """The words that have a shell start a file with the question, as a line that is typed there."""
    line = f"'{file}' {' '.join(map(repr, QUESTION))}"
    return [shell, *(["sh"] if shell == "busybox" else []), "-c", line]


def test_a_polyglot_answers_on_windows(with_windows: Path, wine: dict[str, str]) -> None:
    assert WINE is not None
    program = with_windows.with_suffix(".exe")
    shutil.copy2(with_windows, program)

    answer = subprocess.run(
        [WINE, program, *QUESTION], env=wine, capture_output=True, text=True, check=False, timeout=TEN_MINUTES
    )

    assert "Paris" in answer.stdout, answer.stderr[-2000:]


def test_unzip_accepts_a_polyglot_and_verify_finds_nothing(with_windows: Path) -> None:
    if shutil.which("unzip") is None:
        pytest.skip("unzip is not installed")
    finished = subprocess.run(["unzip", "-tq", with_windows], capture_output=True, text=True, check=False)

    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "every byte is as its manifest promises" in run_lfbuild("verify", with_windows, cwd=Path.cwd()).stdout


def engine_words(inspected: dict[str, Any]) -> tuple[str, ...]:
    """What `--lf-info` has behind `engine` for a slice that `inspect` tells of."""
    method = {0: "stored", 8: "deflated"}[inspected["method"]]
    sizes = (str(inspected["stored_size"]), str(inspected["decoded_size"]))
    return inspected["target"], ",".join(inspected["cpus"]), method, *sizes, inspected["digest"]


def told_levels(file: Path) -> list[str]:
    """The levels of this machine's engine, best first."""
    inspected = json.loads(run_lfbuild("inspect", file, "--json", cwd=file.parent).stdout)
    (levels,) = (item["cpus"] for item in inspected["slices"] if item["target"] == f"linux-{platform.machine()}")
    return list(levels)


def extracted_engine(file: Path, target: str) -> Path:
    """The engine as a file of its own, as an emulator needs it."""
    folder = file.parent / "out"
    run_lfbuild("extract", file, f".lfbuild/engine/{target}", "-d", folder, "--force", cwd=file.parent)
    engine = folder / ".lfbuild" / "engine" / target
    engine.chmod(0o755)
    return engine


def static_busybox() -> Path:
    """A busybox that needs no libraries, and the right to change the root folder."""
    if os.geteuid() != 0:
        pytest.skip("chroot is root's")
    shell = shutil.which("busybox")
    if (
        shell is None
        or b"interpreter" in subprocess.run(["file", "-L", shell], capture_output=True, check=False).stdout
    ):
        pytest.skip("there is no static busybox (Debian: busybox-static)")
    return Path(shell)
