"""The new file while it is put together beside the old one, and the journal of what of it is done.

    .NAME.ROOT.lfbuild-update           the new file, at its full size, with holes where nothing is yet
    .NAME.ROOT.lfbuild-update-journal   what stands in it

ROOT is the beginning of the new file's root, so what was begun for one release is never taken for another. A journal
has a header of 64 bytes (magic `LFUPDATE`, version, root, size, CRC-32), then records of 64 bytes: kind (`B` a block,
`C` a copied stretch), offset, size, digest of the block, CRC-32. Bytes are written before their record, so a record is
true whenever the process ends; a torn one at the end is cut off. Nothing is flushed before the end: after a loss of
power the last look at the whole file finds what did not reach the disk; it is copied again, or fetched where no file at
hand has it.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import struct
import threading
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from lfbuild.errors import HostError
from lfbuild.fetch.ranges import Span
from lfbuild.formats.blocks import BLOCK_BYTES, BlockIndex, Cuts
from lfbuild.host.files import check_target, host_error, own_as, take_place
from lfbuild.host.locks import locked
from lfbuild.host.moving import copy_range, write_all
from lfbuild.host.room import disk_bytes
from lfbuild.manifest.filemap import Blocks, FileMap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

SUFFIX: Final = ".lfbuild-update"
_JOURNAL_SUFFIX: Final = f"{SUFFIX}-journal"
_LOCK_SUFFIX: Final = f"{SUFFIX}-lock"
_MAGIC: Final = b"LFUPDATE"
_HEADER: Final = struct.Struct("<8sI32sQ8sI")
_RECORD: Final = struct.Struct("<c7sQQ32s4sI")
_GO_ON = "run again: what came is kept, and it goes on from there"


@dataclass(frozen=True, slots=True)
class Record:
    """Something that stands in the new file."""

    kind: bytes
    offset: int
    size_bytes: int
    leaf: bytes

    def to_bytes(self) -> bytes:
        """The 64 bytes of the record."""
        body = _RECORD.pack(self.kind, bytes(7), self.offset, self.size_bytes, self.leaf, bytes(4), 0)[:-4]
        return body + struct.pack("<I", zlib.crc32(body))

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """Read a record; None if it is torn."""
        if len(data) != _RECORD.size or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
            return None
        kind, _, offset, size, leaf, _, _ = _RECORD.unpack(data)
        return cls(kind, offset, size, leaf)


@dataclass(frozen=True, kw_only=True, slots=True)
class Leftover:
    """What an earlier update began and did not finish."""

    path: Path
    found: FileMap
    """The blocks that its journal tells of."""


@dataclass(kw_only=True, slots=True)
class Partial:
    """The new file and its journal, open for writing. Blocks are stored from several threads."""

    path: Path
    target: Path
    size_bytes: int
    descriptor: int
    journal: int
    was_begun: bool = False
    """An earlier run left something in it."""
    done: set[int] = field(default_factory=set)
    """Offsets of the blocks that stand in it."""
    copied: dict[int, int] = field(default_factory=dict)
    """Offsets and sizes of the stretches that were copied into it."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _journal_end: int = 0

    def store(self, offset: int, data: memoryview | bytes, leaf: bytes, twins: Sequence[int] = ()) -> None:
        """Keep a block that was judged, wherever it belongs."""
        with self._told():
            for place in (offset, *twins):
                write_all(self.descriptor, data, place)
            self._record(Record(b"B", offset, len(data), leaf))

    def record(self, blocks: Iterable[tuple[Span, bytes]]) -> None:
        """Keep blocks that were written before they could be judged, with their leaves."""
        with self._told():
            for span, leaf in blocks:
                self._record(Record(b"B", span.offset, span.size_bytes, leaf))

    def write(self, offset: int, data: memoryview | bytes) -> None:
        """Write bytes that need no record, or have it later."""
        with self._told():
            write_all(self.descriptor, data, offset)

    def copy(self, source: int, *, source_offset: int, offset: int, size: int) -> None:
        """Copy a stretch from a file at hand."""
        with self._told():
            copy_range(source, self.descriptor, source_offset=source_offset, target_offset=offset, length=size)
            self._record(Record(b"C", offset, size, bytes(32)))

    def forget(self, offsets: Iterable[int]) -> None:
        """These blocks are wanted again, whatever the journal tells."""
        self.done.difference_update(offsets)

    def restart(self) -> None:
        """Throw everything away that stands in it."""
        with self._told():
            os.ftruncate(self.descriptor, 0)
            os.ftruncate(self.descriptor, self.size_bytes)
            os.ftruncate(self.journal, _HEADER.size)
            self._journal_end = _HEADER.size
        self.done.clear()
        self.copied.clear()

    def finish(self, *, mode: int, expected: os.stat_result | None, kept_as: Path | None) -> None:
        """Give the complete file its name, if `expected` still has that, and remove what was kept for going on."""
        with self._told():
            own_as(self.descriptor, expected, mode=mode)
            os.fsync(self.descriptor)
        take_place(self.path, self.target, expected=expected, kept_as=kept_as)
        clear_leftovers(self.target)

    def _record(self, record: Record) -> None:
        data = record.to_bytes()
        with self._lock:
            write_all(self.journal, data, self._journal_end)
            self._journal_end += len(data)
            self._count(record)

    def _count(self, record: Record) -> None:
        if record.kind == b"B":
            self.done.add(record.offset)
        else:
            self.copied[record.offset] = max(record.size_bytes, self.copied.get(record.offset, 0))

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno == errno.ENODATA:
                what = "a file at hand became shorter while it was copied"
                raise HostError(self.target, what, hint="run again") from error
            is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            hint = f"free some space and {_GO_ON}" if is_full else _GO_ON
            raise HostError(self.path, host_error(self.target, error).what, hint=hint) from error

    def resume(self, root: bytes) -> None:
        """Read what the journal tells of, and cut off what is torn; one of another file is begun anew."""
        header = _header(root, self.size_bytes)
        data = os.pread(self.journal, os.fstat(self.journal).st_size, 0)
        if data[: len(header)] != header:
            os.ftruncate(self.journal, 0)
            os.ftruncate(self.descriptor, 0)
            write_all(self.journal, header, 0)
            data = header
        else:
            self.was_begun = True
        records = list(_records(data))
        self._journal_end = len(header) + _RECORD.size * len(records)
        os.ftruncate(self.journal, self._journal_end)
        os.ftruncate(self.descriptor, self.size_bytes)
        for record in records:
            self._count(record)


@contextlib.contextmanager
def updating(target: Path) -> Iterator[None]:
    """Be the only one that updates `target`.

    Raises:
        HostError: another lfbuild does, or its folder is missing or cannot be written.
    """
    check_target(target)

    def refuse() -> None:
        raise HostError(target, "is being updated by another lfbuild right now", hint="wait until it has finished")

    lock = _beside(target, _LOCK_SUFFIX)
    with locked(lock, waiting=refuse):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)  # while it is held: who waits for it sees that it has no name any more


@contextlib.contextmanager
def opened_partial(target: Path, *, root: bytes, size_bytes: int) -> Iterator[Partial]:
    """The new file beside `target`, as an earlier run left it or empty; what holds nothing in the end is removed.

    Raises:
        HostError: the folder cannot be written, or the disk is full.
    """
    path, journal_path = _beside(target, SUFFIX, root), _beside(target, _JOURNAL_SUFFIX, root)
    try:
        with contextlib.ExitStack() as stack:
            stack.callback(_drop_without_records, path, journal_path)
            descriptor, journal = (_open(name, stack) for name in (path, journal_path))
            partial = Partial(path=path, target=target, size_bytes=size_bytes, descriptor=descriptor, journal=journal)
            partial.resume(root)
            yield partial
    except OSError as error:
        raise host_error(path, error) from error


def blocks_done(target: Path, *, root: bytes, size_bytes: int) -> dict[Span, bytes]:
    """The blocks that an earlier run has fetched already, with their leaves; nothing is changed."""
    try:
        journal = _beside(target, _JOURNAL_SUFFIX, root).read_bytes()
    except OSError:
        return {}
    if journal[: _HEADER.size] != _header(root, size_bytes):
        return {}
    records = (record for record in _records(journal) if record.kind == b"B")
    return {Span(record.offset, record.size_bytes): record.leaf for record in records}


def has_leftovers(target: Path) -> bool:
    """Whether updates of `target` keep anything for going on."""
    return any(target.parent.glob(_pattern(target)))


def find_leftovers(target: Path, *, root: bytes) -> tuple[Leftover, ...]:
    """What earlier updates to other releases left: their blocks may serve this one."""
    own = _beside(target, SUFFIX, root)
    leftovers = []
    for path in sorted(target.parent.glob(_pattern(target))):
        journal = path.with_name(path.name + "-journal")
        if path == own or not journal.is_file():
            continue
        found = _map_of(journal.read_bytes(), path.stat().st_size)
        if found is not None:
            leftovers.append(Leftover(path=path, found=found))
    return tuple(leftovers)


def clear_leftovers(target: Path) -> int:
    """Remove everything that updates of `target` keep for going on; returns how many bytes of the disk it took."""
    freed = 0
    for path in target.parent.glob(f"{_pattern(target)}*"):
        with contextlib.suppress(FileNotFoundError):
            freed += disk_bytes(path.stat())
            path.unlink()
    return freed


def _drop_without_records(path: Path, journal: Path) -> None:
    """Remove a file at its full size in which nothing stands that the next run could go on from."""
    with contextlib.suppress(FileNotFoundError):
        if journal.stat().st_size <= _HEADER.size:
            path.unlink(missing_ok=True)
            journal.unlink()


def _open(path: Path, stack: contextlib.ExitStack) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_BINARY", 0), 0o600)
    stack.callback(os.close, descriptor)
    return descriptor


def _header(root: bytes, size: int) -> bytes:
    body = _HEADER.pack(_MAGIC, 1, root, size, bytes(8), 0)[:-4]
    return body + struct.pack("<I", zlib.crc32(body))


def _records(data: bytes) -> Iterator[Record]:
    for at in range(_HEADER.size, len(data), _RECORD.size):
        record = Record.parse(data[at : at + _RECORD.size])
        if record is None or record.kind not in (b"B", b"C"):
            return
        yield record


def _map_of(journal: bytes, size: int) -> FileMap | None:
    """The blocks that a journal tells of; each is judged again before it counts, so none needs to be true."""
    if len(journal) < _HEADER.size or not journal.startswith(_MAGIC):
        return None
    blocks = [
        record
        for record in _records(journal)
        if record.kind == b"B" and 0 < record.size_bytes <= BLOCK_BYTES and record.offset + record.size_bytes <= size
    ]
    return FileMap(
        parts=tuple(
            Blocks(
                offset=block.offset,
                name="",
                index=BlockIndex(cuts=Cuts.plain(block.size_bytes), leaves=block.leaf),
            )
            for block in sorted(blocks, key=lambda block: block.offset)
        )
    )


def _beside(target: Path, suffix: str, root: bytes = b"") -> Path:
    middle = f".{root.hex()[:16]}" if root else ""
    return target.parent / f".{_short(target)}{middle}{suffix}"


def _short(target: Path) -> str:
    """As much of a name as leaves room for ours: a file system takes 255 bytes."""
    return target.name.encode("utf-8", "surrogateescape")[:190].decode("utf-8", "ignore")


def _pattern(target: Path) -> str:
    """All of `target`'s partial files, and none of another file's whose name begins alike."""
    return f".{glob.escape(_short(target))}.{'[0-9a-f]' * 16}{SUFFIX}"
