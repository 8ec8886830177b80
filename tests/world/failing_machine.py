"""A machine that fails at the n-th change that it is asked for: killed, out of space, broken, or writing only a part.

Every call that changes a file counts, none is left out: writes, copies, shared blocks, reservations, truncations, new
files, names, modes, flushes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from unittest import mock

from lfbuild.host import inplace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Fault = Literal["kill", "torn", "full", "broken", "short", "none"]
"""`torn`: killed after half of a write; `full`: no space left, from then on; `broken`: a write, a cut or a flush that
ends in an I/O error, once; `short`: each write takes only a part."""

_WRITES = ("pwrite", "pwritev", "copy_file_range")
_FLUSHES = ("fsync", "fdatasync")
_NAMES = ("replace", "rename", "link", "unlink")
_CHANGES = (*_WRITES, *_FLUSHES, *_NAMES, "ftruncate", "fchmod", "fchown")
_CREATE = "create"
_NEED_SPACE = (*_WRITES, "link", "ioctl", "fallocate", _CREATE)
_REACH_THE_DISK = (*_WRITES, *_FLUSHES, "ftruncate", "ioctl", "fallocate")


@dataclass
class Machine:
    """Counts changes, and fails at one of them."""

    fault: Fault
    at: int = 0
    """Number of the change that fails, from 1 on; 0 for none."""
    changes: int = 0
    names: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def failed(self) -> str:
        """The change that was to fail; empty where there were not so many."""
        return self.names[self.at - 1] if 0 < self.at <= self.changes else ""

    def call(self, name: str, real: Callable[..., Any], args: tuple[Any, ...], more: dict[str, Any]) -> Any:
        """Do a change, or fail."""
        with self._lock:
            self.changes += 1
            self.names.append(name)
            number = self.changes
        if self.fault == "short":
            return real(*_half(name, args), **more)
        if self.fault == "full" and self.at and number >= self.at and name in _NEED_SPACE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.fault == "broken" and number == self.at and name in _REACH_THE_DISK:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if self.fault in ("kill", "torn") and number == self.at:
            if self.fault == "torn" and name in _WRITES:
                real(*_half(name, args), **more)
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **more)


def _half(name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same call for half of the bytes, or one where there is one."""
    if name == "pwrite":
        descriptor, data, offset = args
        return descriptor, data[: max(1, len(data) // 2)], offset
    if name == "pwritev":
        descriptor, pieces, offset = args
        whole = b"".join(pieces)
        return descriptor, [whole[: max(1, len(whole) // 2)]], offset
    if name == "copy_file_range":
        source, target, length, *offsets = args
        return source, target, max(1, length // 2), *offsets
    return args


@contextlib.contextmanager
def failing(fault: Fault, at: int = 0) -> Iterator[Machine]:
    """Within this context, the system's calls go through a `Machine`."""
    machine = Machine(fault=fault, at=at)
    with contextlib.ExitStack() as stack:
        for name in _CHANGES:
            stack.enter_context(mock.patch.object(os, name, _counted(machine, name, getattr(os, name))))
        stack.enter_context(mock.patch.object(os, "open", _opened(machine)))
        stack.enter_context(mock.patch.object(fcntl, "ioctl", _counted(machine, "ioctl", fcntl.ioctl)))
        reserve = _counted(machine, "fallocate", inplace._fallocate)
        stack.enter_context(mock.patch.object(inplace, "_fallocate", reserve))
        yield machine


def _counted(machine: Machine, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **more: Any) -> Any:
        return machine.call(name, real, args, more)

    return call


def _opened(machine: Machine) -> Callable[..., Any]:
    """`os.open` changes something only where it makes a file, with a name or without."""
    real = os.open
    create = _counted(machine, _CREATE, real)

    def call(path: Any, flags: int, *args: Any, **more: Any) -> Any:
        makes = flags & os.O_CREAT or flags & os.O_TMPFILE == os.O_TMPFILE
        return (create if makes else real)(path, flags, *args, **more)

    return call
