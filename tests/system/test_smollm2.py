"""The main job on the smallest recipe: one file that answers, from weights mapped in place."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import socket
import stat
import subprocess
import time
import urllib.request
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.system.conftest import RECIPES, run_file, run_lfbuild

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.real

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
# A model as small as this one says other things where another level rounds otherwise; test_heads.py asks at all levels.
ONE_LEVEL = {"LFBUILD_CPU": "x86-64-v3"} if platform.machine() == "x86_64" else {}
QUESTION = ("completion", "-p", "The capital of France is", "-n", "8")


def test_the_file_answers_from_its_own_weights(smollm2: Path) -> None:
    answer = run_file(smollm2, *QUESTION)

    assert "Paris" in answer.stdout, answer.stderr[-2000:]


def test_a_verb_by_another_name_has_the_same_arguments(smollm2: Path) -> None:
    answer = run_file(smollm2, "complete", *QUESTION[1:])

    assert "Paris" in answer.stdout, answer.stderr[-2000:]


def test_it_answers_in_another_folder_under_another_name_with_spaces(smollm2: Path, tmp_path: Path) -> None:
    moved = tmp_path / "ein Modell – groß" / "chat file"
    moved.parent.mkdir()
    os.link(smollm2, moved) if moved.parent.stat().st_dev == smollm2.stat().st_dev else shutil.copy2(smollm2, moved)

    assert "Paris" in run_file(moved, *QUESTION).stdout


@pytest.mark.parametrize(
    "command",
    [["unzip", "-tq"], ["zipinfo", "-t"], ["bsdtar", "-tf"], ["busybox", "unzip", "-t"], ["7z", "t", "-tzip"]],
)
def test_independent_readers_accept_it(smollm2: Path, command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    finished = subprocess.run([*command, smollm2], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_pythons_zipfile_finds_every_checksum_right(smollm2: Path) -> None:
    with zipfile.ZipFile(smollm2) as archive:
        assert archive.testzip() is None


def test_weights_begin_at_a_multiple_of_64_kib(smollm2: Path) -> None:
    listed = json.loads(run_lfbuild("list", smollm2, "--json", cwd=smollm2.parent).stdout)

    assert [entry["data_offset"] % 65536 for entry in listed if entry["name"] == MODEL] == [0]


# The gguf package leaves the file it maps to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_unzip_yields_the_exact_model_and_gguf_opens_it(smollm2: Path, tmp_path: Path) -> None:
    import gguf

    if shutil.which("unzip") is None:
        pytest.skip("unzip is not installed")
    subprocess.run(["unzip", "-q", smollm2, MODEL, "-d", tmp_path], check=True)

    assert hashlib.sha256((tmp_path / MODEL).read_bytes()).hexdigest() == MODEL_SHA256
    assert len(gguf.GGUFReader(tmp_path / MODEL).tensors) == 272


def test_verify_holds_and_names_the_tensor_after_one_flipped_bit(smollm2: Path, tmp_path: Path) -> None:
    assert run_lfbuild("verify", smollm2, cwd=tmp_path).returncode == 0
    copy = tmp_path / "copy.llamafile"
    shutil.copy2(smollm2, copy)
    with copy.open("r+b") as file:
        file.seek(60_000_000)
        byte = file.read(1)[0]
        file.seek(60_000_000)
        file.write(bytes([byte ^ 4]))

    verified = run_lfbuild("verify", copy, cwd=tmp_path, check=False)

    assert verified.returncode == 5
    assert f"{MODEL}: the block at" in verified.stdout
    assert "blk." in verified.stdout


def test_weights_are_mapped_from_the_file_itself(smollm2: Path) -> None:
    with serving(smollm2) as (_, process):
        maps = Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8").splitlines()
        ranges = [line.split()[0].split("-") for line in maps if str(smollm2) in line]
        assert max(int(end, 16) - int(start, 16) for start, end in ranges) > 90_000_000, maps


def test_the_server_answers_the_openai_client(smollm2: Path) -> None:
    import openai

    with (
        serving(smollm2) as (address, _),
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", timeout=60) as client,
    ):
        answer = client.chat.completions.create(
            model="smollm2",
            messages=[{"role": "user", "content": "Which city is the capital of France?"}],
            max_tokens=16,
            temperature=0,
        )

    assert "Paris" in (answer.choices[0].message.content or "")


def test_a_second_build_compiles_and_fetches_nothing_and_gives_the_same_bytes(smollm2: Path, tmp_path: Path) -> None:
    old_umask = os.umask(0o077)
    try:
        again = run_lfbuild("build", RECIPES / "smollm2.toml", "--offline", cwd=tmp_path, TZ="Asia/Tokyo", LC_ALL="C")
    finally:
        os.umask(old_umask)

    made = tmp_path / "smollm2.llamafile"
    assert "compiling" not in again.stderr
    assert "downloading" not in again.stderr
    assert sha256_of(made) == sha256_of(smollm2)
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


@contextmanager
def serving(file: Path, *words: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run `FILE serve`, with more words perhaps, until it is ready; yields its address and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(file), "serve", "--host", "127.0.0.1", "--port", str(port), *words]
    process = subprocess.Popen(
        command,
        env=os.environ | ONE_LEVEL,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(f"{address}/health", process)
        yield address, process
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, f"the server ended with {process.returncode}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # our own server on loopback
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the server was not ready within a minute")


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
