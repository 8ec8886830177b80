"""Which of the file's texts a command line starts from."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.stubs.containers import HEAD, EndRecord, Record, seal, write_by_hand, write_zip

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stubs.conftest import Probe

MEMBERS = {
    ".args": b"cli\n-m\n/zip/model.gguf\n...\n",
    ".lfbuild/args/serve": b"-m\n/zip/model.gguf\n--port\n8080\n...\n",
    "model.gguf": b"GGUF",
}


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return write_zip(tmp_path / "tiny.llamafile", MEMBERS, comment=seal())


def arguments(probe: Probe, file: Path, *words: str, **variables: str) -> list[str]:
    finished = probe("args", *words, LFBUILD_FILE=str(file), **variables)
    assert (finished.returncode, finished.stderr) == (0, "")
    program, *rest = finished.stdout.split("\0")[:-1]
    assert program == "args"
    return rest


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ([], ["cli", "-m", "/zip/model.gguf"]),
        (["-p", "hi"], ["cli", "-m", "/zip/model.gguf", "-p", "hi"]),
        (["cli", "-p", "hi"], ["cli", "-m", "/zip/model.gguf", "-p", "hi"]),
        (["serve", "--port", "9000"], ["serve", "-m", "/zip/model.gguf", "--port", "8080", "--port", "9000"]),
        (["client", "-p", "hi"], ["cli", "-m", "/zip/model.gguf", "-p", "hi"]),
        (["server", "-c", "1"], ["serve", "-m", "/zip/model.gguf", "--port", "8080", "-c", "1"]),
        (["get", "x"], ["get", "x"]),
        (["serv"], ["serv"]),
        (["serve="], ["serve="]),
        (["bench", "-m", "/zip/model.gguf"], ["bench", "-m", "/zip/model.gguf"]),
        (["--version"], ["cli", "-m", "/zip/model.gguf", "--version"]),
        (["", "x"], ["", "x"]),
        (["../args/serve"], ["../args/serve"]),
    ],
)
def test_a_leading_verb_chooses_the_text(probe: Probe, packed: Path, user: list[str], expected: list[str]) -> None:
    assert arguments(probe, packed, *user) == expected


def test_a_default_verb_by_another_name_is_still_the_default(probe: Probe, tmp_path: Path) -> None:
    packed = write_zip(tmp_path / "by-hand.llamafile", {".args": b"server --port 8080 ..."})

    assert arguments(probe, packed, "serve", "-c", "1") == ["server", "--port", "8080", "-c", "1"]


def test_a_file_without_default_arguments_leaves_the_users(probe: Probe, tmp_path: Path) -> None:
    bare = tmp_path / "engine"
    bare.write_bytes(HEAD)
    packed = write_zip(tmp_path / "no-args.llamafile", {"model.gguf": b"GGUF"})

    assert arguments(probe, bare, "cli", "-p", "hi") == ["cli", "-p", "hi"]
    assert arguments(probe, packed, "cli", "-p", "hi") == ["cli", "-p", "hi"]


def test_a_verb_without_args_still_finds_its_own_text(probe: Probe, tmp_path: Path) -> None:
    packed = write_zip(tmp_path / "serve.llamafile", {".lfbuild/args/serve": b"--port 8080"})

    assert arguments(probe, packed, "serve", "-c", "1") == ["serve", "--port", "8080", "-c", "1"]


def test_the_environment_is_read_when_the_file_runs(probe: Probe, tmp_path: Path) -> None:
    packed = write_zip(tmp_path / "env.llamafile", {".args": b"serve --port ${PORT} ..."})

    assert arguments(probe, packed, PORT="9000") == ["serve", "--port", "9000"]


def test_a_program_that_the_servers_router_starts_has_its_arguments_already(probe: Probe, packed: Path) -> None:
    child = arguments(probe, packed, "serve", "-m", "x.gguf", LLAMA_SERVER_ROUTER_PORT="8080")

    assert child == ["serve", "-m", "x.gguf"]


@pytest.mark.parametrize(
    ("value", "expected"), [("1", ["-p", "hi"]), ("0", ["cli", "-m", "/zip/model.gguf", "-p", "hi"])]
)
def test_who_wants_no_default_arguments_gets_none(probe: Probe, packed: Path, value: str, expected: list[str]) -> None:
    assert arguments(probe, packed, "-p", "hi", LFBUILD_NO_ARGS=value) == expected


def refusal(probe: Probe, file: Path) -> str:
    finished = probe("args", "-p", "hi", LFBUILD_FILE=str(file))
    assert (finished.returncode, finished.stdout) == (1, "")
    return finished.stderr


def test_compressed_default_arguments_are_refused(probe: Probe, tmp_path: Path) -> None:
    packed = write_zip(tmp_path / "small.llamafile", {".args": b"cli " * 50}, method=zipfile.ZIP_DEFLATED)

    assert refusal(probe, packed) == (
        f"{packed}: the default arguments in '.args' cannot be read (it is compressed); pack it again with lfbuild\n"
    )


def test_default_arguments_of_gigabytes_are_refused(probe: Probe, tmp_path: Path) -> None:
    lie = Record(name=b".args", data=b"cli", size_bytes=2**40, packed_size_bytes=2**40)
    packed = write_by_hand(tmp_path / "large.llamafile", lie)

    assert refusal(probe, packed) == (
        f"{packed}: the default arguments in '.args' cannot be read (it is larger than 1 MiB); "
        "pack it again with lfbuild\n"
    )


def test_an_interrupted_update_is_told_before_anything_starts(probe: Probe, tmp_path: Path) -> None:
    packed = write_by_hand(
        tmp_path / "half.llamafile", Record(name=b".args", data=b"cli"), end=EndRecord(comment=seal("redo"))
    )

    assert (
        refusal(probe, packed) == f"{packed}: an update of this file was interrupted; run: lfbuild recover {packed}\n"
    )


def test_a_launcher_that_names_no_file_is_told(probe: Probe, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"

    assert (
        refusal(probe, nothing) == f"{nothing}: it cannot be opened (No such file or directory); check LFBUILD_FILE\n"
    )
