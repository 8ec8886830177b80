"""Block index: where a region is cut into blocks, and the BLAKE3 of each block.

Blocks are cut where the content has its structure, never at fixed offsets from the start: when a chat template grows
by 32 bytes, every tensor behind it moves, and yet each of its blocks is the same one as before. One index a region,
as a member `.lfbuild/blocks/NAME.blocks`, so that replacing one member never rewrites the leaves of another.

offset  size         field
0       8            magic `LFBLOCKS`
8       4            version, 1
12      4            number of runs
16      8            size of the region in bytes: the sum of the runs
24      8            number of leaves: the sum over runs of ceil(size / block)
32      4            size of the label table, a multiple of 8
36      28           zeros, for later
64      24 × runs    u64 size, u32 block size, u32 label offset, u16 label length, u16 tensor type, u32 zero
…       labels       UTF-8, not separated; zeros up to a multiple of 8
…       32 × leaves  BLAKE3 of each block, in the order of the bytes

A run is a stretch with one meaning: the key-values, the tensor infos, one tensor, padding. Its tensor type is the
number that GGUF gives it, or 0xffff. The root of a region is the BLAKE3 of its leaves, one after the other; a region
of one block has one leaf all the same. A region without an index is one run of 1 MiB blocks.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self

from blake3 import blake3

from lfbuild.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_BYTES: Final = 1 << 20
"""No block is larger: whoever digests one needs a buffer of its size."""
HEAD_BLOCK_BYTES: Final = 256 << 10
"""Engines change in many places at once: smaller blocks save bytes where code did not move."""
DIGEST_BYTES: Final = 32
MOST_LABEL_BYTES: Final = 128
"""A longer label is cut when it is made: ggml's names have less, and what a header says otherwise is not to blow up the
index, which is read whole."""
NO_TENSOR: Final = 0xFFFF

_MAGIC = b"LFBLOCKS"
_VERSION = 1
_HEADER = struct.Struct("<8sIIQQI28s")
_RUN = struct.Struct("<QIIHHI")


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A stretch of a region that has one meaning."""

    size_bytes: int
    block_bytes: int = BLOCK_BYTES
    label: str = ""
    tensor_type: int = NO_TENSOR

    @property
    def blocks(self) -> int:
        """How many blocks the run is cut into; the last may be shorter."""
        return -(-self.size_bytes // self.block_bytes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cuts:
    """How a region is cut: its runs, in the order of the bytes."""

    runs: tuple[Run, ...]

    @classmethod
    def plain(cls, size: int, *, block_bytes: int = BLOCK_BYTES, label: str = "") -> Self:
        """One run: for content whose structure is not known."""
        return cls(runs=(Run(size_bytes=size, block_bytes=block_bytes, label=label),) if size else ())

    @property
    def size_bytes(self) -> int:
        """Size of the region."""
        return sum(run.size_bytes for run in self.runs)

    @property
    def leaves(self) -> int:
        """Number of blocks."""
        return sum(run.blocks for run in self.runs)

    def within(self, size: int) -> Cuts:
        """The same for the first `size` bytes of the region, as far as they are whole blocks."""
        runs = []
        for run in self.runs:
            whole = run.size_bytes if run.size_bytes <= size else size - size % run.block_bytes
            if whole:
                runs.append(replace(run, size_bytes=whole))
            if whole < run.size_bytes:
                break
            size -= whole
        return Cuts(runs=tuple(runs))

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Offset (from the start of the region) and size of each block, in bytes."""
        offset = 0
        for run in self.runs:
            end = offset + run.size_bytes
            while offset < end:
                size = min(run.block_bytes, end - offset)
                yield offset, size
                offset += size


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockIndex:
    """The cuts of a region and the digest of each block."""

    cuts: Cuts
    leaves: bytes
    """32 bytes a block."""

    @property
    def root(self) -> str:
        """The digest that stands for the whole region, 64 hexadecimal digits."""
        return root_of(self.leaves)

    def to_bytes(self) -> bytes:
        """The member's bytes."""
        labels = bytearray()
        runs = bytearray()
        for run in self.cuts.runs:
            label = run.label.encode()
            runs += _RUN.pack(run.size_bytes, run.block_bytes, len(labels), len(label), run.tensor_type, 0)
            labels += label
        labels += bytes(-len(labels) % 8)
        header = _HEADER.pack(
            _MAGIC, _VERSION, len(self.cuts.runs), self.cuts.size_bytes, self.cuts.leaves, len(labels), bytes(28)
        )
        return header + bytes(runs) + bytes(labels) + self.leaves

    @classmethod
    def parse(cls, data: bytes, *, where: str) -> Self:
        """Read an index.

        Raises:
            FormatError: it is not one, or its counts and sizes contradict each other.
        """
        if len(data) < _HEADER.size or not data.startswith(_MAGIC):
            raise FormatError(where, "not a block index")
        _, version, run_count, size, leaf_count, label_bytes, later = _HEADER.unpack_from(data)
        if version != _VERSION:
            raise FormatError(where, f"block index version {version} is not known, only {_VERSION}")
        labels_at = _HEADER.size + run_count * _RUN.size
        leaves_at = labels_at + label_bytes
        if any(later) or label_bytes % 8 or leaves_at + leaf_count * DIGEST_BYTES != len(data):
            raise FormatError(where, "the counts of the block index do not add up to its size")
        labels = data[labels_at:leaves_at]
        runs = tuple(_parse_run(data, _HEADER.size + n * _RUN.size, labels, where=where) for n in range(run_count))
        cuts = Cuts(runs=runs)
        if cuts.size_bytes != size or cuts.leaves != leaf_count:
            raise FormatError(where, "the runs of the block index do not add up to the region")
        return cls(cuts=cuts, leaves=data[leaves_at:])


def root_of(leaves: bytes) -> str:
    """BLAKE3 over the leaves, one after the other, as 64 hexadecimal digits."""
    return blake3(leaves).hexdigest()


def _parse_run(data: bytes, position: int, labels: bytes, *, where: str) -> Run:
    size, block_bytes, label_offset, label_size, tensor_type, zero = _RUN.unpack_from(data, position)
    if not size or not 0 < block_bytes <= BLOCK_BYTES or zero or label_offset + label_size > len(labels):
        raise FormatError(where, f"the run at {position} of the block index is damaged")
    try:
        label = labels[label_offset : label_offset + label_size].decode()
    except UnicodeDecodeError as error:
        raise FormatError(where, f"the label of the run at {position} is not UTF-8") from error
    return Run(size_bytes=size, block_bytes=block_bytes, label=label, tensor_type=tensor_type)
