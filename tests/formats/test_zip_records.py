"""ZIP records: canonical bytes, the values that need ZIP64, and every lie of a directory refused."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from lfbuild.errors import FormatError
from lfbuild.formats import zip as zip_format
from lfbuild.formats.zip import (
    LIMIT_16,
    LIMIT_32,
    CentralRecord,
    dos_time,
    end_records,
    local_data_offset,
    local_header_size,
    read_directory,
)

SMALL = CentralRecord(
    name="prompts/hello.txt",
    method=0,
    crc32=0x12345678,
    stored_size=5,
    decoded_size=5,
    header_offset=100,
    mode=0o100644,
    dos_time=0x576EB1AA,
)
GIB = 1 << 30
STUBS = Path(__file__).parents[2] / "stubs"


def reader_of(data: bytes):  # a ReadAt
    return lambda offset, length: data[offset : offset + length]


def sparse_reader(start: int, data: bytes):  # a ReadAt
    """Reads a made-up file: `start` zeros, of which at most a few MiB are asked for, and then `data`."""

    def read(offset: int, length: int) -> bytes:
        length = max(0, min(length, start + len(data) - offset))
        zeros = max(0, min(length, start - offset))
        begin = max(0, offset - start)
        return bytes(zeros) + data[begin : begin + length - zeros]

    return read


def file_of(*records: CentralRecord, before: int = 1000, comment: bytes = b"") -> bytes:
    """Zeros where the members would be, a directory and end records."""
    directory = b"".join(record.to_bytes() for record in records)
    end = end_records(count=len(records), offset=before, size=len(directory), comment=comment)
    return bytes(before) + directory + end


def refusal(data: bytes) -> str:
    with pytest.raises(FormatError) as caught:
        read_directory(reader_of(data), len(data), where="x.zip")
    return str(caught.value)


def test_a_central_record_has_these_bytes() -> None:
    fixed, name = SMALL.to_bytes()[:46], SMALL.to_bytes()[46:]
    assert fixed.hex() == (
        "504b01021403140000080000aab16e57785634120500000005000000"
        "110000000000000000000000a48164000000"
    )  # fmt: skip
    assert name == b"prompts/hello.txt"


def test_a_local_header_has_these_bytes() -> None:
    assert SMALL.local_header()[:30].hex() == (
        "504b0304140000080000aab16e5778563412050000000500000011000000"
    )  # fmt: skip
    assert SMALL.local_header()[30:] == b"prompts/hello.txt"


@pytest.mark.parametrize(
    ("field", "value"),
    [("stored_size", LIMIT_32), ("decoded_size", 5 * GIB), ("header_offset", 6 * GIB), ("header_offset", LIMIT_32)],
)
def test_only_the_value_that_does_not_fit_is_in_the_zip64_field(field: str, value: int) -> None:
    record = replace(SMALL, **{field: value})

    raw = record.to_bytes()

    assert raw[6:8] == struct.pack("<H", 45)
    assert raw[46 + 17 :] == struct.pack("<HHQ", 1, 8, value)


def test_a_value_one_below_the_limit_needs_no_zip64_field() -> None:
    record = replace(SMALL, header_offset=LIMIT_32 - 1, stored_size=LIMIT_32 - 1, decoded_size=LIMIT_32 - 1)

    assert len(record.to_bytes()) == 46 + 17
    assert len(record.local_header()) == 30 + 17 == local_header_size(record.name, LIMIT_32 - 1)


def test_a_local_header_has_both_sizes_in_its_zip64_field_or_neither() -> None:
    large = replace(SMALL, stored_size=5 * GIB, decoded_size=5 * GIB)

    assert large.local_header()[18:26] == b"\xff" * 8
    assert large.local_header()[47:] == struct.pack("<HHQQ", 1, 16, 5 * GIB, 5 * GIB)
    assert local_header_size(large.name, 5 * GIB) == len(large.local_header())


@pytest.mark.parametrize(
    "record",
    [
        SMALL,
        replace(SMALL, name="Grüße-模型.gguf"),
        replace(SMALL, name="old-dos-näme", flags=0),
        replace(SMALL, stored_size=7 * GIB, decoded_size=7 * GIB, header_offset=9 * GIB),
        replace(SMALL, mode=0o120777, method=93, crc32=LIMIT_32),
    ],
    ids=["small", "unicode", "cp437", "zip64", "link"],
)
def test_what_is_written_is_read_again(record: CentralRecord) -> None:
    directory = record.to_bytes() if record.flags else record.to_bytes().replace("ä".encode(), b"\x84")
    if not record.flags:  # ä has one byte in cp437: the name's length has to follow
        directory = directory[:28] + struct.pack("<H", 12) + directory[30:]
    offset = 20 * GIB
    end = end_records(count=1, offset=offset, size=len(directory), comment=b"hello")
    data = directory + end

    found = read_directory(sparse_reader(offset, data), offset + len(data), where="x.zip")

    assert [item.record for item in found.records] == [record]
    assert found.records[0].raw == directory
    assert (found.offset, found.size_bytes, found.comment) == (offset, len(directory), b"hello")
    assert (found.end_offset, found.end_size_bytes) == (offset + len(directory), len(end))


@pytest.mark.parametrize(
    ("count", "offset", "size", "bytes_expected"),
    [
        (1, 1000, 63, 22),
        (LIMIT_16 - 1, 1000, 63, 22),
        (LIMIT_16, 1000, 63, 98),
        (1, LIMIT_32 - 1, 63, 22),
        (1, LIMIT_32, 63, 98),
        (1, 1000, LIMIT_32, 98),
    ],
)
def test_end_records_are_zip64_only_where_a_value_needs_it(
    count: int, offset: int, size: int, bytes_expected: int
) -> None:
    assert len(end_records(count=count, offset=offset, size=size, comment=b"")) == bytes_expected


def test_plain_end_records_have_these_bytes() -> None:
    assert end_records(count=2, offset=0x1234, size=99, comment=b"hi").hex() == (
        "504b0506000000000200020063000000341200000200" + b"hi".hex()
    )  # fmt: skip


def test_zip64_end_records_have_these_bytes() -> None:
    assert end_records(count=2, offset=5 * GIB, size=99, comment=b"").hex() == (
        "504b06062c000000000000002d032d00000000000000000002000000000000000200000000000000"
        "63000000000000000000004001000000"
        "504b060700000000630000400100000001000000"
        "504b0506000000000200020063000000ffffffff0000"
    )  # fmt: skip


def test_the_directory_of_pythons_zipfile_is_read() -> None:
    buffer = io.BytesIO(b"a program")
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/ü.txt", "text" * 99)
        archive.comment = b"somebody else's"
    data = buffer.getvalue()

    found = read_directory(reader_of(data), len(data), where="x.zip")

    record = found.records[0].record
    assert (record.name, record.method, record.decoded_size) == ("a/ü.txt", 8, 396)
    assert found.comment == b"somebody else's"
    assert local_data_offset(data[record.header_offset :][:30], record, where="x.zip") == record.header_offset + 30 + 8


def test_zipfile_reads_the_same_values_out_of_our_zip64_records() -> None:
    record = replace(SMALL, stored_size=5 * GIB, decoded_size=5 * GIB, header_offset=7 * GIB)
    directory = record.to_bytes()
    data = directory + end_records(count=1, offset=0, size=len(directory), comment=b"")

    (info,) = zipfile.ZipFile(io.BytesIO(data)).infolist()

    assert (info.filename, info.file_size, info.compress_size) == (record.name, 5 * GIB, 5 * GIB)
    assert (info.header_offset, info.CRC, info.external_attr >> 16) == (7 * GIB, record.crc32, 0o100644)


@pytest.mark.parametrize(
    ("epoch", "date_time"),
    [
        (315532800, (1980, 1, 1, 0, 0, 0)),
        (951782400, (2000, 2, 29, 0, 0, 0)),
        (1_700_000_000, (2023, 11, 14, 22, 13, 20)),
        (1_700_000_001, (2023, 11, 14, 22, 13, 20)),
        (4354819199, (2107, 12, 31, 23, 59, 58)),
    ],
)
def test_times_are_the_ones_that_zipfile_shows(epoch: int, date_time: tuple[int, ...]) -> None:
    directory = replace(SMALL, dos_time=dos_time(epoch)).to_bytes()
    data = directory + end_records(count=1, offset=0, size=len(directory), comment=b"")

    assert zipfile.ZipFile(io.BytesIO(data)).infolist()[0].date_time == date_time


@pytest.mark.parametrize("epoch", [-1, 0, 315532799, 4354819200, 1 << 70])
def test_a_time_that_no_zip_can_hold_is_refused(epoch: int) -> None:
    with pytest.raises(FormatError) as caught:
        dos_time(epoch)

    assert str(caught.value) == (
        f"time: {epoch} seconds since 1970 lie outside 1980 to 2107, which is all a ZIP can hold"
    )


def test_a_file_without_end_record_is_no_zip() -> None:
    assert refusal(bytes(5000)) == "x.zip: no ZIP end record in the last 64 KiB"
    assert refusal(b"") == "x.zip: no ZIP end record in the last 64 KiB"


def test_an_end_record_further_away_than_64_kib_is_not_seen() -> None:
    good = file_of(SMALL)

    assert read_directory(reader_of(good + bytes(65536 - 22)), len(good) + 65536 - 22, where="x.zip").records
    assert refusal(good + bytes(65536 - 21)) == "x.zip: no ZIP end record in the last 64 KiB"


def test_the_older_end_record_counts_while_the_newer_is_torn() -> None:
    old = file_of(SMALL)
    new = replace(SMALL, name="newer").to_bytes()
    torn = end_records(count=1, offset=len(old), size=len(new), comment=b"x" * 30)[:40]

    found = read_directory(reader_of(old + new + torn), len(old + new + torn), where="x.zip")

    assert [item.record.name for item in found.records] == [SMALL.name]


def test_bait_of_a_thousand_end_records_is_not_tried_one_by_one() -> None:
    asked: list[int] = []

    def read(offset: int, length: int) -> bytes:
        asked.append(length)
        return data[offset : offset + length]

    bait = end_records(count=1, offset=1, size=46, comment=b"") * 2000
    data = file_of(SMALL) + bait
    with pytest.raises(FormatError):
        read_directory(read, len(data), where="x.zip")

    assert len(asked) < 20


END = 1000 + 46 + 17
"""Where the end record of `file_of(SMALL)` is."""


@pytest.mark.parametrize(
    ("position", "new", "message"),
    [
        (END, b"\0", "no ZIP end record in the last 64 KiB"),
        (END + 4, b"\1", "the ZIP is one of several volumes"),
        (END + 6, b"\1", "the ZIP is one of several volumes"),
        (END + 10, b"\2", "a directory of 63 bytes cannot hold 2 records"),
        (END + 10, b"\0", "63 bytes of the directory belong to no record"),
        (END + 12, b"\x3e", "the directory at 1000 (62 bytes) does not end where the end record begins"),
        (END + 16, b"\0", "the directory at 768 (63 bytes) does not end where the end record begins"),
        (END + 20, b"\1", "the comment of the ZIP end record is cut off"),
        (1000, b"X", "directory record at 1000: not a central record"),
        (1000 + 28, b"\xff", "directory record at 1000: its name or extra field runs past the directory"),
        (1000 + 30, b"\1", "directory record at 1000: its name or extra field runs past the directory"),
        (1000 + 32, b"\1", "directory record at 1000: its name or extra field runs past the directory"),
        (1000 + 28, b"\x10", "1 bytes of the directory belong to no record"),
        (1000 + 46, b"\xff", "directory record at 1000: its name is not UTF-8, though it says so"),
        (1000 + 22, b"\1", "directory record at 1000: 65541 bytes of 'prompts/hello.txt' at 100 lie outside the file"),
        (1000 + 43, b"\4", "directory record at 1000: 5 bytes of 'prompts/hello.txt' at 1124 lie outside the file"),
        (1000 + 20, b"\xff\xff\xff\xff", "directory record at 1000: it promises a ZIP64 field and has none"),
    ],
)
def test_one_damaged_byte_is_refused_with_its_place(position: int, new: bytes, message: str) -> None:
    data = file_of(SMALL)

    damaged = data[:position] + new + data[position + len(new) :]

    assert refusal(damaged) == f"x.zip: {message}"


@pytest.mark.parametrize("length", range(END, END + 22))
def test_an_end_record_that_is_cut_off_is_refused(length: int) -> None:
    message = refusal(file_of(SMALL)[:length])

    assert message in {"x.zip: no ZIP end record in the last 64 KiB", "x.zip: the ZIP end record is cut off"}


LARGE = replace(SMALL, name="w.gguf")
ZIP64_AT = 6 * GIB
"""Where the directory of the ZIP64 file below begins."""


def zip64_file(**changes: int) -> tuple[bytes, int]:
    """The last bytes of a file of 6 GiB, with one field of its ZIP64 records changed."""
    directory = replace(LARGE, header_offset=5 * GIB).to_bytes()
    end = bytearray(end_records(count=1, offset=ZIP64_AT, size=len(directory), comment=b""))
    for name, value in changes.items():
        position = {"magic": 0, "count": 32, "size": 40, "offset": 48, "locator": 64, "count16": 86, "size32": 88}
        kind = {"magic": "<B", "count16": "<H", "size32": "<I"}.get(name, "<Q")
        struct.pack_into(kind, end, position[name], value)
    return directory + bytes(end), ZIP64_AT


def zip64_refusal(**changes: int) -> str:
    data, start = zip64_file(**changes)
    with pytest.raises(FormatError) as caught:
        read_directory(sparse_reader(start, data), start + len(data), where="x.zip")
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"magic": 0}, f"there is no ZIP64 end record at {ZIP64_AT + 64}"),
        ({"locator": 7 * GIB}, f"the ZIP64 end record cannot be at {7 * GIB}"),
        ({"locator": 1 << 63}, f"the ZIP64 end record cannot be at {1 << 63}"),
        ({"locator": 12}, "there is no ZIP64 end record at 12"),
        ({"count": 1 << 60, "count16": LIMIT_16}, f"a directory of 64 bytes cannot hold {1 << 60} records"),
        ({"count": 2}, "the two ZIP end records contradict each other"),
        ({"size": 65}, "the two ZIP end records contradict each other"),
        (
            {"size": 1 << 40, "size32": LIMIT_32},
            f"the directory at {ZIP64_AT} ({1 << 40} bytes) does not end where the end record begins",
        ),
        ({"offset": 5 * GIB}, f"the directory at {5 * GIB} (64 bytes) does not end where the end record begins"),
    ],
)
def test_a_lie_in_a_zip64_record_is_refused(changes: dict[str, int], message: str) -> None:
    assert zip64_refusal(**changes) == f"x.zip: {message}"


def test_llamafiles_cut_off_16_bit_count_is_no_contradiction() -> None:
    records = b"".join(replace(SMALL, name=f"{number}").to_bytes() for number in range(3))
    end = bytearray(end_records(count=3, offset=ZIP64_AT, size=len(records), comment=b""))
    data = records + bytes(end)

    found = read_directory(sparse_reader(ZIP64_AT, data), ZIP64_AT + len(data), where="x.zip")

    assert len(found.records) == 3


def test_a_directory_that_is_too_large_to_be_true_is_refused_before_it_is_read() -> None:
    size = zip_format.LONGEST_DIRECTORY_BYTES + 1
    end = end_records(count=5, offset=0, size=size, comment=b"")

    def read(offset: int, length: int) -> bytes:
        assert length <= 65536, "the directory was read"
        return bytes(max(0, min(size, offset + length) - offset)) + end

    with pytest.raises(FormatError) as caught:
        read_directory(read, size + len(end), where="x.zip")

    assert str(caught.value) == f"x.zip: a directory of {size} bytes cannot hold 5 records"


def test_a_zip64_field_that_is_too_short_is_refused() -> None:
    record = replace(SMALL, stored_size=5 * GIB, decoded_size=5 * GIB).to_bytes()
    short = record[: 46 + 17] + struct.pack("<HHQ", 1, 8, 5 * GIB) + struct.pack("<HHI", 7, 4, 0)
    data = bytes(1000) + short + end_records(count=1, offset=1000, size=len(short), comment=b"")

    assert refusal(data) == "x.zip: directory record at 1000: its ZIP64 field lacks a value that it promises"


def test_a_zip64_field_that_runs_past_the_record_is_refused() -> None:
    record = replace(SMALL, stored_size=5 * GIB, decoded_size=5 * GIB).to_bytes()
    longer = record[: 46 + 17] + struct.pack("<HHQQ", 1, 99, 5 * GIB, 5 * GIB)
    data = bytes(1000) + longer + end_records(count=1, offset=1000, size=len(longer), comment=b"")

    assert refusal(data) == "x.zip: directory record at 1000: it promises a ZIP64 field and has none"


def test_the_zip64_field_is_found_behind_other_fields() -> None:
    record = replace(SMALL, header_offset=5 * GIB).to_bytes()
    other = struct.pack("<HHB", 0x5455, 1, 3)
    raw = record[:30] + struct.pack("<H", 12 + 5) + record[32 : 46 + 17] + other + record[46 + 17 :]
    at = 6 * GIB
    data = raw + end_records(count=1, offset=at, size=len(raw), comment=b"")

    found = read_directory(sparse_reader(at, data), at + len(data), where="x.zip")

    assert found.records[0].record.header_offset == 5 * GIB


def test_a_name_that_grows_past_its_field_is_refused_when_it_is_written() -> None:
    with pytest.raises(FormatError) as caught:
        replace(SMALL, name="ü" * 40000).to_bytes()

    assert str(caught.value) == "member: a name of 80000 bytes does not fit into a ZIP record"


def test_a_place_without_local_header_is_refused() -> None:
    with pytest.raises(FormatError) as caught:
        local_data_offset(bytes(30), SMALL, where="x.zip")

    assert str(caught.value) == "x.zip: no local header at offset 100 for 'prompts/hello.txt'"


def test_a_local_header_with_another_method_is_refused() -> None:
    header = replace(SMALL, method=8).local_header()[:30]

    with pytest.raises(FormatError) as caught:
        local_data_offset(header, SMALL, where="x.zip")

    assert str(caught.value) == "x.zip: the local header of 'prompts/hello.txt' has another method than the directory"


def test_the_c_reader_looks_as_far_back_as_this_one() -> None:
    source = STUBS / "zip_directory.c"
    if not source.is_file():
        pytest.skip("stubs/zip_directory.c is not there")
    match = re.search(r"#define TAIL_BYTES \(\(size_t\)(\d+)\)", source.read_text(encoding="utf-8"))

    assert match is not None
    assert int(match[1]) == zip_format.TAIL_BYTES
