"""Progress on a terminal: a bar for each step under way, with amount, speed and the time that is left.

Bars vanish when the last step ends. What stays is a line for each step that took a while, and every note.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from lfbuild.cli.render import printable, time_words
from lfbuild.report import part_words, size_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Task, TaskID

    from lfbuild.report import Step, Unit

WORTH_A_LINE_S = 1.0
"""A step that took less leaves no line when it is done: nobody waited for it."""
ROOMY_COLUMNS = 110
TIGHT_COLUMNS = 72


class RichReport:
    """Bars while there are steps; a finished step that took a while, a failed one and every note leave a line."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = Console(file=stream, highlight=False)
        self._clock = clock
        self._lock = threading.RLock()
        self._progress: Progress | None = None
        self._open_steps = 0

    @contextmanager
    def step(self, title: str, /, *, total: int | None = None, unit: Unit = "bytes") -> Iterator[Step]:
        """Show a bar while the context is open."""
        started_at = self._clock()
        progress = self._show()
        task = progress.add_task(printable(title), total=total, unit=unit, detail="")
        outcome = "failed"
        try:
            yield _Bar(progress, task)
            outcome = "done"
        finally:
            self._tell_end(progress, task, outcome, seconds=self._clock() - started_at)
            self._hide(progress, task)

    def note(self, text: str, /) -> None:
        """Tell a note above the bars."""
        with self._lock:
            self._console.print(Text.assemble(("note: ", "yellow"), printable(text)), soft_wrap=True)

    def _show(self) -> Progress:
        with self._lock:
            if self._progress is None:
                self._progress = _make_progress(self._console)
                self._progress.start()
            self._open_steps += 1
            return self._progress

    def _hide(self, progress: Progress, task: TaskID) -> None:
        with self._lock:
            progress.remove_task(task)
            self._open_steps -= 1
            if self._open_steps == 0:
                progress.stop()
                self._progress = None

    def _tell_end(self, progress: Progress, task: TaskID, outcome: str, *, seconds: float) -> None:
        if outcome == "done" and seconds < WORTH_A_LINE_S:
            return
        with self._lock:
            shown = progress.tasks[progress.task_ids.index(task)]
            mark = ("✓ ", "green") if outcome == "done" else ("✗ ", "bold red")
            told = f" · {_done_words(shown)}{time_words(seconds)}"
            self._console.print(Text.assemble(mark, shown.description, (told, "dim")), soft_wrap=True)


class _Bar:
    """One task of the shared bars; rich itself holds a lock while it counts."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, amount: int, /, *, detail: str = "") -> None:
        self._progress.update(self._task, advance=amount, detail=printable(detail))

    def expect(self, total: int, /) -> None:
        self._progress.update(self._task, total=total)


class _Amount(ProgressColumn):
    """`31.2 of 93.8 MiB` or `87 of 224`."""

    def render(self, task: Task) -> Text:
        done, total = int(task.completed), int(task.total or 0)
        is_bytes = task.fields["unit"] == "bytes"
        words = part_words(done, total) if is_bytes else f"{done} of {total}" if total else f"{done}"
        return Text(words, style="dim", no_wrap=True)


class _Speed(ProgressColumn):
    """Bytes a second; steps have none that means anything."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{size_words(int(speed))}/s" if speed and task.fields["unit"] == "bytes" else "", style="dim")


def _done_words(task: Task) -> str:
    done = int(task.completed)
    if not done:
        return ""
    return f"{size_words(done)} · " if task.fields["unit"] == "bytes" else f"{done} steps · "


def _make_progress(console: Console) -> Progress:
    """Columns that fit the terminal: what is narrow loses details and speed before its title and amount."""
    is_wide, is_narrow = console.width >= ROOMY_COLUMNS, console.width < TIGHT_COLUMNS
    bar_width = 24 if is_wide else 10
    beside_title = bar_width + 38 + (0 if is_narrow else 13)
    title = Column(
        no_wrap=True, overflow="ellipsis", max_width=48 if is_wide else max(10, console.width - beside_title)
    )
    detail = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    columns: list[ProgressColumn] = [
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False, table_column=title),
        BarColumn(bar_width=bar_width),
        _Amount(table_column=Column(no_wrap=True)),
        *([] if is_narrow else [_Speed(table_column=Column(no_wrap=True))]),
        TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
        *([TextColumn("{task.fields[detail]}", style="dim", markup=False, table_column=detail)] if is_wide else []),
    ]
    return Progress(
        *columns,
        console=console,
        transient=True,
        expand=is_wide,
        # What else is written to stdout and stderr meanwhile is not ours to catch: results may go into a pipe.
        redirect_stdout=False,
        redirect_stderr=False,
    )
