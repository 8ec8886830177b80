"""Finds the pieces of a new program that are nearly pieces of the old one: the publisher's half, by HDiffPatch.

`hdiffpatch` (the extra `lfbuild[delta]`) makes a difference in a format of its own, of which only the list of covers
is taken; what is between and inside them is known here anyway.

    HDIFF13& type NUL | new size | old size | covers | size of the list | … nine more sizes | list
    a cover: sign of the seek and the seek from the end of the last one in the old | the same in the new | length

Numbers are in groups of seven bits, the highest first (HDiffPatch, `hpatch_packUIntWithTag`).
"""

from __future__ import annotations

from importlib.util import find_spec

from lfbuild.delta.programs import LEAST_COVER_BYTES, Cover
from lfbuild.errors import ToolError

PACKAGE = "hdiffpatch"
_MAGIC = b"HDIFF13&"
_SIZES_BEHIND_COUNT = 8


def can_find_covers() -> bool:
    """Whether the package that finds them is here."""
    return find_spec(PACKAGE) is not None


def find_covers(old: bytes, new: bytes) -> list[Cover]:
    """The covers of `new`, in order. Needs five times the memory of both.

    Raises:
        ToolError: the package is another than is known here.
    """
    import hdiffpatch

    made: bytes = hdiffpatch.diff(old, new, hdiffpatch.COMPRESSION_NONE, validate=False)
    covers = _parse(made)
    if not _hold_together(covers, len(old), len(new)):
        raise ToolError(PACKAGE, "made a difference of another form than is known here")
    return [cover for cover in covers if cover.size_bytes >= LEAST_COVER_BYTES]


def _parse(data: bytes) -> list[Cover]:
    if not data.startswith(_MAGIC):
        return [Cover(old=0, new=0, size_bytes=-1)]
    numbers = _Numbers(data, data.index(b"\0") + 1)
    numbers.next()
    numbers.next()
    count = numbers.next()
    for _ in range(_SIZES_BEHIND_COUNT):
        numbers.next()
    covers = []
    old = new = 0
    for _ in range(count):
        backwards, seek = numbers.next_signed()
        old += -seek if backwards else seek
        new += numbers.next()
        size = numbers.next()
        covers.append(Cover(old=old, new=new, size_bytes=size))
        old, new = old + size, new + size
    return covers


def _hold_together(covers: list[Cover], old_size: int, new_size: int) -> bool:
    end = 0
    for cover in covers:
        inside = 0 <= cover.old <= old_size - cover.size_bytes and cover.new <= new_size - cover.size_bytes
        if cover.new < end or cover.size_bytes < 0 or not inside:
            return False
        end = cover.new + cover.size_bytes
    return True


class _Numbers:
    """Reads numbers of seven bits a byte, the highest first."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data, self._position = data, position

    def next(self) -> int:
        """The next number."""
        value, more = 0, True
        while more:
            byte = self._byte()
            value, more = value << 7 | byte & 0x7F, byte > 0x7F
        return value

    def next_signed(self) -> tuple[bool, int]:
        """The next number, whose first byte has a sign in its top bit."""
        byte = self._byte()
        sign, value, more = byte > 0x7F, byte & 0x3F, bool(byte & 0x40)
        while more:
            byte = self._byte()
            value, more = value << 7 | byte & 0x7F, byte > 0x7F
        return sign, value

    def _byte(self) -> int:
        byte = self._data[self._position]
        self._position += 1
        return byte
