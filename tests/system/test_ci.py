"""The steps of the action on a real recipe: built, built again, asked, and reported with its speed."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import pytest
from tests.ci.steps import Steps
from tests.system.conftest import RECIPES, ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.real


@pytest.fixture
def world(smollm2: Path, tmp_path: Path) -> Path:
    shutil.copy(RECIPES / "smollm2.toml", tmp_path / "smollm2.toml")
    program = tmp_path / ".lfbuild" / "bin" / "lfbuild"
    program.parent.mkdir(parents=True)
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH="{ROOT / "builder"}" exec "{sys.executable}" -m lfbuild "$@"\n', encoding="utf-8"
    )
    program.chmod(0o755)
    return tmp_path


def test_every_step_of_the_action_goes_well_with_a_real_file(world: Path) -> None:
    steps = Steps(world, recipe="smollm2.toml", answer="Paris")

    for name in steps.names[1:]:  # lfbuild is installed already
        done = steps.run(name)
        assert done.returncode == 0, (name, done.stdout[-2000:], done.stderr[-2000:])

    summary = (world / "GITHUB_STEP_SUMMARY").read_text(encoding="utf-8")
    assert summary.startswith("# smollm2 0.1.0\n")
    assert "### Speed of smollm2.llamafile" in summary
    assert "tg32" in summary
