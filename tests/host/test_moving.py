"""Bytes are read and written whole, however often the system takes only a part."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lfbuild.host.moving import read_into, write_all

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


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
