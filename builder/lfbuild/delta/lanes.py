"""Arithmetic on many small numbers at once, with the standard library alone.

A Python integer is a row of bits, and its `&`, `|`, `+` and shifts run at memory speed. So the bytes of a block become
one integer, cut into lanes of 1, 2 or 4 bytes, and a subtraction of two rows is one of thousands of numbers: 200 MB/s
and more, where a loop would do 5. What keeps a borrow from running into the next lane is the top bit of each lane,
which is set before and corrected after ("SIMD within a register", Fisher and Dietz 1998).
"""

from __future__ import annotations

from typing import Final

_KEPT_BYTES: Final = 32 << 20
"""Of rows that are kept: what the frames of a file's tensors ask for again and again has less, and frames of other
sizes, each up to 16 MiB, fill no memory with rows that nobody asks for again."""
_KEPT_ROWS: Final = 64


def to_row(data: bytes) -> int:
    """Bytes as one integer; the first lane is the lowest."""
    return int.from_bytes(data, "little")


def to_bytes(row: int, size: int) -> bytes:
    """A row as `size` bytes."""
    return row.to_bytes(size, "little")


class _Rows:
    """Rows of one value in each lane; those that were asked for last are kept."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, int, int], int] = {}
        self._bytes = 0

    def row(self, value: int, lane_bytes: int, lanes: int) -> int:
        """The same value in each lane."""
        key = (value, lane_bytes, lanes)
        row = self._rows.pop(key, None)
        if row is None:
            row = to_row(value.to_bytes(lane_bytes, "little") * lanes)
            self._bytes += lane_bytes * lanes
        self._rows[key] = row
        while self._bytes > _KEPT_BYTES or len(self._rows) > _KEPT_ROWS:
            _, oldest_bytes, oldest_lanes = oldest = next(iter(self._rows))
            del self._rows[oldest]
            self._bytes -= oldest_bytes * oldest_lanes
        return row


repeated = _Rows().row


def subtracted(new: int, old: int, *, bits: int, lane_bytes: int, lanes: int) -> int:
    """`new - old` modulo 2^bits in each lane, folded: 0, -1, 1, -2, … become 0, 1, 2, 3, …

    Small changes of either sign so become small numbers, whose upper bits are zero.
    """
    top = repeated(1 << (8 * lane_bytes - 1), lane_bytes, lanes)
    mask = repeated((1 << bits) - 1, lane_bytes, lanes)
    difference = _modular(new, old, top) if bits == 8 * lane_bytes else ((new | top) - old) & mask
    signs = (difference >> (bits - 1)) & repeated(1, lane_bytes, lanes)
    doubled = (difference << 1) & repeated((1 << bits) - 2, lane_bytes, lanes)
    return doubled ^ (signs * ((1 << bits) - 1))


def added(old: int, folded: int, *, bits: int, lane_bytes: int, lanes: int) -> int:
    """`old` plus a difference that `subtracted` made; the inverse of it."""
    signs = folded & repeated(1, lane_bytes, lanes)
    halved = (folded >> 1) & repeated((1 << (bits - 1)) - 1, lane_bytes, lanes)
    difference = halved ^ (signs * ((1 << bits) - 1))
    if bits == 8 * lane_bytes:
        top = repeated(1 << (bits - 1), lane_bytes, lanes)
        return ((old & ~top) + (difference & ~top)) ^ ((old ^ difference) & top)
    return (old + difference) & repeated((1 << bits) - 1, lane_bytes, lanes)


def added_bytes(old: bytes, difference: bytes) -> bytes:
    """The sum of two byte strings of one length, byte by byte, modulo 256."""
    size = len(old)
    left, right, top = to_row(old), to_row(difference), repeated(0x80, 1, size)
    return to_bytes(((left & ~top) + (right & ~top)) ^ ((left ^ right) & top), size)


def subtracted_bytes(new: bytes, old: bytes) -> bytes:
    """The difference of two byte strings of one length, byte by byte, modulo 256."""
    size = len(new)
    left, right, top = to_row(new), to_row(old), repeated(0x80, 1, size)
    return to_bytes(_modular(left, right, top), size)


def _modular(new: int, old: int, top: int) -> int:
    """`new - old` in lanes that are all bits wide: `top` has the top bit of each."""
    return ((new | top) - (old & ~top)) ^ ((new ^ ~old) & top)
