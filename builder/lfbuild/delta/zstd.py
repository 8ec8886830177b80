"""Zstandard with bounds: what is unpacked has a size that was known before, and memory that was agreed on.

Python has it from 3.14 on; `backports.zstd` is the same module for the versions before.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from lfbuild.errors import FormatError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_WINDOW_LOG: Final = 25
"""32 MiB: how far back a frame may refer, its prefix included; a decoder needs that much memory."""
MOST_PREFIX_BYTES: Final = 16 << 20
BEST_LEVEL: Final = 19
LITERAL_LEVEL: Final = 1
"""For content in which nothing repeats: entropy coding alone, where higher levels find only accidents."""
_LEAST_WINDOW_LOG = 10
_LEAST_PREFIX_BYTES = 8
"""A shorter one is none, to either side: Zstandard takes no shorter dictionary."""
_PIECE_BYTES = 1 << 20


def packed(data: bytes, *, level: int = BEST_LEVEL, prefix: bytes = b"") -> bytes:
    """`data` as one frame, without a checksum: the blocks it becomes have digests."""
    reach = len(data) + len(prefix)
    parameter = zstd.CompressionParameter
    options: dict[int, int] = {
        parameter.compression_level: level,
        parameter.window_log: min(max(reach.bit_length(), _LEAST_WINDOW_LOG), MOST_WINDOW_LOG),
    }
    if len(prefix) >= _LEAST_PREFIX_BYTES:
        # Matches across a prefix of some MiB are found by their hashes only if these are kept for all of it.
        options[parameter.enable_long_distance_matching] = 1
    return zstd.compress(data, options=options, zstd_dict=_dictionary(prefix))


def unpacked(data: bytes, size: int, *, prefix: bytes = b"", where: str) -> bytes:
    """All of a frame that must be of `size` bytes.

    Raises:
        FormatError: it is no frame, or of another size, or needs more memory than was agreed on.
    """
    return b"".join(unpacked_pieces(data, size, prefix=prefix, where=where))


def unpacked_pieces(data: bytes, size: int, *, prefix: bytes = b"", where: str) -> Iterator[bytes]:
    """A frame in pieces; never more than one byte beyond `size` is unpacked.

    Raises:
        FormatError: as `unpacked`.
    """
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: MOST_WINDOW_LOG}
    unpacker = zstd.ZstdDecompressor(zstd_dict=_dictionary(prefix), options=options)
    left = size
    try:
        piece = unpacker.decompress(data, min(_PIECE_BYTES, left + 1))
        while piece or not (unpacker.eof or unpacker.needs_input):
            left -= len(piece)
            if left < 0:
                break
            if piece:
                yield piece
            if unpacker.eof:
                break
            piece = unpacker.decompress(b"", min(_PIECE_BYTES, left + 1))
    except zstd.ZstdError as error:
        raise FormatError(where, f"cannot be unpacked: {error}") from error
    if left or not unpacker.eof or unpacker.unused_data:
        raise FormatError(where, f"does not unpack to the {size} bytes that it promises")


def unpacked_up_to(data: bytes, most: int, *, where: str) -> bytes:
    """All of a frame of unknown size, which must be at most `most` bytes.

    Raises:
        FormatError: it is no frame, is longer, or needs more memory than was agreed on.
    """
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: MOST_WINDOW_LOG}
    unpacker = zstd.ZstdDecompressor(options=options)
    try:
        whole = unpacker.decompress(data, most + 1)
    except zstd.ZstdError as error:
        raise FormatError(where, f"cannot be unpacked: {error}") from error
    if len(whole) > most or not unpacker.eof or unpacker.unused_data:
        raise FormatError(where, f"does not unpack to {most} bytes or fewer")
    return whole


def _dictionary(prefix: bytes) -> tuple[zstd.ZstdDict, int] | None:
    return zstd.ZstdDict(prefix, is_raw=True).as_prefix if len(prefix) >= _LEAST_PREFIX_BYTES else None
