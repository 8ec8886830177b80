"""Changes a file in place so that nothing can be lost: written to a journal first, then carried out, then sealed.

    1. A journal beside the file (`.NAME.lfbuild-redo`) gets everything that is to be written, and is flushed.
    2. Behind the end of the file, present and future, a mark is written and flushed: the new directory once more, and
       end records whose seal says `redo`. Whoever opens the file from now on sees the mark, and refuses.
    3. The journal is carried out. It may be so again, as often as it takes: the result is the same.
    4. The mark is cut off. Now the new end records are the last ones, and say `clean`. The journal is removed.

Until the journal is complete and flushed the old version is kept; from then on the new one cannot be lost, and
`finish_journal` carries it on from wherever it stopped. What is written, and why, is not known here: an engine that is
the head, a tail too long to be appended, or what a difference or a download changes (docs/formats/journal.md).
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, Self

from blake3 import blake3

from lfbuild.archive.layout import place_end
from lfbuild.archive.reader import read_at
from lfbuild.errors import FormatError, HostError, IntegrityError, command
from lfbuild.formats.journal import BOUND_BYTES, JournalHeader, JournalRecord
from lfbuild.formats.seal import SEAL_BYTES
from lfbuild.host.files import fsync_folder, host_error, open_regular
from lfbuild.host.inplace import clear_range, flush, journal_path, reserve
from lfbuild.host.moving import write_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lfbuild.archive.source import Source
    from lfbuild.formats.seal import Seal

Outcome = Literal["finished", "undone"]

_PIECE_BYTES: Final = 1 << 20


class JournalWriter:
    """Fills the journal of one file, which is open and had alone."""

    def __init__(self, path: Path, file: BinaryIO, journal: BinaryIO, header: JournalHeader) -> None:
        self._path, self._file, self._journal = path, file, journal
        self._header, self._chain = header, header.chain
        self._at = JournalHeader.SIZE_BYTES
        self._is_complete = False

    @classmethod
    @contextlib.contextmanager
    def create(cls, path: Path, file: BinaryIO) -> Iterator[Self]:
        """Begin the journal of `path`; what was begun there before and never completed is replaced.

        If the context is left before `complete`, the journal is gone and the file as it was.

        Raises:
            HostError: it cannot be written.
        """
        where = journal_path(path)
        is_complete = False
        try:
            size = os.fstat(file.fileno()).st_size
            header = JournalHeader.of(size, _end_of(file.fileno(), size))
            with _created(where) as journal:
                write_all(journal.fileno(), header.to_bytes(), 0)
                writer = cls(path, file, journal, header)
                try:
                    yield writer
                finally:
                    is_complete = writer._is_complete
                    if not is_complete:
                        where.unlink(missing_ok=True)
                        fsync_folder(path.parent)  # as it may have been flushed whole, and the room it needs is cleared
        except OSError as error:
            raise (_delayed(path, error) if is_complete else host_error(where, error)) from error

    def write(self, offset: int, source: Source) -> None:
        """Have the bytes of `source` stand at `offset` in the end."""
        with source.opened() as opened:
            for start in range(0, source.size_bytes, _PIECE_BYTES):
                buffer = memoryview(bytearray(min(_PIECE_BYTES, source.size_bytes - start)))
                opened.read_into(buffer, start)
                self.write_bytes(offset + start, buffer)

    def write_bytes(self, offset: int, data: bytes | memoryview) -> None:
        """Have these bytes, at most 16 MiB, stand at `offset` in the end."""
        record = JournalRecord(kind="write", offset=offset, size=len(data), digest=blake3(data).digest())
        self._append(record, data)

    def clear(self, offset: int, size: int) -> None:
        """Have zeros from `offset` on in the end."""
        self._append(JournalRecord(kind="zero", offset=offset, size=size), b"")

    def complete(self, *, file_size: int, records: Sequence[bytes], seal: Seal) -> None:
        """Close the journal: the file will have `file_size` bytes, these directory records, and this seal.

        From here on the new version cannot be lost; `finish_journal` makes it.

        Raises:
            HostError: the disk refuses; then the file stays as it is.
        """
        redo = replace(seal, state="redo").to_bytes()
        mark = place_end(records, start=max(self._header.old_size, file_size), comment=redo)
        data = mark.directory + mark.end
        self._append(
            JournalRecord(
                kind="done", offset=file_size, size=len(data), mark_offset=mark.offset, digest=blake3(data).digest()
            ),
            data,
        )
        try:
            flush(self._journal.fileno())
            fsync_folder(self._path.parent)
        except OSError as error:
            raise host_error(journal_path(self._path), error) from error
        self._is_complete = True

    def _append(self, record: JournalRecord, data: bytes | memoryview) -> None:
        fixed, self._chain = record.to_bytes(self._chain)
        write_all(self._journal.fileno(), fixed, self._at)
        write_all(self._journal.fileno(), data, self._at + len(fixed))
        self._at += len(fixed) + len(data)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Step:
    record: JournalRecord
    data_offset: int
    """Of its data in the journal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Journal:
    """A journal that is whole: every byte of it was held against its digest."""

    where: Path
    file: BinaryIO
    header: JournalHeader
    steps: tuple[_Step, ...]
    done: _Step

    def data(self, step: _Step) -> bytes:
        """What a step writes.

        Raises:
            FormatError: the journal has changed since it was looked at, or the disk gives other bytes.
        """
        data = read_at(self.file.fileno(), step.data_offset, step.record.data_bytes)
        if step.record.kind != "zero" and blake3(data).digest() != step.record.digest:
            raise FormatError(self.where, f"its bytes at {step.data_offset} are damaged")
        return data


def is_journal_complete(path: Path) -> bool:
    """Whether there is one that can be carried out; every byte of it is looked at.

    Raises:
        HostError: it cannot be read, or somebody else may have written it.
        FormatError: it is of a later lfbuild.
    """
    try:
        with _loaded(path):
            return True
    except _IncompleteError:
        return False


def finish_journal(path: Path, file: BinaryIO) -> Outcome:
    """Carry out the journal of `path`, which is open and had alone; one that was never completed is dropped.

    Raises:
        FormatError: the journal is of another file, or damaged when it was needed most.
        HostError: somebody else may have written it, or the disk refuses; what is left is done by the next call.
    """
    try:
        try:
            with _loaded(path) as journal:
                try:
                    _carry_out(path, file.fileno(), journal)
                except OSError as error:
                    raise _delayed(path, error) from error
            outcome: Outcome = "finished"
        except _IncompleteError as error:
            _refuse_if_marked(path, file.fileno(), error)
            outcome = "undone"
        journal_path(path).unlink(missing_ok=True)
        fsync_folder(path.parent)
    except OSError as error:
        raise host_error(path, error) from error
    return outcome


def carry_out_journal(path: Path, file: BinaryIO) -> None:
    """Carry out a journal that was completed just now, by whoever has `path` open and alone.

    Raises:
        IntegrityError: the disk does not give back what was written to it; the journal is dropped.
        FormatError, HostError: as `finish_journal`.
    """
    if finish_journal(path, file) != "finished":
        what = "its journal is not what was written there; the old version stays"
        raise IntegrityError(path, what, hint="check the disk")


def _delayed(path: Path, error: OSError) -> HostError:
    """The sentence for what was refused while the journal is complete: nothing is lost, and the change will come."""
    when = " once there is room" if error.errno in {errno.ENOSPC, errno.EDQUOT} else ""
    journal = journal_path(path).name
    hint = f"the change stands in {journal} beside it, and the next lfbuild command on {path.name} finishes it{when}"
    return HostError(path, host_error(path, error).what, hint=hint)


class _IncompleteError(FormatError):
    """A journal that ends before its closing record: the file was not touched yet."""


def _carry_out(path: Path, target: int, journal: _Journal) -> None:
    done, mark = journal.done.record, journal.data(journal.done)
    state = _look_at(target, journal, mark)
    if state == "strange":
        what = f"{journal.where.name} beside it is the journal of another file, or this one was changed since"
        raise FormatError(path, what, hint="remove the journal, if the file is as it should be")
    if state == "old":
        _reserve(target, journal, mark)
        write_all(target, mark, done.mark_offset)
        flush(target)
    if state != "new":
        # Beyond this point the old version is gone; every step may be done again.
        for step in journal.steps:
            _do(target, step.record, journal.data(step))
        flush(target)
        os.ftruncate(target, done.offset)
        flush(target)


def _look_at(target: int, journal: _Journal, mark: bytes) -> Literal["old", "marked", "new", "strange"]:
    """How far the journal was carried out, by what the file ends with."""
    size = os.fstat(target).st_size
    header, done = journal.header, journal.done.record
    if size == done.mark_offset + len(mark) and read_at(target, done.mark_offset, len(mark)) == mark:
        return "marked"
    end = read_at(target, header.old_size - header.bound_size, header.bound_size)
    if size >= header.old_size and blake3(end).digest() == header.bound_digest:
        return "old"
    last = read_at(target, size - SEAL_BYTES, SEAL_BYTES) if size >= SEAL_BYTES else b""
    return "new" if size == done.offset and last == mark[-SEAL_BYTES:].replace(b" redo  ", b" clean ") else "strange"


def _reserve(target: int, journal: _Journal, mark: bytes) -> None:
    """Have room for all that will be written, so that a full disk is told while the old version still counts."""
    old_size, end = journal.header.old_size, journal.done.record.mark_offset + len(mark)
    for step in journal.steps:
        if step.record.kind == "write":
            reserve(target, step.record.offset, step.record.size)
    reserve(target, old_size, end - old_size)


def _do(target: int, record: JournalRecord, data: bytes) -> None:
    if record.kind == "zero":
        clear_range(target, record.offset, record.size)
    else:
        write_all(target, data, record.offset)


def _refuse_if_marked(path: Path, target: int, error: FormatError) -> None:
    """A journal that cannot be carried out is nothing lost, unless carrying it out had begun."""
    if _is_marked(target):
        what = f"its edit was interrupted, and the journal that would finish it is damaged ({error.what})"
        raise FormatError(path, what, hint="get the file again") from error


def _is_marked(target: int) -> bool:
    """Whether a file may be torn, so that the journal alone has all of it."""
    size = os.fstat(target).st_size
    return size >= SEAL_BYTES and b" redo  " in read_at(target, size - SEAL_BYTES, SEAL_BYTES)


@contextlib.contextmanager
def _loaded(path: Path) -> Iterator[_Journal]:
    """The journal of a file, every byte of it checked.

    Raises:
        _IncompleteError: there is none that was completed.
        HostError: it cannot be read, or somebody else may have written it.
    """
    where = journal_path(path)
    try:
        descriptor = os.open(where, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        raise _IncompleteError(where, "is not there") from None
    except OSError as error:
        if where.is_symlink():
            raise _stranger(where, path, trusting="puts the file that it leads to in its place") from error
        raise host_error(where, error) from error
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123  # a descriptor, not a path
        _refuse_strangers(file.fileno(), where, path)
        header = _read_header(file.fileno(), where)
        *steps, done = _read_steps(file.fileno(), header, where)
        journal = _Journal(where=where, file=file, header=header, steps=tuple(steps), done=done)
        _check_inside(journal)
        yield journal


def _refuse_strangers(descriptor: int, where: Path, path: Path) -> None:
    """Carry out only what the file's owner, root or who runs this has written: in a shared folder anybody makes files.

    Raises:
        HostError: somebody else did, or could.
    """
    if os.name != "posix":
        return
    journal, file = os.fstat(descriptor), path.stat()
    if not stat.S_ISREG(journal.st_mode) or journal.st_uid not in {file.st_uid, os.geteuid(), 0}:
        trusting = f"takes it over by chown, or has its owner run {command('recover', path)}"
        raise _stranger(where, path, trusting=trusting)
    # Where a file system knows no modes, everybody may write everything.
    if journal.st_mode & ~file.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _stranger(where, path, trusting=f"runs {shlex.join(['chmod', 'g-w,o-w', str(where)])}")


def _stranger(where: Path, path: Path, *, trusting: str) -> HostError:
    """The sentence for a journal that is not carried out; `trusting` is what somebody does who knows who wrote it."""
    what = f"may have been written by somebody else than the owner of {path.name}, so it is not carried out"
    with open(open_regular(path), "rb", buffering=0) as file:  # noqa: PTH123  # a descriptor, not a path
        is_needed = _is_marked(file.fileno())
    if is_needed:
        hint = f"it must not be removed, as without it {path.name} is lost: who trusts it {trusting}"
    else:
        hint = f"who trusts it {trusting}; or remove it"
    return HostError(where, what, hint=hint)


def _read_header(descriptor: int, where: Path) -> JournalHeader:
    data = read_at(descriptor, 0, JournalHeader.SIZE_BYTES)
    try:
        return JournalHeader.parse(data, where=str(where))
    except FormatError as error:
        if error.hint:  # of a later lfbuild: not ours to drop
            raise
        raise _IncompleteError(where, error.what) from error


def _read_steps(descriptor: int, header: JournalHeader, where: Path) -> list[_Step]:
    """All records, the closing one last."""
    steps: list[_Step] = []
    chain, at = header.chain, JournalHeader.SIZE_BYTES
    while not steps or steps[-1].record.kind != "done":
        try:
            data = read_at(descriptor, at, JournalRecord.SIZE_BYTES)
            record, chain = JournalRecord.parse(data, chain, where=f"{where} at {at}")
        except FormatError as error:
            raise _IncompleteError(where, f"{error.what} at {at}") from error
        at += JournalRecord.SIZE_BYTES
        if record.kind != "zero" and blake3(read_at(descriptor, at, record.size)).digest() != record.digest:
            raise _IncompleteError(where, f"its bytes at {at} are cut off, or damaged")
        steps.append(_Step(record=record, data_offset=at))
        at += record.data_bytes
    return steps


def _check_inside(journal: _Journal) -> None:
    """Nothing is written behind what the file will be, nor over the mark."""
    done, old_size = journal.done.record, journal.header.old_size
    within = all(step.record.offset + step.record.size <= done.offset for step in journal.steps)
    if not within or done.mark_offset < max(done.offset, old_size) or done.size < SEAL_BYTES:
        raise FormatError(journal.where, "writes outside of the file")


@contextlib.contextmanager
def _created(where: Path) -> Iterator[BinaryIO]:
    where.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
    with open(os.open(where, flags, 0o600), "r+b", buffering=0) as file:  # noqa: PTH123  # a descriptor, not a path
        yield file


def _end_of(descriptor: int, size: int) -> bytes:
    length = min(size, BOUND_BYTES)
    return read_at(descriptor, size - length, length)
