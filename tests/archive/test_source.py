"""Where bytes come from: memory, or a stretch of a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lfbuild.archive.source import BytesSource, FileSource
from lfbuild.errors import HostError

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.archive.source import Source


def copied(source: Source, folder: Path, *, start: int, length: int) -> bytes:
    target = os.open(folder / "target", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        with source.opened() as opened:
            opened.copy(target, start=start, target_offset=3, length=length)
        return os.pread(target, 100, 0)
    finally:
        os.close(target)


def test_bytes_are_copied_to_their_place(tmp_path: Path) -> None:
    assert copied(BytesSource(b"0123456789"), tmp_path, start=2, length=5) == b"\0\0\x0023456"


def test_a_stretch_of_a_file_is_copied_to_its_place(tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(b"..0123456789..")

    assert copied(FileSource(path=path, size_bytes=10, offset=2), tmp_path, start=2, length=5) == b"\0\0\x0023456"
    assert FileSource.whole(path) == FileSource(path=path, size_bytes=14)


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
