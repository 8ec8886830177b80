"""A command line in a tiny world: an empty cache, no proxies, no terminal, no CI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pytest

from lfbuild.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How one command line ended."""

    code: int
    out: str
    err: str


class Lfbuild(Protocol):
    """Runs `lfbuild WORD…` in this process."""

    def __call__(self, *words: str) -> Outcome: ...


@pytest.fixture(autouse=True)
def _tiny_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("LFBUILD_DEBUG", "LFBUILD_OFFLINE", "LFBUILD_COSMOCC", "SOURCE_DATE_EPOCH", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LFBUILD_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def lfbuild(capsys: pytest.CaptureFixture[str]) -> Lfbuild:
    def run(*words: str) -> Outcome:
        code = main(words)
        told = capsys.readouterr()
        return Outcome(code=code, out=told.out, err=told.err)

    return run
