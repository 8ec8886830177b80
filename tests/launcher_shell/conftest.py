"""The stand-in is compiled once a session by the machine's own compiler; each test has a home of its own."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import pytest
from tests.launcher_shell.world import World, needs


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    if platform.system() != "Linux" or platform.machine() not in {"x86_64", "aarch64"}:
        pytest.skip("heads are started on Linux, x86-64 or aarch64")
    target = tmp_path_factory.mktemp("stand-in") / "stand-in"
    source = Path(__file__).parent / "stand_in.c"
    command = [needs("cc"), "-std=c11", "-O1", "-static", "-s", "-Wl,--build-id=none", str(source), "-o", str(target)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return target.read_bytes()


@pytest.fixture
def world(stand_in: bytes, tmp_path: Path) -> World:
    (tmp_path / "home").mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home")}
    return World(folder=tmp_path, launcher=stand_in, environment=environment)
