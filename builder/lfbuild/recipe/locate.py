"""Finds the line on which each key of a TOML text stands, so that a problem can be told with its place.

`tomllib` gives values without lines. This walks a text that `tomllib` has accepted already, and therefore checks
nothing: it only follows tables, dotted keys, inline tables and arrays, and skips what the values say.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

KeyPath = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t]*")
_SPACE_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}#\n]*")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}'
    r"|'''(?:[^']|'(?!''))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_WIDE_ESCAPE = re.compile(r"\\U([0-9A-Fa-f]{8})")


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line, counted from 1, on which each table, key and array item begins."""
    walk = _Walk(text.replace("\r\n", "\n"))
    walk.document()
    return walk.lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """The line of `path`, or of the nearest table around it that is written out; 1 for the document."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def key_text(path: KeyPath) -> str:
    """A key path as people write it: `model[0].source.sha256`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        key = part if _BARE_KEY.fullmatch(part) else json.dumps(part, ensure_ascii=False)
        text += f".{key}" if text else key
    return text


class _Walk:
    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._at = 0
        self._line = 1
        self._counted_to = 0
        self._array_sizes: dict[KeyPath, int] = {}

    def document(self) -> None:
        table: KeyPath = ()
        self._skip(_SPACE_AND_LINES)
        while self._at < len(self._text):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)
            self._skip(_SPACE_AND_LINES)

    def _header(self) -> KeyPath:
        line = self._current_line()
        is_array = self._text.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        keys = self._keys()
        self._at += 2 if is_array else 1
        path: KeyPath = ()
        for key in keys[:-1]:
            path = self._latest_item((*path, key))
            self.lines.setdefault(path, line)
        path = (*path, keys[-1])
        if is_array:
            self.lines.setdefault(path, line)
            self._array_sizes[path] = self._array_sizes.get(path, 0) + 1
            path = self._latest_item(path)
        self.lines[path] = line  # a table that dotted headers mentioned before stands where its own header is
        return path

    def _latest_item(self, path: KeyPath) -> KeyPath:
        size = self._array_sizes.get(path, 0)
        return (*path, size - 1) if size else path

    def _pair(self, table: KeyPath) -> None:
        line = self._current_line()
        path = table
        for key in self._keys():
            path = (*path, key)
            self.lines.setdefault(path, line)
        self._at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _keys(self) -> list[str]:
        keys = [self._key()]
        while self._text.startswith(".", self._at):
            self._at += 1
            keys.append(self._key())
        return keys

    def _key(self) -> str:
        self._skip(_SPACE)
        quote = self._text[self._at]
        written = self._skip(_STRING if quote in "\"'" else _BARE_KEY)
        self._skip(_SPACE)
        if quote == '"':
            return _unescape(written)
        return written[1:-1] if quote == "'" else written

    def _value(self, path: KeyPath) -> None:
        first = self._text[self._at]
        if first in "\"'":
            self._skip(_STRING)
        elif first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            self._skip(_BARE_VALUE)

    def _array(self, path: KeyPath) -> None:
        index = 0
        self._at += 1
        while not self._ends("]"):
            item = (*path, index)
            self.lines[item] = self._current_line()
            self._value(item)
            index += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        while not self._ends("}"):
            self._pair(path)

    def _ends(self, bracket: str) -> bool:
        """Whether the array or inline table ends here; a comma before the next item is stepped over."""
        self._skip(_SPACE_AND_LINES)
        if self._text.startswith(",", self._at):
            self._at += 1
            self._skip(_SPACE_AND_LINES)
        if self._text.startswith(bracket, self._at):
            self._at += 1
            return True
        return False

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"not the TOML that was checked before, at character {self._at}")
        self._at = match.end()
        return match.group()

    def _current_line(self) -> int:
        self._line += self._text.count("\n", self._counted_to, self._at)
        self._counted_to = self._at
        return self._line


def _unescape(written: str) -> str:
    """A quoted key, whose escapes are those of JSON but for the eight-digit one."""
    text: str = json.loads(
        _WIDE_ESCAPE.sub(lambda match: json.dumps(chr(int(match[1], 16)))[1:-1], written), strict=False
    )
    return text
