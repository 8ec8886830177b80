"""Bytes that are mostly zero, in tokens."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbuild.delta import runs, zstd
from lfbuild.errors import FormatError

MOSTLY_ZERO = st.lists(st.one_of(st.just(0), st.just(0), st.just(0), st.integers(0, 255)), max_size=2000).map(bytes)


@given(MOSTLY_ZERO)
def test_what_is_packed_comes_out_again(data: bytes) -> None:
    packed = runs.packed(data)

    assert packed is not None
    assert runs.unpacked(packed, len(data), where="plane") == data


@pytest.mark.parametrize("data", [b"", b"\0", bytes(100_000), b"\1" * 5000, bytes(300) + b"\7" + bytes(513)])
def test_extremes_come_out_again(data: bytes) -> None:
    packed = runs.packed(data)

    assert packed is not None
    assert runs.unpacked(packed, len(data), where="plane") == data


def test_bytes_of_too_many_values_are_left_to_others() -> None:
    assert runs.packed(bytes(range(256))) is None


def test_numbers_in_no_order_take_little_more_than_their_entropy() -> None:
    chance = random.Random(1)  # noqa: S311  # nothing secret
    data = bytes(chance.choices((0, 1, 2, 3, 4), weights=(900, 45, 45, 5, 5), k=400_000))
    entropy = -sum(count * math.log2(count / len(data)) for count in Counter(data).values()) / 8

    packed = runs.packed(data)

    assert packed is not None
    assert len(packed) < 1.04 * entropy
    assert len(zstd.packed(data)) > 1.2 * entropy  # what a general compressor makes of it


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "does not unpack to 100 bytes or fewer"),
        (b"\x00junk", "cannot be unpacked: "),
        (b"\x02\x01", "its table of tokens is damaged"),
        (b"\x01\x01\xff", "its table of tokens is damaged"),
        (b"\x00" + zstd.packed(b"\x09"), "has a token that its table does not have"),
        (b"\x00" + zstd.packed(b"\x08" * 3), "does not unpack to the 100 bytes that it promises"),
        (b"\x00" + zstd.packed(b"\x00" * 101), "does not unpack to 100 bytes or fewer"),
        (b"\x00" + zstd.packed(b"\x00" * 99), "does not unpack to the 100 bytes that it promises"),
    ],
)
def test_damaged_tokens_are_refused(data: bytes, told: str) -> None:
    with pytest.raises(FormatError) as caught:
        runs.unpacked(data, 100, where="plane")

    assert str(caught.value).startswith(f"plane: {told}")
