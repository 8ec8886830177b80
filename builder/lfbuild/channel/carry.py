"""Puts the new file together as it was decided: copies what is here, fetches the rest, and judges the whole at the end.

Every block that comes over a line is held against its digest before it is written. What is copied from files at hand
is judged where it stands in the new file, all at once: a file at hand may be damaged, or change meanwhile. Blocks that
do not hold are looked for in every file at hand, one by one, and wanted from elsewhere where none has them.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

from blake3 import blake3

from lfbuild.archive.hashing import HashPool, RegionHash
from lfbuild.archive.reader import opened, read_at
from lfbuild.channel.describe import run_digest
from lfbuild.channel.route import Wanted
from lfbuild.errors import IntegrityError
from lfbuild.fetch.answers import ChangedError, RangesRefusedError
from lfbuild.fetch.parallel import fetch_units, fetch_whole
from lfbuild.fetch.ranges import Span
from lfbuild.formats.blocks import BLOCK_BYTES, DIGEST_BYTES, Cuts
from lfbuild.host.moving import read_into
from lfbuild.manifest.filemap import Blocks, Zeros
from lfbuild.manifest.mapping import masked

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from lfbuild.channel.index import ReleaseIndex
    from lfbuild.channel.partial import Partial
    from lfbuild.channel.route import Supplies
    from lfbuild.fetch.parallel import Manners
    from lfbuild.fetch.ranges import Line
    from lfbuild.fetch.remote import Remote
    from lfbuild.formats.blocks import Run
    from lfbuild.manifest.filemap import FileMap, Part
    from lfbuild.report import Report, Step

_PIECE_BYTES = 4 << 20


def copy_what_is_here(partial: Partial, supplies: Supplies, seeds: Sequence[Path], *, report: Report) -> None:
    """Copy the stretches that files at hand have, and write what is in memory.

    Raises:
        HostError: a file at hand cannot be read, or the disk is full.
    """
    copies = [stretch for stretch in supplies.copies if partial.copied.get(stretch.offset, 0) < stretch.size_bytes]
    with report.step("copy what is here", total=sum(stretch.size_bytes for stretch in copies)) as step:
        for number, seed in enumerate(seeds):
            own = [stretch for stretch in copies if stretch.seed == number]
            if not own:
                continue
            with opened(seed) as source:
                for stretch in own:
                    partial.copy(
                        source.fileno(),
                        source_offset=stretch.seed_offset,
                        offset=stretch.offset,
                        size=stretch.size_bytes,
                    )
                    step.advance(stretch.size_bytes, detail=seed.name)
    for glue in supplies.given:
        partial.write(glue.offset, glue.data)


def fetch_the_rest(
    partial: Partial,
    wanted: Sequence[Wanted],
    remote: Remote,
    *,
    target: FileMap,
    manners: Manners,
    line: Line | None,
    is_whole: bool,
    on_traffic: Callable[[int], None],
    report: Report,
) -> None:
    """Fetch wanted blocks in ranges, or out of the whole file, and keep those that are what they should be.

    Raises:
        FetchError: they could not be had; what came is kept.
        IntegrityError: a block is not the promised one, three times.
        HostError: the disk is full.
    """
    blocks = {block.span: block for block in wanted}
    left = [block.span for block in wanted if block.span.offset not in partial.done]
    holes = [(hole.offset, hole.size_bytes) for hole in target.holes]
    if not left:
        return

    def is_stored(span: Span, data: memoryview) -> bool:
        block = blocks[span]
        if not is_block(data, span.offset, holes, block.leaf):
            return False
        partial.store(span.offset, data, block.leaf, block.twins)
        return True

    if is_whole:
        with _whole_step(report, left) as step:
            fetch_whole(remote, left, is_stored, manners=manners, on_bytes=step.advance, on_traffic=on_traffic)
        return
    with report.step("fetch the rest", total=sum(span.size_bytes for span in left)) as step:

        def accept(span: Span, data: memoryview) -> bool:
            is_right = is_stored(span, data)
            step.advance(span.size_bytes if is_right else 0)
            return is_right

        fetch_units(remote, left, accept, manners=manners, line=line, on_traffic=on_traffic)


def _whole_step(report: Report, wanted: Sequence[Span]) -> AbstractContextManager[Step]:
    """A whole file is read up to the last of what is wanted, so that is what comes over the line."""
    return report.step("fetch the whole file", total=max(span.end for span in wanted))


def fetch_delta(
    partial: Partial,
    remote: Remote,
    *,
    manners: Manners,
    line: Line | None,
    allow: Callable[[int], None],
    on_traffic: Callable[[int], None],
    report: Report,
) -> None:
    """Fetch a published difference into a file of its own; it is judged as one, when all of it is there.

    `allow` raises where so many bytes may not come: of a server without ranges all come, whatever is here already.

    Raises:
        FetchError: it could not be had, or would be more than is allowed; what came is kept.
    """
    left = [span for span in _pieces(partial.size_bytes) if span.offset not in partial.done]
    if not left:
        return
    total = sum(span.size_bytes for span in left)
    with report.step("fetch the published difference", total=total) as step:

        def accept(span: Span, data: memoryview) -> bool:
            partial.store(span.offset, data, blake3(data).digest())
            return True

        def accept_part(span: Span, data: memoryview) -> bool:
            step.advance(span.size_bytes)
            return accept(span, data)

        try:
            fetch_units(remote, left, accept_part, manners=manners, line=line, on_traffic=on_traffic)
        except RangesRefusedError:
            left = [span for span in left if span.offset not in partial.done]
            allow(partial.size_bytes)
            step.expect(total - sum(span.size_bytes for span in left) + left[-1].end)
            fetch_whole(remote, left, accept, manners=manners, on_bytes=step.advance, on_traffic=on_traffic)


def is_delta(partial: Partial, digest: bytes) -> bool:
    """Whether what came is the published difference that was promised."""
    whole = blake3()
    for span in _pieces(partial.size_bytes):
        whole.update(read_at(partial.descriptor, span.offset, span.size_bytes))
    return bytes(whole.digest()) == digest


def _pieces(size: int) -> list[Span]:
    return [Span(at, min(BLOCK_BYTES, size - at)) for at in range(0, size, BLOCK_BYTES)]


def find_unrecorded(partial: Partial, target: FileMap, wanted: Sequence[Wanted]) -> None:
    """Record the wanted blocks that stand in the new file already, though its journal does not tell of them.

    Between a block and its record a process may end, and what is read of a whole file can be judged only afterwards.
    """
    holes = [(hole.offset, hole.size_bytes) for hole in target.holes]
    for block in wanted:
        if block.span.offset in partial.done:
            continue
        data = memoryview(read_at(partial.descriptor, block.span.offset, block.span.size_bytes))
        if is_block(data, block.span.offset, holes, block.leaf):
            partial.store(block.span.offset, data, block.leaf, block.twins)


@dataclass(frozen=True, kw_only=True, slots=True)
class NewBytes:
    """The bytes of the new file: in the partial one, but for stretches that stand in the old one where they belong."""

    partial: Partial
    old: int = -1
    """Descriptor of the old file."""
    standing: tuple[Span, ...] = ()
    """In order, and apart from each other."""

    def read(self, offset: int, length: int, /) -> bytes:
        """Bytes of the new file."""
        buffer = bytearray(min(length, max(self.partial.size_bytes - offset, 0)))
        self.read_into(memoryview(buffer), offset)
        return bytes(buffer)

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fill `view` from `offset` on; called from several threads.

        Raises:
            IntegrityError: what should have these bytes ends before.
        """
        while view:
            descriptor, size = self._source(offset)
            piece = view[: min(size, len(view))]
            if read_into(descriptor, piece, offset) != len(piece):
                raise IntegrityError(self.partial.target, f"ends before offset {offset + len(piece)}")
            view, offset = view[len(piece) :], offset + len(piece)

    def missing(self) -> Iterator[Span]:
        """The stretches that do not stand in the old file."""
        position = 0
        for span in (*self.standing, Span(self.partial.size_bytes, 0)):
            if span.offset > position:
                yield Span(position, span.offset - position)
            position = span.end

    def without(self, spans: Iterable[Span]) -> NewBytes:
        """The same, but for stretches whose bytes in the old file do not count."""
        standing, position = [], 0
        for span in sorted((*self.missing(), *spans, Span(self.partial.size_bytes, 0))):
            if span.offset > position:
                standing.append(Span(position, span.offset - position))
            position = max(position, span.end)
        return replace(self, standing=tuple(standing))

    def _source(self, offset: int) -> tuple[int, int]:
        """Whose descriptor has the byte at `offset`, and how many behind it too."""
        number = bisect_right(self.standing, offset, key=lambda span: span.offset) - 1
        if number >= 0 and offset < self.standing[number].end:
            return self.old, self.standing[number].end - offset
        follows = number + 1 < len(self.standing)
        return self.partial.descriptor, (
            self.standing[number + 1].offset if follows else self.partial.size_bytes
        ) - offset


def judge(new: NewBytes, target: FileMap, *, threads: int, report: Report) -> tuple[Wanted, ...]:
    """Look at every byte of the new file; returns the blocks that are not what they should be.

    Raises:
        IntegrityError: something else than a block is not.
    """
    for hole in target.holes:
        new.partial.write(hole.offset, hole.data)
    holes = [(hole.offset, hole.size_bytes) for hole in target.holes]
    wrong: list[Wanted] = []
    with report.step("check the whole", total=target.size_bytes) as step, HashPool(threads) as pool:
        for part in target.parts:
            if isinstance(part, Blocks):
                wrong += _wrong_blocks(new, pool, part, holes, step.advance)
            else:
                _judge_glue(new, part)
                step.advance(part.size_bytes)
    return tuple(wrong)


def _wrong_blocks(
    new: NewBytes, pool: HashPool, region: Blocks, holes: Sequence[tuple[int, int]], on_bytes: Callable[[int], None]
) -> list[Wanted]:
    def fill(view: memoryview, start: int) -> None:
        new.read_into(view, region.offset + start)

    cuts = region.index.cuts
    own = [(offset - region.offset, size) for offset, size in holes if offset < region.offset + region.size_bytes]
    found = RegionHash(pool, fill, cuts, crc=False, holes=own).finish(on_bytes).index
    if found.leaves == region.index.leaves:
        return []
    wrong = []
    for number, (start, size) in enumerate(cuts.blocks()):
        leaf = region.index.leaves[DIGEST_BYTES * number : DIGEST_BYTES * (number + 1)]
        if found.leaves[DIGEST_BYTES * number : DIGEST_BYTES * (number + 1)] != leaf:
            wrong.append(Wanted(span=Span(region.offset + start, size), leaf=leaf))
    return wrong


def _judge_glue(new: NewBytes, part: Part) -> None:
    """What is no block was written from memory, or never: so nobody else has a word in it."""
    for start in range(part.offset, part.offset + part.size_bytes, _PIECE_BYTES):
        size = min(_PIECE_BYTES, part.offset + part.size_bytes - start)
        found = new.read(start, size)
        expected = bytes(size) if isinstance(part, Zeros) else part.data[start - part.offset :][:size]  # type: ignore[union-attr]
        if found != expected:
            raise IntegrityError(new.partial.path, f"the bytes at {start} were changed while the file was put together")


def is_block(data: memoryview, offset: int, holes: Sequence[tuple[int, int]], leaf: bytes) -> bool:
    """Whether these are the bytes of a block that stands at `offset` of the new file."""
    is_signed = any(start < offset + len(data) and offset < start + size for start, size in holes)
    judged = masked(bytes(data), offset, holes) if is_signed else data
    return bytes(blake3(judged).digest()) == leaf


def fetch_unknown(
    partial: Partial,
    index: ReleaseIndex,
    at_hand: Collection[bytes],
    remote: Remote,
    *,
    manners: Manners,
    on_traffic: Callable[[int], None],
    report: Report,
) -> dict[bytes, bytes]:
    """From a server that sends only whole files: read one, keep the runs that are not `at_hand`, learn their leaves.

    The leaves would stand behind the bytes that they judge. So here alone bytes are written before they are judged, run
    by run, and recorded when all of a run is there; returns the leaves by the digest of their run.

    Raises:
        ChangedError: it was changed between two tries.
        FetchError: the file could not be had.
        IntegrityError: it is not the promised one.
    """
    unknown = [
        _UnknownRun([Span(region.offset + start + at, size) for at, size in Cuts(runs=(run,)).blocks()], digest)
        for region in index.regions
        for start, run, digest in zip(_starts(region.runs), region.runs, region.digests, strict=True)
        if digest not in at_hand
    ]
    by_end = {run.blocks[-1]: run for run in unknown}
    holes = [(hole.offset, hole.size_bytes) for hole in index.holes]
    leaves: dict[int, bytes] = {}
    learnt: dict[bytes, bytes] = {}

    def accept(span: Span, data: memoryview) -> bool:
        partial.write(span.offset, data)
        leaves[span.offset] = blake3(masked(bytes(data), span.offset, holes)).digest()
        if (run := by_end.get(span)) is not None:  # what is read from the beginning comes in order
            own = [leaves.pop(block.offset) for block in run.blocks]
            _refuse_another_run(remote, run, own)
            partial.record(zip(run.blocks, own, strict=True))
            learnt[run.digest] = b"".join(own)
        return True

    blocks = [block for run in unknown for block in run.blocks]
    with _whole_step(report, blocks) as step:
        fetch_whole(remote, blocks, accept, manners=manners, on_bytes=step.advance, on_traffic=on_traffic)
    return learnt


@dataclass(frozen=True, slots=True)
class _UnknownRun:
    blocks: list[Span]
    digest: bytes


def _refuse_another_run(remote: Remote, run: _UnknownRun, leaves: Sequence[bytes]) -> None:
    if run_digest(b"".join(leaves)) == run.digest:
        return
    if remote.has_copies:
        raise ChangedError(remote.where, "the file was changed on the server meanwhile")
    what = f"the bytes at {run.blocks[0].offset} are not the ones that were promised"
    raise IntegrityError(remote.where, what, hint="the server has another version of the file, or is broken")


def _starts(runs: Sequence[Run]) -> Iterator[int]:
    return accumulate((run.size_bytes for run in runs[:-1]), initial=0)
