"""Killed before any of its acts on the disk, `apply` leaves nothing, or the whole new file."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from tests.world.deltas import delta_of, written
from tests.world.files import default_members, plain, write_tiny_file

from lfbuild.commands.apply import DeltaSource, apply
from lfbuild.delta import side
from lfbuild.errors import HostError
from lfbuild.report import SilentReport

if TYPE_CHECKING:
    from collections.abc import Callable

ACTS = ("pwrite", "ftruncate", "fsync", "link", "replace", "rename")
"""What changes a disk."""
KILLED = 9


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks, and files without names")
def test_killed_before_any_write_nothing_is_left_or_all_of_it(tmp_path: Path) -> None:
    old = write_tiny_file(tmp_path, name="old")
    new = write_tiny_file(tmp_path, name="new", members=(*default_members(), plain("more", b"more" * 999)))
    delta = written(tmp_path, "p.lfdelta", delta_of(old, new))
    folder = tmp_path / "here"
    folder.mkdir()
    before, expected = old.read_bytes(), new.read_bytes()

    number = 0
    while _dies_before(number, old, delta, folder / "made"):
        left = {path.name for path in folder.iterdir()}
        assert left <= {"made"} or all(name.startswith(".made.") for name in left)
        for path in folder.iterdir():
            assert path.read_bytes() == expected  # a hidden name between link and rename, or the final one
            path.unlink()
        assert old.read_bytes() == before
        number += 1

    assert (folder / "made").read_bytes() == expected
    assert number > 10


def _dies_before(number: int, old: Path, delta: Path, target: Path) -> bool:
    """Apply in a child that dies before its act of this number; False if it came to the end."""
    child = os.fork()
    if child == 0:
        try:
            count = iter(range(1 << 30))
            for name in ACTS:
                setattr(os, name, _deadly(getattr(os, name), count, number))
            Path.replace = os.replace  # type: ignore[assignment,method-assign]
            source = DeltaSource(name=str(delta))
            apply(old, [source], target, force=False, threads=1, report=SilentReport())
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED


def _deadly(act: Callable[..., object], count: object, number: int) -> Callable[..., object]:
    def call(*given: object, **named: object) -> object:
        if next(count) == number:  # type: ignore[call-overload]
            os._exit(KILLED)
        return act(*given, **named)

    return call


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_that_refuses_any_one_act_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    old = write_tiny_file(tmp_path, name="old")
    new = write_tiny_file(tmp_path, name="new", members=(*default_members(), plain("more", b"more" * 999)))
    delta, expected = written(tmp_path, "p.lfdelta", delta_of(old, new)), new.read_bytes()
    new.unlink()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    number, refusals = 0, set()
    while True:
        with monkeypatch.context() as patch:
            count = iter(range(1 << 30))
            for name in ("pwrite", "ftruncate", "fsync", "link"):
                patch.setattr(os, name, _refusing(getattr(os, name), count, number, fault))
            try:
                apply(old, [DeltaSource(name=str(delta))], None, force=False, threads=1, report=SilentReport())
            except HostError as error:
                refusals.add(error.where)
            else:
                break
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
        number += 1

    assert number > 8
    assert refusals == {str(new)}
    assert new.read_bytes() == expected


def _refusing(act: Callable[..., object], count: object, number: int, fault: int) -> Callable[..., object]:
    """The folder's own flush, the last act, is one that may fail: some file systems have none."""

    def call(*given: object, **named: object) -> object:
        if next(count) == number:  # type: ignore[call-overload]
            raise OSError(fault, os.strerror(fault))
        return act(*given, **named)

    return call


def test_what_the_disk_has_no_room_for_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = write_tiny_file(tmp_path, name="old")
    new = write_tiny_file(tmp_path, name="new", members=(*default_members(), plain("more", b"more" * 999)))
    delta = written(tmp_path, "p.lfdelta", delta_of(old, new))
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=1000, f_frsize=1))
    monkeypatch.setattr("lfbuild.host.room.can_share", lambda *_: False)

    with pytest.raises(HostError) as caught:
        apply(old, [DeltaSource(name=str(delta))], tmp_path / "made", force=False, threads=1, report=SilentReport())

    assert re.fullmatch(rf"{tmp_path}: the new file needs \d+\.\d KiB, and 1000 B are free", str(caught.value))
    assert not (tmp_path / "made").exists()


def test_a_disk_that_cannot_read_the_old_file_is_told_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = write_tiny_file(tmp_path, name="old")
    new = write_tiny_file(tmp_path, name="new", members=(*default_members(), plain("more", b"more" * 999)))
    delta = written(tmp_path, "p.lfdelta", delta_of(old, new))

    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(side, "read_at", fail)
    with pytest.raises(HostError) as caught:
        apply(old, [DeltaSource(name=str(delta))], tmp_path / "made", force=False, threads=1, report=SilentReport())

    assert str(caught.value) == f"{old}: the disk reported a read or write error"
    assert not (tmp_path / "made").exists()
