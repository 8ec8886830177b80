"""Results as Markdown, pasted between two marks of docs/benchmarks.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """A number that was promised."""

    what: str
    limit: float
    found: float | None
    """None where it could not be measured here."""
    at_least: bool = False
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """Whether it is kept."""
        if self.found is None:
            return None
        return self.found >= self.limit if self.at_least else self.found <= self.limit

    def row(self) -> tuple[str, ...]:
        """What was promised, what was found, and the verdict."""
        sign = "≥" if self.at_least else "≤"
        found = "not measured" if self.found is None else f"{self.found:.3g}{self.unit}"
        return (
            self.what,
            f"{sign} {self.limit:g}{self.unit}",
            found,
            {True: "yes", False: "**no**", None: "–"}[self.met],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """One table of results."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    goals: Sequence[Goal] = ()
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """Title, rows, goals, notes."""
        lines = [f"### {self.title}", "", *markdown_rows(self.columns, self.rows)]
        if self.goals:
            lines += ["", *markdown_rows(("goal", "limit", "found", "kept"), [goal.row() for goal in self.goals])]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)]) + "\n"


def markdown_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; all columns but the first are aligned to the right."""
    ruler = ["---", *("---:" for _ in columns[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (columns, ruler, *rows)]


def replace_section(page: Path, name: str, text: str) -> None:
    """Put `text` between the two marks of the section `name`."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    old = page.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if len(pattern.findall(old)) != 1:
        raise SystemExit(f"{page}: the marks {begin} and {end} must stand there once")
    page.write_text(pattern.sub(lambda _: f"{begin}\n{text.strip()}\n{end}", old), encoding="utf-8")


def seconds(value: float) -> str:
    """Seconds with as many digits as mean something."""
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.0f} ms"


def mebibytes(value: float) -> str:
    """Bytes as MiB."""
    return f"{value / 2**20:.0f} MiB"


def rate(size_bytes: int, wall_s: float) -> str:
    """Bytes a second, in GB."""
    return f"{size_bytes / wall_s / 1e9:.2f} GB/s"
