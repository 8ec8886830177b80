"""Brings wanted stretches of one file over several connections at once, and tries again where that may help.

What a stretch should be is the business of `accept`, which judges and keeps it. A stretch that broke off, lay behind
one that did, or was not what it should be is asked for again, three times in all, with a pause that grows; one that was
accepted never. Each time it is asked for with less beside it, and the last time alone, so that all gets across even a
line that always breaks off.
"""

from __future__ import annotations

import random
import threading
from bisect import insort
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from lfbuild.errors import FROM_THE_BEGINNING, FetchError, IntegrityError
from lfbuild.fetch.answers import ChangedError
from lfbuild.fetch.connection import PassingError
from lfbuild.fetch.pace import Clock, Floor, Limit, Tally
from lfbuild.fetch.ranges import LEAST_PIECE_BYTES, MOST_CONNECTIONS, Piece, connections_within, next_piece, piece_bytes
from lfbuild.fetch.remote import READ_BYTES, BusyError
from lfbuild.report import size_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lfbuild.fetch.ranges import Line, Span
    from lfbuild.fetch.remote import Body, Remote

    Accept = Callable[[Span, memoryview], bool]
    """Judges a stretch and keeps it; called from several threads. False: it is not what it should be."""

MOST_TRIES: Final = 3
_GO_ON: Final = "what came is kept, and it goes on from there"
_FIRST_PAUSE_S: Final = 0.5
_MOST_UNITS: Final = 4096
_LIMITED_READ_BYTES: Final = 16 << 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """What it took."""

    requests: int
    body_bytes: int
    """All that came: what was wanted, what lay between, and what had to come again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manners:
    """How a server is treated."""

    clock: Clock
    most_connections: int = MOST_CONNECTIONS
    limit_bytes_per_s: int | None = None
    silence_s: float = 60
    """How long a body may all but stand still."""


def fetch_units(
    remote: Remote,
    units: Sequence[Span],
    accept: Accept,
    *,
    manners: Manners,
    line: Line | None = None,
    on_traffic: Callable[[int], None] = lambda _: None,
) -> Traffic:
    """Bring every one of `units`, in any order; `line` is what is known of the way to the server.

    `on_traffic` is told of each byte that comes, whatever ends it.

    Raises:
        RangesRefusedError: only the whole file can be had.
        ChangedError: the file has another size than was promised, or another copy of it has other bytes.
        FetchError: a stretch could not be brought.
        IntegrityError: a stretch was not what it should be, three times.
    """
    if not units:
        return Traffic(requests=0, body_bytes=0)
    return _Crew(remote, units, accept, manners, line, on_traffic).run()


def fetch_whole(
    remote: Remote,
    units: Sequence[Span],
    accept: Accept,
    *,
    manners: Manners,
    on_bytes: Callable[[int], None] = lambda _: None,
    on_traffic: Callable[[int], None] = lambda _: None,
) -> Traffic:
    """Bring `units` out of the whole file, read from its beginning: for servers that send no parts.

    `on_bytes` is told of all that comes, up to the end of the last unit; what comes once more is not counted, but
    `on_traffic` is told of that too.

    Raises:
        As `fetch_units`.
    """
    if not units:
        return Traffic(requests=0, body_bytes=0)
    crew = _Crew(remote, units, accept, manners, None, on_traffic)
    try:
        return crew.run_alone(on_bytes)
    except BaseException as stopped:
        if not isinstance(stopped, Exception):
            stopped.add_note(FROM_THE_BEGINNING)
        raise


class _StoppedError(Exception):
    """Another connection failed for good."""


class _Crew:
    """The connections at work, and what is left for them to do."""

    def __init__(
        self,
        remote: Remote,
        units: Sequence[Span],
        accept: Accept,
        manners: Manners,
        line: Line | None,
        on_traffic: Callable[[int], None],
    ) -> None:
        self._remote, self._accept, self._clock = remote, accept, manners.clock
        self._limit = Limit(manners.limit_bytes_per_s, manners.clock)
        self._within_limit = connections_within(manners.limit_bytes_per_s)
        self._silence_s = manners.silence_s
        self._tally = Tally(line, manners.clock)
        self._wanted = sorted(units)
        self._wanted_bytes = sum(unit.size_bytes for unit in units)
        self._buffer_bytes = max(unit.size_bytes for unit in units)
        self._tries: dict[Span, int] = {}
        """How often each stretch was asked for."""
        self._unlucky: set[Span] = set()
        """What was asked for and did not come, though the answer had begun."""
        self._changed = threading.Condition()
        self._most, self._at_work, self._busy = manners.most_connections, 0, 0
        self._bodies: set[Body] = set()
        self._failure: BaseException | None = None
        self._requests, self._body_bytes, self._on_traffic = 0, 0, on_traffic
        self._on_bytes: Callable[[int], None] = lambda _: None
        self._reached = 0

    def run(self) -> Traffic:
        """Work with as many connections as the line needs, until all is here or one thing cannot be had."""
        try:
            with self._changed:
                while self._failure is None and (self._wanted or self._busy):
                    self._hire()
                    self._changed.wait()
        except BaseException as error:  # an interrupt: the connections must not go on behind it
            self._fail(error)
        with self._changed:
            while self._at_work:
                self._changed.wait()
        return self._outcome()

    def run_alone(self, on_bytes: Callable[[int], None]) -> Traffic:
        """Read the file from its beginning, again and again while that may help."""
        self._on_bytes = on_bytes
        buffer = memoryview(bytearray(self._buffer_bytes))
        while self._failure is None and self._wanted:
            piece = Piece(units=tuple(self._wanted))
            self._take_up(piece)
            self._bring(piece, buffer, is_whole=True)
        return self._outcome()

    def _outcome(self) -> Traffic:
        if self._failure is not None:
            raise self._failure
        return Traffic(requests=self._requests, body_bytes=self._body_bytes)

    def _hire(self) -> None:
        """One more connection for each that the line has room for and there is work for."""
        needed = min(self._connections(self._tally.line()), self._most, len(self._wanted) + self._busy)
        while self._at_work < needed:
            self._at_work += 1
            threading.Thread(target=self._work, name="fetch", daemon=True).start()

    def _connections(self, line: Line) -> int:
        return min(line.connections, self._within_limit)

    def _work(self) -> None:
        buffer = memoryview(bytearray(self._buffer_bytes))
        try:
            while (piece := self._next()) is not None:
                may_stay = self._bring(piece, buffer, is_whole=False)
                with self._changed:
                    self._busy -= 1
                    self._changed.notify_all()
                    if not may_stay and self._at_work > 1:
                        self._most = max(self._at_work - 1, 1)
                        return
        except BaseException as error:
            self._fail(error)
        finally:
            with self._changed:
                self._at_work -= 1
                self._changed.notify_all()

    def _next(self) -> Piece | None:
        """The next request; None when there is nothing left that could become one."""
        with self._changed:
            while self._failure is None and not self._wanted and self._busy:
                self._changed.wait()
            if self._failure is not None or not self._wanted or self._at_work > self._most:
                return None
            piece = self._next_piece(self._tally.line())
            self._take_up(piece)
            self._busy += 1
            self._changed.notify_all()
            return piece

    def _next_piece(self, line: Line) -> Piece:
        """The first wanted stretch, and those behind it that were asked for as often."""
        first = self._wanted[0]
        alike = takewhile(lambda unit: self._luck(unit) == self._luck(first), self._wanted[:_MOST_UNITS])
        connections = self._connections(line)
        gap_bytes, most_bytes = line.gap_bytes(connections), piece_bytes(self._wanted_bytes, connections)
        if first in self._unlucky:  # what lies between came with it before, and is not asked for again
            gap_bytes, most_bytes = 0, LEAST_PIECE_BYTES if self._tries[first] < MOST_TRIES - 1 else 0
        return next_piece(list(alike), gap_bytes=gap_bytes, most_bytes=most_bytes)

    def _luck(self, unit: Span) -> tuple[int, bool]:
        return self._tries.get(unit, 0), unit in self._unlucky

    def _take_up(self, piece: Piece) -> None:
        """Count a request for the first wanted stretches."""
        del self._wanted[: len(piece.units)]
        self._wanted_bytes -= sum(unit.size_bytes for unit in piece.units)
        for unit in piece.units:
            self._tries[unit] = self._tries.get(unit, 0) + 1

    def _bring(self, piece: Piece, buffer: memoryview, *, is_whole: bool) -> bool:
        """One request. What of it did not arrive is wanted again; False: the server has too much to do."""
        left = list(piece.units)
        try:
            self._read(piece, left, buffer, is_whole=is_whole)
        except PassingError as trouble:
            tries = self._tries[left[0]]
            if tries >= MOST_TRIES:
                raise FetchError(
                    self._remote.where,
                    f"{trouble.what}, at byte {left[0].offset}; tried {tries} times",
                    hint=f"run again: {FROM_THE_BEGINNING if is_whole else _GO_ON}",
                ) from trouble
            self._clock.pause(trouble.wait_s if trouble.wait_s is not None else _pause_s(tries))
            self._want_again(left, is_unlucky=len(left) < len(piece.units))
            return not isinstance(trouble, BusyError)
        return True

    def _read(self, piece: Piece, left: list[Span], buffer: memoryview, *, is_whole: bool) -> None:
        """Take the stretches of a piece out of its answer; those that arrived are taken off `left`."""
        with self._changed:
            self._requests += 1
        span = piece.span
        with self._remote.open(None if is_whole else span) as body, self._seen(body):
            self._tally.answered(body.wait_s)
            flow = _Flow(self, body, 0 if is_whole else span.offset)
            for unit in piece.units:
                flow.skip_to(unit.offset, buffer)
                view = flow.fill(buffer[: unit.size_bytes])
                left.remove(unit)
                if not self._accept(unit, view):
                    self._refuse(unit)

    def _refuse(self, unit: Span) -> None:
        """Ask again for what was not what it should be, if it was not too often."""
        if self._remote.has_copies:
            raise ChangedError(self._remote.where, "the file was changed on the server meanwhile")
        tries = self._tries[unit]
        if tries >= MOST_TRIES:
            what = f"the bytes at {unit.offset} are not the ones that were promised; tried {tries} times"
            hint = "the server, or a cache on the way, has another version or is broken; what came is kept"
            raise IntegrityError(self._remote.where, what, hint=hint)
        self._want_again([unit], is_unlucky=True)

    def _want_again(self, units: Sequence[Span], *, is_unlucky: bool) -> None:
        with self._changed:
            self._unlucky.update(units if is_unlucky else ())
            for unit in units:
                insort(self._wanted, unit)
                self._wanted_bytes += unit.size_bytes
            self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            if self._failure is None:
                self._failure = error
            for body in self._bodies:
                body.abort()
            self._changed.notify_all()

    def _seen(self, body: Body) -> _Seen:
        return _Seen(self, body)

    def enter(self, body: Body) -> None:
        """A body that would have to be let go of when another connection fails."""
        with self._changed:
            if self._failure is not None:
                raise _StoppedError
            self._bodies.add(body)

    def leave(self, body: Body) -> None:
        """It has been read, or not."""
        with self._changed:
            self._bodies.discard(body)

    def take(self, body: Body, most: int) -> bytes:
        """Bytes of a body, no faster than they may come."""
        if self._limit.bytes_per_s is not None:
            most = min(most, _LIMITED_READ_BYTES)
        data = body.read(min(most, READ_BYTES))
        self._tally.arrived(len(data))
        self._limit.take(len(data))
        with self._changed:
            self._body_bytes += len(data)
            self._on_traffic(len(data))
            if self._failure is not None:
                raise _StoppedError
        return data

    def reach(self, position: int) -> None:
        """Tell how far the whole file has come, each byte once."""
        if position > self._reached:
            self._on_bytes(position - self._reached)
            self._reached = position

    def floor(self) -> Floor:
        """The slowest that a body may come."""
        return Floor(self._clock, window_s=self._silence_s, limit=self._limit)


@dataclass(frozen=True, slots=True)
class _Seen:
    crew: _Crew
    body: Body

    def __enter__(self) -> None:
        self.crew.enter(self.body)

    def __exit__(self, *_: object) -> None:
        self.crew.leave(self.body)


class _Flow:
    """The bytes of one answer, from their place in the file on."""

    def __init__(self, crew: _Crew, body: Body, position: int) -> None:
        self._crew, self._body, self.position = crew, body, position
        self._floor = crew.floor()

    def skip_to(self, offset: int, buffer: memoryview) -> None:
        """Let go by what nobody wants."""
        while self.position < offset:
            self.fill(buffer[: min(offset - self.position, len(buffer))])

    def fill(self, view: memoryview) -> memoryview:
        """So many bytes.

        Raises:
            PassingError: the body ended before.
        """
        done = 0
        while done < len(view):
            data = self._crew.take(self._body, len(view) - done)
            if not data:
                raise PassingError(f"the connection broke off after {size_words(self.position + done)}")
            view[done : done + len(data)] = data
            done += len(data)
            self._crew.reach(self.position + done)
            if not self._floor.holds(len(data)) and done < len(view):
                raise PassingError("the server sends less than 1 KiB a second")
        self.position += done
        return view


def _pause_s(failures: int) -> float:
    """Twice as long after each failure, and never in step with the others who wait for the same server."""
    longest = _FIRST_PAUSE_S * 2**failures
    return random.uniform(longest / 2, longest)  # noqa: S311  # no secret hangs on it
