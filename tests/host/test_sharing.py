"""Bytes that two files share: whole blocks by reference, and what is left at the end copied."""

from __future__ import annotations

import errno
import os
import struct
import sys
from typing import TYPE_CHECKING

import pytest

from lfbuild.host.moving import SHARED_BYTES, share_range

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux is asked to share blocks")
CONTENT = bytes(range(256)) * (SHARED_BYTES // 128) + b"the end"


def share(folder: Path, *, length: int = len(CONTENT)) -> tuple[bool, bytes]:
    """Share a file that lies behind one block of another one into a third, behind one block as well."""
    (folder / "source").write_bytes(bytes(SHARED_BYTES) + CONTENT)
    source, target = os.open(folder / "source", os.O_RDONLY), os.open(folder / "target", os.O_RDWR | os.O_CREAT)
    try:
        shared = share_range(source, target, source_offset=SHARED_BYTES, target_offset=2 * SHARED_BYTES, length=length)
        return shared, os.pread(target, len(CONTENT), 2 * SHARED_BYTES)
    finally:
        os.close(source)
        os.close(target)


def clone(target: int, _request: int, order: bytes) -> None:
    """What a file system that shares does, as far as a reader can tell."""
    source, source_offset, length, target_offset = struct.unpack("=qQQQ", order)
    assert (source_offset % SHARED_BYTES, length % SHARED_BYTES, target_offset % SHARED_BYTES) == (0, 0, 0)
    os.pwrite(target, os.pread(source, length, source_offset), target_offset)


def test_whole_blocks_are_shared_and_the_rest_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcntl.ioctl", clone)

    assert share(tmp_path) == (True, CONTENT)


def test_less_than_a_block_is_not_shared(tmp_path: Path) -> None:
    assert share(tmp_path, length=SHARED_BYTES - 1) == (False, b"")


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL])
def test_a_file_system_that_does_not_share_is_no_error(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_order: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.ioctl", refuse)

    assert share(tmp_path) == (False, b"")


def test_a_full_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_order: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("fcntl.ioctl", refuse)

    with pytest.raises(OSError, match="No space left on device"):
        share(tmp_path)
