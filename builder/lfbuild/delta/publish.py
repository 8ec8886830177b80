"""Holds a delta against the file that it makes, without the one that it was made for: before it is published.

What a frame makes of bytes of OLD only `apply` can tell. All else is looked at: that the delta is whole, that NEW has
the blocks which it promises, and each frame that needs no other bytes.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from blake3 import blake3

from lfbuild.delta import zstd
from lfbuild.delta.model import MOST_FRAME_BYTES, Made, PackedFrame, StoredFrame
from lfbuild.errors import FormatError, IntegrityError
from lfbuild.formats.blocks import DIGEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lfbuild.delta.apply import DeltaHead, DeltaStream
    from lfbuild.formats.delta import Header
    from lfbuild.manifest.filemap import FileMap


def load_publishable(delta: DeltaStream, new: FileMap) -> Header:
    """Read all of a delta.

    Raises:
        FormatError: it is no delta, or not a whole one.
        IntegrityError: it makes another file, or a frame makes other blocks than it promises.
    """
    head = delta.head()
    if head.header.new.root != new.root:
        raise IntegrityError(delta.where, "is a difference that makes another file")
    table, blocks = new.table, _made_blocks(head)
    known = {(table.sizes[number], table.leaf(number)) for number in range(len(table))}
    for number, frame in enumerate(head.plan.frames):
        mine, data, where = list(islice(blocks, frame.blocks)), delta.take(frame.size_bytes), delta.where
        is_right = known.issuperset(mine)
        if is_right and isinstance(frame, PackedFrame):
            is_right = _is_made(_unpacked(data, mine, where=f"{where}: frame {number}"), mine)
        elif is_right and isinstance(frame, StoredFrame):
            is_right = _is_made(data, mine)
        if not is_right:
            raise IntegrityError(where, f"frame {number} is damaged: it makes other blocks than the file has")
    delta.finish()
    return head.header


def _made_blocks(head: DeltaHead) -> Iterator[tuple[int, bytes]]:
    """Size and digest of each block that frames make."""
    runs = [run for run in head.plan.runs() if isinstance(run, Made)]
    sizes = (size for run in runs for size in (*[run.block_bytes] * (run.count - 1), run.last_bytes))
    for number, size in enumerate(sizes):
        yield size, head.leaves[DIGEST_BYTES * number : DIGEST_BYTES * (number + 1)]


def _unpacked(data: bytes, blocks: Sequence[tuple[int, bytes]], *, where: str) -> bytes:
    size = sum(size for size, _ in blocks)
    if size > MOST_FRAME_BYTES:
        raise FormatError(where, f"makes {size} bytes, more than {MOST_FRAME_BYTES}")
    return b"".join(zstd.unpacked_pieces(data, size, where=where))


def _is_made(data: bytes, blocks: Sequence[tuple[int, bytes]]) -> bool:
    start = 0
    for size, leaf in blocks:
        if blake3(data[start : start + size]).digest() != leaf:
            return False
        start += size
    return start == len(data)
