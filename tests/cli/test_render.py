from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from lfbuild.cli.render import Cell, Column, Facts, Output, Table, age_words, plain_lines, printable, time_words
from lfbuild.report import size_words

MEMBERS = Table(
    columns=[Column(title="size", right=True), Column(title="member")],
    rows=[("12", "a.txt"), ("98362432", Cell("model.gguf", "good"))],
)


class Terminal(io.StringIO):
    """Takes text as a terminal would."""

    def isatty(self) -> bool:
        return True


def test_in_a_pipe_a_table_is_aligned_text_without_colour() -> None:
    assert list(plain_lines([MEMBERS, "2 members"])) == [
        "    size  member",
        "      12  a.txt",
        "98362432  model.gguf",
        "2 members",
    ]


def test_facts_without_a_value_are_left_out() -> None:
    assert list(plain_lines([Facts([("name", "chat"), ("license", ""), ("engine", "0.3.36")])])) == [
        "name    chat",
        "engine  0.3.36",
    ]


def test_on_a_terminal_a_table_has_colour_and_brackets_stay_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()

    Output(stream=terminal).show(None, MEMBERS, Facts([("[bold]", "x")]), "done [/bold]")

    told = terminal.getvalue()
    assert "\x1b[32mmodel.gguf\x1b[0m" in told
    assert "[bold]" in told
    assert "done [/bold]" in told


def test_json_holds_paths_and_frozen_values() -> None:
    stream = io.StringIO()

    Output(stream=stream, json=True).show(
        {"path": Path("a/b"), "cell": Cell("x"), "tags": frozenset({"b", "a"})}, "not this"
    )

    assert json.loads(stream.getvalue()) == {"path": "a/b", "cell": {"text": "x", "tone": "plain"}, "tags": ["a", "b"]}


def test_what_a_terminal_would_obey_is_shown_as_an_escape() -> None:
    assert printable("a\x1b[2J\n\u202eb\x9bä ✓\udcff") == "a\\x1b[2J\\x0a\\u202eb\\x9bä ✓\\udcff"


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (98_362_432, "93.8 MiB"),
        (1048575, "1.0 MiB"),
        (3 << 40, "3.0 TiB"),
    ],
)
def test_a_size_is_told_in_its_largest_unit(size_bytes: int, words: str) -> None:
    assert size_words(size_bytes) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.42, "0.4 s"), (9.97, "10 s"), (59.6, "1 min 0 s"), (276, "4 min 36 s"), (11_111, "3 h 5 min")],
)
def test_a_duration_is_told_as_precisely_as_anyone_cares(seconds: float, words: str) -> None:
    assert time_words(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "just now"), (59, "just now"), (60, "1 minute ago"), (7200, "2 hours ago"), (40 * 86400, "40 days ago")],
)
def test_an_age_is_told_in_one_unit(seconds: float, words: str) -> None:
    assert age_words(seconds) == words
