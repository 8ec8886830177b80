"""Finds the blocks of a target file in other files: where each can be copied from, and which are missing.

Values in, values out. Blocks are the same where their size and their digest are. What is kept in memory is two numbers
a block of the target, whatever the number and the size of the seeds.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from blake3 import blake3

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lfbuild.manifest.filemap import BlockTable, FileMap

MISSING: Final = -1
"""No seed has these blocks."""
ZEROS: Final = -2
"""These blocks are zeros, so no seed is needed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """Neighbouring blocks of the target that come from one place."""

    block: int
    """Number of the first one in the target's table."""
    blocks: int
    offset: int
    size_bytes: int
    seed: int
    """Number of the seed that has them, one after the other as in the target; or `MISSING` or `ZEROS`."""
    seed_block: int = 0
    """Number of the first one in the seed's table."""
    seed_offset: int = 0


def match(seeds: Sequence[FileMap], target: FileMap) -> tuple[Stretch, ...]:
    """Where each block of `target` comes from, in order; runs are as long as they can be.

    Of several places the one that continues the run before is taken, then the first seed that has the block.
    """
    tables = [seed.table for seed in seeds]
    chosen = _choose(tables, target.table)
    return tuple(_coalesced(tables, target.table, *chosen))


def _choose(seeds: Sequence[BlockTable], target: BlockTable) -> tuple[array[int], array[int]]:
    """Of each block of the target: the seed (or what it is instead), and the block's number there."""
    places = _first_places(seeds, target)
    origins, numbers = array("q"), array("q")
    seed = number = MISSING
    for block in range(len(target)):
        key = (target.leaf(block), target.sizes[block])
        if seed >= 0 and number + 1 < len(seeds[seed]) and _key(seeds[seed], number + 1) == key:
            number += 1
        elif key[0] == zero_leaf(key[1]):
            seed, number = ZEROS, 0
        else:
            seed, number = places.get(key, (MISSING, 0))
        origins.append(seed)
        numbers.append(number)
    return origins, numbers


def _first_places(seeds: Sequence[BlockTable], target: BlockTable) -> dict[tuple[bytes, int], tuple[int, int]]:
    """Where each block of the target is found first; blocks of seeds that the target has not are never kept."""
    wanted = {_key(target, block) for block in range(len(target))}
    places: dict[tuple[bytes, int], tuple[int, int]] = {}
    for seed, table in enumerate(seeds):
        for number in range(len(table)):
            key = _key(table, number)
            if key in wanted:
                places.setdefault(key, (seed, number))
    return places


def _coalesced(
    seeds: Sequence[BlockTable], target: BlockTable, origins: array[int], numbers: array[int]
) -> Iterator[Stretch]:
    start = 0
    for block in range(1, len(target) + 1):
        if block < len(target) and _continues(seeds, target, origins, numbers, block):
            continue
        last, seed = block - 1, origins[start]
        yield Stretch(
            block=start,
            blocks=block - start,
            offset=target.offsets[start],
            size_bytes=target.offsets[last] + target.sizes[last] - target.offsets[start],
            seed=seed,
            seed_block=numbers[start] if seed >= 0 else 0,
            seed_offset=seeds[seed].offsets[numbers[start]] if seed >= 0 else 0,
        )
        start = block


def _continues(
    seeds: Sequence[BlockTable], target: BlockTable, origins: array[int], numbers: array[int], block: int
) -> bool:
    """Whether a block follows the one before it in the target, and in the seed that both come from."""
    before, seed = block - 1, origins[block]
    if origins[before] != seed or target.offsets[before] + target.sizes[before] != target.offsets[block]:
        return False
    if seed < 0:
        return True
    table, number = seeds[seed], numbers[block]
    follows = numbers[before] + 1 == number
    return follows and table.offsets[number - 1] + table.sizes[number - 1] == table.offsets[number]


def _key(table: BlockTable, number: int) -> tuple[bytes, int]:
    return table.leaf(number), table.sizes[number]


@lru_cache(maxsize=256)
def zero_leaf(size: int) -> bytes:
    """The digest of a block of zeros."""
    return bytes(blake3(bytes(size)).digest())
