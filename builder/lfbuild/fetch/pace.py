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
_WINDOW_S: Final = 0.05
"""So long bytes are counted for one look at the speed; more than a scheduler's hiccup, less than most round trips."""
_FADING: Final = 0.97
"""What an old look counts for against the next one."""


@dataclass(frozen=True, slots=True)
class Clock:
    """What time it is for whoever measures, and how to wait."""

    now: Callable[[], float]
    """Seconds since any moment; a front door has the clock."""
    pause: Callable[[float], None] = time.sleep


class Tally:
    """What the answers so far say of the line. Called from several threads.

    The speed of the line is the most that came in one window, over all connections: between bursts a line that waits
    for requests is idle, which says nothing of it; and one connection alone does not see what it shares.
    """

    def __init__(self, first: Line | None, clock: Clock) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._first = first or GUESSED_LINE
        self._round_trip_s = None if first is None else first.round_trip_s
        self._bytes_per_s: float | None = None
        self._window_from, self._window_bytes = clock.now(), 0

    def answered(self, wait_s: float) -> None:
        """Count how long an answer took to begin."""
        with self._lock:
            if self._round_trip_s is None or wait_s < self._round_trip_s:
                self._round_trip_s = wait_s

    def arrived(self, count: int) -> None:
        """Count bytes that came just now."""
        with self._lock:
            self._window_bytes += count
            elapsed_s = self._clock.now() - self._window_from
            if elapsed_s < _WINDOW_S:
                return
            seen = self._window_bytes / elapsed_s
            self._bytes_per_s = max(seen, _FADING * (self._bytes_per_s or 0))
            self._window_from, self._window_bytes = self._clock.now(), 0

    def line(self) -> Line:
        """The line as it is known by now."""
        with self._lock:
            return Line(
                round_trip_s=self._first.round_trip_s if self._round_trip_s is None else self._round_trip_s,
                bytes_per_s=self._bytes_per_s or self._first.bytes_per_s,
            )


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
