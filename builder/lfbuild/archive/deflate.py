"""Compressed members: made whole, in memory, as only programs of some megabytes are compressed, and read in pieces.

They are deflated, not compressed by anything newer, as every unzip reads that. The encoder is libdeflate: the same
bytes on every machine, and some percent smaller than zlib's. What is decoded is digested like any other member, so that
a manifest can promise the decoded bytes as well as the stored ones.
"""

from __future__ import annotations

import importlib.metadata
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from blake3 import blake3
from zlib_ng import zlib_ng

from lfbuild.formats.blocks import BLOCK_BYTES, root_of

if TYPE_CHECKING:
    from collections.abc import Iterable

ENCODER: Final = "libdeflate"
LEVEL: Final = 12
"""Its best: a slice is compressed once and read often."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoded:
    """What the bytes of a member are once they are decoded."""

    size_bytes: int
    crc32: int
    root: str
    """Of plain 1 MiB blocks, as of any member without an index."""
    digest: str
    """BLAKE3 of all of them, for whoever has no blocks."""


def deflate(data: bytes, *, level: int = LEVEL) -> bytes:
    """`data` as a raw deflate stream."""
    import deflate as libdeflate  # slow to import for whoever only reads

    return bytes(libdeflate.deflate_compress(data, level))


def inflate(stored: bytes, size: int) -> bytes:
    """What a raw deflate stream decodes to, at most `size` bytes of it.

    Raises:
        zlib.error: it is none.
    """
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(stored, size)


def encoder_version() -> str:
    """The version of the encoder's package: another one may make other bytes."""
    return importlib.metadata.version("deflate")


def inflates_to(stored: bytes, data: bytes) -> bool:
    """Whether a deflate stream decodes to `data`, and to nothing more."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        decoded = inflater.decompress(stored, len(data) + 1)
    except zlib.error:
        return False
    return decoded == data and inflater.eof and not inflater.unused_data


def look_at(pieces: Iterable[bytes]) -> Decoded:
    """The facts of decoded bytes that come in pieces of any size."""
    whole, leaves, crc, size = blake3(), bytearray(), 0, 0
    block, filled = blake3(), 0
    for piece in pieces:
        whole.update(piece)
        crc = zlib_ng.crc32(piece, crc)
        size += len(piece)
        view = memoryview(piece)
        while view:
            part = view[: BLOCK_BYTES - filled]
            block.update(part)
            filled, view = filled + len(part), view[len(part) :]
            if filled == BLOCK_BYTES:
                leaves += block.digest()
                block, filled = blake3(), 0
    if filled:
        leaves += block.digest()
    return Decoded(size_bytes=size, crc32=crc, root=root_of(bytes(leaves)), digest=whole.hexdigest())
