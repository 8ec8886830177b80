"""What a disk has room for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lfbuild.errors import HostError
from lfbuild.report import size_words

if TYPE_CHECKING:
    from pathlib import Path


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
