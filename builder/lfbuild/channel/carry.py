"""Puts the new file together as it was decided: copies what is here, fetches the rest, and judges the whole at the end.

Every block that comes over a line is held against its digest before it is written. What is copied from files at hand
is judged where it stands in the new file, all at once: a file at hand may be damaged, or change meanwhile. Blocks that
do not hold are wanted again, from elsewhere.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from blake3 import blake3

from lfbuild.archive.hashing import HashPool
from lfbuild.archive.reader import opened, read_at
from lfbuild.channel.describe import run_digest
from lfbuild.channel.route import Wanted
from lfbuild.errors import IntegrityError
from lfbuild.fetch.parallel import fetch_units, fetch_whole
from lfbuild.fetch.ranges import Span
from lfbuild.formats.blocks import DIGEST_BYTES, Cuts
from lfbuild.manifest.filemap import Blocks, Zeros
from lfbuild.manifest.mapping import masked

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from lfbuild.channel.index import ReleaseIndex
    from lfbuild.channel.partial import Partial
    from lfbuild.channel.route import Supplies
    from lfbuild.fetch.parallel import Manners, Traffic
    from lfbuild.fetch.ranges import Line
    from lfbuild.fetch.remote import Remote
    from lfbuild.formats.blocks import Run
    from lfbuild.manifest.filemap import FileMap, Part
    from lfbuild.report import Report

_PIECE_BYTES = 4 << 20


def copy_what_is_here(partial: Partial, supplies: Supplies, seeds: Sequence[Path], *, report: Report) -> None:
    """Copy the stretches that files at hand have, and write what is in memory.

    Raises:
        HostError: a file at hand cannot be read, or the disk is full.
    """
    copies = [stretch for stretch in supplies.copies if stretch.offset not in partial.done[b"C"]]
    with report.step("copy what is here", total=supplies.copied_bytes) as step:
        step.advance(supplies.copied_bytes - sum(stretch.size_bytes for stretch in copies))
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
    report: Report,
) -> Traffic:
    """Fetch wanted blocks in ranges, or out of the whole file, and keep those that are what they should be.

    Raises:
        FetchError: they could not be had; what came is kept.
        IntegrityError: a block is not the promised one, three times.
        HostError: the disk is full.
    """
    blocks = {block.span: block for block in wanted}
    left = [block.span for block in wanted if block.span.offset not in partial.done[b"B"]]
    holes = [(hole.offset, hole.size_bytes) for hole in target.holes]
    total = sum(span.size_bytes for span in blocks)
    with report.step("fetch the rest", total=total) as step:
        step.advance(total - sum(span.size_bytes for span in left))

        def accept(span: Span, data: memoryview) -> bool:
            block = blocks[span]
            if not _is_block(data, span.offset, holes, block.leaf):
                return False
            partial.store(span.offset, data, block.leaf, block.twins)
            step.advance(span.size_bytes)
            return True

        if is_whole:
            return fetch_whole(remote, left, accept, manners=manners)
        return fetch_units(remote, left, accept, manners=manners, line=line)


def find_unrecorded(partial: Partial, target: FileMap, wanted: Sequence[Wanted]) -> None:
    """Record the wanted blocks that stand in the new file already, though its journal does not tell of them.

    Between a block and its record a process may end, and what is read of a whole file can be judged only afterwards.
    """
    holes = [(hole.offset, hole.size_bytes) for hole in target.holes]
    for block in wanted:
        if block.span.offset in partial.done[b"B"]:
            continue
        data = memoryview(read_at(partial.descriptor, block.span.offset, block.span.size_bytes))
        if _is_block(data, block.span.offset, holes, block.leaf):
            partial.store(block.span.offset, data, block.leaf, block.twins)


def judge(partial: Partial, target: FileMap, *, threads: int, report: Report) -> tuple[Wanted, ...]:
    """Look at every byte of the new file; returns the blocks that are not what they should be.

    Raises:
        IntegrityError: something else than a block is not.
    """
    for hole in target.holes:
        partial.write(hole.offset, hole.data)
    holes = [(hole.offset, hole.size_bytes) for hole in target.holes]
    wrong: list[Wanted] = []
    with report.step("check the whole", total=target.size_bytes) as step, HashPool(threads) as pool:
        for part in target.parts:
            if isinstance(part, Blocks):
                wrong += _wrong_blocks(partial, pool, part, holes, step.advance)
            else:
                _judge_glue(partial, part)
                step.advance(part.size_bytes)
    return tuple(wrong)


def _wrong_blocks(
    partial: Partial, pool: HashPool, region: Blocks, holes: Sequence[tuple[int, int]], on_bytes: Callable[[int], None]
) -> list[Wanted]:
    cuts = region.index.cuts
    own = [(offset - region.offset, size) for offset, size in holes if offset < region.offset + region.size_bytes]
    found = pool.region(partial.descriptor, region.offset, cuts, crc=False, holes=own).finish(on_bytes).index
    if found.leaves == region.index.leaves:
        return []
    wrong = []
    for number, (start, size) in enumerate(cuts.blocks()):
        leaf = region.index.leaves[DIGEST_BYTES * number : DIGEST_BYTES * (number + 1)]
        if found.leaves[DIGEST_BYTES * number : DIGEST_BYTES * (number + 1)] != leaf:
            wrong.append(Wanted(span=Span(region.offset + start, size), leaf=leaf))
    return wrong


def _judge_glue(partial: Partial, part: Part) -> None:
    """What is no block was written from memory, or never: so nobody else has a word in it."""
    for start in range(part.offset, part.offset + part.size_bytes, _PIECE_BYTES):
        size = min(_PIECE_BYTES, part.offset + part.size_bytes - start)
        found = read_at(partial.descriptor, start, size)
        expected = bytes(size) if isinstance(part, Zeros) else part.data[start - part.offset :][:size]  # type: ignore[union-attr]
        if found != expected:
            raise IntegrityError(partial.path, f"the bytes at {start} were changed while the file was put together")


def _is_block(data: memoryview, offset: int, holes: Sequence[tuple[int, int]], leaf: bytes) -> bool:
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
    report: Report,
) -> tuple[dict[bytes, bytes], Traffic]:
    """From a server that sends only whole files: read one, keep the runs that are not `at_hand`, learn their leaves.

    The leaves would stand behind the bytes that they judge. So here alone bytes are written before they are judged,
    run by run, and nothing of it counts before that; returns the leaves by the digest of their run.

    Raises:
        FetchError: the file could not be had.
        IntegrityError: it is not the promised one.
    """
    unknown = [
        (region.offset + start, run, digest)
        for region in index.regions
        for start, run, digest in zip(_starts(region.runs), region.runs, region.digests, strict=True)
        if digest not in at_hand
    ]
    holes = [(hole.offset, hole.size_bytes) for hole in index.holes]
    leaves: dict[int, bytes] = {}
    blocks = [Span(offset + at, size) for offset, run, _ in unknown for at, size in Cuts(runs=(run,)).blocks()]
    with report.step("fetch the whole file", total=sum(span.size_bytes for span in blocks)) as step:

        def accept(span: Span, data: memoryview) -> bool:
            partial.write(span.offset, data)
            leaves[span.offset] = blake3(masked(bytes(data), span.offset, holes)).digest()
            step.advance(span.size_bytes)
            return True

        traffic = fetch_whole(remote, blocks, accept, manners=manners)
    learnt = {}
    for offset, run, digest in unknown:
        learnt[digest] = b"".join(leaves[offset + at] for at, _ in Cuts(runs=(run,)).blocks())
        if run_digest(learnt[digest]) != digest:
            what = f"the bytes at {offset} are not the ones that were promised"
            raise IntegrityError(remote.where, what, hint="the server has another version of the file, or is broken")
    return learnt, traffic


def _starts(runs: Sequence[Run]) -> Iterator[int]:
    return accumulate((run.size_bytes for run in runs[:-1]), initial=0)
