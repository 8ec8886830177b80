"""`import`, `convert-back`, `compact` and `recover`, through the command line."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import zipfile
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from tests.world.edits import LARGER_ENGINE, edit_in_place, engine_file, launcher_file, new_slice
from tests.world.files import manifest_of, sign_file, verified, write_tiny_file
from tests.world.models import DEFAULT_VALUES, INT32, tiny_gguf
from tests.world.mozilla import MODEL, mozilla_engine, mozilla_file, write_mozilla_file
from tests.world.programs import tiny_elf
from tests.world.slices import LINUX, LINUX_ENGINE, tiny_launcher
from tests.world.zips import Stored, write_zip

from lfbuild.archive.reader import Reader
from lfbuild.cli import main
from lfbuild.host.inplace import journal_path
from lfbuild.manifest.edit import Changes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Captured = pytest.CaptureFixture[str]


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.startswith(".lfbuild/")}


def run(*words: str | Path, code: int = 0) -> None:
    assert main([*map(str, words), "--quiet"]) == code


def test_a_foreign_llamafile_gets_a_manifest_and_keeps_its_members(world: Path) -> None:
    path = write_mozilla_file(world / "moz.llamafile", deflated=("web/index.html",))
    before = members_of(path)

    run("import", path)

    assert verified(path) == []
    assert members_of(path) == before
    subprocess.run(["unzip", "-qt", path], check=True)
    manifest = manifest_of(path)
    assert manifest.release.name == "moz"
    assert manifest.head.own_members == 2
    assert manifest.member("web/index.html").encoding.encoder == ""  # type: ignore[union-attr]
    assert manifest.member(MODEL).model.architecture == "llama"  # type: ignore[union-attr]
    assert path.read_bytes().startswith(mozilla_engine()[:4096])


def test_a_model_that_tells_nonsense_of_itself_is_imported_and_goes_back(world: Path) -> None:
    odd = tiny_gguf(DEFAULT_VALUES | {"llama.context_length": (INT32, -1)})
    path = write_mozilla_file(world / "moz.llamafile", {MODEL: odd})

    run("import", path)
    run("convert-back", path, "-o", "back.llamafile")

    assert verified(path) == []
    assert members_of(world / "back.llamafile")[MODEL] == odd


def test_members_of_the_engine_and_of_the_user_are_told_apart(world: Path) -> None:
    path = write_mozilla_file(world / "moz.llamafile", members={"deflated.txt": b"x" * 500}, deflated=("deflated.txt",))

    run("import", path)

    manifest = manifest_of(path)
    assert manifest.head.size_bytes == len(mozilla_engine())
    assert [item.name for item in manifest.members if item.role == "file"] == ["deflated.txt"]


@pytest.mark.parametrize("words", [["import"], ["swap", "--name", "x"]])
def test_entries_of_folders_are_left_out_and_told(world: Path, capsys: Captured, words: list[str]) -> None:
    folders = [Stored(f"{name}/", mode=0o40755) for name in ("web", "a", "b", "c")]
    members = (Stored("a.gguf", tiny_gguf()), *folders, Stored("web/x", b"x"))
    path = write_zip(world / "zip.llamafile", *members, start=tiny_elf(601))
    capsys.readouterr()

    assert main([words[0], str(path), *words[1:]]) == 0

    said = " ".join(capsys.readouterr().err.split())
    assert "entries of folders are left out (web/, a/, b/ and 1 more): unpacking a member makes its folder" in said
    assert verified(path) == []
    assert members_of(path) == {"a.gguf": tiny_gguf(), "web/x": b"x"}


def foreign_file(world: Path) -> Path:
    return write_mozilla_file(world / "tiny.llamafile")


REWRITES = [
    pytest.param(foreign_file, ["import", "tiny.llamafile"], id="import"),
    pytest.param(foreign_file, ["import", "tiny.llamafile", "-o", "./tiny.llamafile"], id="import -o itself"),
    pytest.param(foreign_file, ["swap", "tiny.llamafile", "--name", "x"], id="swap of a foreign file"),
    pytest.param(launcher_file, ["swap", "tiny.llamafile", "--name", "x"], id="swap"),
    pytest.param(launcher_file, ["swap", "tiny.llamafile", "--name", "x", "-o", "tiny.llamafile"], id="swap -o itself"),
    pytest.param(launcher_file, ["compact", "tiny.llamafile", "-o", "tiny.llamafile"], id="compact -o itself"),
]


@pytest.mark.parametrize(("make", "words"), REWRITES)
def test_a_private_file_stays_private_and_its_owners_whatever_root_makes_of_it(
    world: Path, make: Callable[[Path], Path], words: list[str]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("other people's files need root")
    path = make(world)
    os.chown(path, 12345, 12345)
    path.chmod(0o600)

    run(*words)

    facts = path.stat()
    mode = 0o100700 if make is foreign_file else 0o100600  # one that becomes ours may be run by whoever may read it
    assert (facts.st_mode, facts.st_uid, facts.st_gid) == (mode, 12345, 12345)


@pytest.mark.parametrize(("make", "words"), REWRITES)
def test_what_another_process_wrote_meanwhile_is_not_written_over(
    world: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Path], words: list[str]
) -> None:
    path = make(world)

    def written(folder: Path) -> contextlib.nullcontext[None]:
        (folder / "other").write_bytes(b"theirs")
        (folder / "other").replace(path)
        return contextlib.nullcontext()

    monkeypatch.setattr("lfbuild.host.files._folder_had_alone", written)
    run(*words, code=8)

    assert ": was changed by another process meanwhile\n" in capsys.readouterr().err
    assert path.read_bytes() == b"theirs"


def test_a_copy_of_a_private_file_is_private(world: Path) -> None:
    foreign_file(world).chmod(0o600)

    run("import", "tiny.llamafile", "-o", "copy.llamafile")

    assert (world / "copy.llamafile").stat().st_mode == 0o100700


@pytest.mark.parametrize("words", [["import"], ["swap", "--name", "x"]], ids=lambda words: words[0])
def test_a_llamafile_that_was_fetched_without_its_mode_can_be_run_once_it_is_ours(
    world: Path, words: list[str]
) -> None:
    path = foreign_file(world)
    path.chmod(0o644)

    run(words[0], path, *words[1:])

    assert path.stat().st_mode == 0o100755


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (foreign_file, ["import"]),
        (foreign_file, ["swap", "--name", "x"]),
        (launcher_file, ["swap", "--name", "x"]),
        (launcher_file, ["compact"]),
        (launcher_file, ["convert-back", "--target", LINUX]),
    ],
)
def test_a_copy_of_a_file_that_runs_as_its_owner_does_not_run_as_whoever_made_it(
    world: Path, make: Callable[[Path], Path], words: list[str]
) -> None:
    path = make(world)
    os.chown(path, 12345, 12345)
    path.chmod(0o6755)

    run(words[0], path, *words[1:], "-o", "copy")

    facts = (world / "copy").stat()
    assert (facts.st_mode, facts.st_uid) == (0o100755, 0)


def test_weights_that_lie_anywhere_are_moved_when_asked(world: Path, capsys: Captured) -> None:
    path = write_zip(world / "zip.llamafile", Stored("a.gguf", tiny_gguf()), start=tiny_elf(601))
    capsys.readouterr()

    assert main(["import", str(path), "-o", "as-it-is"]) == 0
    assert "a.gguf lies where no system maps it without a copy" in capsys.readouterr().err
    run("import", path, "--align", "-o", "aligned")

    with Reader.open(world / "aligned") as reader:
        assert reader.data_offset(reader.record("a.gguf")) % 65536 == 0
    for name in ("aligned", "as-it-is"):
        assert verified(world / name) == []


def test_a_file_of_ours_is_not_imported(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)

    run("import", path, code=4)

    assert f"{path}: has a manifest already" in capsys.readouterr().err


def test_a_zip_that_begins_with_no_program_is_not_imported(world: Path, capsys: Captured) -> None:
    path = write_zip(world / "a.zip", Stored("a.gguf", tiny_gguf()))

    run("import", path, code=4)

    assert f"{path}: begins with no program, so it is no llamafile" in capsys.readouterr().err


def test_a_zip_that_readers_would_disagree_on_is_not_imported(world: Path, capsys: Captured) -> None:
    path = write_zip(world / "a.zip", Stored("a", b"1"), Stored("a", b"2"), start=tiny_elf(600))

    run("import", path, code=4)

    assert f"{path}: a: is in the directory 2 times" in capsys.readouterr().err


def test_mozillas_tools_get_their_file_back_byte_for_byte(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_mozilla_file(world / "moz.llamafile")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")

    run("import", path, "-o", "ours.llamafile")
    ours = (world / "ours.llamafile").read_bytes()
    run("convert-back", "ours.llamafile", "-o", "back.llamafile")
    run("convert-back", "ours.llamafile", "-o", "ours.llamafile", code=8)

    assert (world / "back.llamafile").read_bytes() == _sorted_as_ours(path)
    assert (world / "ours.llamafile").read_bytes() == ours


def test_nothing_is_converted_back_that_the_disk_has_no_room_for(
    world: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mozilla_file(world / "moz.llamafile")
    run("import", world / "moz.llamafile", "-o", "ours.llamafile")
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=1000, f_frsize=1))
    monkeypatch.setattr("lfbuild.host.room.can_share", lambda *_: False)
    capsys.readouterr()

    run("convert-back", "ours.llamafile", "-o", "back.llamafile", code=8)

    assert f"lfbuild: {world}: the new file needs " in capsys.readouterr().err
    assert not (world / "back.llamafile").exists()


def _sorted_as_ours(path: Path) -> bytes:
    """The same llamafile with its members in our order: weights, files, arguments."""
    content = members_of(path)
    order = [MODEL, "web/index.html", ".args"]
    return mozilla_file({name: content[name] for name in order})


def test_a_file_with_launchers_goes_back_with_one_of_its_engines(world: Path) -> None:
    path = launcher_file(world)

    run("convert-back", path, "-o", "back", "--target", LINUX)

    data = (world / "back").read_bytes()
    assert data.startswith(LINUX_ENGINE)
    assert b"lfbuild " not in data[-200:]
    assert members_of(world / "back") == members_of(path)
    subprocess.run(["unzip", "-qt", world / "back"], check=True)


def test_arguments_that_only_our_engines_read_are_left_out_and_told(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)
    run("swap", path, "--args", "bench=-c 1")

    assert main(["convert-back", str(path), "-o", "back", "--target", LINUX]) == 0

    assert ".lfbuild/args/bench" not in members_of(world / "back")
    assert "left out are .lfbuild/args/bench: Mozilla's engine reads .args alone" in capsys.readouterr().err


def test_which_of_several_engines_has_to_be_said(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)

    run("convert-back", path, "-o", "back", code=2)

    assert capsys.readouterr().err == (
        f"lfbuild: {path}: the file has engines for linux-x86_64, windows-x86_64, and a llamafile begins with one\n"
        "lfbuild: hint: --target TARGET, or --engine ENGINE\n"
    )


@pytest.mark.parametrize(
    ("make", "targets"), [(launcher_file, "linux-x86_64, windows-x86_64"), (engine_file, "linux-x86_64")]
)
def test_a_machine_that_the_file_has_no_engine_for_is_told(
    world: Path, capsys: Captured, make: Callable[[Path], Path], targets: str
) -> None:
    path = make(world)

    run("convert-back", path, "-o", "back", "--target", "macos-aarch64", code=2)

    assert capsys.readouterr().err == (
        f"lfbuild: {path}: --target: there is no engine for macos-aarch64, only for {targets}\n"
    )
    assert not (world / "back").exists()


def test_an_engine_of_mozillas_can_begin_what_goes_back(world: Path) -> None:
    (world / "engine").unlink() if (world / "engine").is_file() else None
    engine = world / "llamafile-0.10"
    engine.write_bytes(mozilla_engine(version="0.10.6"))

    run("convert-back", launcher_file(world), "-o", "back", "--engine", engine)

    assert (world / "back").read_bytes().startswith(engine.read_bytes()[:4096])
    with zipfile.ZipFile(world / "back") as archive:
        assert archive.testzip() is None
        assert ".cosmo" in archive.namelist()


def test_weights_that_are_damaged_do_not_leave_the_file(world: Path, capsys: Captured) -> None:
    path = engine_file(world)
    data = bytearray(path.read_bytes())
    with Reader.open(path) as reader:
        data[reader.data_offset(reader.record("Tiny.Q4_0.gguf")) + 9] ^= 1
    path.write_bytes(data)

    run("convert-back", path, "-o", "back", code=5)

    assert not (world / "back").exists()


def test_compacting_brings_the_engine_back_before_the_weights(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)
    edit_in_place(path, Changes(slices=(new_slice(LARGER_ENGINE),)))
    before = members_of(path)
    capsys.readouterr()

    assert main(["compact", str(path), "--json", "--quiet"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert told["new_bytes"] == path.stat().st_size
    assert verified(path) == []
    assert members_of(path) == before
    with Reader.open(path) as reader:
        records = reader.records
        assert records[f".lfbuild/engine/{LINUX}"].header_offset < records["Tiny.Q4_0.gguf"].header_offset


def test_compacting_a_signed_file_tells_that_the_new_one_is_not(world: Path, capsys: Captured) -> None:
    path = write_tiny_file(world, head=tiny_launcher(), align_bytes=65536, sign=sign_file)
    capsys.readouterr()

    assert main(["compact", str(path)]) == 0

    assert "the file was signed for Windows, and the new one is not: sign it again" in capsys.readouterr().err
    assert verified(path) == []


def test_recovering_a_file_at_rest_does_nothing(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)
    old = path.read_bytes()
    capsys.readouterr()

    assert main(["recover", str(path)]) == 0

    assert capsys.readouterr().out == f"{path}: is at rest, there was nothing to do\n"
    assert path.read_bytes() == old


def test_leftovers_are_told_by_verify_and_cleared_by_recover(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)
    old = path.read_bytes()
    path.write_bytes(old + b"half of a tail")
    capsys.readouterr()

    assert main(["verify", str(path), "-q"]) == 5
    assert capsys.readouterr().out == (
        f"{path}: end records: 14 bytes follow the end records\n1 finding\n"
        f"an edit that was interrupted leaves such bytes: lfbuild recover {path}\n"
    )
    assert main(["recover", str(path), "-q"]) == 0
    assert capsys.readouterr().out == f"{path}: an edit had been interrupted, and what it left was cleared\n"
    assert path.read_bytes() == old


def test_a_journal_that_was_never_completed_is_dropped(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)
    journal_path(path).write_bytes(b"LFREDO 1")

    run("list", path)
    assert journal_path(path).exists()
    run("recover", path)

    assert not journal_path(path).exists()
    assert verified(path) == []


def test_a_file_with_any_other_fault_is_left_as_it_is(world: Path) -> None:
    path = launcher_file(world)
    data = bytearray(path.read_bytes() + b"more")
    with Reader.open(path) as reader:
        data[reader.record(".args").header_offset + 10] ^= 1
    path.write_bytes(data)

    run("recover", path)

    assert path.read_bytes() == data


@pytest.mark.parametrize(
    "words",
    [
        ("import", "{it}"),
        ("compact", "{it}"),
        ("swap", "{it}", "--name", "x"),
        ("swap", "tiny.llamafile", "--file", "x={it}"),
        ("swap", "tiny.llamafile", "--model", "{it}"),
    ],
)
def test_a_folder_or_a_pipe_is_refused_by_its_name_and_nobody_waits(
    world: Path, capsys: Captured, words: tuple[str, ...]
) -> None:
    launcher_file(world)
    folder, pipe = world / "folder", world / "pipe"
    folder.mkdir()
    os.mkfifo(pipe)

    run(*(word.format(it=folder) for word in words), code=8)
    run(*(word.format(it=pipe) for word in words), code=4)

    assert capsys.readouterr().err == (
        f"lfbuild: {folder}: is a folder, not a file\nlfbuild: hint: name a file\n"
        f"lfbuild: {pipe}: is not a regular file\n"
    )


def test_a_pipe_is_no_recipe(world: Path, capsys: Captured) -> None:
    os.mkfifo(world / "pipe.toml")

    run("plan", "pipe.toml", code=2)

    assert capsys.readouterr().err == "lfbuild: pipe.toml: is a pipe, and has to be a file\n"


def test_a_name_that_no_release_may_have_is_refused(world: Path, capsys: Captured) -> None:
    path = write_mozilla_file(world / "moz.llamafile")
    before = path.read_bytes()

    run("import", path, "--name", "a/b", "--version", "1\n2", code=2)

    assert capsys.readouterr().err == (
        f"lfbuild: {path}: --name: must be usable as a file name: no slash, colon, quote, or '.', '-' at its start\n"
        f"lfbuild: {path}: --version: must be one line, without control characters\n"
    )
    assert path.read_bytes() == before
