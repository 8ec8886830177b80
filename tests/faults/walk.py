"""Walks through every write, flush, cut and rename of an act, and has each of them fail in each way."""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from tests.world.faults import Disk, Fault
from tests.world.files import verified

from lfbuild.archive.reader import Reader
from lfbuild.errors import FormatError, HostError
from lfbuild.manifest.settle import settle
from lfbuild.manifest.verify import load_manifest

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator
    from pathlib import Path

FAULTS: Final = (
    *(Fault(kind=kind, number=0) for kind in ("kill", "torn", "short")),
    *(Fault(kind="error", number=0, error=number) for number in (errno.ENOSPC, errno.EIO)),
    Fault(kind="read", number=0, error=errno.EIO),
    *(Fault(kind="power", number=0, seed=seed) for seed in range(8)),
)
"""Each is tried at every call."""

Seen = Literal["old", "new", "refused"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Act:
    """Something that changes a file, and the folder it starts with."""

    folder: Path
    """A copy of it is changed."""
    name: str
    do: Callable[[Path], object]

    def fresh(self, scratch: Path) -> Path:
        """The file as it was before, in a folder of its own."""
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(self.folder, scratch)
        return scratch / self.name


@dataclass(frozen=True, kw_only=True, slots=True)
class Versions:
    """What the file may be in the end."""

    old: bytes
    new: bytes


def versions(act: Act, scratch: Path) -> Versions:
    """The file before and after, when nothing fails."""
    path = act.fresh(scratch)
    old = path.read_bytes()
    act.do(path)
    assert verified(path) == []
    return Versions(old=old, new=path.read_bytes())


def walk(act: Act, tmp_path: Path, tried: Counter[str]) -> None:
    """Try every fault at every call; whatever happens, the file is one of the two versions, whole."""
    scratch = tmp_path / "scratch"
    both = versions(act, scratch)
    for fault, number in _everywhere(act, tmp_path):
        path = act.fresh(scratch)
        disk = _try(act, path, fault, number, tmp_path)
        if not disk.happened:
            continue
        what = f"{fault} at call {number}, after {disk.told[: number + 1]}"
        tried[look(path, both, what)] += 1
        settle(path)
        assert verified(path) == [], what
        assert path.read_bytes() in (both.old, both.new), what
        assert sorted(item.name for item in path.parent.iterdir()) == sorted(_names(act.folder)), what


def _everywhere(act: Act, tmp_path: Path) -> Iterator[tuple[Fault, int]]:
    counting = _try(act, act.fresh(tmp_path / "scratch"), Fault(kind="none", number=0), 0, tmp_path)
    for fault in FAULTS:
        # A fault may make an act do more than it does without: some calls more are tried.
        for number in range((counting.reads if fault.kind == "read" else counting.calls) + 3):
            yield fault, number


def _try(act: Act, path: Path, fault: Fault, number: int, tmp_path: Path) -> Disk:
    stash = tmp_path / "stash"
    shutil.rmtree(stash, ignore_errors=True)
    stash.mkdir()
    disk = Disk(Fault(kind=fault.kind, number=number, error=fault.error, seed=fault.seed), stash)
    with disk.failing():
        try:
            act.do(path)
        except (HostError, OSError):  # the front door finds the words for either
            assert fault.kind in {"error", "read"}, (fault, number)
    return disk


def look(path: Path, both: Versions, what: str) -> Seen:
    """What somebody sees who opens the file before anything has repaired it."""
    try:
        with Reader.open(path) as reader:
            assert reader.seal is not None, what
            if reader.seal.state == "redo":
                return "refused"
            assert load_manifest(reader) is not None, what
            for name, whole in (("old", both.old), ("new", both.new)):
                if _same_members(path, whole, reader):
                    return "old" if name == "old" else "new"
    except FormatError:
        # Power was lost while a file grew by more than 64 KiB: there is no end to be found, but there is the journal.
        return "refused"
    raise AssertionError(f"the file is neither version: {what}")


def _same_members(path: Path, whole: bytes, reader: Reader) -> bool:
    other = path.parent.parent / "whole"
    other.write_bytes(whole)
    with Reader.open(other) as expected:
        if [item.raw for item in expected.directory.records] != [item.raw for item in reader.directory.records]:
            return False
        return all(
            reader.read_at(reader.data_offset(record), record.stored_size)
            == expected.read_at(expected.data_offset(record), record.stored_size)
            for record in expected.records.values()
        )


def _names(folder: Path) -> list[str]:
    return [item.name for item in folder.iterdir()]
