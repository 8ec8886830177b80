"""Where members go: decided from sizes alone, so made-up sizes do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbuild.archive.layout import (
    SECTOR_BYTES,
    WEIGHTS_ALIGN_BYTES,
    Member,
    check_name,
    check_names_differ,
    directory_offset,
    name_fault,
    place,
)
from lfbuild.errors import FormatError
from lfbuild.formats.zip import LIMIT_32, end_records, local_header_size

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from lfbuild.archive.source import OpenSource

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class MadeUp:
    """Bytes that nobody will ask for."""

    size_bytes: int

    def opened(self) -> AbstractContextManager[OpenSource]:
        raise AssertionError("layout opened a source")


def member(name: str, size: int, align: int = 1) -> Member:
    return Member(name=name, source=MadeUp(size), align_bytes=align)


def test_the_data_of_weights_begins_at_a_multiple_of_64_kib_and_the_gap_is_before_the_header() -> None:
    (placement,) = place([member("a.gguf", 10, WEIGHTS_ALIGN_BYTES)], start=5_000_000)

    assert placement.data_offset == 5_046_272 == 77 * 65536
    assert placement.header_offset == placement.data_offset - 36
    assert placement.end == placement.data_offset + 10


def test_small_members_follow_each_other_without_a_gap() -> None:
    first, second = place([member("a", 10), member("b", 0)], start=100)

    assert (first.header_offset, first.data_offset, first.end) == (100, 131, 141)
    assert (second.header_offset, second.data_offset, second.end) == (141, 172, 172)


def test_a_member_of_four_gibibytes_has_room_for_its_zip64_field() -> None:
    small, large, behind = place(
        [member("s", LIMIT_32 - 1, 65536), member("w", LIMIT_32, 65536), member("b", 1)], start=0
    )

    assert small.data_offset - small.header_offset == 31
    assert large.data_offset - large.header_offset == 51
    assert large.data_offset == 4 * GIB + 2 * 65536
    assert behind.header_offset == large.end == large.data_offset + LIMIT_32


@given(
    st.lists(st.tuples(st.integers(0, 9 * GIB), st.sampled_from([1, 8, 4096, 65536])), max_size=8),
    st.integers(0, 9 * GIB),
)
def test_members_never_overlap_and_are_aligned(sizes: list[tuple[int, int]], start: int) -> None:
    members = [member(f"m{number}", size, align) for number, (size, align) in enumerate(sizes)]
    position = start
    for placement in place(members, start=start):
        assert placement.header_offset >= position
        assert placement.header_offset - position < placement.member.align_bytes
        assert placement.data_offset % placement.member.align_bytes == 0
        header = local_header_size(placement.member.name, placement.member.source.size_bytes)
        assert placement.data_offset == placement.header_offset + header
        position = placement.end


@given(
    st.integers(0, 20 * GIB) | st.integers(LIMIT_32 - 5000, LIMIT_32 + 5000),
    st.integers(0, 5000) | st.integers(0, 6 * GIB),
    st.integers(0, 98),
    st.integers(0, 70000),
)
def test_the_end_records_lie_within_one_sector_directly_behind_the_directory(
    start: int, size: int, comment: int, count: int
) -> None:
    offset = directory_offset(start, size, comment_size=comment, count=count)

    end = offset + size
    length = len(end_records(count=count, offset=offset, size=size, comment=bytes(comment)))
    assert start <= offset < start + 2 * SECTOR_BYTES
    assert end // SECTOR_BYTES == (end + length - 1) // SECTOR_BYTES


def test_end_records_that_fit_where_they_are_are_not_moved() -> None:
    assert directory_offset(1000, 300, comment_size=98, count=3) == 1000
    assert directory_offset(1000, 500, comment_size=98, count=3) == 1036


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "is empty"),
        ("a" * 65536, "is longer than 65535 bytes"),
        ("ü" * 40000, "is longer than 65535 bytes"),
        ("a\0b", "contains a NUL byte"),
        ("a\\b", "contains a backslash"),
        ("a@b", "contains '@', which separates file and member"),
        ("/etc/passwd", "is absolute"),
        ("C:evil", "is absolute"),
        ("../a", "leads out of the folder"),
        ("a/../../b", "leads out of the folder"),
        ("a/./b", "leads out of the folder"),
        ("a//b", "leads out of the folder"),
        ("a/", "leads out of the folder"),
        ("..", "leads out of the folder"),
        ("a\nb", "contains a control character"),
        ("a\x7f", "contains a control character"),
        ("a\ud800", "is not valid Unicode"),
    ],
)
def test_an_unfit_name_is_refused_with_what_is_wrong(name: str, fault: str) -> None:
    assert name_fault(name) == fault
    with pytest.raises(FormatError) as caught:
        check_name(name)
    assert str(caught.value) == f"member: the name {name!r} {fault}"


@pytest.mark.parametrize("name", ["a", ".args", ".lfbuild/blocks/模型.gguf.blocks", "a b", "..a", "a..", "ab:c"])
def test_a_fit_name_is_accepted(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("names", [("README", "readme"), ("straße", "STRASSE")])
def test_names_that_some_system_takes_for_the_same_are_refused(names: tuple[str, str]) -> None:
    with pytest.raises(FormatError) as caught:
        place([member(name, 1) for name in names], start=0)

    assert str(caught.value) == f"member: the names {names[0]!r} and {names[1]!r} are one where systems ignore case"


def test_a_name_that_is_given_twice_is_refused() -> None:
    with pytest.raises(FormatError) as caught:
        place([member(name, 1) for name in ["a", "b", "a"]], start=0)

    assert str(caught.value) == "member: the name 'a' is given more than once"


def test_names_that_differ_are_accepted() -> None:
    check_names_differ(["a", "b", "a/b"])


def test_an_unfit_name_is_refused_before_anything_is_placed() -> None:
    with pytest.raises(FormatError) as caught:
        place([member("a", 1), member("../b", 1)], start=0)

    assert str(caught.value) == "member: the name '../b' leads out of the folder"
