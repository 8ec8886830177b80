"""Every key of a TOML text is found on the line where it is written, whatever the style."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lfbuild.recipe.locate import KeyPath, key_lines, key_text, line_of

STYLES = '''\
# a comment
title = "x"                       # line 2

[a]
b.c = 1
"quoted key" . 'd' = { e = 2, f.g = 3 }   # line 6

  [ a . h ]
  i = """
  [not.a.table]
  j = 10 \\"""
  """
  k = \'\'\'
  ]\'\'\'
  l = [
    # a comment ]
    1, [2,
      3], { m = 4 },   # line 18
  ]

[[n]]
o = 1979-05-27 07:32:00   # a date with a space
[n.p]
q = inf
[[n.r]]
s = [ ]
[[n.r]]
[[n]]
t = """"two quotes""""" # line 29
"\\u0061\\U0001F600" = true
'''


def test_each_style_of_writing_a_key_is_followed() -> None:
    lines = key_lines(STYLES)

    assert lines == {
        ("title",): 2,
        ("a",): 4,
        ("a", "b"): 5,
        ("a", "b", "c"): 5,
        ("a", "quoted key"): 6,
        ("a", "quoted key", "d"): 6,
        ("a", "quoted key", "d", "e"): 6,
        ("a", "quoted key", "d", "f"): 6,
        ("a", "quoted key", "d", "f", "g"): 6,
        ("a", "h"): 8,
        ("a", "h", "i"): 9,
        ("a", "h", "k"): 13,
        ("a", "h", "l"): 15,
        ("a", "h", "l", 0): 17,
        ("a", "h", "l", 1): 17,
        ("a", "h", "l", 1, 0): 17,
        ("a", "h", "l", 1, 1): 18,
        ("a", "h", "l", 2): 18,
        ("a", "h", "l", 2, "m"): 18,
        ("n",): 21,
        ("n", 0): 21,
        ("n", 0, "o"): 22,
        ("n", 0, "p"): 23,
        ("n", 0, "p", "q"): 24,
        ("n", 0, "r"): 25,
        ("n", 0, "r", 0): 25,
        ("n", 0, "r", 0, "s"): 26,
        ("n", 0, "r", 1): 27,
        ("n", 1): 28,
        ("n", 1, "t"): 29,
        ("n", 1, "a😀"): 30,
    }
    assert paths_of(tomllib.loads(STYLES)) == set(lines)


def test_windows_line_ends_count_once() -> None:
    assert key_lines("a = 1\r\n\r\n[b]\r\nc = 2\r\n") == {("a",): 1, ("b",): 3, ("b", "c"): 4}


def test_a_key_that_is_not_written_is_told_at_the_table_around_it() -> None:
    lines = key_lines("\n[a]\nb = 1\n")

    assert line_of(lines, ("a", "missing", 0, "deep")) == 2
    assert line_of(lines, ("missing",)) == 1
    assert line_of(lines, ()) == 1


def test_a_key_path_is_written_as_people_write_it() -> None:
    assert key_text(("model", 0, "source", "parts", 12, "sha256")) == "model[0].source.parts[12].sha256"
    assert key_text(("engine", "options", "A B")) == 'engine.options."A B"'
    assert key_text(()) == ""


def paths_of(value: object, path: KeyPath = ()) -> set[KeyPath]:
    """All key paths of a parsed document."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return {(*path, key) for key, _ in items} | {
        found for key, inner in items for found in paths_of(inner, (*path, key))
    }


@dataclass
class Writer:
    """Writes a random document, and remembers where it put each leaf."""

    draw: st.DrawFn
    lines: list[str] = field(default_factory=list)
    current: str = ""
    leaves: dict[KeyPath, int] = field(default_factory=dict)

    @property
    def line(self) -> int:
        return len(self.lines) + 1

    def put(self, text: str) -> None:
        for piece in text.splitlines(keepends=True):
            self.current += piece
            if piece.endswith("\n"):
                self.lines.append(self.current)
                self.current = ""

    def key(self, key: str) -> str:
        if key.isascii() and key.replace("-", "").isalnum() and self.draw(st.booleans()):
            return key
        if "'" not in key and key.isprintable() and self.draw(st.booleans()):
            return f"'{key}'"
        escaped = key.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in escaped) + '"'

    def pairs(self, table: KeyPath, keys: list[str], depth: int) -> None:
        for key in keys:
            self.gap()
            self.put(f"{self.key(key)}{self.draw(SPACES)}")
            path = (*table, key)
            while self.draw(st.booleans()) and len(path) < 4:
                path = (*path, "dotted")
                self.put(f".{self.draw(SPACES)}{self.key('dotted')}")
            self.put(f" ={self.draw(SPACES)}")
            self.value(path, depth)
            self.put(self.draw(ENDS))

    def value(self, path: KeyPath, depth: int) -> None:
        kind = self.draw(st.sampled_from(["leaf", "leaf", "array", "table"] if depth else ["leaf"]))
        self.leaves[path] = self.line
        if kind == "leaf":
            self.put(self.draw(VALUES))
        elif kind == "array":
            self.put("[")
            for index in range(self.draw(st.integers(0, 3))):
                self.put(self.draw(BREAKS))
                self.value((*path, index), depth - 1)
                self.put(self.draw(BREAKS) + ",")
            self.put(self.draw(BREAKS) + "]")
        else:
            self.put("{")
            for index, key in enumerate(self.draw(KEY_LISTS)):
                self.put(", " if index else " ")
                self.put(f"{self.key(key)} = ")
                self.value((*path, key), depth - 1)
            self.put(" }")

    def gap(self) -> None:
        self.put(self.draw(st.sampled_from(["", "\n", "# [x] = '\n", " \t\n"])))


SPACES = st.sampled_from(["", " ", "\t "])
ENDS = st.sampled_from(["\n", ' # ] } = "\n', "\t\n"])
BREAKS = st.sampled_from(["", " ", "\n", " # ], '''\n", "\n\n"])
KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1, max_size=5)
KEY_LISTS = st.lists(KEYS.filter(lambda key: key != "dotted"), max_size=3, unique=True)
VALUES = st.sampled_from(
    [
        *("1", "-0.5e3", "true", "nan", "0xff", "1979-05-27T07:32:00Z", "1979-05-27 07:32:00", "07:32:00"),
        *('"a # ] } \\" b"', "'lit \" # '", '""', "''", '""""a"""""', "''''a'''''"),
        *('"""\n multi " "" \\""" # \n"""', "'''\n ' '' \n x = 1\n'''"),
    ]
)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[KeyPath, int]]:
    """A TOML text in a random style, with the line of each key that was written."""
    writer = Writer(draw)
    writer.pairs((), draw(KEY_LISTS), 2)
    counts: dict[str, int] = {}
    for index in range(draw(st.integers(0, 4))):
        writer.gap()
        if draw(st.booleans()):
            name = draw(st.sampled_from(["list one", "list-two"]))
            path: KeyPath = (f"~{name}", counts.get(name, 0))
            counts[name] = counts.get(name, 0) + 1
            header = f"[[{writer.key(f'~{name}')}]]"
        else:
            path = (f"~table {index}", "inner")
            header = f"[ {writer.key(f'~table {index}')} . inner ]"
        writer.leaves[path] = writer.line
        writer.put(header + draw(ENDS))
        writer.pairs(path, draw(KEY_LISTS), 2)
    return "".join(writer.lines) + writer.current, writer.leaves


@settings(max_examples=300)
@given(documents())
def test_in_any_document_the_same_keys_are_found_as_by_tomllib_on_the_lines_where_they_were_written(
    document: tuple[str, dict[KeyPath, int]],
) -> None:
    text, written = document
    parsed = paths_of(tomllib.loads(text))

    lines = key_lines(text)

    assert set(lines) == parsed
    assert {path: lines[path] for path in written} == written
