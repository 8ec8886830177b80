"""Builds that are killed: the output is absent, the old file, or the whole new one, and the next run works."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from tests.system.conftest import RECIPES, run_lfbuild
from tests.system.test_smollm2 import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.real

OLD = b"the old file\n"
# Where the tests themselves run in the background, SIGINT is ignored, and children would inherit that.
MAIN = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from lfbuild.cli import main; sys.exit(main(sys.argv[1:]))"
)


def build_in(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "lfbuild", "build", str(RECIPES / "smollm2.toml"), "--offline"],
        cwd=folder,
        env=os.environ | {"CI": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("seed", range(12))
def test_kill_9_at_any_moment_leaves_the_old_file_or_the_new_one_and_nothing_else(
    smollm2: Path, tmp_path: Path, seed: int
) -> None:
    output = tmp_path / "smollm2.llamafile"
    output.write_bytes(OLD)
    build = build_in(tmp_path)
    time.sleep(random.Random(seed).uniform(0.0, 2.5))  # noqa: S311  # a moment, not a secret

    build.kill()
    build.wait()

    assert [path.name for path in tmp_path.iterdir()] == [output.name]
    assert output.read_bytes()[: len(OLD)] == OLD or sha256_of(output) == sha256_of(smollm2)
    run_lfbuild("build", RECIPES / "smollm2.toml", "--offline", cwd=tmp_path)
    assert sha256_of(output) == sha256_of(smollm2)


def test_ctrl_c_in_mid_compile_leaves_no_half_file_and_no_compiler(smollm2: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "other.toml"
    text = (RECIPES / "smollm2.toml").read_text(encoding="utf-8")
    # Another engine, as its options differ, so that it has to be compiled.
    other = text.replace("[toolchain]", '[engine.options]\nANOTHER_KEY = "for another key"\n\n[toolchain]')
    recipe.write_text(other, encoding="utf-8")
    build = subprocess.Popen(
        [sys.executable, "-c", MAIN, "build", str(recipe), "-o", str(tmp_path / "out")],
        cwd=tmp_path,
        env=os.environ | {"CI": "true"},
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    assert build.stderr is not None
    for line in build.stderr:
        if "compiling" in line:
            break
    time.sleep(3)

    build.send_signal(signal.SIGINT)

    build.communicate(timeout=30)
    assert build.returncode == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.toml"]
    processes = subprocess.run(["ps", "-e", "-o", "sid=,args="], capture_output=True, text=True, check=True).stdout
    left = [line for line in processes.splitlines() if line.split()[0] == str(build.pid)]
    assert left == []
