"""An edit of a file: whichever way it takes, the result is what a fresh file of the same content would be."""

from __future__ import annotations

import errno
import subprocess
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.world.edits import (
    LARGER_ENGINE,
    NEW_ARGS,
    NEW_ENGINE,
    args_member,
    edit_in_place,
    edit_to_new_file,
    engine_file,
    launcher_file,
    new_slice,
    planned,
)
from tests.world.faults import Disk, Fault
from tests.world.files import MODEL_NAME, default_members, manifest_of, plain, verified, weights, write_tiny_file
from tests.world.models import TinyTensor, tiny_gguf
from tests.world.slices import DEFLATED, LINUX, WINDOWS_ENGINE, tiny_launcher, tiny_slice

from lfbuild.archive.journal import JournalWriter
from lfbuild.archive.reader import Reader
from lfbuild.archive.source import FileSource
from lfbuild.commands.compact import compact
from lfbuild.errors import FormatError, HostError, IntegrityError
from lfbuild.formats.args import ARGS_NAME
from lfbuild.host.inplace import has_journal, journal_path
from lfbuild.manifest.edit import Changes, plan_in_place
from lfbuild.manifest.model import Release
from lfbuild.manifest.order import PackMember
from lfbuild.manifest.settle import settle
from lfbuild.recipe.values import Room
from lfbuild.report import SilentReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lfbuild.manifest.edit import EditPlan
    from lfbuild.manifest.present import Present

SWAP = Changes(slices=(new_slice(),), release=Release(name="tiny", version="2"))


def content_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.startswith(".lfbuild/")}


def offset_of(path: Path, name: str) -> int:
    with Reader.open(path) as reader:
        return reader.data_offset(reader.record(name))


@pytest.mark.parametrize("in_place", [False, True])
def test_a_new_engine_takes_the_place_of_the_old_one(tmp_path: Path, in_place: bool) -> None:
    path = launcher_file(tmp_path)
    before, weights = content_of(path), offset_of(path, MODEL_NAME)

    way = edit_in_place(path, SWAP) if in_place else edit_to_new_file(path, SWAP)

    assert way == ("append" if in_place else "new")
    assert verified(path) == []
    assert content_of(path) == before
    assert offset_of(path, MODEL_NAME) == weights
    with Reader.open(path) as reader:
        assert reader.read(f".lfbuild/engine/{LINUX}") == NEW_ENGINE
    assert manifest_of(path).generation == 2
    assert manifest_of(path).release.version == "2"


def test_in_place_weights_are_neither_written_nor_moved(tmp_path: Path) -> None:
    path = launcher_file(tmp_path)

    plan = planned(path, SWAP, in_place=True)

    with Reader.open(path) as reader:
        record = reader.record(MODEL_NAME)
        start, end = record.header_offset, reader.data_offset(record) + record.stored_size
    written = [(part.offset, part.end) for part in plan.fresh()] + [*plan.clear]
    assert all(last <= start or first >= end for first, last in written)


def test_what_the_old_version_used_is_zero_afterwards(tmp_path: Path) -> None:
    path = launcher_file(tmp_path)
    with Reader.open(path) as reader:
        record = reader.record(f".lfbuild/engine/{LINUX}")
        start, size = record.header_offset, record.stored_size
        end = reader.directory.end_offset

    edit_in_place(path, SWAP)

    data = path.read_bytes()
    assert data[start : start + size] == bytes(size)
    assert data[end : end + 22] == bytes(22)
    assert (start, size) in [(r.offset, min(r.size_bytes, size)) for r in manifest_of(path).regions]


def test_engines_change_places_as_often_as_it_takes(tmp_path: Path) -> None:
    path = launcher_file(tmp_path)

    for number in range(4):
        changes = Changes(slices=(new_slice(NEW_ENGINE[:-1] + bytes([number])),))
        assert edit_in_place(path, changes) == "append"
        assert verified(path) == []

    assert manifest_of(path).generation == 5


def test_an_engine_that_does_not_fit_into_the_room_goes_behind_the_weights(tmp_path: Path) -> None:
    path = launcher_file(tmp_path)
    weights = offset_of(path, MODEL_NAME)

    way = edit_in_place(path, Changes(slices=(new_slice(LARGER_ENGINE),)))

    assert way == "journal"
    assert verified(path) == []
    assert offset_of(path, f".lfbuild/engine/{LINUX}") > offset_of(path, MODEL_NAME) == weights
    with Reader.open(path) as reader:
        assert reader.read(f".lfbuild/engine/{LINUX}") == LARGER_ENGINE


LARGE_MODEL = tiny_gguf(tensors=(TinyTensor("blk.0.ffn_up.weight", (256, 1024)),))
"""1 MiB, which is much more than the engines and their room."""
FRESH_ROOM = Room(percent=25).beside(len(DEFLATED) + len(WINDOWS_ENGINE), started=True)
"""Of `tiny_launcher`, in a build whose recipe says nothing of it."""


def room_of(path: Path) -> int:
    return sum(region.size_bytes for region in manifest_of(path).regions if region.kind == "spare")


def offsets_of(path: Path) -> list[tuple[str, int]]:
    with Reader.open(path) as reader:
        return [(found.record.name, found.record.header_offset) for found in reader.directory.records]


def compact_it(path: Path) -> None:
    compact(path, output=None, threads=1, report=SilentReport())


@pytest.mark.parametrize(
    "write_anew", [compact_it, lambda it: edit_to_new_file(it, SWAP)], ids=["compact", "edit to a new file"]
)
def test_what_a_model_that_was_replaced_in_place_left_is_given_back(
    tmp_path: Path, write_anew: Callable[[Path], object]
) -> None:
    members = (weights(data=LARGE_MODEL), *default_members()[1:])
    path = write_tiny_file(tmp_path, head=tiny_launcher(), members=members, align_bytes=65536, room_bytes=FRESH_ROOM)
    first = offset_of(path, MODEL_NAME)
    edit_in_place(path, Changes(put=(weights(),)))
    assert room_of(path) > len(LARGE_MODEL)

    write_anew(path)

    assert verified(path) == []
    assert offset_of(path, MODEL_NAME) == first
    assert path.stat().st_size < len(LARGE_MODEL)


def test_compacting_leaves_room_for_the_next_engine_where_a_model_had_taken_it(tmp_path: Path) -> None:
    path = launcher_file(tmp_path, slices=(new_slice(LARGER_ENGINE),))
    edit_in_place(path, Changes(put=(weights(data=LARGE_MODEL),), remove=("empty", "prompts/hello.txt")))
    assert room_of(path) < len(LARGER_ENGINE)

    compact_it(path)

    assert verified(path) == []
    assert room_of(path) > len(LARGER_ENGINE) * 5 // 4
    assert edit_in_place(path, Changes(slices=(new_slice(LARGER_ENGINE[:-1] + b"!"),))) == "append"


def test_a_compacted_file_is_laid_out_as_a_fresh_one(tmp_path: Path) -> None:
    path = write_tiny_file(
        tmp_path, head=tiny_launcher(), members=default_members(), align_bytes=65536, room_bytes=FRESH_ROOM
    )
    fresh = offsets_of(path)
    edit_in_place(path, Changes(put=(weights(data=LARGE_MODEL),)))
    edit_in_place(path, Changes(put=(weights(),)))

    compact_it(path)

    assert offsets_of(path) == fresh


def test_room_that_a_recipe_left_for_larger_engines_stays_in_a_new_file(tmp_path: Path) -> None:
    path = launcher_file(tmp_path, room_bytes=4 * len(LARGER_ENGINE))
    before = offset_of(path, MODEL_NAME)

    edit_to_new_file(path, Changes(slices=(new_slice(LARGER_ENGINE),)))

    assert offset_of(path, MODEL_NAME) == before


def test_an_engine_head_is_exchanged_through_a_journal(tmp_path: Path) -> None:
    path, head = engine_file(tmp_path), tmp_path / "other"
    head.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x3e\x00" + b"another engine" * 60)
    before = content_of(path)

    way = edit_in_place(path, Changes(head=head))

    assert way == "journal"
    assert verified(path) == []
    assert content_of(path) == before
    assert path.read_bytes().startswith(head.read_bytes())
    assert [item.name for item in tmp_path.iterdir() if "redo" in item.name] == []


def test_an_engine_head_that_reaches_into_the_weights_is_refused_in_place(tmp_path: Path) -> None:
    path, head = engine_file(tmp_path), tmp_path / "other"
    head.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x3e\x00" + bytes(1 << 20))

    with pytest.raises(HostError) as caught:
        edit_in_place(path, Changes(head=head))

    assert caught.value.what.startswith("the engine has 1048596 bytes, and there is room for ")


@pytest.mark.parametrize("in_place", [False, True])
def test_arguments_files_and_names_change_at_once(tmp_path: Path, in_place: bool) -> None:
    path = launcher_file(tmp_path)
    changes = Changes(
        put=(args_member(NEW_ARGS), plain("prompts/hello.txt", b"Bonjour\n"), plain("LICENSE", b"MIT\n")),
        remove=("empty",),
        release=Release(name="other", version="3"),
        update_url="https://example.com/chat",
    )

    edit_in_place(path, changes) if in_place else edit_to_new_file(path, changes)

    assert verified(path) == []
    assert content_of(path) == {
        MODEL_NAME: tiny_gguf(), ARGS_NAME: NEW_ARGS, "prompts/hello.txt": b"Bonjour\n", "LICENSE": b"MIT\n",
    }  # fmt: skip
    manifest = manifest_of(path)
    assert (manifest.release.name, manifest.update_url) == ("other", "https://example.com/chat")


def test_a_tail_too_long_to_be_appended_takes_the_journal(tmp_path: Path) -> None:
    path = launcher_file(tmp_path)

    assert edit_in_place(path, Changes(put=(plain("long.txt", b"x" * 60_000),))) == "journal"
    assert verified(path) == []
    assert content_of(path)["long.txt"] == b"x" * 60_000


def test_a_new_file_is_what_a_fresh_one_of_the_same_content_is(tmp_path: Path) -> None:
    path = launcher_file(tmp_path)
    fresh = launcher_file(tmp_path, name="fresh.llamafile", slices=(new_slice(),), generation=3)

    edit_in_place(path, SWAP)
    edit_to_new_file(path, Changes(release=Release(name="tiny", version="1", license="apache-2.0")))

    assert path.read_bytes() == fresh.read_bytes()


def test_any_unzip_reads_the_file_after_each_edit(tmp_path: Path) -> None:
    path = launcher_file(tmp_path)
    for changes in (SWAP, Changes(put=(args_member(NEW_ARGS),)), Changes(slices=(new_slice(LARGER_ENGINE),))):
        edit_in_place(path, changes)
        subprocess.run(["unzip", "-qt", path], check=True)


def test_a_member_that_is_not_there_cannot_be_removed(tmp_path: Path) -> None:
    path = launcher_file(tmp_path)

    with pytest.raises(FormatError) as caught:
        planned(path, Changes(remove=("nothing",)))

    assert str(caught.value) == f"{path}: has no member 'nothing' that could be removed"


def test_an_engine_for_a_machine_without_launcher_is_refused(tmp_path: Path) -> None:
    path = launcher_file(tmp_path)
    slices = (replace(tiny_slice(), target="macos-aarch64"),)

    with pytest.raises(FormatError) as caught:
        planned(path, Changes(slices=slices))

    assert str(caught.value) == f"{path}: has no launcher for macos-aarch64"


def test_weights_that_are_damaged_are_not_copied_into_a_new_file(tmp_path: Path) -> None:
    path = launcher_file(tmp_path)
    data = bytearray(path.read_bytes())
    data[offset_of(path, MODEL_NAME) + 100] ^= 1
    path.write_bytes(data)

    with pytest.raises(IntegrityError) as caught:
        edit_to_new_file(path, SWAP)

    what = "its bytes are not the ones that were promised; nothing was changed"
    assert str(caught.value) == f"{path}: {MODEL_NAME}: {what}"
    assert caught.value.hint == f"lfbuild verify {path} tells which block is wrong"
    assert path.read_bytes() == data


def changing(tmp_path: Path, size: int) -> tuple[Path, Changes]:
    """A file on disk as a new member, which somebody writes to between look and copy."""
    source = tmp_path / "source.bin"
    source.write_bytes(b"a" * size)
    member = PackMember(name="data.bin", role="file", place="body", source=FileSource.whole(source))
    return source, Changes(put=(member,))


@pytest.mark.parametrize("size", [3000, 70_000], ids=["appended tail", "journal"])
def test_a_source_that_changes_after_it_was_looked_at_changes_nothing(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = launcher_file(tmp_path)
    old = path.read_bytes()
    source, changes = changing(tmp_path, size)

    def plan_and_write(present: Present, wanted: Changes) -> EditPlan:
        plan = plan_in_place(present, wanted)
        source.write_bytes(b"b" * size)
        return plan

    monkeypatch.setattr("tests.world.edits.plan_in_place", plan_and_write)
    with pytest.raises(IntegrityError) as caught:
        edit_in_place(path, changes)

    what = "its bytes are not the ones that were promised; nothing was changed"
    assert str(caught.value) == f"{source}: data.bin: {what}"
    assert caught.value.hint == "it was changed meanwhile: run the command again"
    assert path.read_bytes() == old
    assert not has_journal(path)


def test_a_full_disk_leaves_the_file_as_it_was_at_once(tmp_path: Path) -> None:
    path = launcher_file(tmp_path)
    old = path.read_bytes()
    (tmp_path / "stash").mkdir()
    for number in range(8):
        disk = Disk(Fault(kind="error", number=number, error=errno.ENOSPC), tmp_path / "stash")
        with disk.failing(), pytest.raises(HostError) as caught:
            edit_in_place(path, SWAP)
        assert caught.value.what == "the disk is full"
        assert path.read_bytes() == old


ROOM_AND_JOURNAL = Changes(slices=(new_slice(),), put=(plain("long.txt", b"x" * 60_000),))
"""An engine that has its place in the room, and a tail that only a journal can write."""


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), SystemExit(143), OSError(errno.EIO, "close")])
def test_whatever_stops_an_edit_once_its_journal_is_complete_the_next_command_finishes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    path = launcher_file(tmp_path)

    def complete(journal: JournalWriter, **given: Any) -> None:
        real(journal, **given)
        raise fault

    real = JournalWriter.complete
    with monkeypatch.context() as patch:
        patch.setattr(JournalWriter, "complete", complete)
        with pytest.raises((type(fault), HostError)):
            edit_in_place(path, ROOM_AND_JOURNAL)
    outcome = settle(path)

    assert outcome == "finished"
    assert verified(path) == []
    assert content_of(path)["long.txt"] == b"x" * 60_000
    with Reader.open(path) as reader:
        assert reader.read(f".lfbuild/engine/{LINUX}") == NEW_ENGINE


def test_an_edit_that_is_stopped_before_its_journal_is_complete_leaves_the_old_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = launcher_file(tmp_path)
    old = path.read_bytes()

    def clear(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(JournalWriter, "write_bytes", clear)
    with pytest.raises(KeyboardInterrupt):
        edit_in_place(path, ROOM_AND_JOURNAL)

    assert path.read_bytes() == old
    assert not has_journal(path)


def test_a_journal_that_the_disk_does_not_give_back_leaves_the_old_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = launcher_file(tmp_path)
    old = path.read_bytes()

    def complete(journal: JournalWriter, **given: Any) -> None:
        real(journal, **given)
        journal_path(path).write_bytes(journal_path(path).read_bytes()[:-1])

    real = JournalWriter.complete
    monkeypatch.setattr(JournalWriter, "complete", complete)
    with pytest.raises(IntegrityError):
        edit_in_place(path, ROOM_AND_JOURNAL)

    assert path.read_bytes() == old
    assert not has_journal(path)
    assert verified(path) == []


def test_an_end_that_was_written_is_gone_for_good_before_the_engine_it_refers_to(tmp_path: Path) -> None:
    path = launcher_file(tmp_path)
    old = path.read_bytes()
    (tmp_path / "stash").mkdir()
    counting = Disk(Fault(kind="none", number=0), tmp_path / "stash")
    with counting.failing():
        assert edit_in_place(path, SWAP) == "append"
    second_flush = [number for number, what in enumerate(counting.told) if what == "flush"][1]
    path.write_bytes(old)

    disk = Disk(Fault(kind="error", number=second_flush, error=errno.EIO), tmp_path / "stash")
    with disk.failing(), pytest.raises(HostError):
        edit_in_place(path, SWAP)

    assert disk.told[second_flush:][:4] == ["flush", "cut", "flush", "write"]
    assert path.read_bytes() == old


def test_a_mode_is_kept(tmp_path: Path) -> None:
    path = launcher_file(tmp_path)

    edit_to_new_file(path, SWAP)

    assert path.stat().st_mode & 0o777 == 0o755
