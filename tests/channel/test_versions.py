"""A version is newer only where that is known."""

from __future__ import annotations

import pytest

from lfbuild.channel.versions import is_newer


@pytest.mark.parametrize(("newer", "older"), [("2", "1"), ("1.10", "1.9"), ("v2.0", "1.9.9"), ("1.0.1", "1")])
def test_numbers_with_dots_have_an_order(newer: str, older: str) -> None:
    assert is_newer(newer, older)
    assert not is_newer(older, newer)


@pytest.mark.parametrize(
    ("one", "other"), [("1.0", "1"), ("2", ""), ("2.0rc1", "1.0"), ("spring", "autumn"), ("², ", "1")]
)
def test_of_all_others_nobody_can_say(one: str, other: str) -> None:
    assert not is_newer(one, other)
    assert not is_newer(other, one)
