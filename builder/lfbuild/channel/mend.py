"""Brings blocks that turned out to be wrong from any file at hand that has them whole.

Where a block was copied from, it may be damaged, and stand whole elsewhere; what a loss of power took stands where it
was copied from. So each place is looked at, and each block judged before it is kept.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from lfbuild.archive.reader import opened, read_at
from lfbuild.channel.carry import is_block
from lfbuild.channel.route import Wanted
from lfbuild.fetch.ranges import Span
from lfbuild.manifest.matching import zero_leaf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lfbuild.channel.carry import NewBytes
    from lfbuild.channel.plan import Seed
    from lfbuild.manifest.filemap import FileMap
    from lfbuild.report import Report

    _Read = Callable[[int, int], bytes]


def copy_again(
    new: NewBytes, wrong: Sequence[Wanted], target: FileMap, seeds: Sequence[Seed], *, report: Report
) -> tuple[Wanted, ...]:
    """Store blocks that a file at hand has, or the new one elsewhere; returns those that none has, each once.

    Raises:
        HostError: a file at hand cannot be read, or the disk is full.
    """
    holes = [(hole.offset, hole.size_bytes) for hole in target.holes]
    left = _each_once(wrong)
    with report.step("copy again", total=sum(block.span.size_bytes for block in left)) as step:

        def is_stored(block: Wanted, places: Sequence[int], read: _Read) -> bool:
            for offset in places:
                data = memoryview(read(offset, block.span.size_bytes))
                if len(data) == block.span.size_bytes and is_block(data, block.span.offset, holes, block.leaf):
                    new.partial.store(block.span.offset, data, block.leaf, block.twins)
                    step.advance(block.span.size_bytes)
                    return True
            return False

        left = [block for block in left if not is_stored(block, _zeros(block), lambda _, size: bytes(size))]
        for seed in seeds:
            if places := _places(seed.found, left):
                with opened(seed.path) as file:
                    read = partial(read_at, file.fileno())
                    left = [block for block in left if not is_stored(block, places.get(_key(block), ()), read)]
        places = _places(target, left)
        left = [block for block in left if not is_stored(block, places[_key(block)], new.read)]
    return tuple(left)


def _each_once(wrong: Sequence[Wanted]) -> list[Wanted]:
    """The same blocks, those that are alike together."""
    offsets: defaultdict[tuple[bytes, int], list[int]] = defaultdict(list)
    for block in wrong:
        offsets[_key(block)].append(block.span.offset)
    return [
        Wanted(span=Span(first, size), leaf=leaf, twins=tuple(more)) for (leaf, size), (first, *more) in offsets.items()
    ]


def _places(found: FileMap, left: Sequence[Wanted]) -> dict[tuple[bytes, int], list[int]]:
    """Where blocks stand in a file."""
    wanted, table = {_key(block) for block in left}, found.table
    places: defaultdict[tuple[bytes, int], list[int]] = defaultdict(list)
    for number, (offset, size) in enumerate(zip(table.offsets, table.sizes, strict=True)):
        if (key := (table.leaf(number), size)) in wanted:
            places[key].append(offset)
    return places


def _zeros(block: Wanted) -> tuple[int, ...]:
    """A block of zeros stands everywhere."""
    return (0,) if block.leaf == zero_leaf(block.span.size_bytes) else ()


def _key(block: Wanted) -> tuple[bytes, int]:
    return block.leaf, block.span.size_bytes
