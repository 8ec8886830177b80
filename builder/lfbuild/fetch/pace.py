"""How fast bytes come and may come: what a line has shown so far, a limit that all connections share, a floor.

The clock and the pauses are handed in, so that a test decides what time it is.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lfbuild.fetch.ranges import Line

if TYPE_CHECKING:
    from collections.abc import Callable

GUESSED_LINE: Final = Line(round_trip_s=0.05, bytes_per_s=25e6)
"""Until something is known."""
LEAST_BYTES_PER_S: Final = 1024.0
"""A server that sends less for a whole time-out is as good as silent: it would hold a connection for years."""
_FEW_BYTES: Final = 256 << 10
"""Shorter answers say nothing about the speed: they come in one go."""


class Tally:
    """What the answers so far say of the line. Called from several threads."""

    def __init__(self, first: Line | None = None) -> None:
        self._lock = threading.Lock()
        self._first = first or GUESSED_LINE
        self._round_trip_s: float | None = None if first is None else first.round_trip_s
        self._bytes = 0
        self._body_s = 0.0

    def add(self, *, wait_s: float, body_bytes: int, body_s: float) -> None:
        """Count an answer: how long its first byte took, and how long its body."""
        with self._lock:
            if self._round_trip_s is None or wait_s < self._round_trip_s:
                self._round_trip_s = wait_s
            if body_bytes >= _FEW_BYTES:
                self._bytes += body_bytes
                self._body_s += body_s

    def line(self, connections: int) -> Line:
        """The line, if so many connections were at work."""
        with self._lock:
            round_trip_s = self._first.round_trip_s if self._round_trip_s is None else self._round_trip_s
            if not self._bytes:
                return Line(round_trip_s=round_trip_s, bytes_per_s=self._first.bytes_per_s)
            one = self._bytes / max(self._body_s, 1e-6)
            return Line(round_trip_s=round_trip_s, bytes_per_s=one * connections)


@dataclass(frozen=True, slots=True)
class Clock:
    """What time it is for whoever measures, and how to wait."""

    now: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep


class Limit:
    """So many bytes a second, for all connections together; None for as fast as they come."""

    def __init__(self, bytes_per_s: int | None, clock: Clock) -> None:
        self.bytes_per_s = bytes_per_s
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = clock.now()

    def take(self, count: int) -> None:
        """Wait until these bytes may have come."""
        if self.bytes_per_s is None:
            return
        with self._lock:
            now = self._clock.now()
            self._free_at = max(self._free_at, now) + count / self.bytes_per_s
            wait_s = self._free_at - now
        if wait_s > 0:
            self._clock.pause(wait_s)


class Floor:
    """Notices a body that comes so slowly that it will never end."""

    def __init__(self, clock: Clock, *, window_s: float, limit: Limit) -> None:
        self._clock, self._window_s = clock, window_s
        least = LEAST_BYTES_PER_S if limit.bytes_per_s is None else min(LEAST_BYTES_PER_S, limit.bytes_per_s / 64)
        self._least_bytes = least * window_s
        self._since, self._bytes = clock.now(), 0

    def holds(self, count: int) -> bool:
        """Whether, with these bytes more, it still comes fast enough."""
        self._bytes += count
        now = self._clock.now()
        if now - self._since < self._window_s:
            return True
        enough = self._bytes >= self._least_bytes
        self._since, self._bytes = now, 0
        return enough
