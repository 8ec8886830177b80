"""A Windows program whose headers move, and everything that would not survive it."""

from __future__ import annotations

import contextlib
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.world.programs import LINKED_PE_DEBUG, LINKED_PE_HEADER, LINKED_PE_SECTIONS, linked_pe

from lfbuild.errors import FormatError
from lfbuild.formats.pe import HEADER_OFFSET, SCRIPT_BYTES, move_headers, moved_size

if TYPE_CHECKING:
    from collections.abc import Callable

OPTIONAL = LINKED_PE_HEADER + 24
RAISED = 0x1000 - 0x400


def read(data: bytes, form: str, offset: int) -> int:
    (value,) = struct.unpack_from(f"<{form}", data, offset)
    assert isinstance(value, int)
    return value


def put(form: str, offset: int, value: int) -> Callable[[bytearray], None]:
    return lambda data: struct.pack_into(f"<{form}", data, offset, value)


def section(index: int, field: int) -> int:
    """Where a field of the section table is in `linked_pe`."""
    return LINKED_PE_SECTIONS + index * 40 + field


def test_headers_move_and_sections_keep_their_bytes() -> None:
    moved = move_headers(linked_pe(), where="x")

    assert moved[:2] == b"MZ"
    assert moved[2:0x3C] == bytes(0x3A)
    assert read(moved, "I", 0x3C) == HEADER_OFFSET == 0xCA0
    assert moved[0x40:HEADER_OFFSET] == bytes(SCRIPT_BYTES)
    assert moved[HEADER_OFFSET : HEADER_OFFSET + 4] == b"PE\0\0"
    assert read(moved, "I", HEADER_OFFSET + 24 + 60) == 0x1000  # SizeOfHeaders
    raw_offsets = [read(moved, "I", HEADER_OFFSET + 24 + 240 + index * 40 + 20) for index in range(4)]
    assert raw_offsets == [0x1000, 0x1200, 0, 0x1400]
    debug = LINKED_PE_DEBUG + RAISED
    assert read(moved, "I", debug + 24) == LINKED_PE_DEBUG + 0x1C + RAISED
    assert moved[0x1000:0x1200] == linked_pe()[0x400:0x600]
    assert moved[0x1400:] == linked_pe()[0x800:]


def test_a_linkers_checksum_is_cleared_for_signing() -> None:
    assert read(linked_pe(), "I", OPTIONAL + 64) == 0x1234
    assert read(move_headers(linked_pe(), where="x"), "I", HEADER_OFFSET + 24 + 64) == 0


def test_resources_become_the_last_section_at_the_next_page() -> None:
    addresses = []

    def content(address: int) -> bytes:
        addresses.append(address)
        return b"resources" * 100

    moved = move_headers(linked_pe(), resources=content, where="x")

    added = HEADER_OFFSET + 24 + 240 + 4 * 40
    assert addresses == [0x9000]
    assert struct.unpack_from("<8sIIII", moved, added) == (b".rsrc\0\0\0", 900, 0x9000, 0x400, 0x1600)
    assert moved[0x1600 : 0x1600 + 900] == b"resources" * 100
    assert len(moved) == 0x1600 + 0x400
    assert read(moved, "H", HEADER_OFFSET + 6) == 5
    assert read(moved, "I", HEADER_OFFSET + 24 + 56) == 0xA000  # SizeOfImage
    assert read(moved, "I", HEADER_OFFSET + 24 + 8) == 0x400 + 0x400  # SizeOfInitializedData
    assert struct.unpack_from("<II", moved, HEADER_OFFSET + 24 + 112 + 2 * 8) == (0x9000, 900)


def test_the_size_is_known_before_and_never_too_small() -> None:
    assert len(move_headers(linked_pe(), where="x")) <= moved_size(len(linked_pe()))
    with_resources = move_headers(linked_pe(), resources=lambda _: bytes(900), where="x")
    assert len(with_resources) <= moved_size(len(linked_pe()), resources_bytes=900)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (put("H", 0, 0), "is not a Windows program"),
        (put("I", 0x3C, 0x7FFFFFFF), "is not a whole Windows program"),
        (put("I", LINKED_PE_HEADER, 0), "is not a Windows program"),
        (put("H", LINKED_PE_HEADER + 4, 0xAA64), "is not a Windows program for x86-64"),
        (put("H", LINKED_PE_HEADER + 20, 224), "is not a Windows program for x86-64"),
        (put("H", OPTIONAL, 0x10B), "is not a Windows program for x86-64"),
        (put("I", LINKED_PE_HEADER + 12, 0x900), "has a symbol table; link it with -s"),
        (put("I", LINKED_PE_HEADER + 16, 1), "has a symbol table; link it with -s"),
        (put("I", OPTIONAL + 32, 0x2000), "is not aligned to 4096 in memory and 512 in the file"),
        (put("I", OPTIONAL + 36, 0x1000), "is not aligned to 4096 in memory and 512 in the file"),
        (put("I", OPTIONAL + 108, 15), "has not the usual 16 directories"),
        (put("I", OPTIONAL + 112 + 2 * 8, 0x8000), "has resources of its own"),
        (put("I", OPTIONAL + 112 + 4 * 8, 0xA00), "is signed; a file is signed after it was packed"),
        (put("I", OPTIONAL + 112 + 11 * 8, 0x3F0), "has bound imports"),
        (put("H", LINKED_PE_HEADER + 6, 60), "has a section table outside of its headers"),
        (put("I", OPTIONAL + 60, 0x100), "has a section table outside of its headers"),
        (put("B", 0x3F0, 1), "has bytes behind its section table"),
        (put("I", section(0, 24), 0x900), "its section .text has relocations or line numbers of an object file"),
        (put("H", section(1, 34), 1), "its section .buildid has relocations or line numbers of an object file"),
        (put("I", section(0, 16), 0), "has no section at its start"),
        (put("I", section(0, 12), 0x2000), "does not begin at 0x1000 in memory"),
        (put("I", section(3, 12), 0x9000), "has sections that do not follow one another"),
        (put("I", OPTIONAL + 56, 0x10001000), "is larger than 256 MiB in memory"),
        (put("I", LINKED_PE_DEBUG + 24, 0x10000), "has a debug entry that points outside of it"),
        (put("I", OPTIONAL + 56, 0xA000), "has another size in memory than its sections"),
        (put("I", OPTIONAL + 60, 0x300), "has a gap behind its headers"),
        (put("I", section(1, 20), 0x800), "has a gap between its sections"),
        (put("I", section(3, 16), 0x400), "has bytes behind its last section"),
        (put("I", OPTIONAL + 112 + 6 * 8, 0x8FF0), "has a debug directory outside of its sections"),
        (put("I", OPTIONAL + 112 + 6 * 8 + 4, 29), "has a debug directory outside of its sections"),
        (lambda data: data.extend(b"more"), "has bytes behind its last section"),
        (lambda data: data.__delitem__(slice(0x100, None)), "is not a whole Windows program"),
    ],
)
def test_what_would_not_survive_the_move_is_refused(damage: Callable[[bytearray], None], what: str) -> None:
    data = bytearray(linked_pe())
    damage(data)

    with pytest.raises(FormatError) as caught:
        move_headers(bytes(data), where="launcher")

    assert str(caught.value) == f"launcher: {what}"


def test_more_sections_than_there_is_room_for_are_refused() -> None:
    data = bytearray(linked_pe())
    table = b"".join(
        struct.pack("<8sIIIIIIHHI", b".many", 1, 0x1000 + index * 0x1000, 0x200, 0x800 + index * 0x200, 0, 0, 0, 0, 0)
        for index in range(16)
    )
    struct.pack_into("<H", data, LINKED_PE_HEADER + 6, 16)
    struct.pack_into("<II", data, OPTIONAL + 56, 0x11000, 0x800)
    struct.pack_into("<II", data, OPTIONAL + 112 + 6 * 8, 0, 0)
    data[LINKED_PE_SECTIONS:] = table.ljust(0x800 - LINKED_PE_SECTIONS, b"\0") + bytes(16 * 0x200)

    with pytest.raises(FormatError) as caught:
        move_headers(bytes(data), where="launcher")

    assert str(caught.value) == "launcher: has 16 sections, and the headers of a head have room for 15"


@given(st.lists(st.tuples(st.integers(0, 0x640), st.sampled_from([0, 1, 0x7F, 0xFF])), max_size=4))
def test_any_damage_is_moved_or_refused_in_a_sentence(changes: list[tuple[int, int]]) -> None:
    data = bytearray(linked_pe())
    for offset, value in changes:
        data[offset] = value

    with contextlib.suppress(FormatError):
        assert len(move_headers(bytes(data), resources=lambda _: b"1", where="x")) >= len(data)
