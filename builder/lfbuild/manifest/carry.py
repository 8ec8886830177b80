"""Carries out what an edit has decided; nothing is decided here.

Every byte is held against the digests of the plan while it is copied, so neither a source that changes meanwhile nor an
old file that is damaged makes a new file whose digests are false. Blocks that two files share are not read.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from lfbuild.archive.hashing import HashPool, RegionHash
from lfbuild.archive.journal import JournalWriter, carry_out_journal
from lfbuild.archive.source import BytesSource, FileSource, OpenFileSource
from lfbuild.errors import IntegrityError, command
from lfbuild.host.files import host_error, own_as, replacing
from lfbuild.host.inplace import clear_range, flush
from lfbuild.host.moving import write_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from lfbuild.archive.draft import Part
    from lfbuild.archive.hashing import Digests
    from lfbuild.manifest.edit import EditPlan
    from lfbuild.report import Step


def write_new_file(
    plan: EditPlan,
    target: Path,
    *,
    mode: int,
    threads: int,
    step: Step,
    change: Callable[[Path], None] | None = None,
    expected: os.stat_result | None = None,
) -> int:
    """Write the new version under the name `target`, whole or not at all; returns how many bytes were copied.

    `expected` is what stands under that name: if that is another file by then, nothing is written.

    Raises:
        IntegrityError: something of the old file is not what it promised.
        HostError: what the disk refuses.
    """
    with replacing(target, mode=mode, change=change, expected=expected) as file, HashPool(threads) as pool:
        own_as(file.fileno(), expected, mode=mode)
        copied = sum(_write(part, file.fileno(), pool, step, target) for part in (*plan.kept(), *plan.fresh()))
        write_all(file.fileno(), plan.closing.directory + plan.closing.end, plan.closing.offset)
        for offset, size in plan.holes:
            write_all(file.fileno(), bytes(size), offset)
    return copied


def append(plan: EditPlan, path: Path, file: BinaryIO, *, threads: int, step: Step) -> None:
    """Write engines into the room and the tail behind the end; the end records commit them.

    Raises:
        IntegrityError: a source has changed since it was looked at; the old version stays.
        HostError: the disk refuses; the old version stays.
    """
    target = file.fileno()
    try:
        with _undone_on_failure(plan.fresh(), target), HashPool(threads) as pool:
            for part in plan.fresh():
                _write(part, target, pool, step, path)
            write_all(target, plan.closing.directory, plan.closing.offset)
            flush(target)
            # Beyond this point the next sector decides: the old version until it is written, the new one from then on.
            write_all(target, plan.closing.end, plan.closing.end_offset)
            flush(target)
        clear(plan.clear, target)
    except OSError as error:
        raise host_error(path, error) from error


def rewrite(
    plan: EditPlan, path: Path, file: BinaryIO, *, room: Sequence[tuple[int, int]], threads: int, step: Step
) -> None:
    """Write what has its place in free room, and the rest through a journal.

    Raises:
        IntegrityError: a source has changed since it was looked at, or the journal; the old version stays.
        HostError: the disk refuses; the old version stays, or the next command finishes the new one.
    """
    target, closing, old_size = file.fileno(), plan.closing, os.fstat(file.fileno()).st_size
    beside = [part for part in plan.fresh() if any(start <= part.offset and part.end <= end for start, end in room)]
    try:
        with _undone_on_failure(beside, target) as undoing:
            with HashPool(threads) as pool:
                for part in beside:
                    _write(part, target, pool, step, path)
                flush(target)
            with JournalWriter.create(path, file) as journal:
                for part in plan.fresh():
                    if part not in beside:
                        _put_down(part, journal, step, path)
                for offset, size in plan.holes:
                    journal.clear(offset, size)
                journal.write_bytes(closing.offset, closing.directory + closing.end)
                # Beyond this point nothing is undone, whatever stops us: the journal may be complete, and then it needs
                # what stands beside it. The next command decides by the journal.
                undoing.pop_all()
                journal.complete(file_size=closing.file_size, records=plan.records, seal=plan.seal)
        # Beyond this point the new version cannot be lost, unless the disk has lost the journal already.
        try:
            carry_out_journal(path, file)
        except IntegrityError:
            _undo(beside, target, old_size)
            raise
        clear(plan.clear, target)
    except OSError as error:
        raise host_error(path, error) from error


@contextlib.contextmanager
def _undone_on_failure(parts: Iterable[Part], target: int) -> Iterator[contextlib.ExitStack]:
    """What nothing refers to yet goes away again, unless the stack is emptied before."""
    undoing = contextlib.ExitStack()
    undoing.callback(_undo, parts, target, os.fstat(target).st_size)
    try:
        yield undoing
    except BaseException:  # an interrupt too: the old version is to be as it was
        undoing.close()
        raise


def _undo(parts: Iterable[Part], target: int, size: int) -> None:
    """Make the file what it was when it had `size` bytes; if not even that can be done, the next edit does it."""
    with contextlib.suppress(OSError):
        os.ftruncate(target, size)
        # An end that is on the disk refers to the parts: it must be gone before they are.
        flush(target)
        clear([(part.offset, min(part.end, size)) for part in parts if part.offset < size], target)


def clear(spans: Iterable[tuple[int, int]], target: int) -> None:
    """Make stretches zero that nothing refers to any more.

    Raises:
        OSError: what the system refuses.
    """
    for start, end in spans:
        clear_range(target, start, end - start)
    flush(target)


def _write(part: Part, target: int, pool: HashPool, step: Step, where: Path) -> int:
    """Put one part where it belongs; returns how many bytes were copied."""
    size = part.source.size_bytes
    if isinstance(part.source, BytesSource):  # digested in this very memory, so there is nothing to compare again
        write_all(target, part.source.data, part.offset)
        step.advance(size)
        return size
    with part.source.opened() as opened:
        if part.kept_offset is not None and opened.share(target, target_offset=part.offset):
            step.advance(size)
            return 0
        assert part.digests is not None  # noqa: S101  # only bytes in memory have none
        cuts = part.digests.index.cuts
        found = pool.copy(opened, target, part.offset, cuts, holes=part.holes).finish(step.advance)
    _compare(found, part.digests, part, where)
    return size


def _put_down(part: Part, journal: JournalWriter, step: Step, where: Path) -> None:
    """Have one part written by the journal."""
    if isinstance(part.source, BytesSource):
        journal.write(part.offset, part.source)
        step.advance(part.source.size_bytes)
        return
    assert part.digests is not None  # noqa: S101  # only bytes in memory have none
    with part.source.opened() as opened, HashPool(1) as pool:

        def fill(view: memoryview, start: int) -> None:
            opened.read_into(view, start)
            journal.write_bytes(part.offset + start, view)

        cuts = part.digests.index.cuts
        found = RegionHash(pool, fill, cuts, crc=False, holes=part.holes).finish(step.advance)
    _compare(found, part.digests, part, where)


def _compare(found: Digests, expected: Digests, part: Part, where: Path) -> None:
    if found.index.root == expected.index.root:
        return
    what = "its bytes are not the ones that were promised; nothing was changed"
    if isinstance(part.source, OpenFileSource):
        hint = f"{command('verify', part.source.path)} tells which block is wrong"
        raise IntegrityError(f"{part.source.path}: {part.name}", what, hint=hint)
    if isinstance(part.source, FileSource):
        where = part.source.path
    raise IntegrityError(f"{where}: {part.name}", what, hint="it was changed meanwhile: run the command again")
