"""The same recipe compiled twice from nothing, in two caches, folders, umasks and time zones: the same bytes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.system.conftest import RECIPES, run_lfbuild
from tests.system.test_smollm2 import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.full


def test_two_builds_from_nothing_give_the_same_bytes(tmp_path: Path) -> None:
    digests = set()
    for name, zone, umask in (("one", "UTC", 0o022), ("a much longer name", "Asia/Tokyo", 0o077)):
        folder = tmp_path / name
        folder.mkdir()
        old = os.umask(umask)
        try:
            run_lfbuild("build", RECIPES / "smollm2.toml", cwd=folder, LFBUILD_CACHE=str(folder / "cache"), TZ=zone)
        finally:
            os.umask(old)
        digests.add(sha256_of(folder / "smollm2.llamafile"))

    assert len(digests) == 1
