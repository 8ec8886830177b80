"""Shows results on stdout: rich tables on a terminal, aligned plain text in a pipe, JSON when asked.

A verb hands over one document (for JSON) and the same thing as blocks (for people); it never formats a line itself.
What comes out of a file, such as a member's name, cannot move a terminal's cursor: all text is made `printable`.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import RenderableType

Tone = Literal["plain", "good", "warn", "bad", "quiet"]
_STYLES: dict[Tone, str] = {"plain": "", "good": "green", "warn": "yellow", "bad": "bold red", "quiet": "dim"}

# C0 and C1 controls, and the marks that reorder text so that a name reads as another one.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of a table; numbers stand to the right."""

    title: str
    right: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A table's cell that has a tone."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows under titles."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str | Cell]]


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and what they are, one a line; a fact without a value is left out."""

    pairs: Sequence[tuple[str, str | Cell]]


Block = Table | Facts | Cell | str
"""What a person is shown: a table, a list of facts, a sentence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """Where results go."""

    stream: TextIO
    json: bool = False

    def show(self, document: object, *blocks: Block) -> None:
        """Write `document` as JSON if that was asked for, else `blocks` for a person."""
        with standard_output_named():
            if self.json:
                self.stream.write(to_json(document) + "\n")
            elif self.stream.isatty():
                self._show_rich(blocks)
            else:
                self.stream.writelines(f"{line}\n" for line in plain_lines(blocks))

    def write(self, text: str) -> None:
        """Write `text` as it is: a script or a schema that another program reads."""
        with standard_output_named():
            self.stream.write(text)

    def _show_rich(self, blocks: Iterable[Block]) -> None:
        from rich.console import Console

        console = Console(file=self.stream, highlight=False, soft_wrap=False)
        for block in blocks:
            console.print(_rich(block))


@contextmanager
def standard_output_named() -> Iterator[None]:
    """Within this context what the system refuses is told of standard output, which has no name of its own.

    Raises:
        HostError: it cannot be written.
    """
    try:
        yield
    except BrokenPipeError:  # whoever read it went away, which is nothing to tell
        raise
    except OSError as error:
        from lfbuild.host.files import host_error

        told = host_error("standard output", error)
        told.hint = "send it elsewhere, or make room where it goes"
        raise told from error


def to_json(document: object) -> str:
    """`document`, which may hold paths and frozen values of ours, as JSON."""
    import json

    return json.dumps(document, indent=2, ensure_ascii=False, default=_plain_value)


def plain_lines(blocks: Iterable[Block]) -> Iterator[str]:
    """The blocks as lines without colour, columns two spaces apart."""
    for block in blocks:
        match block:
            case Table():
                yield from _aligned([[column.title for column in block.columns], *block.rows], block.columns)
            case Facts():
                yield from _aligned(
                    [pair for pair in block.pairs if _text(pair[1])], [Column(title=""), Column(title="")]
                )
            case _:
                yield _text(block)


def printable(text: str) -> str:
    """`text` with everything that a terminal would obey, rather than show, written as an escape."""
    return _UNPRINTABLE.sub(lambda found: _escape(found[0]), text)


def method_words(method: int) -> str:
    """How a ZIP keeps a member, by its number of the method."""
    return {0: "stored", 8: "deflate", 9: "deflate64", 93: "zstd"}.get(method, f"method {method}")


def time_words(seconds: float) -> str:
    """A duration for people: `0.4 s`, `12 s`, `4 min 36 s`, `3 h 5 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def age_words(seconds: float) -> str:
    """How long ago, in the largest unit that fits: `just now`, `5 minutes ago`, `3 days ago`."""
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        number = int(seconds // size)
        if number > 0:
            return f"{number} {unit}{'s' if number > 1 else ''} ago"
    return "just now"


def _escape(letter: str) -> str:
    number = ord(letter)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def _text(cell: str | Cell) -> str:
    return printable(cell.text if isinstance(cell, Cell) else cell)


def _aligned(rows: Sequence[Sequence[str | Cell]], columns: Sequence[Column]) -> Iterator[str]:
    texts = [[_text(cell) for cell in row] for row in rows]
    widths = [max((len(row[index]) for row in texts), default=0) for index in range(len(columns))]
    for row in texts:
        cells = [
            text.rjust(width) if column.right else text.ljust(width)
            for text, width, column in zip(row, widths, columns, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def _rich(block: Block) -> RenderableType:
    from rich.table import Table as RichTable

    match block:
        case Table():
            table = RichTable(box=None, padding=(0, 2, 0, 0), header_style="bold")
            for column in block.columns:
                table.add_column(column.title, justify="right" if column.right else "left", overflow="fold")
            for row in block.rows:
                table.add_row(*(_rich_text(cell) for cell in row))
            return table
        case Facts():
            table = RichTable(box=None, padding=(0, 2, 0, 0), show_header=False)
            table.add_column(style="bold", no_wrap=True)
            table.add_column(overflow="fold")
            for name, value in block.pairs:
                if _text(value):
                    table.add_row(_rich_text(name), _rich_text(value))
            return table
        case _:
            return _rich_text(block)


def _rich_text(cell: str | Cell) -> RenderableType:
    from rich.text import Text

    return Text(_text(cell), style=_STYLES[cell.tone] if isinstance(cell, Cell) else "")


def _plain_value(value: object) -> object:
    from dataclasses import fields, is_dataclass
    from pathlib import PurePath

    if isinstance(value, PurePath):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
