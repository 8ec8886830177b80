"""Where bytes come from: memory, or a stretch of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lfbuild.archive.source import BytesSource, FileSource
from lfbuild.errors import HostError

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.archive.source import Source


def taken(source: Source, *, start: int, length: int) -> bytes:
    buffer = bytearray(length)
    with source.opened() as opened:
        opened.read_into(memoryview(buffer), start)
    return bytes(buffer)


def test_bytes_in_memory_are_read_from_any_place() -> None:
    assert taken(BytesSource(b"0123456789"), start=2, length=5) == b"23456"


def test_a_stretch_of_a_file_is_read_from_any_place(tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(b"..0123456789..")

    assert taken(FileSource(path=path, size_bytes=10, offset=2), start=2, length=5) == b"23456"
    assert FileSource.whole(path) == FileSource(path=path, size_bytes=14)


def test_memory_is_not_shared_with_a_file() -> None:
    with BytesSource(b"0123").opened() as opened:
        assert not opened.share(-1, target_offset=0)


def test_a_file_that_becomes_shorter_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(b"long enough")

    with FileSource.whole(path).opened() as opened:
        path.write_bytes(b"short")
        with pytest.raises(HostError) as caught:
            opened.read_into(memoryview(bytearray(11)), 0)

    assert str(caught.value) == f"{path}: became shorter while it was read"


def test_a_file_that_is_absent_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none"
    for act in (lambda: FileSource.whole(path), lambda: FileSource(path=path, size_bytes=1).opened().__enter__()):
        with pytest.raises(HostError) as caught:
            act()
        assert str(caught.value) == f"{path}: does not exist"


def test_a_file_that_became_shorter_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(b"short")

    with pytest.raises(HostError) as caught, FileSource(path=path, size_bytes=6).opened():
        pass

    assert str(caught.value) == f"{path}: became shorter since it was measured"
