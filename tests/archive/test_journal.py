"""The journal: whatever happens while a file is changed in place, it is the old or the new one in the end."""

from __future__ import annotations

import contextlib
import errno
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.world.faults import Disk, Fault
from tests.world.zips import Stored, zip_of

from lfbuild.archive import journal as journal_module
from lfbuild.archive.journal import JournalWriter, carry_out_journal, finish_journal, is_journal_complete
from lfbuild.archive.source import BytesSource
from lfbuild.errors import FormatError, HostError, IntegrityError
from lfbuild.formats.journal import JournalHeader
from lfbuild.formats.seal import Seal
from lfbuild.formats.zip import read_directory
from lfbuild.host.inplace import had_alone, has_journal, journal_path, used

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from tests.world.faults import FaultKind

OLD_SEAL = Seal(generation=1, state="clean", manifest_digest="a" * 64)
NEW_SEAL = Seal(generation=2, state="clean", manifest_digest="b" * 64)


def a_zip(*sizes: int, seal: Seal, start: bytes = b"") -> bytes:
    members = [Stored(f"member{number}", bytes([65 + number]) * size) for number, size in enumerate(sizes)]
    return zip_of(*members, start=start, comment=seal.to_bytes())


OLD = a_zip(3000, 700, seal=OLD_SEAL, start=b"old head" * 400)
LONGER = a_zip(3000, 90_000, seal=NEW_SEAL, start=b"new head" * 200 + bytes(1600))
SHORTER = a_zip(3000, seal=NEW_SEAL, start=b"new head" * 300 + bytes(800))


def edit(path: Path, new: bytes) -> None:
    """Make `new` of the file in place: its head, which ends in zeros, and all from the end of the first member on."""
    with had_alone(path) as file:
        head, second = len(new[:3200].rstrip(b"\0")), 6200
        with JournalWriter.create(path, file) as journal:
            journal.write_bytes(0, new[:head])
            journal.clear(head, 3200 - head)
            journal.write(second, BytesSource(new[second:]))
            journal.complete(file_size=len(new), records=records_of(new), seal=NEW_SEAL)
        finish_journal(path, file)


def records_of(data: bytes) -> list[bytes]:
    found = read_directory(lambda offset, length: data[offset : offset + length], len(data), where="new")
    return [item.raw for item in found.records]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "chat.llamafile").write_bytes(OLD)
    return folder / "chat.llamafile"


def recover(path: Path) -> None:
    with had_alone(path) as file:
        finish_journal(path, file)


@pytest.mark.parametrize("new", [LONGER, SHORTER])
def test_the_new_file_stands_where_the_old_one_stood(path: Path, new: bytes) -> None:
    inode = path.stat().st_ino

    edit(path, new)

    assert path.read_bytes() == new
    assert path.stat().st_ino == inode
    assert [item.name for item in path.parent.iterdir()] == [path.name]


FAULTS: tuple[tuple[FaultKind, int, range], ...] = (
    ("kill", 0, range(1)),
    ("torn", 0, range(1)),
    ("short", 0, range(1)),
    ("error", errno.ENOSPC, range(1)),
    ("error", errno.EIO, range(1)),
    ("read", errno.EIO, range(1)),
    ("power", 0, range(12)),
)


@pytest.mark.parametrize("new", [LONGER, SHORTER])
@pytest.mark.parametrize(("kind", "error", "seeds"), FAULTS)
def test_a_fault_at_any_call_leaves_the_old_or_the_new_file(
    path: Path, tmp_path: Path, new: bytes, kind: FaultKind, error: int, seeds: range
) -> None:
    (tmp_path / "stash").mkdir()
    ended: Counter[str] = Counter()
    for seed in seeds:
        number = 0
        while True:
            disk = Disk(Fault(kind=kind, number=number, error=error, seed=seed), tmp_path / "stash")
            path.write_bytes(OLD)
            with disk.failing():
                try:
                    edit(path, new)
                except HostError:
                    assert kind in {"error", "read"}
            if not disk.happened:
                break
            complete = is_journal_complete(path)
            ended[_seen(path)] += 1
            if has_journal(path):
                recover(path)
                recover(path)
            assert path.read_bytes() in ({new} if complete else {OLD, new}), (kind, number, seed, disk.told)
            assert [item.name for item in path.parent.iterdir()] == [path.name]
            number += 1
    assert set(ended) == {"short": {"new"}, "read": {"old", "refused"}}.get(kind, {"old", "refused", "new"})


def _seen(path: Path) -> str:
    """What somebody sees who opens the file now: one of the versions, whole, or a refusal."""
    data = path.read_bytes()
    try:
        found = read_directory(lambda offset, length: data[offset : offset + length], len(data), where="file")
    except FormatError:
        found = None
    if found is None:  # it grew by more than 64 KiB, and power was lost before its mark: the journal is there
        assert is_journal_complete(path)
        return "refused"
    seal = Seal.parse(found.comment, where="file")
    assert seal is not None
    if seal.state == "redo":
        return "refused"
    assert seal.generation == 2 or data.startswith(OLD)
    return "old" if seal.generation == 1 else "new"


@pytest.mark.parametrize(
    ("error", "told", "when"),
    [
        (errno.ENOSPC, "the disk is full", " once there is room"),
        (errno.EDQUOT, "the disk quota is used up", " once there is room"),
        (errno.EIO, "the disk reported a read or write error", ""),
    ],
)
def test_a_disk_that_refuses_a_complete_journal_is_told_with_where_the_change_stands(
    path: Path, tmp_path: Path, error: int, told: str, when: str
) -> None:
    (tmp_path / "stash").mkdir()
    counting = Disk(Fault(kind="none", number=0), tmp_path / "stash")
    with counting.failing():
        edit(path, LONGER)
    first_reserve = counting.told.index("reserve")
    path.write_bytes(OLD)

    disk = Disk(Fault(kind="error", number=first_reserve, error=error), tmp_path / "stash")
    with disk.failing(), pytest.raises(HostError) as caught:
        edit(path, LONGER)

    assert str(caught.value) == f"{path}: {told}"
    assert caught.value.hint == (
        "the change stands in .chat.llamafile.lfbuild-redo beside it, "
        f"and the next lfbuild command on chat.llamafile finishes it{when}"
    )
    assert path.read_bytes() == OLD
    recover(path)
    assert path.read_bytes() == LONGER


def test_a_journal_that_cannot_be_closed_is_complete_all_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def created(where: Path) -> Iterator[BinaryIO]:
        with real(where) as journal:
            yield journal
        raise OSError(errno.EIO, "a network file system tells it when a file is closed")

    real = journal_module._created
    monkeypatch.setattr(journal_module, "_created", created)
    with pytest.raises(HostError) as caught:
        edit(path, LONGER)

    assert str(caught.value) == f"{path}: the disk reported a read or write error"
    assert caught.value.hint.startswith("the change stands in ")
    recover(path)
    assert path.read_bytes() == LONGER


def test_a_journal_of_another_file_is_refused(path: Path, tmp_path: Path) -> None:
    with had_alone(path) as file, JournalWriter.create(path, file) as journal:
        journal.write_bytes(0, b"new")
        journal.complete(file_size=len(OLD), records=records_of(OLD), seal=NEW_SEAL)
    path.write_bytes(LONGER)

    with pytest.raises(FormatError) as caught:
        recover(path)

    what = ".chat.llamafile.lfbuild-redo beside it is the journal of another file, or this one was changed since"
    assert str(caught.value) == f"{path}: {what}"
    assert path.read_bytes() == LONGER


def test_a_journal_that_was_damaged_is_dropped_while_the_old_file_stands(path: Path) -> None:
    with had_alone(path) as file:
        with JournalWriter.create(path, file) as journal:
            journal.write_bytes(0, b"new")
            journal.complete(file_size=len(OLD), records=records_of(OLD), seal=NEW_SEAL)
        data = bytearray(journal_path(path).read_bytes())
        data[200] ^= 1
        journal_path(path).write_bytes(data)

        assert finish_journal(path, file) == "undone"

    assert path.read_bytes() == OLD
    assert not has_journal(path)


def test_a_journal_that_cannot_be_read_back_is_no_success(path: Path) -> None:
    with had_alone(path) as file:
        with JournalWriter.create(path, file) as journal:
            journal.write_bytes(0, b"new")
            journal.complete(file_size=len(OLD), records=records_of(OLD), seal=NEW_SEAL)
        journal_path(path).write_bytes(journal_path(path).read_bytes()[:-1])

        with pytest.raises(IntegrityError) as caught:
            carry_out_journal(path, file)

    assert str(caught.value) == f"{path}: its journal is not what was written there; the old version stays"
    assert path.read_bytes() == OLD
    assert not has_journal(path)


def test_a_file_that_is_half_changed_and_has_no_journal_any_more_is_told(path: Path) -> None:
    marked = OLD + a_zip(1, seal=replace(NEW_SEAL, state="redo"))
    path.write_bytes(marked)

    with pytest.raises(FormatError) as caught:
        recover(path)

    assert str(caught.value) == (
        f"{path}: its edit was interrupted, and the journal that would finish it is damaged (is not there)"
    )
    assert caught.value.hint == "get the file again"


def test_a_journal_of_a_later_lfbuild_is_left_alone(path: Path) -> None:
    header = JournalHeader.of(len(OLD), OLD[-65536:]).to_bytes()
    journal_path(path).write_bytes(header.replace(b"LFREDO 1", b"LFREDO 2"))

    with pytest.raises(FormatError) as caught:
        recover(path)

    assert str(caught.value) == f"{journal_path(path)}: is a journal of a later lfbuild"
    assert has_journal(path)


def test_a_file_in_use_is_not_changed(path: Path) -> None:
    with used(path), pytest.raises(HostError) as caught, had_alone(path):
        pass

    assert str(caught.value) == f"{path}: is in use, or another lfbuild is changing it"


def test_a_file_that_is_being_changed_is_not_read(path: Path) -> None:
    with had_alone(path), pytest.raises(HostError) as caught, used(path):
        pass

    assert str(caught.value) == f"{path}: an edit of this file is under way"
