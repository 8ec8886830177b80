"""What a disk has room for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from lfbuild.errors import HostError
from lfbuild.host.files import can_share, open_regular
from lfbuild.report import size_words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ELSEWHERE: Final = "free some space, or choose another folder"
_SECTOR_BYTES = 512
"""What `st_blocks` counts, whatever the disk has (stat(2))."""


def disk_bytes(facts: os.stat_result) -> int:
    """What a file takes of its disk; holes take nothing."""
    return facts.st_blocks * _SECTOR_BYTES


def refuse_full_disk(folder: Path, needed_bytes: int, *, hint: str, needing: str = "the new file needs") -> None:
    """Tell before a long copy that it would not fit.

    Raises:
        HostError: fewer bytes are free.
    """
    free_bytes = _free_bytes(folder)
    if free_bytes < needed_bytes:
        what = f"{needing} {size_words(needed_bytes)}, and {size_words(free_bytes)} are free"
        raise HostError(folder, what, hint=hint)


def refuse_full_disk_for_copy(
    folder: Path, source: int, *, copied_bytes: int, new_bytes: int, needing: str = "the new file needs"
) -> None:
    """Likewise, where some of the bytes are copied from an open file; `folder` may be one that is still to be made.

    Copies take nothing where blocks are shared, and no more than the file itself has of the disk.

    Raises:
        HostError: fewer bytes are free.
    """
    folder = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
    if _free_bytes(folder) < copied_bytes + new_bytes:
        copied_bytes = _copied_bytes(source, folder, copied_bytes)
        refuse_full_disk(folder, copied_bytes + new_bytes, hint=_ELSEWHERE, needing=needing)


def refuse_full_disk_for_copies(folder: Path, copies: Sequence[tuple[Path, int]]) -> None:
    """Likewise, for what is copied of several files: each path with how many bytes of it.

    Raises:
        HostError: fewer bytes are free, or one of the files cannot be read.
    """
    folder = folder.absolute()
    if _free_bytes(folder) >= sum(size for _, size in copies):
        return
    needed_bytes = 0
    for path, size in copies:
        source = open_regular(path)
        try:
            needed_bytes += _copied_bytes(source, folder, size)
        finally:
            os.close(source)
    refuse_full_disk(folder, needed_bytes, hint=_ELSEWHERE)


def _copied_bytes(source: int, folder: Path, size: int) -> int:
    """What a copy of so many bytes of an open file takes in `folder`."""
    return 0 if can_share(source, folder) else min(size, disk_bytes(os.fstat(source)))


def bytes_in_place(path: Path, *, changed_bytes: int, new_bytes: int) -> int:
    """What an edit of `path` in place takes: all that changes stands in the journal, too, and the file may grow.

    The few bytes that a journal has beside its data do not count.
    """
    return changed_bytes + max(new_bytes - path.stat().st_size, 0)


def refuse_full_disk_in_place(folder: Path, needed_bytes: int) -> None:
    """Likewise, before an edit in place begins.

    Raises:
        HostError: fewer bytes are free.
    """
    refuse_full_disk(folder, needed_bytes, hint="free some space", needing="the change in place needs")


def _free_bytes(folder: Path) -> int:
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize
