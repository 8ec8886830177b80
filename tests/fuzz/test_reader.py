"""The fuzz target runs, briefly and always the same way; `python -m tests.fuzz.reader SECONDS` runs it for longer."""

from __future__ import annotations

from tests.fuzz.reader import fuzz


def test_no_reader_crashes_on_damaged_files() -> None:
    assert fuzz(rounds=600, seconds=60, seed=20261123) == 600
