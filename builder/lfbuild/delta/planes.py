"""Takes quantized tensors apart, so that what a little training changed is small numbers and zeros.

A quantization block is a scale or two and codes of 2 to 8 bits, packed in ways that a byte-wise comparison cannot see
through: a training step moves most scales by a little and few codes by one, and yet hardly a byte string stays. So
fields are taken out of all blocks, equal ones together, each code in a lane of its own, and subtracted from the old
ones modulo their width. What results, a plane a width, is packed by whichever of a few ways is smallest.

    for each plane: u8 kind | u32 size | bytes        kind 0: zeros, 1: as it is, 2: Zstandard, 3: tokens (`runs`)

Which bits are which number says `layouts`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from lfbuild.delta import lanes, runs, zstd
from lfbuild.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lfbuild.delta.layouts import Codes, Layout, Words

_ZEROS, _PLAIN, _ZSTD, _TOKENS = range(4)
_PLANE_HEAD = struct.Struct("<BI")


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
