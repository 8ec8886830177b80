"""Counts the faults that were tried, and tells it at the end of the run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from lfbuild.host import moving

if TYPE_CHECKING:
    from collections.abc import Iterator

TRIED: pytest.StashKey[Counter[str]] = pytest.StashKey()


@pytest.fixture(autouse=True)
def _tiny_files_have_large_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that their pieces, too, are written with zeros around them."""
    monkeypatch.setattr(moving, "LARGE_PAGE_BYTES", 4096)


@pytest.fixture
def tried(record_property: object, request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """Faults of this test: how many were tried, by what was seen of the file before anything repaired it."""
    counter: Counter[str] = Counter()
    yield counter
    assert callable(record_property)
    for what, count in counter.items():
        record_property(f"faults: {what}", count)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """`faults tried: 4,711; files lost: 0`, whoever ran the tests, also on several cores."""
    total: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            # A fixture's findings are with the report of its end, where they stand once.
            if getattr(report, "when", "") == "teardown":
                counts = dict(report.user_properties)
                total.update({name: count for name, count in counts.items() if name.startswith("faults: ")})
    lost = len([report for report in terminalreporter.stats.get("failed", []) if "tests/faults" in report.nodeid])
    if total:
        seen = ", ".join(f"{name.removeprefix('faults: ')} {count:,}" for name, count in sorted(total.items()))
        told = f"faults tried: {sum(total.values()):,} (then seen: {seen}); files lost: {lost}"
        terminalreporter.write_line(told)
