"""What the C layer says of a file at every call of an edit in place: one of the two versions, or one sentence."""

from __future__ import annotations

import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from tests.world.edits import LARGER_ENGINE, NEW_ENGINE, edit_in_place, launcher_file, new_slice
from tests.world.faults import Disk, Fault
from tests.world.files import MODEL_NAME
from tests.world.models import tiny_gguf

from lfbuild.archive.journal import is_journal_complete
from lfbuild.host.inplace import had_alone
from lfbuild.manifest.edit import Changes

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.stubs.conftest import Probe

LENGTH = len(tiny_gguf())


def opened(probe: Probe, path: Path) -> subprocess.CompletedProcess[str]:
    """Open the weights as llama.cpp does, and tell their size."""
    return probe("stream", f"/zip/{MODEL_NAME}", "seek:0:2", "tell", LFBUILD_FILE=str(path))


@pytest.mark.parametrize("engine", [NEW_ENGINE, LARGER_ENGINE], ids=["appended tail", "journal"])
def test_at_every_call_the_weights_are_whole_or_refused(probe: Probe, tmp_path: Path, engine: bytes) -> None:
    (tmp_path / "start").mkdir()
    (tmp_path / "stash").mkdir()
    start = launcher_file(tmp_path / "start")
    seen: Counter[str] = Counter()
    for number in range(100):
        folder = tmp_path / f"edit{number}"
        shutil.copytree(tmp_path / "start", folder)
        path = folder / start.name
        disk = Disk(Fault(kind="kill", number=number), tmp_path / "stash")
        with disk.failing():
            edit_in_place(path, Changes(slices=(new_slice(engine),)))
        if not disk.happened:
            break
        finished = opened(probe, path)
        if finished.returncode == 0:
            assert finished.stdout == f"0\n{LENGTH} {LENGTH}\n"
            seen["whole"] += 1
        else:
            assert is_journal_complete(path)
            assert f"an update of this file was interrupted; run: lfbuild recover {path}" in finished.stderr
            seen["refused"] += 1
    assert seen["whole"] > 10
    assert (seen["refused"] > 0) == (engine == LARGER_ENGINE)


def test_a_file_that_is_being_changed_is_refused_and_a_file_in_use_is_not_changed(probe: Probe, tmp_path: Path) -> None:
    path = launcher_file(tmp_path)

    with had_alone(path):
        finished = opened(probe, path)

    assert finished.returncode == 3
    assert f"{path}: an update of this file is under way; try again when it has finished" in finished.stderr
