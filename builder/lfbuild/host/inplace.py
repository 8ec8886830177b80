"""A file that is changed where it stands: had alone, flushed, cut off, cleared.

Whoever reads weights holds a shared lock on the file, whoever changes it in place an exclusive one; both are advisory,
and the same that `stubs/platform_posix.c` takes. Nothing here knows what is in the file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import TYPE_CHECKING, BinaryIO, Final

from lfbuild.errors import HostError
from lfbuild.host.files import open_regular, refuse_another
from lfbuild.host.mapped import process_mapping
from lfbuild.host.moving import write_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PAGE_BYTES: Final = 4096
_KEEP_SIZE: Final = 0x01
_PUNCH_HOLE: Final = 0x02
_ZEROS: Final = bytes(1 << 20)
_NO_LOCKS: Final = {errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}
"""What a medium that knows no locks answers; readers of weights take that for no reason to fail, and so do we."""
_NOT_HERE: Final = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EPERM}


def journal_path(path: Path) -> Path:
    """Where the journal of a file stands: beside it, so that both are on one disk."""
    return path.with_name(f".{path.name}.lfbuild-redo")


def has_journal(path: Path) -> bool:
    """Whether there is a journal beside a file, complete or not; a name too long for one has none."""
    try:
        return journal_path(path).is_file()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


@contextlib.contextmanager
def had_alone(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for reading and writing, with nobody else reading its weights or changing it.

    An engine that takes no lock, as llamafile's own, is seen where it has the file mapped.

    Raises:
        HostError: somebody does, or the file cannot be opened, or has lost its name to another one.
        FormatError: it is no regular file.
    """
    with _opened(path, os.O_RDWR) as file:
        if not _lock(file.fileno(), alone=True):
            raise HostError(path, "is in use, or another lfbuild is changing it", hint="stop it, and try again")
        facts = os.fstat(file.fileno())
        refuse_another(path, facts)  # whoever had it until now may have given its name to a newer one
        if (process := process_mapping(path, facts)) is not None:
            raise HostError(path, f"is in use by process {process}", hint="stop it, and try again")
        yield file


@contextlib.contextmanager
def used(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for reading, and keep others from changing it in place meanwhile.

    Raises:
        HostError: it is being changed, or cannot be opened.
        FormatError: it is no regular file.
    """
    with _opened(path, os.O_RDONLY) as file:
        if not _lock(file.fileno(), alone=False):
            raise HostError(path, "an edit of this file is under way", hint="try again when it has finished")
        yield file


def flush(descriptor: int) -> None:
    """Wait until everything written so far is on the disk, the size of the file included.

    Raises:
        OSError: it could not be written (disk full, read or write error).
    """
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    elif hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)


def reserve(descriptor: int, offset: int, size: int) -> None:
    """Have room on the disk for a range that will be written, without a change to the file or its size.

    Where the system cannot, nothing: then a full disk is told when the range is written.

    Raises:
        OSError: there is no room.
    """
    if size > 0:
        _fallocate(descriptor, _KEEP_SIZE, offset, size)


def clear_range(descriptor: int, offset: int, size: int) -> None:
    """Make bytes zero; whole pages are given back to the file system where it can.

    Raises:
        OSError: what the system refuses.
    """
    first, last = -(-offset // _PAGE_BYTES) * _PAGE_BYTES, (offset + size) // _PAGE_BYTES * _PAGE_BYTES
    if first < last and _fallocate(descriptor, _KEEP_SIZE | _PUNCH_HOLE, first, last - first):
        _write_zeros(descriptor, offset, first - offset)
        _write_zeros(descriptor, last, offset + size - last)
    else:
        _write_zeros(descriptor, offset, size)


def _write_zeros(descriptor: int, offset: int, size: int) -> None:
    for at in range(offset, offset + size, len(_ZEROS)):
        write_all(descriptor, _ZEROS[: min(len(_ZEROS), offset + size - at)], at)


def _fallocate(descriptor: int, mode: int, offset: int, size: int) -> bool:
    """Ask Linux for a change of how a file is laid out; False where it cannot be asked."""
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    call = getattr(libc, "fallocate64", None) or libc.fallocate
    if call(ctypes.c_int(descriptor), ctypes.c_int(mode), ctypes.c_int64(offset), ctypes.c_int64(size)) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_HERE:
        return False
    raise OSError(number, os.strerror(number))


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[BinaryIO]:
    descriptor = open_regular(path, flags)
    with open(descriptor, "r+b" if flags & os.O_RDWR else "rb", buffering=0) as file:  # noqa: PTH123  # a descriptor
        yield file


def _lock(descriptor: int, *, alone: bool) -> bool:
    """Whether the lock was had, or the medium has none."""
    if os.name != "posix":
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return True
        raise
    return True
