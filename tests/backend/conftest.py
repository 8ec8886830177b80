"""A project in the tiny world of the commands: a model of a few KB, and engines that are in the cache already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.backend.world import make_project
from tests.commands.world import make_world

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """The project's folder, which is the current one."""
    for name in ("LFBUILD_OFFLINE", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("lfbuild.host.machine.platform.machine", lambda: "x86_64")
    return make_project(make_world(tmp_path, monkeypatch), capsys)
