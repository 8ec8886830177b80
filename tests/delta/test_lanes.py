"""Arithmetic in lanes is that of numbers, one by one."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbuild.delta import lanes


@pytest.mark.parametrize(("bits", "lane_bytes"), [(2, 1), (3, 1), (4, 1), (5, 1), (6, 1), (8, 1), (16, 2), (32, 4)])
@given(data=st.data())
def test_a_difference_is_that_of_each_number_folded_and_adding_it_undoes_it(
    data: st.DataObject, bits: int, lane_bytes: int
) -> None:
    numbers = st.lists(st.integers(0, (1 << bits) - 1), min_size=1, max_size=20)
    new = data.draw(numbers)
    old = data.draw(st.lists(st.integers(0, (1 << bits) - 1), min_size=len(new), max_size=len(new)))

    folded = lanes.subtracted(
        _row(new, lane_bytes), _row(old, lane_bytes), bits=bits, lane_bytes=lane_bytes, lanes=len(new)
    )
    undone = lanes.added(_row(old, lane_bytes), folded, bits=bits, lane_bytes=lane_bytes, lanes=len(new))

    assert _numbers(folded, lane_bytes, len(new)) == [_folded(a - b, bits) for a, b in zip(new, old, strict=True)]
    assert _numbers(undone, lane_bytes, len(new)) == new


@given(st.binary(max_size=50), st.binary(min_size=50, max_size=50))
def test_bytes_are_subtracted_and_added_one_by_one(new: bytes, other: bytes) -> None:
    old = other[: len(new)]

    difference = lanes.subtracted_bytes(new, old)

    assert difference == bytes((a - b) % 256 for a, b in zip(new, old, strict=True))
    assert lanes.added_bytes(old, difference) == new


@pytest.mark.parametrize("size", [1 << 20, 16 << 20])
def test_rows_of_any_number_of_sizes_take_no_more_memory_than_two_frames(size: int) -> None:
    tracemalloc.start()
    try:
        for less in range(48):
            assert lanes.repeated(0x80, 1, size - less).bit_length() == 8 * (size - less)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert held < 36 << 20


def _folded(difference: int, bits: int) -> int:
    small = difference % (1 << bits)
    signed = small - (1 << bits) if small >= 1 << (bits - 1) else small
    return 2 * signed if signed >= 0 else -2 * signed - 1


def _row(numbers: list[int], lane_bytes: int) -> int:
    return lanes.to_row(b"".join(number.to_bytes(lane_bytes, "little") for number in numbers))


def _numbers(row: int, lane_bytes: int, count: int) -> list[int]:
    data = lanes.to_bytes(row, count * lane_bytes)
    return [int.from_bytes(data[at : at + lane_bytes], "little") for at in range(0, len(data), lane_bytes)]
