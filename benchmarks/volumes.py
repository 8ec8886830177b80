"""A file system that shares blocks, on a loop device, made for one benchmark and removed after it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAKERS = {"xfs": ("mkfs.xfs", "-q", "-m", "reflink=1"), "btrfs": ("mkfs.btrfs", "-q")}
_LEAST_BYTES = 512 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Volume:
    """A mounted file system."""

    kind: str
    folder: Path

    def used_bytes(self) -> int:
        """Bytes of blocks that are taken, those that files share counted once."""
        os.sync()
        facts = os.statvfs(self.folder)
        return (facts.f_blocks - facts.f_bfree) * facts.f_frsize


def lacking() -> str:
    """Why no such volume can be made here; empty where it can."""
    if os.geteuid() != 0:
        return "only root can mount a file system"
    if not any(shutil.which(maker[0]) for maker in _MAKERS.values()):
        return "neither mkfs.xfs nor mkfs.btrfs is installed"
    return "" if shutil.which("mount") else "mount is not installed"


@contextlib.contextmanager
def cloning_volume(folder: Path, size: int) -> Iterator[Volume]:
    """A volume with room for `size` bytes below `folder`."""
    kind, maker = next((kind, maker) for kind, maker in _MAKERS.items() if shutil.which(maker[0]))
    image, mounted = folder / "volume.image", folder / "volume"
    with image.open("wb") as file:
        file.truncate(size + _LEAST_BYTES)
    mounted.mkdir()
    try:
        subprocess.run([*maker, image], check=True)
        subprocess.run(["mount", "-o", "loop", image, mounted], check=True)
        try:
            yield Volume(kind=kind, folder=mounted)
        finally:
            subprocess.run(["umount", mounted], check=True)
    finally:
        mounted.rmdir()
        image.unlink()
