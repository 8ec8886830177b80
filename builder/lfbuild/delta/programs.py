"""Programs: a new one from pieces of the old one whose bytes mostly differ by nothing, and what is new in between.

When a function grows, what stands behind it moves, and every address that reaches over it changes by the same little.
So a piece of the new program is not a copy of an old piece but nearly: subtracted byte by byte, most of it is zero
(Percival, "Naive differences of executable code", 2003). A list of such pieces (covers), their differences, and the
bytes between them are three streams, each packed by LZMA on its own.

    u32 covers | u32 size of the first stream | u32 size of the second | control | differences | new bytes
    a stream: u8 LZMA's properties byte | u8 dictionary, power of two | u8 1: x86 filter | LZMA2

Control is three lists of numbers (LEB128), one after the other: of each cover the new bytes before it, its length,
and how far in the old program from the end of the last one (folded: 0, -1, 1, … are 0, 1, 2, …). New bytes follow the
last cover too. Applying needs the standard library alone, and of the new program 256 KiB at a time.

Which pieces to take is HDiffPatch's decision (`find_covers`): measured on real engines, its covers with these streams
are 3 % smaller than its own format and 20 % smaller than bsdiff's (docs/decisions/0009-differences.md).
"""

from __future__ import annotations

import itertools
import lzma
import struct
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lfbuild.delta.lanes import added_bytes, subtracted_bytes
from lfbuild.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_HEAD: Final = struct.Struct("<III")
_PIECE_BYTES: Final = 256 << 10
LEAST_COVER_BYTES: Final = 8
"""A shorter one gains nothing, and many in few bytes of control would cost whoever applies them memory."""
_MOST_COVERS: Final = 1 << 22
_MOST_DICTIONARY_POWER: Final = 24
"""A decoder needs 2^24 bytes and a little more for a stream."""
_STREAM_HEAD: Final = struct.Struct("<BBB")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Settings:
    """How LZMA looks at a stream: bits of the last byte, and of the position, that it tells apart."""

    lc: int = 0
    lp: int = 0
    pb: int = 0
    is_code: bool = False
    """Whether jumps of x86 are made absolute first: new code has many to few places."""


_CONTROL: Final = _Settings()
_DIFFERENCES: Final = _Settings(lc=3)
_NEW: Final = _Settings(lc=3, pb=2, is_code=True)
"""Chosen on real engines, and written into each stream."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cover:
    """A piece of the new program that is nearly one of the old one."""

    old: int
    new: int
    size_bytes: int


def packed(old: bytes, new: bytes, covers: Sequence[Cover]) -> bytes:
    """`new` as its covers, which must be in order and not overlap."""
    ends = [0, *(cover.new + cover.size_bytes for cover in covers)]
    differences = b"".join(
        subtracted_bytes(new[cover.new : cover.new + cover.size_bytes], old[cover.old : cover.old + cover.size_bytes])
        for cover in covers
    )
    between = [new[end : cover.new] for end, cover in zip(ends, covers, strict=False)]
    control = _stream(_control(covers), _CONTROL)
    difference_stream = _stream(differences, _DIFFERENCES)
    new_stream = _stream(b"".join([*between, new[ends[-1] :]]), _NEW)
    return _HEAD.pack(len(covers), len(control), len(difference_stream)) + control + difference_stream + new_stream


def unpacked(
    data: bytes, size: int, read_old: Callable[[int, int], bytes], old_size: int, *, where: str
) -> Iterator[bytes]:
    """The new program of `size` bytes, in pieces of at most 256 KiB.

    Raises:
        FormatError: a stream is damaged or of another length, or a cover lies outside of one of the programs.
    """
    if len(data) < _HEAD.size:
        raise FormatError(where, "ends in its first bytes")
    count, control_size, difference_size = _HEAD.unpack_from(data)
    if count > min(size // LEAST_COVER_BYTES, _MOST_COVERS):
        raise FormatError(where, f"{count} covers are more than a program of {size} bytes needs")
    second, third = _HEAD.size + control_size, _HEAD.size + control_size + difference_size
    covers = _read_control(data[_HEAD.size : second], count, where)
    differences, new_bytes = _Stream(data[second:third], where), _Stream(data[third:], where)
    assembly = _Assembly(read_old, old_size, size, where)
    for before, length, old in covers:
        yield from assembly.new(new_bytes, before)
        yield from assembly.cover(differences, old, length)
    yield from assembly.new(new_bytes, size - assembly.position)
    yield from assembly.rest()
    differences.finish()
    new_bytes.finish()


class _Assembly:
    """Two rows of bytes whose sum is the program: old bytes or zeros, and differences or new bytes."""

    def __init__(self, read_old: Callable[[int, int], bytes], old_size: int, size: int, where: str) -> None:
        self._read_old, self._old_size, self._size, self._where = read_old, old_size, size, where
        self._base, self._change = bytearray(), bytearray()
        self.position = 0

    def new(self, stream: _Stream, length: int) -> Iterator[bytes]:
        """Bytes that are in no old program."""
        yield from self._take(length, lambda _, size: bytes(size), stream)

    def cover(self, stream: _Stream, old: int, length: int) -> Iterator[bytes]:
        """Bytes that are nearly those at `old`."""
        if old < 0 or old + length > self._old_size:
            raise FormatError(self._where, f"a cover of {length} bytes at {old} lies outside of the old program")
        yield from self._take(length, lambda done, size: self._read_old(old + done, size), stream)

    def rest(self) -> Iterator[bytes]:
        """What is left."""
        if self._base:
            yield self._sum()

    def _take(self, length: int, base: Callable[[int, int], bytes], stream: _Stream) -> Iterator[bytes]:
        if length < 0 or self.position + length > self._size:
            raise FormatError(self._where, f"is longer than the {self._size} bytes that it promises")
        self.position += length
        done = 0
        while done < length:
            size = min(length - done, _PIECE_BYTES - len(self._base))
            self._base += base(done, size)
            self._change += stream.take(size)
            done += size
            if len(self._base) == _PIECE_BYTES:
                yield self._sum()

    def _sum(self) -> bytes:
        base, change = bytes(self._base), bytes(self._change)
        self._base.clear()
        self._change.clear()
        return added_bytes(base, change)


class _Stream:
    """An LZMA2 stream, read front to back; what it asks for in memory is bounded."""

    def __init__(self, data: bytes, where: str) -> None:
        self._where, self._left = where, data[_STREAM_HEAD.size :]
        if len(data) < _STREAM_HEAD.size:
            raise FormatError(where, "ends in the middle of its streams")
        properties, power, is_code = _STREAM_HEAD.unpack_from(data)
        rest, lc = divmod(properties, 9)
        pb, lp = divmod(rest, 5)
        if pb > 4 or lc + lp > 4 or not 12 <= power <= _MOST_DICTIONARY_POWER or is_code > 1:
            raise FormatError(where, "one of its streams has settings that are not known")
        chain = _chain(_Settings(lc=lc, lp=lp, pb=pb, is_code=bool(is_code)), power)
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=chain)

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        parts = []
        left = size
        while left:
            part = self._more(left)
            if not part:
                raise FormatError(self._where, "one of its streams is too short")
            parts.append(part)
            left -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def finish(self) -> None:
        """Refuse a stream that goes on."""
        if not self._decoder.eof and self._more(1):
            raise FormatError(self._where, "one of its streams is too long")
        if not self._decoder.eof or self._decoder.unused_data:
            raise FormatError(self._where, "one of its streams does not end where it should")

    def _more(self, most: int) -> bytes:
        """Up to `most` bytes; empty at the end of the stream, or of the data."""
        part = b""
        try:
            while not part and not self._decoder.eof and (self._left or not self._decoder.needs_input):
                part = self._decoder.decompress(self._left, most)
                self._left = b""
        except (lzma.LZMAError, MemoryError) as error:
            raise FormatError(self._where, f"one of its streams cannot be unpacked: {error}") from error
        return part


def _stream(data: bytes, settings: _Settings) -> bytes:
    power = min(max(12, max(len(data) - 1, 0).bit_length()), _MOST_DICTIONARY_POWER)
    properties = (settings.pb * 5 + settings.lp) * 9 + settings.lc
    head = _STREAM_HEAD.pack(properties, power, settings.is_code)
    return head + lzma.compress(data, format=lzma.FORMAT_RAW, filters=_chain(settings, power))


def _chain(settings: _Settings, power: int) -> list[dict[str, int]]:
    packer = {
        "id": lzma.FILTER_LZMA2,
        "preset": 9 | lzma.PRESET_EXTREME,
        "dict_size": 1 << power,
        "lc": settings.lc,
        "lp": settings.lp,
        "pb": settings.pb,
    }
    return [{"id": lzma.FILTER_X86}, packer] if settings.is_code else [packer]


def _control(covers: Sequence[Cover]) -> bytes:
    before, lengths, seeks = [], [], []
    old = new = 0
    for cover in covers:
        before.append(cover.new - new)
        lengths.append(cover.size_bytes)
        seek = cover.old - old
        seeks.append(2 * seek if seek >= 0 else -2 * seek - 1)
        old, new = cover.old + cover.size_bytes, cover.new + cover.size_bytes
    return _leb128(itertools.chain(before, lengths, seeks))


def _read_control(data: bytes, count: int, where: str) -> Iterator[tuple[int, int, int]]:
    """Of each cover: the new bytes before it, its length, and where it begins in the old program."""
    stream = _Stream(data, where)
    numbers = _read_leb128(stream, 3 * count, where)
    stream.finish()
    old = 0
    for number in range(count):
        before, length, seek = numbers[number], numbers[count + number], numbers[2 * count + number]
        old += seek // 2 if seek % 2 == 0 else -(seek // 2) - 1
        yield before, length, old
        old += length


def _leb128(values: Iterable[int]) -> bytes:
    data = bytearray()
    for value in values:
        rest = value
        while rest > 0x7F:
            data.append(rest & 0x7F | 0x80)
            rest >>= 7
        data.append(rest)
    return bytes(data)


def _read_leb128(stream: _Stream, count: int, where: str) -> array[int]:
    """As many numbers, of 8 bytes each in memory."""
    numbers = array("q")
    value = shift = 0
    while len(numbers) < count:
        # No number is shorter than a byte, so no byte is taken that belongs to none of them.
        for byte in stream.take(min(count - len(numbers), _PIECE_BYTES)):
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                numbers.append(value)
                value = shift = 0
            elif shift == 56:
                raise FormatError(where, "has a number of more than 63 bits")
            else:
                shift += 7
    return numbers
