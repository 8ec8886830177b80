from __future__ import annotations

import io
import json
import re
import threading
from typing import TYPE_CHECKING

import pytest

from lfbuild.cli.bars import RichReport
from lfbuild.cli.reports import JsonReport, PlainReport, choose_report
from lfbuild.report import SilentReport, part_words

if TYPE_CHECKING:
    from lfbuild.report import Report

MIB = 1 << 20


class Clock:
    """A clock that goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """Takes text as a terminal would."""

    def isatty(self) -> bool:
        return True


def test_a_log_has_a_line_when_a_step_begins_and_one_when_it_ends() -> None:
    log, clock = io.StringIO(), Clock()

    with PlainReport(log, clock=clock).step("fetch model", total=100 * MIB) as step:
        for _ in range(100):
            step.advance(MIB)
        clock.now = 4.0

    assert log.getvalue() == "fetch model (100.0 MiB)\nfetch model: done, 100.0 MiB in 4.0 s, 25.0 MiB/s\n"


def test_a_log_has_a_line_for_each_tenth_but_never_two_within_five_seconds() -> None:
    log, clock = io.StringIO(), Clock()

    with PlainReport(log, clock=clock).step("fetch model", total=100 * MIB) as step:
        for _ in range(100):
            clock.now += 0.25
            step.advance(MIB)

    assert log.getvalue().splitlines()[1:-1] == [
        "fetch model: 20 %, 20.0 MiB of 100.0 MiB, 4.0 MiB/s",
        "fetch model: 40 %, 40.0 MiB of 100.0 MiB, 4.0 MiB/s",
        "fetch model: 60 %, 60.0 MiB of 100.0 MiB, 4.0 MiB/s",
        "fetch model: 80 %, 80.0 MiB of 100.0 MiB, 4.0 MiB/s",
        "fetch model: 100 %, 100.0 MiB of 100.0 MiB, 4.0 MiB/s",
    ]


def test_a_log_of_a_slow_step_says_every_half_minute_that_it_lives() -> None:
    log, clock = io.StringIO(), Clock()

    with PlainReport(log, clock=clock).step("compile", total=224, unit="steps") as step:
        for _ in range(3):
            clock.now += 20
            step.advance(1)

    assert log.getvalue() == (
        "compile (224 steps)\ncompile: 0 %, 2 steps of 224 steps\ncompile: done, 3 steps in 1 min 0 s\n"
    )


def test_a_total_may_become_known_later() -> None:
    log, clock = io.StringIO(), Clock()

    with PlainReport(log, clock=clock).step("fetch model") as step:
        step.expect(2 * MIB)
        clock.now = 6.0
        step.advance(MIB)

    assert log.getvalue().splitlines()[:2] == ["fetch model", "fetch model: 50 %, 1.0 MiB of 2.0 MiB, 170.7 KiB/s"]


def test_a_log_tells_of_a_failed_step() -> None:
    log, clock = io.StringIO(), Clock()

    with pytest.raises(ValueError, match="lost"), PlainReport(log, clock=clock).step("fetch model"):
        raise ValueError("lost")

    assert log.getvalue() == "fetch model\nfetch model: failed in 0.0 s\n"


def test_a_note_is_a_line_of_its_own_and_cannot_move_the_cursor() -> None:
    log = io.StringIO()

    PlainReport(log).note("zig \x1b[31mis used")

    assert log.getvalue() == "note: zig \\x1b[31mis used\n"


def test_json_lines_tell_of_a_step_from_its_start_to_its_end() -> None:
    log, clock = io.StringIO(), Clock()
    report = JsonReport(log, clock=clock)

    with report.step("fetch model", total=3) as step:
        step.advance(1)  # too soon after the start for a line
        clock.now = 1.0
        step.advance(1, detail="part 2")
    report.note("cached")

    common = {"step": "fetch model", "number": 1, "total": 3, "unit": "bytes"}
    assert [json.loads(line) for line in log.getvalue().splitlines()] == [
        {"event": "start", "done": 0, **common},
        {"event": "progress", "done": 2, "detail": "part 2", **common},
        {"event": "end", "done": 2, "failed": False, **common},
        {"event": "note", "text": "cached"},
    ]


def test_json_lines_number_steps_that_have_the_same_title() -> None:
    log = io.StringIO()
    report = JsonReport(log)

    with report.step("fetch"), report.step("fetch"):
        pass

    events = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [(it["event"], it["number"]) for it in events] == [("start", 1), ("start", 2), ("end", 2), ("end", 1)]


@pytest.mark.parametrize("make", [PlainReport, JsonReport])
def test_several_threads_count_into_several_steps_without_mixing_lines(make: type[PlainReport | JsonReport]) -> None:
    log = io.StringIO()
    report = make(log)

    _count_from_threads(report)

    lines = log.getvalue().splitlines()
    ends = [line for line in lines if ": done, 48.8 KiB in " in line or ('"event": "end"' in line and "50000" in line)]
    assert len(ends) == 4


def test_bars_vanish_and_leave_the_cursor_and_a_line_for_what_took_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal, clock = Terminal(), Clock()
    report = RichReport(terminal, clock=clock)

    with report.step("compile", total=10, unit="steps") as slow, report.step("hash", total=5) as quick:
        quick.advance(5)
        slow.advance(10, detail="a.c")
        clock.now = 0.5
    report.note("the engine is kept")
    with report.step("pack", total=MIB) as step:
        step.advance(MIB)
        clock.now = 3.0

    told = terminal.getvalue()
    assert "compile" in told
    assert "✓" in told
    assert "1.0 MiB · 2.5 s" in told
    assert "10 steps ·" not in told
    assert "the engine is kept" in told
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    assert hidden in told
    assert told.rindex(shown) > told.rindex(hidden)  # the cursor is shown again


@pytest.mark.parametrize("columns", [50, 80, 109, 110, 200])
def test_bars_keep_to_a_line_each_on_a_terminal_of_any_width(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal = Terminal()

    with RichReport(terminal, clock=Clock()).step(
        "fetch a-model-with-a-long-name.Q4_K_M.gguf", total=1000 * MIB
    ) as step:
        step.advance(999 * MIB, detail="part 00001 of 00002, which has a long name too")

    painted = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]+", terminal.getvalue())]
    bars = [line for line in painted if "━" in line]
    assert bars
    assert all(len(line.rstrip()) <= columns and " of 1000.0 MiB" in line for line in bars)


@pytest.mark.parametrize(
    ("done_bytes", "total_bytes", "words"),
    [(31 * MIB, 93 * MIB, "31.0 of 93.0 MiB"), (500 * MIB, 2048 * MIB, "500.0 MiB of 2.0 GiB"), (5, 0, "5 B")],
)
def test_the_unit_is_told_once_where_it_is_the_same(done_bytes: int, total_bytes: int, words: str) -> None:
    assert part_words(done_bytes, total_bytes) == words


def test_bars_tell_of_a_failed_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal()

    with pytest.raises(ValueError, match="lost"), RichReport(terminal, clock=Clock()).step("fetch [model]"):
        raise ValueError("lost")

    assert "✗" in terminal.getvalue()
    assert "fetch [model]" in terminal.getvalue()


def test_bars_are_counted_from_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal, clock = Terminal(), Clock()

    _count_from_threads(RichReport(terminal, clock=clock))

    assert "\x1b[?25h" in terminal.getvalue()


@pytest.mark.parametrize(
    ("stream", "asked", "expected"),
    [
        (Terminal(), {"json": False, "quiet": True, "plain": False}, SilentReport),
        (Terminal(), {"json": True, "quiet": False, "plain": False}, JsonReport),
        (Terminal(), {"json": False, "quiet": False, "plain": True}, PlainReport),
        (io.StringIO(), {"json": False, "quiet": False, "plain": False}, PlainReport),
    ],
)
def test_who_listens_decides_how_progress_is_told(
    stream: io.StringIO, asked: dict[str, bool], expected: type[Report]
) -> None:
    assert type(choose_report(stream, **asked)) is expected


def _count_from_threads(report: Report) -> None:
    def count(title: str) -> None:
        with report.step(title, total=50_000) as step:
            for _ in range(50):
                step.advance(1000)

    threads = [threading.Thread(target=count, args=(f"part {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
