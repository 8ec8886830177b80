"""Locks between processes: two lfbuilds on one machine never make the same thing at once.

A lock is a file that the system holds for as long as the process lives, so a crash never leaves one behind.
What a lock guards, and under which name, is not known here.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from lfbuild.host.files import host_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextlib.contextmanager
def locked(path: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock file `path` alone; `waiting` is called once when another process holds it.

    Raises:
        HostError: the lock file cannot be made (a read-only or full disk).
    """
    import filelock

    lock = filelock.FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            if waiting is not None:
                waiting()
            lock.acquire()
    except OSError as error:
        raise host_error(path, error) from error
    try:
        yield
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock file `path` right now."""
    import filelock

    if not path.exists():
        return False
    lock = filelock.FileLock(path)
    try:
        lock.acquire(blocking=False)
    except (filelock.Timeout, OSError):  # one that may not even be opened is another's: it counts as held
        return True
    lock.release()
    return False
