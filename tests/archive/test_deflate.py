"""Compressed members: small for everybody's unzip, and digested as they decode."""

from __future__ import annotations

import zlib

import pytest
from blake3 import blake3
from tests.world.slices import DEFLATED, LINUX_ENGINE
from tests.world.zips import raw_deflate

from lfbuild.archive.deflate import Decoded, deflate, encoder_version, inflates_to, look_at

TWO_BLOCKS_AND_A_HALF = bytes(range(256)) * 10240


def test_what_is_deflated_is_what_zlib_inflates() -> None:
    stored = deflate(LINUX_ENGINE)

    assert len(stored) < 100
    assert zlib.decompress(stored, -zlib.MAX_WBITS) == LINUX_ENGINE
    assert inflates_to(stored, LINUX_ENGINE)


def test_the_golden_stream_is_the_one_that_this_encoder_makes() -> None:
    if encoder_version() != "0.9.0":
        pytest.skip("another encoder may make other bytes, and says so in the manifest")

    assert deflate(LINUX_ENGINE) == DEFLATED


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"\xff\xff",
        DEFLATED[:-1],
        DEFLATED + b"\0",
        raw_deflate(LINUX_ENGINE + b"more"),
        raw_deflate(LINUX_ENGINE[:-1]),
        raw_deflate(bytes(len(LINUX_ENGINE))),
    ],
)
def test_a_stream_of_other_bytes_is_told_apart(stored: bytes) -> None:
    assert not inflates_to(stored, LINUX_ENGINE)


@pytest.mark.parametrize("piece_bytes", [7_001, 1 << 20, (1 << 20) + 1, 10 << 20])
def test_facts_do_not_depend_on_how_the_bytes_come(piece_bytes: int) -> None:
    data = TWO_BLOCKS_AND_A_HALF
    pieces = [data[start : start + piece_bytes] for start in range(0, len(data), piece_bytes)]
    leaves = b"".join(blake3(data[start : start + (1 << 20)]).digest() for start in range(0, len(data), 1 << 20))

    assert look_at(pieces) == Decoded(
        size_bytes=len(data),
        crc32=zlib.crc32(data),
        root=blake3(leaves).hexdigest(),
        digest=blake3(data).hexdigest(),
    )


def test_nothing_has_facts_too() -> None:
    nothing = blake3(b"").hexdigest()

    assert look_at([]) == Decoded(size_bytes=0, crc32=0, root=nothing, digest=nothing)
