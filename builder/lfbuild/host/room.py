"""What a disk has room for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lfbuild.errors import HostError
from lfbuild.report import size_words

if TYPE_CHECKING:
    from pathlib import Path

_SECTOR_BYTES = 512
"""What `st_blocks` counts, whatever the disk has (stat(2))."""


def disk_bytes(facts: os.stat_result) -> int:
    """What a file takes of its disk; holes take nothing."""
    return facts.st_blocks * _SECTOR_BYTES


def refuse_full_disk(folder: Path, needed_bytes: int, *, hint: str) -> None:
    """Tell before a long copy that it would not fit.

    Raises:
        HostError: fewer bytes are free.
    """
    facts = os.statvfs(folder)
    free_bytes = facts.f_bavail * facts.f_frsize
    if free_bytes < needed_bytes:
        what = f"the new file needs {size_words(needed_bytes)}, and {size_words(free_bytes)} are free"
        raise HostError(folder, what, hint=hint)
