"""How work below the front doors tells of its progress, and of sizes, without knowing who listens.

A worker is handed a `Report`; a front door decides whether that is a bar, plain lines, JSON or nothing.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

Unit = Literal["bytes", "steps"]


class Step(Protocol):
    """One stretch of work that is under way."""

    def advance(self, amount: int, /, *, detail: str = "") -> None:
        """Count `amount` more units as done; `detail` names what is being done now (a file, a block)."""

    def expect(self, total: int, /) -> None:
        """Set the total, in units, once it is known."""


class Report(Protocol):
    """Who is told of steps and notes. Methods are called from several threads."""

    def step(self, title: str, /, *, total: int | None = None, unit: Unit = "bytes") -> AbstractContextManager[Step]:
        """Open a step; leaving the context ends it, with an exception as failed."""

    def note(self, text: str, /) -> None:
        """Tell one decision or warning that the user should see, as one sentence."""


class _SilentStep:
    def advance(self, amount: int, /, *, detail: str = "") -> None:
        del amount, detail

    def expect(self, total: int, /) -> None:
        del total


class SilentReport:
    """Listens to nothing: for library callers and tests."""

    @contextmanager
    def step(self, title: str, /, *, total: int | None = None, unit: Unit = "bytes") -> Iterator[Step]:
        """Hand out a step that counts nothing."""
        del title, total, unit
        yield _SilentStep()

    def note(self, text: str, /) -> None:
        """Drop the note."""
        del text


def size_words(size_bytes: int) -> str:
    """A size for people: `93.8 MiB`; below a KiB the exact count."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    size = float(size_bytes)
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1023.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TiB"


def part_words(done_bytes: int, total_bytes: int) -> str:
    """`31.2 of 93.8 MiB`: the unit once where it is the same."""
    done, total = size_words(done_bytes), size_words(total_bytes)
    if not total_bytes:
        return done
    amount, _, unit = done.partition(" ")
    return f"{amount} of {total}" if total.endswith(f" {unit}") else f"{done} of {total}"
