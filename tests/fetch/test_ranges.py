"""Requests are decided from sizes and times alone: single ranges, together where that is faster, none too long."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lfbuild.fetch.ranges import (
    LEAST_PIECE_BYTES,
    MOST_GAP_BYTES,
    MOST_PIECE_BYTES,
    Line,
    Piece,
    Span,
    connections_within,
    next_piece,
    piece_bytes,
    plan_pieces,
)

KIB, MIB = 1 << 10, 1 << 20
HOME = Line(round_trip_s=0.05, bytes_per_s=12.5e6)
FAR = Line(round_trip_s=0.15, bytes_per_s=125e6)


def spans(*offsets: int, size: int = 100) -> list[Span]:
    return [Span(offset, size) for offset in offsets]


def test_neighbours_are_asked_for_together_and_what_is_far_is_not() -> None:
    assert next_piece(spans(0, 100, 250, 1000), gap_bytes=50, most_bytes=MIB) == Piece(units=tuple(spans(0, 100, 250)))


def test_a_request_is_never_longer_than_it_may_be_but_for_one_stretch() -> None:
    assert next_piece(spans(0, 100, 200), gap_bytes=0, most_bytes=250).span == Span(0, 200)
    assert next_piece(spans(0, 400, size=400), gap_bytes=0, most_bytes=250).span == Span(0, 400)


def test_nothing_but_the_bytes_between_is_read_along() -> None:
    assert next_piece(spans(10, 130), gap_bytes=20, most_bytes=MIB).span == Span(10, 220)
    assert next_piece(spans(10, 131), gap_bytes=20, most_bytes=MIB).span == Span(10, 100)


def test_the_gap_is_what_a_round_trip_of_one_connection_would_cost() -> None:
    assert HOME.gap_bytes(8) == 78_125
    assert FAR.gap_bytes(8) == MOST_GAP_BYTES
    assert Line(round_trip_s=0, bytes_per_s=1e9).gap_bytes(8) == 0


def test_a_line_that_holds_more_has_more_connections() -> None:
    near = Line(round_trip_s=0.001, bytes_per_s=12.5e6)
    assert (near.connections, HOME.connections, FAR.connections) == (8, 9, 32)


def test_as_many_connections_share_a_limit_as_bring_a_block_a_second() -> None:
    limits = (1, MIB, 2 * MIB + 1, 1000 * MIB, None)

    assert [connections_within(limit) for limit in limits] == [1, 1, 2, 32, 32]


def test_requests_get_shorter_as_less_is_left() -> None:
    assert piece_bytes(10_000 * MIB, 8) == MOST_PIECE_BYTES
    assert piece_bytes(64 * MIB, 8) == 4 * MIB
    assert piece_bytes(MIB, 8) == LEAST_PIECE_BYTES


def test_seconds_are_at_least_two_round_trips_and_the_bytes() -> None:
    one = plan_pieces(spans(0, size=12_500_000), line=HOME)

    assert HOME.seconds(one) == 2 * 0.05 + 1.0
    assert HOME.seconds(()) == 0


WANTED = st.lists(st.tuples(st.integers(0, 3 * MIB), st.integers(1, MIB)), min_size=1, max_size=60)


@given(gaps_and_sizes=WANTED, round_trip_s=st.floats(0, 1), bytes_per_s=st.floats(1e3, 1e9))
def test_every_wanted_stretch_is_in_one_request_and_no_two_requests_overlap(
    gaps_and_sizes: list[tuple[int, int]], round_trip_s: float, bytes_per_s: float
) -> None:
    wanted, position = [], 0
    for gap, size in gaps_and_sizes:
        wanted.append(Span(position + gap, size))
        position += gap + size

    pieces = plan_pieces(wanted[::-1], line=Line(round_trip_s=round_trip_s, bytes_per_s=bytes_per_s))

    assert [unit for piece in pieces for unit in piece.units] == wanted
    assert all(piece.span.size_bytes <= MOST_PIECE_BYTES for piece in pieces)
    assert all(before.span.end <= after.span.offset for before, after in pairwise(pieces))
    for piece in pieces:
        assert all(b.offset - a.end <= MOST_GAP_BYTES for a, b in pairwise(piece.units))
