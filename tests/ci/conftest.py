"""Fixtures of the tests of CI templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.commands.world import make_world

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny world of `tests.commands.world`, which is the current folder."""
    return make_world(tmp_path, monkeypatch)
