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
_ZEROS: Final = bytes(LARGE_PAGE_BYTES)
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

    Linux keeps what is written in pages as large as the write that touched them first, and who maps the file gets
    those. So the first piece of a large page writes all of it, with zeros where the other pieces go; all of the stretch
    must be written in the end. Measured in docs/benchmarks.md; not for several threads at once.
    """

    def __init__(self, descriptor: int, offset: int, size_bytes: int) -> None:
        self._descriptor = descriptor
        self._first = -(-offset // LARGE_PAGE_BYTES)
        """Number of the first page that lies in the stretch with all its bytes."""
        self._begun = bytearray(max(0, (offset + size_bytes) // LARGE_PAGE_BYTES - self._first))
        if not sys.platform.startswith("linux"):
            self._begun = bytearray()

    def write(self, data: memoryview, offset: int) -> None:
        """Write a piece where it belongs.

        Raises:
            OSError: what the system refuses.
        """
        end = offset + len(data)
        first, last = offset // LARGE_PAGE_BYTES, (end - 1) // LARGE_PAGE_BYTES
        before = offset - first * LARGE_PAGE_BYTES if self._is_new(first) else 0
        after = (last + 1) * LARGE_PAGE_BYTES - end if self._is_new(last) else 0
        for page in range(max(first, self._first), min(last + 1, self._first + len(self._begun))):
            self._begun[page - self._first] = 1
        if not before and not after:
            write_all(self._descriptor, data, offset)
            return
        offset -= before
        pieces = [memoryview(_ZEROS)[:before], data, memoryview(_ZEROS)[:after]]
        count = os.pwritev(self._descriptor, pieces, offset)
        for piece in pieces:
            write_all(self._descriptor, piece[count:], offset + min(count, len(piece)))
            offset, count = offset + len(piece), max(0, count - len(piece))

    def _is_new(self, page: int) -> bool:
        number = page - self._first
        return 0 <= number < len(self._begun) and not self._begun[number]
