"""`compact`, `import` and a swap of Mozilla's llamafile: new files under old names, with every fault at every call."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.engine.tiny import PC
from tests.faults.walk import Act, walk
from tests.world.edits import LARGER_ENGINE, edit_in_place, launcher_file, new_slice
from tests.world.files import EPOCH
from tests.world.mozilla import write_mozilla_file

from lfbuild.commands.compact import compact
from lfbuild.commands.import_ import import_file
from lfbuild.commands.settings import Settings
from lfbuild.commands.swap import SwapOptions, swap
from lfbuild.commands.swap_words import SwapWords
from lfbuild.manifest.edit import Changes
from lfbuild.report import SilentReport

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path


def act_on(folder: Path, made: Path, do: object) -> Act:
    start = folder / "start"
    start.mkdir()
    shutil.copyfile(made, start / made.name)
    assert callable(do)
    return Act(folder=start, name=made.name, do=do)


def test_compacting(tmp_path: Path, tried: Counter[str]) -> None:
    path = launcher_file(tmp_path)
    edit_in_place(path, Changes(slices=(new_slice(LARGER_ENGINE),)))

    walk(act_on(tmp_path, path, lambda it: compact(it, output=None, threads=1, report=SilentReport())), tmp_path, tried)

    assert set(tried) == {"old", "new"}


@pytest.mark.parametrize("align", [True, False])
def test_importing(tmp_path: Path, tried: Counter[str], align: bool) -> None:
    path = write_mozilla_file(tmp_path / "moz.llamafile")

    def do(it: Path) -> None:
        import_file(it, output=None, name="", version="", align=align, epoch=EPOCH, threads=1, report=SilentReport())

    walk(act_on(tmp_path, path, do), tmp_path, tried)

    assert set(tried) == {"old", "new"}


def test_swapping_in_mozillas_llamafile(tmp_path: Path, tried: Counter[str]) -> None:
    path = write_mozilla_file(tmp_path / "moz.llamafile")
    settings = Settings(cache_folder=tmp_path / "cache", machine=replace(PC, cores=1), jobs=1, now=0.0)

    def do(it: Path) -> None:
        swap(it, SwapWords(name="x"), options=SwapOptions(), settings=settings, report=SilentReport())

    walk(act_on(tmp_path, path, do), tmp_path, tried)

    assert set(tried) == {"old", "new"}
