"""Decides how a set of wanted stretches is asked for: single ranges, neighbours together, none too long.

Pure: sizes and times come in, requests go out. There is never a request for several ranges at once: most stores refuse
such a request, cut the answer short, or answer it with something else (docs/decisions/0010-update.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_PIECE_BYTES: Final = 16 << 20
"""A longer answer that breaks off would lose the server's way back into it, and keeps the others waiting at the end."""
LEAST_PIECE_BYTES: Final = 1 << 20
MOST_GAP_BYTES: Final = 1 << 20
FEWEST_CONNECTIONS: Final = 8
MOST_CONNECTIONS: Final = 32
_BYTES_A_CONNECTION: Final = 64 << 10
"""What a young connection has on its way at once; a link that holds more needs more connections to be filled."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of a file, in bytes."""

    offset: int
    size_bytes: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.size_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One request: the stretches that are wanted out of it, in order, and what lies between them."""

    units: tuple[Span, ...]

    @property
    def span(self) -> Span:
        """What is asked for."""
        offset = self.units[0].offset
        return Span(offset, self.units[-1].end - offset)


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """What a line to a server is like, as far as it is known."""

    round_trip_s: float
    bytes_per_s: float
    """Of all connections together."""

    @property
    def connections(self) -> int:
        """How many connections fill it."""
        on_the_way = self.round_trip_s * self.bytes_per_s
        return int(min(max(on_the_way / _BYTES_A_CONNECTION, FEWEST_CONNECTIONS), MOST_CONNECTIONS))

    def gap_bytes(self, connections: int) -> int:
        """Bytes that nobody wants are read along up to here, since asking twice would take longer."""
        return int(min(self.round_trip_s * self.bytes_per_s / max(connections, 1), MOST_GAP_BYTES))

    def seconds(self, pieces: Sequence[Piece]) -> float:
        """How long these requests take at the least: the connection, the first request, then bytes or round trips."""
        if not pieces:
            return 0.0
        size_bytes = sum(piece.span.size_bytes for piece in pieces)
        waiting = self.round_trip_s * len(pieces) / self.connections
        return 2 * self.round_trip_s + max(size_bytes / self.bytes_per_s, waiting)


def connections_within(limit_bytes_per_s: int | None) -> int:
    """How many connections may share a limit: each brings its least piece in about a second, so little is ever lost."""
    if limit_bytes_per_s is None:
        return MOST_CONNECTIONS
    return min(max(limit_bytes_per_s // LEAST_PIECE_BYTES, 1), MOST_CONNECTIONS)


def piece_bytes(wanted_bytes: int, connections: int) -> int:
    """How long a request may be, so that at the end no connection works while all others have nothing to do."""
    return min(max(wanted_bytes // (2 * max(connections, 1)), LEAST_PIECE_BYTES), MOST_PIECE_BYTES)


def next_piece(wanted: Sequence[Span], *, gap_bytes: int, most_bytes: int) -> Piece:
    """The request for the first of `wanted` (in order, at least one) and for as many behind it as fit."""
    first = wanted[0]
    count, end = 1, first.end
    for unit in wanted[1:]:
        if unit.offset - end > gap_bytes or unit.end - first.offset > most_bytes:
            break
        count, end = count + 1, unit.end
    return Piece(units=tuple(wanted[:count]))


def plan_pieces(wanted: Sequence[Span], *, line: Line) -> tuple[Piece, ...]:
    """All requests for `wanted` over a line that stays as it is."""
    ordered, pieces = sorted(wanted), list[Piece]()
    gap_bytes = line.gap_bytes(line.connections)
    left_bytes = sum(unit.size_bytes for unit in ordered)
    start = 0
    while start < len(ordered):
        most_bytes = piece_bytes(left_bytes, line.connections)
        piece = next_piece(ordered[start : start + _MOST_UNITS], gap_bytes=gap_bytes, most_bytes=most_bytes)
        pieces.append(piece)
        start += len(piece.units)
        left_bytes -= sum(unit.size_bytes for unit in piece.units)
    return tuple(pieces)


_MOST_UNITS: Final = 4096
"""So many wanted stretches are looked at for one request."""
