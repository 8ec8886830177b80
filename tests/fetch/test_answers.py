"""Whatever a server says, bytes are only ever taken from the beginning or from where the held ones end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbuild.errors import FetchError
from lfbuild.fetch.answers import (
    AskLater,
    BeginAgain,
    Promised,
    TakeBody,
    TakePart,
    check_part,
    decide,
    strong_validator,
)

ODD_NUMBERS = ["*", "", "x", "10", "99999999999999999999", "9" * 5000, "٣"]
NUMBERS = st.one_of(st.integers(-5, 20).map(str), st.sampled_from(ODD_NUMBERS))
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Content-Range": st.one_of(
            st.builds("bytes {}-{}/{}".format, NUMBERS, NUMBERS, NUMBERS),
            st.builds("bytes */{}".format, NUMBERS),
            st.text(max_size=12),
        ),
        "Content-Length": NUMBERS,
        "Retry-After": NUMBERS,
    },
)


@given(
    status=st.sampled_from([200, 204, 206, 301, 304, 404, 408, 416, 429, 500, 599]),
    headers=HEADERS,
    held=st.integers(0, 15),
)
def test_no_answer_makes_us_take_bytes_for_another_place(status: int, headers: dict[str, str], held: int) -> None:
    try:
        decision = decide(status, headers, held_bytes=held, where="here")
    except FetchError:
        return
    if isinstance(decision, TakeBody):
        assert decision.offset == (0 if status == 200 else held)
        assert decision.total_bytes is None or decision.total_bytes >= decision.offset
    if isinstance(decision, AskLater):
        assert decision.wait_s is None or 0 <= decision.wait_s <= 60


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": f"bytes 0-{'9' * 5000}/10"},
        {"Content-Range": f"bytes 0-4/{'9' * 5000}"},
        {"Content-Range": "bytes 0-4/10", "Content-Length": "9" * 5000},
    ],
)
def test_a_number_that_is_no_size_of_a_file_is_none(headers: dict[str, str]) -> None:
    decision = check_part(206, headers, offset=0, length=5, promised=Promised(), where="here")

    assert decision == (
        TakePart(size_bytes=10, tag=None, length=None)
        if "Content-Length" in headers
        else AskLater(what="the server sends a part without saying which", wait_s=None)
    )


def test_a_part_to_an_unknown_total_may_be_taken() -> None:
    assert decide(206, {"Content-Range": "bytes 5-9/*"}, held_bytes=5, where="here") == TakeBody(
        offset=5, total_bytes=None
    )


def test_a_refused_range_that_does_not_end_where_ours_do_begins_again() -> None:
    assert isinstance(decide(416, {"Content-Range": "bytes */7"}, held_bytes=5, where="here"), BeginAgain)


def test_only_a_strong_tag_or_a_date_proves_a_version() -> None:
    assert strong_validator({"ETag": '"a"', "Last-Modified": "then"}) == '"a"'
    assert strong_validator({"ETag": 'W/"a"', "Last-Modified": "then"}) == "then"
    assert strong_validator({"ETag": "a"}) is None
