"""Block indexes: cuts add up to the region, and every contradiction of an index is refused."""

from __future__ import annotations

import struct

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from lfbuild.errors import FormatError
from lfbuild.formats.blocks import BLOCK_BYTES, NO_TENSOR, BlockIndex, Cuts, Run, root_of

RUNS = (
    Run(size_bytes=100, block_bytes=64, label="kv"),
    Run(size_bytes=50, block_bytes=18, label="blk.0.attn_q.weight", tensor_type=2),
    Run(size_bytes=7),
)
INDEX = BlockIndex(cuts=Cuts(runs=RUNS), leaves=b"".join(blake3(bytes([n])).digest() for n in range(6)))
RUN_AT = 64
LABELS_AT = RUN_AT + 3 * 24
LEAVES_AT = LABELS_AT + 24


def runs() -> st.SearchStrategy[Run]:
    return st.builds(
        Run,
        size_bytes=st.integers(1, 3 * BLOCK_BYTES),
        block_bytes=st.integers(1 << 10, BLOCK_BYTES),
        label=st.text(max_size=9),
        tensor_type=st.integers(0, NO_TENSOR),
    )


def test_an_index_has_these_bytes() -> None:
    data = INDEX.to_bytes()

    assert data[:64] == struct.pack("<8sIIQQI28s", b"LFBLOCKS", 1, 3, 157, 6, 24, bytes(28))
    assert data[RUN_AT : RUN_AT + 24] == struct.pack("<QIIHHI", 100, 64, 0, 2, 0xFFFF, 0)
    assert data[RUN_AT + 24 : RUN_AT + 48] == struct.pack("<QIIHHI", 50, 18, 2, 19, 2, 0)
    assert data[RUN_AT + 48 : RUN_AT + 72] == struct.pack("<QIIHHI", 7, BLOCK_BYTES, 21, 0, 0xFFFF, 0)
    assert data[LABELS_AT:LEAVES_AT] == b"kvblk.0.attn_q.weight" + bytes(3)
    assert data[LEAVES_AT:] == INDEX.leaves


def test_the_root_is_the_digest_of_the_leaves() -> None:
    assert INDEX.root == blake3(INDEX.leaves).hexdigest()
    assert root_of(b"") == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


def test_blocks_are_cut_anew_at_each_run() -> None:
    assert list(INDEX.cuts.blocks()) == [(0, 64), (64, 36), (100, 18), (118, 18), (136, 14), (150, 7)]


@given(st.lists(runs(), max_size=6))
def test_blocks_cover_each_byte_exactly_once(some: list[Run]) -> None:
    cuts = Cuts(runs=tuple(some))
    position = 0
    for offset, size in cuts.blocks():
        assert offset == position
        assert 0 < size <= BLOCK_BYTES
        position += size

    assert position == cuts.size_bytes
    assert cuts.leaves == len(list(cuts.blocks()))


@given(st.lists(runs(), max_size=6))
def test_what_is_written_is_read_again(some: list[Run]) -> None:
    cuts = Cuts(runs=tuple(some))
    index = BlockIndex(cuts=cuts, leaves=bytes(range(32)) * cuts.leaves)

    assert BlockIndex.parse(index.to_bytes(), where="x") == index


def test_an_empty_region_has_no_runs_and_no_leaves() -> None:
    assert Cuts.plain(0) == Cuts(runs=())
    assert BlockIndex.parse(BlockIndex(cuts=Cuts.plain(0), leaves=b"").to_bytes(), where="x").cuts.leaves == 0


def test_plain_content_is_one_run() -> None:
    assert Cuts.plain(BLOCK_BYTES + 1, label="a").runs == (Run(size_bytes=BLOCK_BYTES + 1, label="a"),)


UNADDED = "the counts of the block index do not add up to its size"
UNSUMMED = "the runs of the block index do not add up to the region"


@pytest.mark.parametrize(
    ("position", "new", "message"),
    [
        (0, b"X", "not a block index"),
        (8, b"\2", "block index version 2 is not known, only 1"),
        (12, b"\4", UNADDED),
        (12, b"\2", UNADDED),
        (15, b"\xff", UNADDED),
        (16, b"\x9e", UNSUMMED),
        (24, b"\7", UNADDED),
        (31, b"\xff", UNADDED),
        (32, b"\x10", UNADDED),
        (36, b"\1", UNADDED),
        (63, b"\1", UNADDED),
        (RUN_AT, b"\x65", UNSUMMED),
        (RUN_AT, b"\0", "the run at 64 of the block index is damaged"),
        (RUN_AT + 7, b"\xff", UNSUMMED),
        (RUN_AT + 8, b"\0", "the run at 64 of the block index is damaged"),
        (RUN_AT + 8, b"\x20", UNSUMMED),
        (RUN_AT + 11, b"\1", "the run at 64 of the block index is damaged"),
        (RUN_AT + 12, b"\x17", "the run at 64 of the block index is damaged"),
        (RUN_AT + 16, b"\x19", "the run at 64 of the block index is damaged"),
        (RUN_AT + 20, b"\1", "the run at 64 of the block index is damaged"),
        (LABELS_AT, b"\xff", "the label of the run at 64 is not UTF-8"),
    ],
)
def test_one_damaged_byte_is_refused(position: int, new: bytes, message: str) -> None:
    data = bytearray(INDEX.to_bytes())
    data[position : position + 1] = new

    with pytest.raises(FormatError) as caught:
        BlockIndex.parse(bytes(data), where=".lfbuild/blocks/a")

    assert str(caught.value) == f".lfbuild/blocks/a: {message}"


def test_a_block_is_never_larger_than_a_mebibyte_as_it_costs_its_reader_as_much() -> None:
    index = BlockIndex(cuts=Cuts(runs=(Run(size_bytes=1 << 40, block_bytes=BLOCK_BYTES + 1),)), leaves=b"")

    with pytest.raises(FormatError) as caught:
        BlockIndex.parse(index.to_bytes()[:24] + bytes(8) + index.to_bytes()[32:], where="x")

    assert str(caught.value) == "x: the run at 64 of the block index is damaged"


@pytest.mark.parametrize("length", range(0, len(INDEX.to_bytes()), 7))
def test_an_index_that_is_cut_off_is_refused(length: int) -> None:
    with pytest.raises(FormatError) as caught:
        BlockIndex.parse(INDEX.to_bytes()[:length], where="x")

    assert str(caught.value) == f"x: {'not a block index' if length < 64 else UNADDED}"


@given(st.integers(0, len(INDEX.to_bytes()) - 1), st.integers(0, 255))
def test_a_flipped_byte_is_refused_or_cuts_the_same_region_into_as_many_blocks(position: int, value: int) -> None:
    data = bytearray(INDEX.to_bytes())
    data[position] = value
    try:
        index = BlockIndex.parse(bytes(data), where="x")
    except FormatError:
        return
    assert (index.cuts.size_bytes, index.cuts.leaves, len(index.leaves)) == (157, 6, 6 * 32)
