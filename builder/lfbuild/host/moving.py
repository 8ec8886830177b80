"""Bytes moved by the cheapest means that the file system has: blocks shared, copied in the kernel, or by hand.

Descriptors and offsets only: which file has which name is `files`'.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from typing import Final

SHARED_BYTES: Final = 64 << 10
"""Blocks are shared in multiples of this; no file system that shares has larger ones."""
_FICLONERANGE = 0x4020940D
_COPY_BYTES: Final = 64 << 20
"""What the kernel is asked to copy at once: in between, a signal is heard."""
_PIECE_BYTES: Final = 1 << 20
LARGE_PAGE_BYTES: Final = 2 << 20
"""What one entry of the processor's address cache (TLB) covers at most, on x86-64 and on most of arm64."""
_CLONE_RANGE = struct.Struct("=qQQQ")  # source descriptor, source offset, length, target offset
NOT_HERE: Final = {
    errno.EXDEV,
    errno.ENOSYS,
    errno.ENOTTY,
    errno.EINVAL,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EBADF,
    errno.ETXTBSY,
}
"""What a system answers that cannot do this, or not with these two files."""


def share_range(source: int, target: int, *, source_offset: int, target_offset: int, length: int) -> bool:
    """Let `target` refer to blocks of `source`, where the file system can; False where nothing was done.

    Blocks are shared whole, so both offsets must be multiples of their size; what is left at the end is copied.

    Raises:
        OSError: what the system refuses (disk full, read error).
    """
    if not sys.platform.startswith("linux"):
        return False
    import fcntl

    whole = length // SHARED_BYTES * SHARED_BYTES
    if not whole:
        return False
    try:
        fcntl.ioctl(target, _FICLONERANGE, _CLONE_RANGE.pack(source, source_offset, whole, target_offset))
    except OSError as error:
        if error.errno in NOT_HERE:
            return False
        raise
    rest = memoryview(bytearray(length - whole))
    count = read_into(source, rest, source_offset + whole)
    write_all(target, rest[:count], target_offset + whole)
    return True


def copy_range(source: int, target: int, *, source_offset: int, target_offset: int, length: int) -> None:
    """Copy bytes from one file to another by the cheapest means: shared blocks, a copy in the kernel, or by hand.

    Raises:
        OSError: what the system refuses; `errno.ENODATA` where the source ends before.
    """
    ahead = -source_offset % SHARED_BYTES
    if ahead < length and (source_offset - target_offset) % SHARED_BYTES == 0:
        # What stands before the first shareable block is copied, as is what share_range leaves over.
        _copy_bytes(source, target, source_offset, target_offset, ahead)
        source_offset, target_offset, length = source_offset + ahead, target_offset + ahead, length - ahead
        if share_range(source, target, source_offset=source_offset, target_offset=target_offset, length=length):
            return
    _copy_bytes(source, target, source_offset, target_offset, length)


def _copy_bytes(source: int, target: int, source_offset: int, target_offset: int, length: int) -> None:
    """Copy in the kernel where it can, else through memory."""
    while length and hasattr(os, "copy_file_range"):
        try:
            count = os.copy_file_range(source, target, min(length, _COPY_BYTES), source_offset, target_offset)
        except OSError as error:
            if error.errno not in NOT_HERE:
                raise
            break
        if count == 0:
            break
        source_offset, target_offset, length = source_offset + count, target_offset + count, length - count
    buffer = memoryview(bytearray(min(length, _PIECE_BYTES)))
    while length:
        view = buffer[: min(length, len(buffer))]
        if read_into(source, view, source_offset) != len(view):
            raise OSError(errno.ENODATA, "ended before it should")
        write_all(target, view, target_offset)
        source_offset, target_offset, length = source_offset + len(view), target_offset + len(view), length - len(view)


def read_into(descriptor: int, buffer: memoryview, offset: int) -> int:
    """Fill `buffer` from `offset`; returns how many bytes there were (less only at the end of the file)."""
    done = 0
    while done < len(buffer):
        count = os.preadv(descriptor, [buffer[done:]], offset + done)
        if count == 0:
            break
        done += count
    return done


def write_all(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`, however often the system takes only a part."""
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count


class LargePageWriter:
    """Fills a stretch of a file, piece by piece in any order, so that it lies in memory in large pages.

    Linux keeps what is written in pages as large as the write that touches them first, and who maps the file gets
    those. So a large page is written at once: pieces of it are kept until the last one comes. Not for several threads
    at once. Memory is that of the pages which have begun, at most one for each thread that reads pieces, and one.
    """

    def __init__(self, descriptor: int, offset: int, size_bytes: int) -> None:
        self._descriptor = descriptor
        first, end = -(-offset // LARGE_PAGE_BYTES), (offset + size_bytes) // LARGE_PAGE_BYTES
        self._whole = range(first, end) if sys.platform.startswith("linux") else range(0)
        """Numbers of the pages that lie in the stretch with all their bytes."""
        self._begun: dict[int, _Page] = {}
        self._spare: list[_Page] = []
        """Memory is used again: to have new memory for each page would cost more than to fill it."""

    def write(self, data: memoryview, offset: int) -> None:
        """Write a piece where it belongs, or keep it until its page is whole.

        Raises:
            OSError: what the system refuses.
        """
        while data:
            number, start = divmod(offset, LARGE_PAGE_BYTES)
            piece = data[: LARGE_PAGE_BYTES - start]
            if number in self._whole:
                self._add(number, start, piece)
            else:
                write_all(self._descriptor, piece, offset)
            data, offset = data[len(piece) :], offset + len(piece)

    def _add(self, number: int, start: int, piece: memoryview) -> None:
        if number not in self._begun:
            self._begun[number] = self._spare.pop() if self._spare else _Page()
        page, end = self._begun[number], start + len(piece)
        if page.kept_bytes + len(piece) < LARGE_PAGE_BYTES:
            page.memory[start:end] = piece
            page.kept_bytes += len(piece)
            return
        offset, parts = number * LARGE_PAGE_BYTES, [page.memory[:start], piece, page.memory[end:]]
        left = os.pwritev(self._descriptor, parts, offset)
        for part in parts:
            write_all(self._descriptor, part[left:], offset + min(left, len(part)))
            offset, left = offset + len(part), max(0, left - len(part))
        page.kept_bytes = 0
        self._spare.append(self._begun.pop(number))


class _Page:
    """The pieces of a page so far, where they belong in it."""

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(LARGE_PAGE_BYTES))
        self.kept_bytes = 0
