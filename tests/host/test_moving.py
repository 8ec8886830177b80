"""Bytes are read and written whole, however often the system takes only a part."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfbuild.host import moving
from lfbuild.host.moving import LargePageWriter, read_into, write_all

if TYPE_CHECKING:
    import random
    from pathlib import Path


def test_reading_stops_at_the_end_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    descriptor = os.open(tmp_path / "f", os.O_RDONLY)
    buffer = bytearray(6)
    try:
        assert read_into(descriptor, memoryview(buffer), 2) == 6
        assert read_into(descriptor, memoryview(buffer), 7) == 3
        assert read_into(descriptor, memoryview(buffer), 70) == 0
    finally:
        os.close(descriptor)
    assert bytes(buffer) == b"789567"


def test_a_system_that_takes_only_a_part_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite, preadv = os.pwrite, os.preadv
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: pwrite(fd, data[:3], offset))
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, offset: preadv(fd, [buffers[0][:2]], offset))
    descriptor = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    buffer = bytearray(10)
    try:
        write_all(descriptor, b"0123456789", 5)
        assert read_into(descriptor, memoryview(buffer), 5) == 10
    finally:
        os.close(descriptor)

    assert bytes(buffer) == b"0123456789"


@settings(max_examples=200)
@given(
    offset=st.integers(0, 300),
    cuts=st.lists(st.integers(1, 200), min_size=1, max_size=12),
    taken=st.integers(1, 400),
    chance=st.randoms(use_true_random=False),
)
def test_pieces_in_any_order_fill_their_stretch_and_nothing_else(
    offset: int, cuts: list[int], taken: int, chance: random.Random
) -> None:
    size = sum(cuts)
    content, around = chance.randbytes(size), chance.randbytes(offset + size + 300)
    pieces = [(sum(cuts[:number]), length) for number, length in enumerate(cuts)]
    chance.shuffle(pieces)
    pwritev = os.pwritev
    with tempfile.TemporaryFile() as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(moving, "LARGE_PAGE_BYTES", 64)
        patch.setattr(os, "pwritev", lambda fd, data, at: pwritev(fd, [b"".join(data)[:taken]], at))
        write_all(file.fileno(), around, 0)
        writer = LargePageWriter(file.fileno(), offset, size)
        for start, length in pieces:
            writer.write(memoryview(content)[start : start + length], offset + start)
        written = os.pread(file.fileno(), 10_000, 0)

    assert written == around[:offset] + content + around[offset + size :]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems choose the size of pages by themselves")
def test_a_large_page_is_written_at_once_when_its_last_piece_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "LARGE_PAGE_BYTES", 64)
    descriptor = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    writer = LargePageWriter(descriptor, 10, 300)
    sizes = []
    try:
        for offset, length in ((10, 40), (50, 30), (200, 60), (80, 120), (260, 50)):
            writer.write(memoryview(bytes(length)), offset)
            sizes.append(os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)

    # Pages begin at 0, 64, 128, 192 and 256; the first and the last have bytes of others, and nobody waits for those.
    assert sizes == [50, 64, 260, 260, 310]
