"""Local headers, held against the directory."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from lfbuild.errors import FormatError
from lfbuild.formats.local_header import LocalHeader
from lfbuild.formats.zip import CentralRecord

RECORD = CentralRecord(
    name="a.txt", method=0, crc32=7, stored_size=5, decoded_size=5, header_offset=0, mode=0o100644, dos_time=0
)
GIB = 1 << 30


@pytest.mark.parametrize(
    "record",
    [RECORD, replace(RECORD, stored_size=5 * GIB, decoded_size=5 * GIB), replace(RECORD, name="ä", flags=0x0800)],
)
def test_our_own_headers_agree_with_the_directory(record: CentralRecord) -> None:
    raw = record.local_header()

    header = LocalHeader.parse(raw + b"data", where="a.txt")

    assert header.differences(record) == ()
    assert (header.size_bytes, header.stored_size) == (len(raw), record.stored_size)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"name": "b.txt"}, ("name",)),
        ({"flags": 0x0801}, ("flags",)),
        ({"method": 8}, ("method",)),
        ({"crc32": 8}, ("CRC-32",)),
        ({"stored_size": 6, "decoded_size": 7}, ("stored size", "decoded size")),
        ({"dos_time": 99}, ()),
    ],
)
def test_each_field_that_tells_another_story_is_named(changes: dict[str, int], fields: tuple[str, ...]) -> None:
    header = LocalHeader.parse(replace(RECORD, **changes).local_header(), where="a.txt")  # type: ignore[arg-type]

    assert header.differences(RECORD) == fields


def test_sizes_behind_the_data_are_not_held_against_the_header() -> None:
    streamed = replace(RECORD, flags=0x0808)
    zeros = replace(streamed, crc32=0, stored_size=0, decoded_size=0)

    assert LocalHeader.parse(zeros.local_header(), where="a.txt").differences(streamed) == ()


def test_a_short_zip64_field_is_not_believed() -> None:
    raw = bytearray(replace(RECORD, stored_size=5 * GIB, decoded_size=5 * GIB).local_header())
    struct.pack_into("<H", raw, len(raw) - 18, 8)

    assert LocalHeader.parse(bytes(raw), where="a.txt").stored_size == 0xFFFFFFFF


def test_other_fields_are_stepped_over() -> None:
    raw = replace(RECORD, stored_size=5 * GIB, decoded_size=5 * GIB).local_header()
    with_other = raw[:28] + struct.pack("<H", 25) + raw[30:35] + struct.pack("<HHB", 0x5455, 1, 3) + raw[35:]

    assert LocalHeader.parse(with_other, where="a.txt").decoded_size == 5 * GIB


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has no local header where the directory says"),
        (b"PK\1\2" + bytes(40), "has no local header where the directory says"),
        (RECORD.local_header()[:33], "its local header is cut off"),
    ],
)
def test_what_is_no_whole_header_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        LocalHeader.parse(data, where="a.txt")

    assert str(caught.value) == f"a.txt: {message}"
