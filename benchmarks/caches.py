"""What of a file is in memory before a run: all of it, or nothing."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_PIECE_BYTES = 8 << 20
_SWITCH = Path("/proc/sys/vm/drop_caches")


def warm(path: Path) -> None:
    """Have all of a file in the page cache."""
    buffer = bytearray(_PIECE_BYTES)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def cold(path: Path, *, whole_machine: bool) -> None:
    """Have nothing of a file in the page cache; with `whole_machine`, of no file, where that is allowed."""
    with path.open("r+b", buffering=0) as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if whole_machine:
        with contextlib.suppress(PermissionError):
            _SWITCH.write_text("1\n", encoding="ascii")


def told(*, whole_machine: bool) -> str:
    """How a file was made cold, for the notes of a table."""
    if whole_machine and os.access(_SWITCH, os.W_OK):
        return "before each cold run the page cache was dropped"
    return "before each cold run the file was dropped from the page cache (POSIX_FADV_DONTNEED)"
