"""Takes quantized tensors apart, so that what a little training changed is small numbers and zeros.

A quantization block is a scale or two and codes of 2 to 8 bits, packed in ways that a byte-wise comparison cannot see
through: a training step moves most scales by a little and few codes by one, and yet hardly a byte string stays. So
fields are taken out of all blocks, equal ones together, each code in a lane of its own, and subtracted from the old
ones modulo their width. What results, a plane a width, is packed by whichever of a few ways is smallest.

    for each plane: u8 kind | u32 size | bytes        kind 0: zeros, 1: as it is, 2: Zstandard, 3: tokens (`runs`)

Layouts are those of ggml (ggml-common.h of llama.cpp 0.5.0); a test holds them against the sizes of `formats.ggml`,
and takes every bit of a block apart and together again.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lfbuild.delta import lanes, runs, zstd
from lfbuild.errors import FormatError
from lfbuild.formats.ggml import element_block

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ZEROS, _PLAIN, _ZSTD, _TOKENS = range(4)
_PLANE_HEAD = struct.Struct("<BI")


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """Numbers of 2 or 4 bytes: scales, minima, or elements that are no codes. Their bytes become planes."""

    columns: tuple[int, ...]
    """Where in a block each begins."""
    size_bytes: int = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Codes:
    """Codes of one width, in neighbouring bytes of a block; their upper bits may stand elsewhere."""

    column: int
    count: int
    shift: int
    bits: int
    high_column: int = 0
    """With `high_bits`: where their upper bits stand, in as many neighbouring bytes."""
    high_shift: int = 0
    high_bits: int = 0

    @property
    def width(self) -> int:
        """Bits of a whole code."""
        return self.bits + self.high_bits


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How a type's blocks are made up."""

    size_bytes: int
    words: Words | None
    codes: tuple[Codes, ...] = ()

    @property
    def widths(self) -> tuple[int, ...]:
        """The widths of its codes, each once: a plane each."""
        return tuple(dict.fromkeys(group.width for group in self.codes))


def layout_of(tensor_type: int) -> Layout | None:
    """The layout of ggml's type of this number; None for one whose blocks are not known here."""
    return _LAYOUTS.get(tensor_type)


def packed(old: bytes, new: bytes, layout: Layout) -> bytes:
    """`new` as its difference from `old`, both whole blocks of one layout and of one size."""
    before, after = _Columns(old, layout), _Columns(new, layout)
    planes = [*_word_planes(before, after, layout), *_code_planes(before, after, layout)]
    return b"".join(_packed_plane(plane) for plane in planes)


def unpacked(old: bytes, data: bytes, layout: Layout, *, where: str) -> bytes:
    """What `packed` was given as `new`.

    Raises:
        FormatError: the planes are damaged, or not of the size that `old` asks for.
    """
    before, after = _Columns(old, layout), _Merged(len(old), layout)
    planes = _unpacked_planes(data, list(_plane_sizes(layout, before.blocks)), where)
    words = layout.words.size_bytes if layout.words else 0
    if layout.words:
        _add_words(before, after, layout.words, planes[:words])
    for width, plane in zip(layout.widths, planes[words:], strict=True):
        _add_codes(before, after, [group for group in layout.codes if group.width == width], plane)
    return after.to_bytes()


class _Columns:
    """The blocks of a piece of a tensor, seen by the places of their bytes: all blocks' first byte, their second, …"""

    def __init__(self, data: bytes, layout: Layout) -> None:
        self._data, self._step = data, layout.size_bytes
        self.blocks = len(data) // layout.size_bytes
        self._rows: dict[tuple[int, int], int] = {}

    def row(self, column: int, count: int) -> int:
        """The bytes at `count` neighbouring places, a lane each."""
        key = (column, count)
        if key not in self._rows:
            gathered = b"".join(self._data[at :: self._step] for at in range(column, column + count))
            self._rows[key] = lanes.to_row(gathered)
        return self._rows[key]

    def codes(self, group: Codes) -> int:
        """The codes of a group, a lane each."""
        size = group.count * self.blocks
        row = (self.row(group.column, group.count) >> group.shift) & _mask(group.bits, size)
        if group.high_bits:
            high = self.row(group.high_column, group.count) >> group.high_shift
            row |= (high & _mask(group.high_bits, size)) << group.bits
        return row

    def words(self, words: Words) -> bytes:
        """All words at the first place, then all at the second one."""
        size, blocks = words.size_bytes, self.blocks
        if self._step == size:
            return self._data
        gathered = bytearray(blocks * size * len(words.columns))
        for place, column in enumerate(words.columns):
            start, end = place * blocks * size, (place + 1) * blocks * size
            for byte in range(size):
                gathered[start + byte : end : size] = self._data[column + byte :: self._step]
        return bytes(gathered)


class _Merged:
    """Blocks that are put together: the inverse of `_Columns`."""

    def __init__(self, size: int, layout: Layout) -> None:
        self._data, self._step = bytearray(size), layout.size_bytes
        self._blocks = size // layout.size_bytes
        self._rows: dict[tuple[int, int], int] = {}

    def put(self, row: int, column: int, count: int) -> None:
        """Set bits of the bytes at `count` neighbouring places, a lane each."""
        key = (column, count)
        self._rows[key] = self._rows.get(key, 0) | row

    def put_codes(self, row: int, group: Codes) -> None:
        """The codes of a group, a lane each."""
        size = group.count * self._blocks
        self.put((row & _mask(group.bits, size)) << group.shift, group.column, group.count)
        if group.high_bits:
            high = (row >> group.bits) & _mask(group.high_bits, size)
            self.put(high << group.high_shift, group.high_column, group.count)

    def put_words(self, data: bytes, words: Words) -> None:
        """All words at the first place, then all at the second one."""
        size = words.size_bytes
        for place, column in enumerate(words.columns):
            mine = data[place * self._blocks * size : (place + 1) * self._blocks * size]
            for byte in range(size):
                self._data[column + byte :: self._step] = mine[byte::size]

    def to_bytes(self) -> bytes:
        """The blocks."""
        for (column, count), row in self._rows.items():
            gathered = lanes.to_bytes(row, count * self._blocks)
            for place in range(count):
                mine = gathered[place * self._blocks : (place + 1) * self._blocks]
                self._data[column + place :: self._step] = mine
        return bytes(self._data)


def _mask(bits: int, size: int) -> int:
    return lanes.repeated((1 << bits) - 1, 1, size)


def _plane_sizes(layout: Layout, blocks: int) -> Iterator[int]:
    if layout.words:
        yield from (len(layout.words.columns) * blocks for _ in range(layout.words.size_bytes))
    for width in layout.widths:
        yield sum(group.count for group in layout.codes if group.width == width) * blocks


def _word_planes(before: _Columns, after: _Columns, layout: Layout) -> Iterator[bytes]:
    """A plane of the words' lowest bytes, one of the next, …"""
    if layout.words is None:
        return
    size = layout.words.size_bytes
    new, old = after.words(layout.words), before.words(layout.words)
    row = lanes.subtracted(lanes.to_row(new), lanes.to_row(old), bits=8 * size, lane_bytes=size, lanes=len(new) // size)
    whole = lanes.to_bytes(row, len(new))
    yield from (whole[byte::size] for byte in range(size))


def _add_words(before: _Columns, after: _Merged, words: Words, planes: Sequence[bytes]) -> None:
    size = words.size_bytes
    folded = bytearray(size * len(planes[0]))
    for byte, plane in enumerate(planes):
        folded[byte::size] = plane
    row = lanes.added(
        lanes.to_row(before.words(words)),
        lanes.to_row(bytes(folded)),
        bits=8 * size,
        lane_bytes=size,
        lanes=len(planes[0]),
    )
    after.put_words(lanes.to_bytes(row, len(folded)), words)


def _code_planes(before: _Columns, after: _Columns, layout: Layout) -> Iterator[bytes]:
    """A plane of all codes of one width, one of the next, …"""
    for width in layout.widths:
        parts = []
        for group in layout.codes:
            if group.width == width:
                size = group.count * before.blocks
                new, old = after.codes(group), before.codes(group)
                row = lanes.subtracted(new, old, bits=width, lane_bytes=1, lanes=size)
                parts.append(lanes.to_bytes(row, size))
        yield b"".join(parts)


def _add_codes(before: _Columns, after: _Merged, groups: Sequence[Codes], plane: bytes) -> None:
    position = 0
    for group in groups:
        size = group.count * before.blocks
        # A hostile plane may have numbers that are too large for a code; they are cut to its width.
        folded = lanes.to_row(plane[position : position + size]) & _mask(group.width, size)
        row = lanes.added(before.codes(group), folded, bits=group.width, lane_bytes=1, lanes=size)
        after.put_codes(row, group)
        position += size


def _packed_plane(plane: bytes) -> bytes:
    if not any(plane):
        return _PLANE_HEAD.pack(_ZEROS, 0)
    choices = [(_PLAIN, plane), (_ZSTD, zstd.packed(plane, level=zstd.LITERAL_LEVEL))]
    if (tokens := runs.packed(plane)) is not None:
        choices.append((_TOKENS, tokens))
    kind, data = min(choices, key=lambda item: (len(item[1]), item[0]))
    return _PLANE_HEAD.pack(kind, len(data)) + data


def _unpacked_planes(data: bytes, sizes: Sequence[int], where: str) -> list[bytes]:
    planes, position = [], 0
    for size in sizes:
        if len(data) < position + _PLANE_HEAD.size:
            raise FormatError(where, "ends in the middle of its planes")
        kind, stored = _PLANE_HEAD.unpack_from(data, position)
        position += _PLANE_HEAD.size
        planes.append(_unpacked_plane(kind, data[position : position + stored], size, where))
        position += stored
    if position != len(data):
        raise FormatError(where, "is not as long as its planes")
    return planes


def _unpacked_plane(kind: int, data: bytes, size: int, where: str) -> bytes:
    if kind == _ZEROS:
        return bytes(size)
    if kind == _ZSTD:
        return zstd.unpacked(data, size, where=where)
    if kind == _TOKENS:
        return runs.unpacked(data, size, where=where)
    if kind != _PLAIN or len(data) != size:
        raise FormatError(where, "has a plane of an unknown kind or a wrong size")
    return data


def _nibbles(column: int, count: int) -> tuple[Codes, ...]:
    """Two codes of four bits a byte."""
    return tuple(Codes(column=column, count=count, shift=shift, bits=4) for shift in (0, 4))


def _fifths(column: int, high: int) -> tuple[Codes, ...]:
    """Q5_0 and Q5_1: nibbles in 16 bytes, the fifth bits in 4 bytes, code n's in bit n."""
    return tuple(
        Codes(
            column=column + code % 16,
            count=1,
            shift=4 * (code // 16),
            bits=4,
            high_column=high + code // 8,
            high_shift=code % 8,
            high_bits=1,
        )
        for code in range(32)
    )


def _six_bit_scales(column: int) -> tuple[Codes, ...]:
    """Q4_K and Q5_K: eight scales and eight minima of six bits in twelve bytes."""
    return (
        *(Codes(column=column + place, count=4, shift=0, bits=6) for place in (0, 4)),
        *(
            Codes(column=column + 8, count=4, shift=shift, bits=4, high_column=column + high, high_shift=6, high_bits=2)
            for shift, high in ((0, 0), (4, 4))
        ),
    )


def _q6_codes() -> tuple[Codes, ...]:
    """Q6_K: nibbles in 128 bytes, two upper bits in 64."""
    return tuple(
        Codes(
            column=64 * half + 32 * (quarter % 2),
            count=32,
            shift=4 * (quarter // 2),
            bits=4,
            high_column=128 + 32 * half,
            high_shift=2 * quarter,
            high_bits=2,
        )
        for half in range(2)
        for quarter in range(4)
    )


def _q5_k_codes() -> tuple[Codes, ...]:
    """Q5_K: nibbles in 128 bytes, the fifth bits in 32."""
    return tuple(
        Codes(
            column=48 + 32 * pair,
            count=32,
            shift=4 * odd,
            bits=4,
            high_column=16,
            high_shift=2 * pair + odd,
            high_bits=1,
        )
        for pair in range(4)
        for odd in range(2)
    )


def _q3_k_codes() -> tuple[Codes, ...]:
    """Q3_K: pairs of bits in 64 bytes, the third bits in 32; scales of six bits in twelve."""
    codes = tuple(
        Codes(
            column=32 + 32 * half,
            count=32,
            shift=2 * quarter,
            bits=2,
            high_column=0,
            high_shift=4 * half + quarter,
            high_bits=1,
        )
        for half in range(2)
        for quarter in range(4)
    )
    scales = tuple(
        Codes(
            column=96 + 4 * (part % 2),
            count=4,
            shift=4 * (part // 2),
            bits=4,
            high_column=104,
            high_shift=2 * part,
            high_bits=2,
        )
        for part in range(4)
    )
    return (*codes, *scales)


def _quarters(column: int, count: int) -> tuple[Codes, ...]:
    """Four codes of two bits a byte."""
    return tuple(Codes(column=column, count=count, shift=shift, bits=2) for shift in (0, 2, 4, 6))


def _layout(tensor_type: int, words: tuple[int, ...], codes: tuple[Codes, ...] = (), *, word_bytes: int = 2) -> Layout:
    known = element_block(tensor_type)
    if known is None:
        raise AssertionError(f"{tensor_type} is no type of ggml")
    return Layout(
        size_bytes=known.size_bytes,
        words=Words(columns=words, size_bytes=word_bytes) if words else None,
        codes=codes,
    )


_LAYOUTS: Final = {
    0: _layout(0, (0,), word_bytes=4),  # F32
    1: _layout(1, (0,)),  # F16
    2: _layout(2, (0,), _nibbles(2, 16)),  # Q4_0
    3: _layout(3, (0, 2), _nibbles(4, 16)),  # Q4_1
    6: _layout(6, (0,), _fifths(6, 2)),  # Q5_0
    7: _layout(7, (0, 2), _fifths(8, 4)),  # Q5_1
    8: _layout(8, (0,), (Codes(column=2, count=32, shift=0, bits=8),)),  # Q8_0
    10: _layout(10, (80, 82), (*_nibbles(0, 16), *_quarters(16, 64))),  # Q2_K
    11: _layout(11, (108,), _q3_k_codes()),  # Q3_K
    12: _layout(12, (0, 2), (*_six_bit_scales(4), *_nibbles(16, 128))),  # Q4_K
    13: _layout(13, (0, 2), (*_six_bit_scales(4), *_q5_k_codes())),  # Q5_K
    14: _layout(14, (208,), (*_q6_codes(), Codes(column=192, count=16, shift=0, bits=8))),  # Q6_K
    20: _layout(20, (0,), _nibbles(2, 16)),  # IQ4_NL
    23: _layout(23, (0,), (*_quarters(2, 2), *_nibbles(4, 132))),  # IQ4_XS
    30: _layout(30, (0,)),  # BF16
    39: _layout(39, (), (Codes(column=0, count=1, shift=0, bits=8), *_nibbles(1, 16))),  # MXFP4
}
