"""`ci/packages` on a made-up Debian: one package that cannot be had costs the others nothing."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(platform.system() != "Linux", reason="apt-get is Debian's")

SCRIPT = Path(__file__).parents[2] / "ci" / "packages"
# Everything is installed but what the test asks for; `broken` never can be, nor anything in one call with it.
PROGRAMS = {
    "id": "echo 0",
    "npm": "",
    "dpkg-query": 'case "$4" in wanted*|broken) exit 1;; *) echo install ok installed;; esac',
    "apt-get": 'echo "$*" >> "$CALLS"\ncase " $* " in *" broken "*) echo "E: held broken" >&2; exit 100;; esac',
}


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    for name, text in PROGRAMS.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        program.chmod(0o755)
    return tmp_path


def install(machine: Path, *packages: str) -> tuple[list[str], str]:
    """The packages of each call of `apt-get install`, and what was said."""
    calls = machine / "calls"
    environment = {"PATH": f"{machine}{os.pathsep}{os.environ['PATH']}", "CALLS": str(calls)}
    finished = subprocess.run([SCRIPT, *packages], env=environment, capture_output=True, text=True, check=True)
    lines = calls.read_text(encoding="utf-8").splitlines() if calls.exists() else []
    return [line.partition("recommends ")[2] for line in lines if line.startswith("install")], finished.stderr


def test_nothing_is_asked_for_where_all_is_installed(machine: Path) -> None:
    assert install(machine) == ([], "")


def test_what_is_missing_is_installed_in_one_call(machine: Path) -> None:
    assert install(machine, "wanted-1", "wanted-2") == (["wanted-1 wanted-2"], "")


def test_each_is_installed_on_its_own_where_all_together_cannot_be(machine: Path) -> None:
    calls, said = install(machine, "wanted-1", "broken", "wanted-2")

    assert calls == ["wanted-1 broken wanted-2", "wanted-1", "broken", "wanted-2"]
    assert said.splitlines()[-1] == "ci/packages: no broken here; the tests that use it are skipped"
