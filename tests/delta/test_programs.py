"""Programs as pieces of old ones."""

from __future__ import annotations

import random
import struct
import tracemalloc

import pytest

from lfbuild.delta import programs
from lfbuild.delta.covers import find_covers
from lfbuild.delta.programs import Cover
from lfbuild.errors import FormatError

CHANCE = random.Random(5)  # noqa: S311  # nothing secret
OLD = b"".join(struct.pack("<I", 4 * number) + CHANCE.randbytes(12) for number in range(60_000))
"""Code with addresses in it."""
NEW = (
    OLD[:5000]
    + CHANCE.randbytes(700)
    + b"".join(
        struct.pack("<I", struct.unpack_from("<I", OLD, at)[0] + 700) + OLD[at + 4 : at + 16]
        for at in range(5008, len(OLD) - 16, 16)
    )
    + b"the end"
)


def undone(data: bytes, size: int, old: bytes = OLD) -> bytes:
    return b"".join(
        programs.unpacked(data, size, lambda offset, length: old[offset : offset + length], len(old), where="frame")
    )


def test_a_program_comes_out_again_and_its_moved_addresses_cost_little() -> None:
    data = programs.packed(OLD, NEW, find_covers(OLD, NEW))

    assert undone(data, len(NEW)) == NEW
    assert len(data) < 0.03 * len(NEW)


def test_pieces_are_small_whatever_the_size_of_the_program() -> None:
    data = programs.packed(OLD, NEW, find_covers(OLD, NEW))
    reads: list[int] = []

    def read(offset: int, length: int) -> bytes:
        reads.append(length)
        return OLD[offset : offset + length]

    pieces = [len(piece) for piece in programs.unpacked(data, len(NEW), read, len(OLD), where="frame")]

    assert max(pieces + reads) <= 256 << 10
    assert len(pieces) > 3


@pytest.mark.parametrize(
    ("old", "new"), [(b"", b""), (b"", b"abc"), (b"abc", b""), (b"abc", b"abc"), (b"x" * 999, b"y" * 999)]
)
def test_any_two_byte_strings_have_a_difference(old: bytes, new: bytes) -> None:
    data = programs.packed(old, new, find_covers(old, new))

    assert undone(data, len(new), old) == new


def test_covers_may_go_back_and_leave_gaps() -> None:
    old, new = b"0123456789" * 3, b"..23456789--01234567!"
    covers = [Cover(old=22, new=2, size_bytes=8), Cover(old=0, new=12, size_bytes=8)]

    assert undone(programs.packed(old, new, covers), len(new), old) == new


GOOD = programs.packed(OLD, NEW, find_covers(OLD, NEW))
CONTROL, DIFFERENCES = struct.unpack_from("<II", GOOD, 4)
FAR = programs.packed(bytes(100), bytes(100), [Cover(old=0, new=0, size_bytes=100)])


@pytest.mark.parametrize(
    ("data", "size", "old_size", "told"),
    [
        (b"\0" * 11, 9, 9, "ends in its first bytes"),
        (b"\xff" * 12, 9, 9, "4294967295 covers are more than a program of 9 bytes needs"),
        (struct.pack("<III", 2, 0, 0), 15, 9, "2 covers are more than a program of 15 bytes needs"),
        (
            struct.pack("<III", 5 << 20, 0, 0),
            8 << 20,
            9,
            "5242880 covers are more than a program of 8388608 bytes needs",
        ),
        (bytes(12), 9, 9, "ends in the middle of its streams"),
        (FAR, 99, 100, "is longer than the 99 bytes that it promises"),
        (GOOD, len(NEW) + 1, len(OLD), "one of its streams is too short"),
        (FAR, 100, 99, "a cover of 100 bytes at 0 lies outside of the old program"),
        (GOOD[:12] + b"\xff" + GOOD[13:], len(NEW), len(OLD), "one of its streams has settings that are not known"),
        (GOOD[:13] + b"\x1f" + GOOD[14:], len(NEW), len(OLD), "one of its streams has settings that are not known"),
        (GOOD[:-40], len(NEW), len(OLD), "one of its streams is too short"),
    ],
)
def test_a_damaged_difference_is_refused(data: bytes, size: int, old_size: int, told: str) -> None:
    with pytest.raises(FormatError) as caught:
        list(programs.unpacked(data, size, lambda _, length: bytes(length), old_size, where="frame"))

    assert str(caught.value) == f"frame: {told}"


def test_a_stream_that_goes_on_is_refused() -> None:
    shorter = programs.packed(b"", b"abc", [])

    with pytest.raises(FormatError) as caught:
        undone(shorter, 2, b"")

    assert str(caught.value) == "frame: one of its streams is too long"


def test_covers_take_little_memory_however_many_there_are() -> None:
    count = 1 << 18
    control = programs._stream(programs._leb128([*[0] * 2 * count, *[1000] * count]), programs._CONTROL)
    data = struct.pack("<III", count, len(control), 0) + control
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            undone(data, programs.LEAST_COVER_BYTES * count)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 10 << 20


@pytest.mark.parametrize("number", [0, 127, 128, 1 << 35, (1 << 63) - 1])
def test_numbers_of_up_to_63_bits_are_read_however_they_fall_into_pieces(number: int) -> None:
    stream = programs._Stream(programs._stream(programs._leb128([number] * 99), programs._CONTROL), "frame")

    assert list(programs._read_leb128(stream, 99, "frame")) == [number] * 99


def test_a_number_of_more_bits_is_refused() -> None:
    stream = programs._Stream(programs._stream(programs._leb128([1 << 63]), programs._CONTROL), "frame")

    with pytest.raises(FormatError) as caught:
        programs._read_leb128(stream, 1, "frame")

    assert str(caught.value) == "frame: has a number of more than 63 bits"
