"""A head with a stand-in for this machine's launcher, and what came of starting it."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import pytest
from tests.world.programs import tiny_launchers, unix_launchers

from lfbuild.formats.head import HeadForm, make_head

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SHELLS: Mapping[str, list[str]] = {
    "bash": ["bash"],
    "dash": ["dash"],
    "zsh": ["zsh", "-f"],
    "fish": ["fish", "--no-config"],
    "busybox": ["busybox", "sh"],
}
FORMS: tuple[HeadForm, ...] = ("script", "polyglot")


def host_target() -> str:
    return f"linux-{platform.machine()}"


def needs(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not on this machine")
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """What the stand-in said."""

    file: str
    program: str
    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """A folder with a head in it, and a home of its own."""

    folder: Path
    launcher: bytes
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        """Where the launcher is placed when nothing is in the way."""
        return self.folder / "home/.cache/lfbuild"

    @property
    def name(self) -> str:
        """Of the placed launcher."""
        return hashlib.sha256(self.launcher).hexdigest()

    def write(self, form: HeadForm = "script", name: str = "chat") -> Path:
        """A head under this name, executable."""
        path = self.folder / name
        path.write_bytes(_head(form, self.launcher))
        path.chmod(0o755)
        return path

    def run(self, *command: str | Path, stdin: bytes = b"", **variables: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*map(str, command)],
            cwd=self.folder,
            env={**self.environment, **variables},
            input=stdin,
            capture_output=True,
            check=False,
            timeout=60,
        )

    def start(self, *command: str | Path, **variables: str) -> Started:
        """Run a command that must end in the stand-in, and hear what it says."""
        finished = self.run(*command, **variables)
        assert (finished.returncode, finished.stderr) == (0, b"")
        file, program, *words, end = os.fsdecode(finished.stdout).split("\0")
        assert end == ""
        return Started(file=file, program=program, words=tuple(words))


@cache
def _head(form: HeadForm, launcher: bytes) -> bytes:
    others = tiny_launchers() if form == "polyglot" else unix_launchers()
    return make_head(form, others | {host_target(): launcher})
