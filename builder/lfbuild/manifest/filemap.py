"""Says of every byte of a file what it is: a block with a digest, a few bytes as they are, or zeros.

That is all that copying, fetching and comparing files need: two files share a block where its size and digest are
the same, wherever it stands. A map knows nothing of ZIP records or roles: what is between blocks is glue, and travels
as it is. `manifest.mapping` makes one of any file.

A PE that was signed after packing has a few bytes that its digests take as zeros (docs/formats/file.md). They stand in
`holes`; everything else here speaks of the file as if they were zero.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from blake3 import blake3

from lfbuild.formats.blocks import DIGEST_BYTES

if TYPE_CHECKING:
    from lfbuild.formats.blocks import BlockIndex


@dataclass(frozen=True, kw_only=True, slots=True)
class Blocks:
    """A region that is known block by block."""

    offset: int
    """From the start of the file, in bytes."""
    name: str
    """The member's name; empty for the head, and for what belongs to no member."""
    index: BlockIndex

    @property
    def size_bytes(self) -> int:
        """Bytes of all its blocks."""
        return self.index.cuts.size_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Literal:
    """A few bytes as they are: local headers, directory, end records, a certificate table."""

    offset: int
    data: bytes

    @property
    def size_bytes(self) -> int:
        """Their number."""
        return len(self.data)


@dataclass(frozen=True, kw_only=True, slots=True)
class Zeros:
    """A gap, or room for the next engine."""

    offset: int
    size_bytes: int


Part = Blocks | Literal | Zeros


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockTable:
    """All blocks of a file in their order, flat: 44 bytes a block, 1.8 MB for 40 GB."""

    offsets: array[int]
    sizes: array[int]
    leaves: bytes

    def __len__(self) -> int:
        return len(self.sizes)

    def leaf(self, number: int) -> bytes:
        """The BLAKE3 of a block."""
        return self.leaves[DIGEST_BYTES * number : DIGEST_BYTES * (number + 1)]


@dataclass(frozen=True, kw_only=True)
class FileMap:
    """Every byte of a file, exactly once, in order."""

    parts: tuple[Part, ...]
    holes: tuple[Literal, ...] = ()
    """What stands in the fields that a signature fills, as blocks take those for zeros."""

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return self.parts[-1].offset + self.parts[-1].size_bytes if self.parts else 0

    @property
    def regions(self) -> tuple[Blocks, ...]:
        """The parts that are known by blocks."""
        return tuple(part for part in self.parts if isinstance(part, Blocks))

    @property
    def glue(self) -> bytes:
        """All literals and holes, one after the other."""
        literals = [part.data for part in self.parts if isinstance(part, Literal)]
        return b"".join((*literals, *(hole.data for hole in self.holes)))

    @cached_property
    def table(self) -> BlockTable:
        """All blocks, by number."""
        offsets, sizes, leaves = array("Q"), array("I"), bytearray()
        for region in self.regions:
            for offset, size in region.index.cuts.blocks():
                offsets.append(region.offset + offset)
                sizes.append(size)
            leaves += region.index.leaves
        return BlockTable(offsets=offsets, sizes=sizes, leaves=bytes(leaves))

    @cached_property
    def root(self) -> bytes:
        """What stands for the whole file: the same root means the same bytes.

        BLAKE3 over, in the order of the file: of each block `B`, its size and its digest; of each literal `L`, its
        size and its BLAKE3; of each gap `Z` and its size; at last of each hole `H`, its offset and its BLAKE3. Sizes
        and offsets are 8 bytes.
        """
        digest = blake3()
        for part in self.parts:
            if isinstance(part, Zeros):
                digest.update(_root_entry(b"Z", part.size_bytes))
            elif isinstance(part, Literal):
                digest.update(_root_entry(b"L", part.size_bytes, blake3(part.data).digest()))
            else:
                for number, (_, size) in enumerate(part.index.cuts.blocks()):
                    leaf = part.index.leaves[DIGEST_BYTES * number : DIGEST_BYTES * (number + 1)]
                    digest.update(_root_entry(b"B", size, leaf))
        for hole in self.holes:
            digest.update(_root_entry(b"H", hole.offset, blake3(hole.data).digest()))
        return bytes(digest.digest())


def _root_entry(kind: bytes, number: int, digest: bytes = b"") -> bytes:
    return kind + struct.pack("<Q", number) + digest
