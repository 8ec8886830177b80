"""Progress for those who read it later or by machine: plain lines in a log, JSON lines, or silence.

Bars for a terminal are in `bars.py`, which is imported when the first step begins. Steps are counted from several
threads; every report here holds one lock while it counts and writes.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from lfbuild.cli.render import printable, time_words
from lfbuild.report import SilentReport, size_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from lfbuild.report import Report, Step, Unit

LINE_INTERVAL_S = 5.0
"""A step's next plain line comes no sooner, however fast it goes,"""
LINE_PATIENCE_S = 30.0
"""and after this time it comes even when less than a tenth was done: a log that stands still looks dead."""
JSON_INTERVAL_S = 0.5


def choose_report(stream: TextIO, *, json: bool, quiet: bool, plain: bool) -> Report:
    """The report that fits who is listening on `stream`."""
    if quiet:
        return SilentReport()
    if json:
        return JsonReport(stream)
    if plain or not stream.isatty():
        return PlainReport(stream)
    return _BarsOnFirstUse(stream)


def amount_words(amount: int, unit: Unit) -> str:
    """`amount` for people, in its unit."""
    return size_words(amount) if unit == "bytes" else f"{amount}"


class PlainReport:
    """A line when a step begins, one now and then, one when it ends."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()

    @contextmanager
    def step(self, title: str, /, *, total: int | None = None, unit: Unit = "bytes") -> Iterator[Step]:
        """Tell the step's beginning and its end."""
        step = _PlainStep(title, total=total, unit=unit, clock=self._clock, tell=self._tell)
        self._tell(step.first_line())
        try:
            yield step
        except BaseException:
            self._tell(step.last_line("failed"))
            raise
        self._tell(step.last_line("done"))

    def note(self, text: str, /) -> None:
        """Tell a note on a line of its own."""
        self._tell(f"note: {text}")

    def _tell(self, line: str) -> None:
        with self._lock:
            self._stream.write(f"{printable(line)}\n")
            self._stream.flush()


class _PlainStep:
    def __init__(
        self, title: str, *, total: int | None, unit: Unit, clock: Callable[[], float], tell: Callable[[str], None]
    ) -> None:
        self._title = title
        self._total = total
        self._unit: Unit = unit
        self._clock = clock
        self._tell = tell
        self._lock = threading.Lock()
        self._done = 0
        self._started_at = self._told_at = clock()
        self._told_tenths = 0

    def advance(self, amount: int, /, *, detail: str = "") -> None:
        del detail  # a log line for every file would drown the rest
        with self._lock:
            self._done += amount
            line = self._due_line()
        if line:
            self._tell(line)

    def expect(self, total: int, /) -> None:
        with self._lock:
            self._total = total

    def first_line(self) -> str:
        return f"{self._title} ({self._words(self._total)})" if self._total else self._title

    def last_line(self, outcome: str) -> str:
        with self._lock:
            seconds = self._clock() - self._started_at
            done = f", {self._words(self._done)}" if self._done else ""
            return f"{self._title}: {outcome}{done} in {time_words(seconds)}{self._speed_words(seconds)}"

    def _due_line(self) -> str:
        now = self._clock()
        waited = now - self._told_at
        tenths = 10 * self._done // self._total if self._total else 0
        if waited < LINE_INTERVAL_S or (tenths == self._told_tenths and waited < LINE_PATIENCE_S):
            return ""
        self._told_at, self._told_tenths = now, tenths
        percent = f"{100 * self._done // self._total} %, " if self._total else ""
        of = f" of {self._words(self._total)}" if self._total else ""
        return f"{self._title}: {percent}{self._words(self._done)}{of}{self._speed_words(now - self._started_at)}"

    def _speed_words(self, seconds: float) -> str:
        if self._unit != "bytes" or seconds < 0.1 or not self._done:
            return ""
        return f", {size_words(int(self._done / seconds))}/s"

    def _words(self, amount: int | None) -> str:
        words = amount_words(amount or 0, self._unit)
        return words if self._unit == "bytes" else f"{words} step{'' if amount == 1 else 's'}"


class JsonReport:
    """One JSON object a line: `start`, `progress` and `end` of each step, and `note`."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()
        self._steps_begun = 0

    @contextmanager
    def step(self, title: str, /, *, total: int | None = None, unit: Unit = "bytes") -> Iterator[Step]:
        """Tell the step's beginning and its end."""
        with self._lock:
            self._steps_begun += 1
            step = _JsonStep(self, title, number=self._steps_begun, total=total, unit=unit, clock=self._clock)
        step.tell("start")
        try:
            yield step
        except BaseException:
            step.tell("end", failed=True)
            raise
        step.tell("end", failed=False)

    def note(self, text: str, /) -> None:
        """Tell a note."""
        self.tell({"event": "note", "text": text})

    def tell(self, event: dict[str, object]) -> None:
        """Write one object."""
        import json

        with self._lock:
            self._stream.write(json.dumps(event) + "\n")
            self._stream.flush()


class _JsonStep:
    def __init__(
        self,
        report: JsonReport,
        title: str,
        *,
        number: int,
        total: int | None,
        unit: Unit,
        clock: Callable[[], float],
    ) -> None:
        self._report = report
        self._title = title
        self._number = number
        self._total = total
        self._unit = unit
        self._clock = clock
        self._lock = threading.Lock()
        self._done = 0
        self._told_at = clock()

    def advance(self, amount: int, /, *, detail: str = "") -> None:
        with self._lock:
            self._done += amount
            now = self._clock()
            if now - self._told_at < JSON_INTERVAL_S:
                return
            self._told_at = now
        self.tell("progress", detail=detail)

    def expect(self, total: int, /) -> None:
        with self._lock:
            self._total = total

    def tell(self, event: str, **more: object) -> None:
        with self._lock:
            facts = {"done": self._done, "total": self._total, "unit": self._unit}
        self._report.tell({"event": event, "step": self._title, "number": self._number, **facts, **more})


class _BarsOnFirstUse:
    """Bars, and the library that draws them, only once there is something to show."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._bars: Report | None = None

    def step(self, title: str, /, *, total: int | None = None, unit: Unit = "bytes") -> AbstractContextManager[Step]:
        return self._report().step(title, total=total, unit=unit)

    def note(self, text: str, /) -> None:
        self._report().note(text)

    def _report(self) -> Report:
        with self._lock:
            if self._bars is None:
                from lfbuild.cli.bars import RichReport

                self._bars = RichReport(self._stream)
            return self._bars
