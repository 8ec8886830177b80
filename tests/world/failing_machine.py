"""A machine that fails at the n-th change that it is asked for: killed, out of space, or writing only a part.

Every call that changes a file counts, none is left out: writes, copies, truncations, names, modes, flushes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Fault = Literal["kill", "torn", "full", "short", "none"]
"""`torn`: killed after half of a write; `full`: no space left, from then on; `short`: each write takes only a part."""

_WRITES = ("pwrite", "copy_file_range")
_CHANGES = (*_WRITES, "ftruncate", "replace", "rename", "link", "unlink", "fchmod", "fsync", "fdatasync")
_NEED_SPACE = (*_WRITES, "link")


@dataclass
class Machine:
    """Counts changes, and fails at one of them."""

    fault: Fault
    at: int = 0
    """Number of the change that fails, from 1 on; 0 for none."""
    changes: int = 0
    names: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, name: str, real: Callable[..., Any], args: tuple[Any, ...], more: dict[str, Any]) -> Any:
        """Do a change, or fail."""
        with self._lock:
            self.changes += 1
            self.names.append(name)
            number = self.changes
        if self.fault == "short" and name == "pwrite":
            descriptor, data, offset = args
            return real(descriptor, data[: max(1, len(data) // 2)], offset)
        if self.fault == "full" and self.at and number >= self.at and name in _NEED_SPACE:
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.fault in ("kill", "torn") and number == self.at:
            if self.fault == "torn" and name == "pwrite":
                descriptor, data, offset = args
                real(descriptor, data[: len(data) // 2], offset)
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **more)


@contextlib.contextmanager
def failing(fault: Fault, at: int = 0) -> Iterator[Machine]:
    """Within this context, the system's calls go through a `Machine`."""
    machine = Machine(fault=fault, at=at)
    with contextlib.ExitStack() as stack:
        for name in _CHANGES:
            stack.enter_context(mock.patch.object(os, name, _counted(machine, name)))
        yield machine


def _counted(machine: Machine, name: str) -> Callable[..., Any]:
    real = getattr(os, name)

    def call(*args: Any, **more: Any) -> Any:
        return machine.call(name, real, args, more)

    return call
