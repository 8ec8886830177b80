"""`list`, `inspect`, `extract` and `verify`, through the command line, on tiny files of ours and of others."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3
from tests.world.files import MODEL_NAME, plain, write_tiny_file
from tests.world.models import tiny_gguf
from tests.world.programs import tiny_ape, tiny_elf
from tests.world.slices import DEFLATED, LINUX_ENGINE, WINDOWS_ENGINE, tiny_launcher, tiny_slice
from tests.world.zips import raw_deflate

from lfbuild.archive.deflate import look_at
from lfbuild.cli import main
from lfbuild.report import size_words

if TYPE_CHECKING:
    from pathlib import Path

Captured = pytest.CaptureFixture[str]


def answer_of(capsys: Captured, *words: str | Path, code: int = 0) -> str:
    """What lfbuild prints on stdout."""
    assert main([*map(str, words)]) == code
    return capsys.readouterr().out


def refusal_of(capsys: Captured, *words: str | Path, code: int) -> str:
    """What it says on stderr when it refuses."""
    assert main([*map(str, words), "--quiet"]) == code
    return capsys.readouterr().err


def mozillas_file(folder: Path, *, version: str = "0.9.3", args: str = "-m\nmodel.gguf\n--temp\n$HEAT\n...\n") -> Path:
    """In the manner of `zipalign`: a program that names its version, then stored members, and no manifest."""
    path = folder / "other.llamafile"
    path.write_bytes(tiny_elf() + f"llamafile v{version}\0".encode())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model.gguf", tiny_gguf())
        archive.writestr(".args", args)
    return path


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_list_shows_sizes_and_where_data_begins(tmp_path: Path, capsys: Captured) -> None:
    listed = json.loads(answer_of(capsys, "list", write_tiny_file(tmp_path), "--json"))

    model = next(entry for entry in listed if entry["name"] == MODEL_NAME)
    assert model["size_bytes"] == len(tiny_gguf())
    assert model["data_offset"] % 1024 == 0


def test_inspect_tells_release_engine_model_and_arguments_of_our_file(tmp_path: Path, capsys: Captured) -> None:
    shown = answer_of(capsys, "inspect", write_tiny_file(tmp_path))

    assert "a file of lfbuild" in shown
    assert "llama.cpp 0.5.0 by zig 0.17.1" in shown
    assert "runs on      linux-x86_64\n" in shown
    assert "levels       x86-64-v3\n" in shown
    assert "begins with  the engine itself\n" in shown
    assert f"cli -m /zip/{MODEL_NAME} ..." in shown


def test_inspect_tells_the_engines_that_a_launcher_starts(tmp_path: Path, capsys: Captured) -> None:
    shown = answer_of(capsys, "inspect", write_tiny_file(tmp_path, head=tiny_launcher()))

    linux, windows = blake3(LINUX_ENGINE).hexdigest(), blake3(WINDOWS_ENGINE).hexdigest()
    assert "begins with  a launcher, which starts the engine for its machine\n" in shown
    assert "runs on      linux-x86_64, windows-x86_64\n" in shown
    assert [line.split() for line in shown.splitlines() if "x86-64-v4" in line] == [
        ["linux-x86_64", "deflate", "59", "B", "2.8", "KiB", linux, "x86-64-v4,", "x86-64-v2"],
        ["windows-x86_64", "stored", "700", "B", "700", "B", windows, "x86-64-v4,", "x86-64-v2"],
    ]


def test_inspect_tells_machines_of_each_engine(tmp_path: Path, capsys: Captured) -> None:
    document = json.loads(answer_of(capsys, "inspect", write_tiny_file(tmp_path, head=tiny_launcher()), "--json"))

    assert document["program"]["kind"] == "polyglot"
    assert document["slices"][0] == {
        "target": "linux-x86_64",
        "cpus": ["x86-64-v4", "x86-64-v2"],
        "member": ".lfbuild/engine/linux-x86_64",
        "method": 8,
        "stored_size": len(DEFLATED),
        "decoded_size": len(LINUX_ENGINE),
        "digest": blake3(LINUX_ENGINE).hexdigest(),
    }
    assert document["manifest"]["engine"]["slices"][1]["member"] == ".lfbuild/engine/windows-x86_64"


def test_inspect_names_the_file_that_a_thin_program_needs(tmp_path: Path, capsys: Captured) -> None:
    members = (plain(".lfbuild/file", b"chat.llamafile\n", place="tail"),)

    shown = answer_of(capsys, "inspect", write_tiny_file(tmp_path, head=tiny_launcher(), members=members))

    assert "needs beside it  chat.llamafile\n" in shown


def test_inspect_says_of_weights_alone_that_another_file_starts_them(tmp_path: Path, capsys: Captured) -> None:
    shown = answer_of(capsys, "inspect", write_tiny_file(tmp_path, head=tiny_launcher([])))

    assert "begins with  a note that another file starts it\n" in shown


def test_inspect_refuses_a_slice_table_that_was_changed(tmp_path: Path, capsys: Captured) -> None:
    path = write_tiny_file(tmp_path, head=tiny_launcher())
    flip(path, path.read_bytes().index(b"slice linux") + 7)

    said = refusal_of(capsys, "inspect", path, code=5)

    assert f"{path}: .lfbuild/slices: the slice table does not match its own digest" in said


def test_list_shows_how_much_a_compression_left(tmp_path: Path, capsys: Captured) -> None:
    shown = answer_of(capsys, "list", write_tiny_file(tmp_path, head=tiny_launcher()))

    assert [line.split()[2:] for line in shown.splitlines() if "engine" in line] == [
        ["deflate", "2", "%", ".lfbuild/engine/linux-x86_64"],
        ["stored", ".lfbuild/engine/windows-x86_64"],
    ]


def test_extract_decodes_an_engine_and_leaves_it_runnable(tmp_path: Path, capsys: Captured) -> None:
    file = write_tiny_file(tmp_path, head=tiny_launcher())

    answer_of(capsys, "extract", file, ".lfbuild/engine/linux-x86_64", "-d", tmp_path / "out")

    target = tmp_path / "out" / ".lfbuild" / "engine" / "linux-x86_64"
    assert target.read_bytes() == LINUX_ENGINE
    assert target.stat().st_mode & 0o100


def test_extract_holds_decoded_bytes_against_what_the_manifest_promises(tmp_path: Path, capsys: Captured) -> None:
    other = LINUX_ENGINE.replace(b"small", b"SMALL")
    lying = replace(tiny_slice(stored=raw_deflate(other)), program=replace(look_at([other]), root="0" * 64))
    file = write_tiny_file(tmp_path, head=tiny_launcher([lying]))

    said = refusal_of(capsys, "extract", file, ".lfbuild/engine/linux-x86_64", "-d", tmp_path / "out", code=5)

    assert f"{file}: .lfbuild/engine/linux-x86_64: its bytes are not the ones that were promised" in said
    assert list((tmp_path / "out").rglob("linux*")) == []


def test_inspect_keeps_the_manifest_in_its_own_shape_for_machines(tmp_path: Path, capsys: Captured) -> None:
    document = json.loads(answer_of(capsys, "inspect", write_tiny_file(tmp_path), "--json"))

    assert document["kind"] == "lfbuild"
    assert document["manifest"]["release"] == {"name": "tiny", "version": "1", "license": "apache-2.0"}
    assert [model["member"] for model in document["models"]] == [MODEL_NAME]


def test_inspect_reads_mozillas_file_and_leaves_variables_as_they_stand(tmp_path: Path, capsys: Captured) -> None:
    document = json.loads(answer_of(capsys, "inspect", mozillas_file(tmp_path), "--json"))

    assert document["kind"] == "llamafile"
    assert document["engine_version"] == "0.9.3"
    assert document["arguments"] == ["-m", "model.gguf", "--temp", "$HEAT", "..."]
    assert "no multiple of 16384" in document["notes"][0]


def test_inspect_reads_an_older_files_arguments_by_the_line(tmp_path: Path, capsys: Captured) -> None:
    file = mozillas_file(tmp_path, version="0.8.16", args="-p\nIt's a 'test' # of $HEAT\n...\n")

    assert json.loads(answer_of(capsys, "inspect", file, "--json"))["arguments"] == [
        "-p",
        "It's a 'test' # of $HEAT",
        "...",
    ]


def test_inspect_takes_no_endless_number_for_a_version(tmp_path: Path, capsys: Captured) -> None:
    file = mozillas_file(tmp_path, version=f"0.{'9' * 5000}.1")

    assert json.loads(answer_of(capsys, "inspect", file, "--json"))["engine_version"] == ""


def test_inspect_knows_a_plain_model_and_a_bare_program(tmp_path: Path, capsys: Captured) -> None:
    model, program = tmp_path / "m.gguf", tmp_path / "program"
    model.write_bytes(tiny_gguf())
    program.write_bytes(tiny_elf())

    assert "a GGUF model" in answer_of(capsys, "inspect", model)
    assert "elf for x86_64" in answer_of(capsys, "inspect", program)
    program.write_bytes(tiny_ape())
    assert json.loads(answer_of(capsys, "inspect", program, "--json"))["kind"] == "program"


def test_inspect_refuses_what_it_does_not_know(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello")

    assert f"{path}: no ZIP end record in the last 64 KiB" in refusal_of(capsys, "inspect", path, code=4)


def test_inspect_says_which_verb_reads_a_recipe(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "chat.toml"
    path.write_text("[llamafile]\n")

    assert f"hint: of a recipe, lfbuild plan {path} tells what it makes" in refusal_of(capsys, "inspect", path, code=4)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x.gguf", "is a GGUF, a model without an engine"),
        ("x.lfdelta", "is a difference between two files"),
        ("tiny.llamafile.lfindex", "is the control file of a release"),
    ],
)
def test_what_is_another_file_of_lfbuilds_world_is_called_by_its_name(
    tmp_path: Path, capsys: Captured, name: str, said: str
) -> None:
    file, model = write_tiny_file(tmp_path, name="tiny.llamafile"), tmp_path / "x.gguf"
    model.write_bytes(tiny_gguf())
    answer_of(capsys, "index", file)
    answer_of(capsys, "diff", model, file, "-o", tmp_path / "x.lfdelta")

    assert f"{tmp_path / name}: {said}\n" in refusal_of(capsys, "list", tmp_path / name, code=4)


def test_extract_gives_the_exact_model_back(tmp_path: Path, capsys: Captured) -> None:
    file = write_tiny_file(tmp_path)

    answer_of(capsys, "extract", file, MODEL_NAME, "-d", tmp_path / "out")

    assert (tmp_path / "out" / MODEL_NAME).read_bytes() == tiny_gguf()


def test_extract_replaces_nothing_unless_told(tmp_path: Path, capsys: Captured) -> None:
    file, target = write_tiny_file(tmp_path), tmp_path / "out" / MODEL_NAME
    target.parent.mkdir()
    target.write_bytes(b"mine")

    assert f"{target}: is there already" in refusal_of(
        capsys, "extract", file, MODEL_NAME, "-d", tmp_path / "out", code=8
    )
    assert target.read_bytes() == b"mine"
    answer_of(capsys, "extract", file, MODEL_NAME, "-d", tmp_path / "out", "--force")
    assert target.read_bytes() == tiny_gguf()


def test_extract_puts_a_member_in_the_place_of_a_link_and_not_where_that_leads(
    tmp_path: Path, capsys: Captured
) -> None:
    file, target, outside = write_tiny_file(tmp_path), tmp_path / "out" / MODEL_NAME, tmp_path / "outside"
    target.parent.mkdir()
    outside.write_bytes(b"precious")
    target.symlink_to("../outside")

    answer_of(capsys, "extract", file, MODEL_NAME, "-d", tmp_path / "out", "--force")

    assert outside.read_bytes() == b"precious"
    assert not target.is_symlink()


def test_extract_begins_nothing_that_the_disk_has_no_room_for(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_tiny_file(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=1000, f_frsize=1))
    monkeypatch.setattr("lfbuild.host.room.can_share", lambda *_: False)

    told = refusal_of(capsys, "extract", file, MODEL_NAME, "-d", tmp_path / "out" / "deep", code=8)

    assert told == (
        f"lfbuild: {tmp_path}: what is extracted needs {size_words(len(tiny_gguf()))}, and 1000 B are free\n"
        "lfbuild: hint: free some space, or choose another folder\n"
    )
    assert not (tmp_path / "out").exists()


def test_extract_needs_no_room_for_blocks_that_are_shared(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_tiny_file(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=0, f_frsize=1))
    monkeypatch.setattr("lfbuild.host.room.can_share", lambda *_: True)

    answer_of(capsys, "extract", file, MODEL_NAME, "-d", tmp_path / "out")


def test_extract_writes_nothing_of_a_member_that_was_changed(tmp_path: Path, capsys: Captured) -> None:
    file = write_tiny_file(tmp_path)
    flip(file, file.read_bytes().index(tiny_gguf()) + 900)

    assert "its bytes are not the ones that were promised" in refusal_of(
        capsys, "extract", file, MODEL_NAME, "-d", tmp_path / "out", code=5
    )
    assert not (tmp_path / "out" / MODEL_NAME).exists()


@pytest.mark.parametrize(
    ("name", "folder"), [("chat.llamafile", "chat"), ("chat", "chat-members"), (".c", ".c-members")]
)
def test_extract_writes_into_a_folder_that_is_named_after_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured, name: str, folder: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiny_file(tmp_path, name=name)

    answer_of(capsys, "extract", tmp_path / name, MODEL_NAME)

    assert (tmp_path / folder / MODEL_NAME).read_bytes() == tiny_gguf()


def test_extract_into_a_file_is_refused(tmp_path: Path, capsys: Captured) -> None:
    file, other = write_tiny_file(tmp_path), tmp_path / "other"
    other.write_bytes(b"mine")

    told = refusal_of(capsys, "extract", file, "-d", other, code=8)

    assert told == (
        f"lfbuild: {other}: there is a file of that name already\nlfbuild: hint: remove it, or choose another name\n"
    )


def test_extract_tells_two_names_that_some_systems_take_for_one(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "two.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("C", "x")
        archive.writestr("c", "y")

    told = refusal_of(capsys, "extract", path, "-d", tmp_path / "out", code=4)

    assert told == f"lfbuild: {path}: the names 'C' and 'c' are one where systems ignore case\n"


@pytest.mark.parametrize("name", ["../escape", "/etc/escape", "a/../../escape"])
def test_extract_never_leaves_its_folder(tmp_path: Path, capsys: Captured, name: str) -> None:
    path = tmp_path / "hostile.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "x")

    assert "it is not extracted" in refusal_of(capsys, "extract", path, "-d", tmp_path / "out", code=4)
    assert [entry.name for entry in tmp_path.iterdir()] == ["hostile.zip"]


def test_verify_is_content_with_a_whole_file(tmp_path: Path, capsys: Captured) -> None:
    assert "every byte is as its manifest promises" in answer_of(capsys, "verify", write_tiny_file(tmp_path))


def test_verify_names_the_tensor_that_was_changed(tmp_path: Path, capsys: Captured) -> None:
    file = write_tiny_file(tmp_path)
    flip(file, file.read_bytes().index(tiny_gguf()) + len(tiny_gguf()) - 1)

    assert f"{MODEL_NAME}: the block at" in answer_of(capsys, "verify", file, code=5)


def test_quick_verify_reads_no_content_but_sees_the_directory(tmp_path: Path, capsys: Captured) -> None:
    file = write_tiny_file(tmp_path)
    flip(file, file.read_bytes().index(tiny_gguf()) + 900)
    assert "the structure is sound" in answer_of(capsys, "verify", "--quick", file)

    flip(file, file.read_bytes().rindex(b"PK\x01\x02") + 40)

    assert "directory" in answer_of(capsys, "verify", "--quick", file, code=5)


def test_verify_holds_another_zip_against_its_checksums(tmp_path: Path, capsys: Captured) -> None:
    path = mozillas_file(tmp_path)
    assert "every member agrees with its checksum" in answer_of(capsys, "verify", path)

    flip(path, path.read_bytes().index(tiny_gguf()) + 500)

    assert "model.gguf" in answer_of(capsys, "verify", path, code=5)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path, capsys: Captured) -> None:
    for verb in ("list", "inspect", "extract", "verify"):
        said = refusal_of(capsys, verb, tmp_path / "nothing", code=8)
        assert said.splitlines()[0] == f"lfbuild: {tmp_path}/nothing: does not exist"
