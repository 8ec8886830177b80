"""Quantized tensors taken apart: every type, every bit, and the numbers that ggml means."""

from __future__ import annotations

import itertools
import random
import struct

import gguf
import numpy as np
import pytest

from lfbuild.delta import planes, zstd
from lfbuild.delta.layouts import Codes, Layout, layout_of
from lfbuild.errors import FormatError
from lfbuild.formats.ggml import element_block

KNOWN = [number for number in range(64) if layout_of(number)]


def layout(number: int) -> Layout:
    found = layout_of(number)
    assert found is not None
    return found


@pytest.mark.parametrize("number", KNOWN)
def test_every_bit_of_a_block_is_a_number_of_one_plane(number: int) -> None:
    it = layout(number)
    seen = [0] * it.size_bytes
    for column in it.words.columns if it.words else ():
        for byte in range(it.words.size_bytes if it.words else 0):
            seen[column + byte] += 0xFF
    for group in it.codes:
        for place in range(group.count):
            seen[group.column + place] += ((1 << group.bits) - 1) << group.shift
            if group.high_bits:
                seen[group.high_column + place] += ((1 << group.high_bits) - 1) << group.high_shift

    assert seen == [0xFF] * it.size_bytes
    known = element_block(number)
    assert known is not None
    assert it.size_bytes == known.size_bytes


@pytest.mark.parametrize("number", KNOWN)
def test_columns_of_codes_overlap_wholly_or_not_at_all(number: int) -> None:
    spans = {(group.column, group.count) for group in layout(number).codes}
    spans |= {(group.high_column, group.count) for group in layout(number).codes if group.high_bits}

    for first in spans:
        for second in spans - {first}:
            assert first[0] + first[1] <= second[0] or second[0] + second[1] <= first[0]


@pytest.mark.parametrize("number", KNOWN)
@pytest.mark.parametrize("blocks", [1, 2, 37])
def test_any_new_blocks_come_out_of_any_old_ones(number: int, blocks: int) -> None:
    chance = random.Random(number)  # noqa: S311  # nothing secret
    it = layout(number)
    old, new = chance.randbytes(blocks * it.size_bytes), chance.randbytes(blocks * it.size_bytes)

    assert planes.unpacked(old, planes.packed(old, new, it), it, where="frame") == new


@pytest.mark.parametrize("number", KNOWN)
def test_blocks_that_are_the_same_take_a_few_bytes(number: int) -> None:
    it = layout(number)
    old = random.Random(number).randbytes(100 * it.size_bytes)  # noqa: S311  # nothing secret

    assert len(planes.packed(old, old, it)) <= 5 * 6


@pytest.mark.parametrize(
    "kind", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "F16", "BF16", "F32"]
)  # what the gguf package can quantize
def test_a_little_training_becomes_small_numbers(kind: str) -> None:
    """A difference that is taken in the wrong places of a block would be no smaller than the block."""
    number = gguf.GGMLQuantizationType[kind]
    chance = np.random.default_rng(3)
    weights = chance.standard_normal((64, 1024), dtype=np.float32)
    trained = weights + 0.002 * chance.standard_normal(weights.shape, dtype=np.float32)
    old, new = (gguf.quants.quantize(it, number).tobytes() for it in (weights, trained))

    packed = planes.packed(old, new, layout(number))

    assert len(packed) < {"F16": 0.75, "BF16": 0.55, "F32": 0.85}.get(kind, 0.25) * len(new)
    assert len(packed) < 0.92 * len(zstd.packed(new, prefix=old))


@pytest.mark.parametrize(
    ("kind", "width"),
    [("Q2_K", 2), ("Q3_K", 3), ("Q4_K", 4), ("Q5_K", 5), ("Q6_K", 6), ("IQ4_NL", 4), ("IQ4_XS", 4), ("MXFP4", 4)],
)
def test_a_code_is_where_ggml_has_it(kind: str, width: int) -> None:
    """gguf is the judge: a code that is one more, upper bits included, changes one element, always by the same step."""
    number = gguf.GGMLQuantizationType[kind]
    it = layout(number)
    block = bytearray(random.Random(7).randbytes(it.size_bytes))  # noqa: S311  # nothing secret
    for column in it.words.columns if it.words else ():
        block[column : column + 2] = struct.pack("<e", 0.5)
    if kind == "MXFP4":
        block[0] = 127
    is_even = kind.startswith("Q")
    for group in (group for group in it.codes if group.width == width):
        values = [_values(block, group, code, number) for code in range(1 << width)]
        steps = [after - before for before, after in itertools.pairwise(values)]

        (element,) = {int(np.flatnonzero(step)[0]) for step in steps if step.any()}
        assert all(np.count_nonzero(step) <= 1 for step in steps)
        assert not is_even or len({round(float(step[element]), 3) for step in steps}) == 1


def _values(block: bytearray, group: Codes, code: int, number: int) -> np.ndarray:
    """What a block means to gguf with another code at the last place of a group."""
    changed, place = bytearray(block), group.count - 1
    low, high = group.column + place, group.high_column + place
    changed[low] = changed[low] & ~(((1 << group.bits) - 1) << group.shift) | (
        (code & ((1 << group.bits) - 1)) << group.shift
    )
    if group.high_bits:
        changed[high] = changed[high] & ~(((1 << group.high_bits) - 1) << group.high_shift) | (
            code >> group.bits << group.high_shift
        )
    return gguf.quants.dequantize(np.frombuffer(bytes(changed), np.uint8), number).ravel()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "ends in the middle of its planes"),
        (b"\x00\x00\x00\x00\x00" * 3 + b"x", "is not as long as its planes"),
        (b"\x09\x00\x00\x00\x00" * 3, "has a plane of an unknown kind or a wrong size"),
        (b"\x01\x01\x00\x00\x00x" * 3, "has a plane of an unknown kind or a wrong size"),
    ],
)
def test_damaged_planes_are_refused(data: bytes, told: str) -> None:
    with pytest.raises(FormatError) as caught:
        planes.unpacked(bytes(36), data, layout(2), where="frame")

    assert str(caught.value) == f"frame: {told}"


def test_numbers_that_are_too_large_for_a_code_are_cut_to_it() -> None:
    hostile = b"\x00\x00\x00\x00\x00" * 2 + b"\x01\x40\x00\x00\x00" + b"\xff" * 64

    assert len(planes.unpacked(bytes(36), hostile, layout(2), where="frame")) == 36


def test_a_type_without_known_blocks_has_no_layout() -> None:
    assert layout_of(16) is None
