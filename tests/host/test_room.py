"""Room for what is copied of several files, told before the first of them is."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from lfbuild.errors import HostError
from lfbuild.host.moving import SHARED_BYTES
from lfbuild.host.room import refuse_full_disk_for_copies

if TYPE_CHECKING:
    from pathlib import Path

SIZES = {"large": 48 * SHARED_BYTES, "small": 32 * SHARED_BYTES}


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, int]]:
    """Two files, each of which has room on the disk that both together have not."""
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=64 * SHARED_BYTES, f_frsize=1))
    monkeypatch.setattr("lfbuild.host.room.can_share", lambda *_: False)
    for name, size in SIZES.items():
        (tmp_path / name).write_bytes(os.urandom(size))
    return [(tmp_path / name, size) for name, size in SIZES.items()]


def test_all_that_is_copied_counts(copies: list[tuple[Path, int]], tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        refuse_full_disk_for_copies(tmp_path, copies)

    assert str(caught.value) == f"{tmp_path}: the new file needs 5.0 MiB, and 4.0 MiB are free"
    refuse_full_disk_for_copies(tmp_path, copies[:1])


def test_holes_take_nothing(copies: list[tuple[Path, int]], tmp_path: Path) -> None:
    (tmp_path / "hollow").touch()
    os.truncate(tmp_path / "hollow", 1 << 30)

    refuse_full_disk_for_copies(tmp_path, [copies[0], (tmp_path / "hollow", 1 << 30)])


def test_blocks_that_are_shared_take_nothing(
    copies: list[tuple[Path, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lfbuild.host.room.can_share", lambda *_: True)

    refuse_full_disk_for_copies(tmp_path, copies)
