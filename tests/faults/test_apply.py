"""`apply`, to a new file and in place, with every fault at every call."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING

import pytest
from tests.faults.walk import Act, walk
from tests.world.deltas import delta_of
from tests.world.edits import launcher_file
from tests.world.files import default_members, plain, write_tiny_file
from tests.world.programs import tiny_elf

from lfbuild.commands.apply import DeltaSource, apply, apply_in_place_of
from lfbuild.report import SilentReport

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from pathlib import Path


def source(delta: bytes) -> list[DeltaSource]:
    return [DeltaSource(name="p.lfdelta", pipe=io.BytesIO(delta))]


def to_new_file(path: Path, old: Path, delta: bytes) -> None:
    apply(old, source(delta), path, force=True, threads=1, report=SilentReport())


def in_place(path: Path, old: Path, delta: bytes) -> None:
    del old
    apply_in_place_of(path, source(delta), threads=1, report=SilentReport())


def another_head(folder: Path) -> Path:
    return write_tiny_file(folder, name="new", head=tiny_elf(900), align_bytes=65536)


def another_text(folder: Path) -> Path:
    return write_tiny_file(
        folder, name="new", align_bytes=65536, members=(*default_members(), plain("text", b"text" * 30_000))
    )


@pytest.mark.parametrize("new", [another_head, another_text, lambda folder: launcher_file(folder, name="new")])
@pytest.mark.parametrize("way", [to_new_file, in_place])
def test_a_file_is_the_old_or_the_new_one(
    tmp_path: Path, tried: Counter[str], way: Callable[[Path, Path, bytes], None], new: Callable[[Path], Path]
) -> None:
    old = write_tiny_file(tmp_path, name="tiny", align_bytes=65536)
    delta = delta_of(old, new(tmp_path))
    start = tmp_path / "start"
    start.mkdir()
    shutil.copyfile(old, start / "tiny")

    walk(Act(folder=start, name="tiny", do=lambda path: way(path, old, delta)), tmp_path, tried)

    assert set(tried) >= {"old", "new"}
