"""Real runs: a real compiler, llama.cpp, model and server, through the command line as a user calls it.

The engine is compiled once a session at most; the cache is the user's own, so that a developer's second run is quick.
`LFBUILD_TEST_LAUNCHER` names a compiler launcher to compile engines through, such as ccache.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"
TWO_MINUTES = 120
LAUNCHER = ("--launcher", os.environ["LFBUILD_TEST_LAUNCHER"]) if os.environ.get("LFBUILD_TEST_LAUNCHER") else ()
"""Words of `build` for the tests that only want an engine, however it was compiled."""


def run_lfbuild(
    *words: str | Path, cwd: Path, check: bool = True, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Call `lfbuild` as a shell would."""
    command = [sys.executable, "-m", "lfbuild", *map(str, words)]
    environment = os.environ | {"CI": "true"} | variables
    finished = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if check:
        assert finished.returncode == 0, finished.stderr[-4000:]
    return finished


def run_file(
    file: Path, *words: str, timeout: float = TWO_MINUTES, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Start a packed file as a user does; an APE needs a shell, so everything gets one."""
    return subprocess.run(
        ["sh", "-c", 'exec "$0" "$@"', str(file), *words],
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`recipes/smollm2.toml`, built."""
    if platform.system() != "Linux":
        pytest.skip("what is built is for this machine's own Linux, and this is none")
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("the package ziglang is not installed")
    folder = tmp_path_factory.mktemp("smollm2")
    run_lfbuild("build", RECIPES / "smollm2.toml", *LAUNCHER, cwd=folder)
    return folder / "smollm2.llamafile"
