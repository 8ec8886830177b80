"""ZIP records as lfbuild writes and reads them (PKWARE APPNOTE 6.3.10; ZIP64 only where a value needs it).

    [local header][name][extra][data] …  [central record][name][extra][comment] …  [ZIP64 end][locator][end][comment]

All integers are little-endian and all offsets count from byte 0 of the file, whatever stands there (an executable
does). No field is believed before it is checked against the size of the file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from lfbuild.errors import FormatError
from lfbuild.formats.kinds import KIND_BYTES, known_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

STORED = 0
DEFLATED = 8

UTF8_NAMES = 0x0800
ENCRYPTED = 0x0001
SIZES_AFTER_DATA = 0x0008

LIMIT_16 = 0xFFFF
LIMIT_32 = 0xFFFFFFFF
MADE_ON_UNIX = 3 << 8
VERSION_PLAIN = 20
VERSION_ZIP64 = 45
ZIP64_EXTRA = 0x0001
FIRST_EPOCH = 315532800
"""1980-01-01, the first second that a ZIP record can hold, in seconds since 1970 (UTC)."""

_END_EPOCH = 4354819200
"""2108-01-01."""

LONGEST_DIRECTORY_BYTES = 16 << 20
"""Two hundred thousand members, in some 200 MiB of memory; a larger directory is taken for a lie."""
TAIL_BYTES = 64 << 10
_MOST_END_RECORDS = 8
"""A file whose last commit was torn has two; more candidates are bait that costs a directory's reading each."""


class ReadAt(Protocol):
    """Reads exactly `length` bytes at `offset`, or fewer at the end of the file."""

    def __call__(self, offset: int, length: int, /) -> bytes:
        """Return the bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CentralRecord:
    """What the directory says of one member.

    offset size field
    0      4    signature PK\\1\\2
    4      2    made by: 3 (Unix, so that the mode is kept) and the version
    6      2    version needed: 20, or 45 where a ZIP64 field is used
    8      2    flags: 0x0800, names are UTF-8
    10     2    method
    12     4    DOS time and date
    16     4    CRC-32 of the decoded bytes
    20     8    stored size, decoded size; 0xffffffff where the ZIP64 extra field holds them
    28     6    lengths of name, extra, comment
    34     2    disk number, always 0
    36     2    internal attributes, 0
    38     4    external attributes: Unix mode << 16
    42     4    offset of the local header, from byte 0 of the file
    """

    name: str
    method: int
    crc32: int
    stored_size: int
    decoded_size: int
    header_offset: int
    mode: int
    dos_time: int
    """Time in the low, date in the high 16 bits."""
    flags: int = UTF8_NAMES

    SIGNATURE: ClassVar[bytes] = b"PK\x01\x02"
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<4s4H4L5HLL")

    def to_bytes(self) -> bytes:
        """The canonical encoding: the one lfbuild writes, and the one `verify` expects of its own files."""
        name = _encode_name(self.name)
        large = [value for value in (self.decoded_size, self.stored_size, self.header_offset) if value >= LIMIT_32]
        extra = _zip64_extra(large)
        version = VERSION_ZIP64 if large else VERSION_PLAIN
        fixed = self.LAYOUT.pack(
            self.SIGNATURE,
            MADE_ON_UNIX | version,
            version,
            self.flags,
            self.method,
            self.dos_time,
            self.crc32,
            min(self.stored_size, LIMIT_32),
            min(self.decoded_size, LIMIT_32),
            len(name),
            len(extra),
            0,
            0,
            0,
            self.mode << 16,
            min(self.header_offset, LIMIT_32),
        )
        return fixed + name + extra

    def local_header(self) -> bytes:
        """The canonical local header that stands before the member's data."""
        name = _encode_name(self.name)
        # A local header has both sizes in its ZIP64 field or neither (APPNOTE 4.5.3).
        large = max(self.stored_size, self.decoded_size) >= LIMIT_32
        extra = _zip64_extra([self.decoded_size, self.stored_size] if large else [])
        fixed = _LOCAL.pack(
            _LOCAL_SIGNATURE,
            VERSION_ZIP64 if large else VERSION_PLAIN,
            self.flags,
            self.method,
            self.dos_time,
            self.crc32,
            LIMIT_32 if large else self.stored_size,
            LIMIT_32 if large else self.decoded_size,
            len(name),
            len(extra),
        )
        return fixed + name + extra


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundRecord:
    """A central record as it stands in a file, with its exact bytes."""

    record: CentralRecord
    raw: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Directory:
    """All central records of a file and where its end is."""

    records: tuple[FoundRecord, ...]
    offset: int
    size_bytes: int
    end_offset: int
    """Where the end records begin (the ZIP64 one, if there is one): right behind the directory."""
    comment: bytes
    end_size_bytes: int
    """End records and comment together."""


def local_header_size(name: str, size: int) -> int:
    """Bytes of the canonical local header of a member of this name whose larger size is `size`."""
    return _LOCAL.size + len(name.encode()) + (20 if size >= LIMIT_32 else 0)


def local_data_offset(header: bytes, record: CentralRecord, *, where: str) -> int:
    """Where the data begins, from the 30 fixed bytes of the local header at `record.header_offset`.

    Raises:
        FormatError: no local header there, or one that speaks of another member.
    """
    if len(header) < _LOCAL.size or header[:4] != _LOCAL_SIGNATURE:
        raise FormatError(where, f"no local header at offset {record.header_offset} for {record.name!r}")
    fields = _LOCAL.unpack_from(header)
    if fields[3] != record.method:
        raise FormatError(where, f"the local header of {record.name!r} has another method than the directory")
    return record.header_offset + _LOCAL.size + int(fields[-2]) + int(fields[-1])


LOCAL_HEADER_BYTES = 30


def end_records(*, count: int, offset: int, size: int, comment: bytes) -> bytes:
    """The records that close a file whose directory of `count` records begins at `offset` and is `size` bytes long."""
    zip64 = b""
    if count >= LIMIT_16 or offset >= LIMIT_32 or size >= LIMIT_32:
        made_by = MADE_ON_UNIX | VERSION_ZIP64
        zip64 = _END64.pack(_END64_SIGNATURE, 44, made_by, VERSION_ZIP64, 0, 0, count, count, size, offset)
        zip64 += _LOCATOR.pack(_LOCATOR_SIGNATURE, 0, offset + size, 1)
    count_16 = min(count, LIMIT_16)
    plain = _END.pack(
        _END_SIGNATURE, 0, 0, count_16, count_16, min(size, LIMIT_32), min(offset, LIMIT_32), len(comment)
    )
    return zip64 + plain + comment


_NO_END_HINT = "the file is not a ZIP, or it was cut off while it was written"


def read_directory(read: ReadAt, size: int, *, where: str) -> Directory:
    """Find and read the directory of a file of `size` bytes.

    The last end record whose directory lies directly before it counts; it is looked for in the last 64 KiB, as
    Mozilla's readers do, so that all agree.

    Raises:
        FormatError: there is no end record, or it or a central record does not hold together.
    """
    tail_offset = max(0, size - TAIL_BYTES)
    tail = read(tail_offset, size - tail_offset)
    reason = ""
    position = len(tail)
    for _ in range(_MOST_END_RECORDS):
        position = tail.rfind(_END_SIGNATURE, 0, position)
        if position < 0:
            break
        try:
            return _directory_at(tail, position, tail_offset, read, where=where)
        except FormatError as error:
            reason = reason or str(error).removeprefix(f"{where}: ")
    what, hint = reason or "no ZIP end record in the last 64 KiB", _NO_END_HINT
    if not reason:
        what, hint = known_kind(read(0, KIND_BYTES)) or (what, hint)
    raise FormatError(where, what, hint=hint)


def dos_time(epoch: int) -> int:
    """Seconds since 1970 (UTC) as DOS date and time; seconds are halved, years end at 2107.

    Raises:
        FormatError: the time is outside 1980 to 2107.
    """
    import datetime

    if not FIRST_EPOCH <= epoch < _END_EPOCH:
        raise FormatError("time", f"{epoch} seconds since 1970 lie outside 1980 to 2107, which is all a ZIP can hold")
    days, second = divmod(epoch - FIRST_EPOCH, 86400)
    date = datetime.date(1980, 1, 1) + datetime.timedelta(days=days)
    time = (second // 3600) << 11 | (second // 60 % 60) << 5 | (second % 60) // 2
    return ((date.year - 1980) << 9 | date.month << 5 | date.day) << 16 | time


def _directory_at(tail: bytes, position: int, tail_offset: int, read: ReadAt, *, where: str) -> Directory:
    if len(tail) - position < _END.size:
        raise FormatError(where, "the ZIP end record is cut off")
    _, disk, first_disk, _, count, size, offset, comment_size = _END.unpack_from(tail, position)
    end_offset = tail_offset + position
    comment_offset = position + _END.size
    comment = tail[comment_offset : comment_offset + comment_size]
    if len(comment) != comment_size:
        raise FormatError(where, "the comment of the ZIP end record is cut off")
    if disk or first_disk:
        raise FormatError(where, "the ZIP is one of several volumes", hint="join the volumes first")
    close = end_offset + _END.size + comment_size
    end64 = _find_zip64(read, end_offset, where=where)
    if end64 is not None:
        _check_same(end64, (count, size, offset), where=where)
        count, size, offset, end_offset = end64
    if offset + size != end_offset:
        raise FormatError(where, f"the directory at {offset} ({size} bytes) does not end where the end record begins")
    if size > LONGEST_DIRECTORY_BYTES or count * CentralRecord.LAYOUT.size > size:
        raise FormatError(where, f"a directory of {size} bytes cannot hold {count} records")
    records = _parse_records(read(offset, size), count, directory_offset=offset, where=where)
    return Directory(
        records=records,
        offset=offset,
        size_bytes=size,
        end_offset=end_offset,
        comment=comment,
        end_size_bytes=close - end_offset,
    )


def _find_zip64(read: ReadAt, end_offset: int, *, where: str) -> tuple[int, int, int, int] | None:
    """Count, size and offset of the directory and the record's own offset, if a ZIP64 end record precedes."""
    if end_offset < _LOCATOR.size:
        return None
    raw = read(end_offset - _LOCATOR.size, _LOCATOR.size)
    if len(raw) < _LOCATOR.size or raw[:4] != _LOCATOR_SIGNATURE:
        return None
    _, _, offset, _ = _LOCATOR.unpack(raw)
    if offset + _END64.size > end_offset - _LOCATOR.size:
        raise FormatError(where, f"the ZIP64 end record cannot be at {offset}")
    record = read(offset, _END64.size)
    if len(record) < _END64.size or record[:4] != _END64_SIGNATURE:
        raise FormatError(where, f"there is no ZIP64 end record at {offset}")
    fields = _END64.unpack(record)
    return fields[7], fields[8], fields[9], offset


def _check_same(wide: tuple[int, int, int, int], plain: tuple[int, int, int], *, where: str) -> None:
    """Refuse a ZIP64 end record that tells another story than the plain one, which older readers go by.

    A value that does not fit is all ones, or cut off (llamafile's zipalign does that).
    """
    limits = (LIMIT_16, LIMIT_32, LIMIT_32)
    for value, field, limit in zip(wide[:3], plain, limits, strict=True):
        if field not in {limit, value & limit}:
            raise FormatError(where, "the two ZIP end records contradict each other")


def _parse_records(data: bytes, count: int, *, directory_offset: int, where: str) -> tuple[FoundRecord, ...]:
    records: list[FoundRecord] = []
    position = 0
    for _ in range(count):
        place = f"{where}: directory record at {directory_offset + position}"
        found = _parse_record(data, position, where=place)
        _check_inside(found.record, directory_offset, where=place)
        records.append(found)
        position += len(found.raw)
    if position != len(data):
        raise FormatError(where, f"{len(data) - position} bytes of the directory belong to no record")
    return tuple(records)


def _parse_record(data: bytes, position: int, *, where: str) -> FoundRecord:
    if len(data) - position < CentralRecord.LAYOUT.size or data[position : position + 4] != CentralRecord.SIGNATURE:
        raise FormatError(where, "not a central record")
    fields = CentralRecord.LAYOUT.unpack_from(data, position)
    _, _, _, flags, method, time, crc, stored, decoded, name_size, extra_size, comment_size, *_rest = fields
    external, offset = fields[-2], fields[-1]
    start = position + CentralRecord.LAYOUT.size
    end = start + name_size + extra_size + comment_size
    if end > len(data):
        raise FormatError(where, "its name or extra field runs past the directory")
    extra = data[start + name_size : start + name_size + extra_size]
    decoded, stored, offset = _widen(extra, decoded, stored, offset, where=where)
    record = CentralRecord(
        name=_decode_name(data[start : start + name_size], flags, where=where),
        method=method,
        crc32=crc,
        stored_size=stored,
        decoded_size=decoded,
        header_offset=offset,
        mode=external >> 16,
        dos_time=time,
        flags=flags,
    )
    return FoundRecord(record=record, raw=data[position:end])


def _encode_name(name: str) -> bytes:
    raw = name.encode()
    if len(raw) > LIMIT_16:  # one that was read in another encoding may be
        raise FormatError("member", f"a name of {len(raw)} bytes does not fit into a ZIP record")
    return raw


def _decode_name(raw: bytes, flags: int, *, where: str) -> str:
    try:
        return raw.decode("utf-8" if flags & UTF8_NAMES else "cp437")
    except UnicodeDecodeError as error:
        raise FormatError(where, "its name is not UTF-8, though it says so") from error


def _widen(extra: bytes, decoded: int, stored: int, offset: int, *, where: str) -> tuple[int, int, int]:
    """The three values that may be in the ZIP64 extra field; only those marked 0xffffffff are, in this order."""
    values = [decoded, stored, offset]
    wanted = [index for index, value in enumerate(values) if value == LIMIT_32]
    if not wanted:
        return decoded, stored, offset
    field = _find_extra(extra, where=where)
    if len(field) < 8 * len(wanted):
        raise FormatError(where, "its ZIP64 field lacks a value that it promises")
    for place, index in enumerate(wanted):
        (values[index],) = struct.unpack_from("<Q", field, 8 * place)
    return values[0], values[1], values[2]


def _find_extra(extra: bytes, *, where: str) -> bytes:
    position = 0
    while position + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, position)
        if position + 4 + size > len(extra):
            break
        if kind == ZIP64_EXTRA:
            return extra[position + 4 : position + 4 + size]
        position += 4 + size
    raise FormatError(where, "it promises a ZIP64 field and has none")


def _check_inside(record: CentralRecord, limit: int, *, where: str) -> None:
    if record.header_offset + LOCAL_HEADER_BYTES + record.stored_size > limit:
        what = f"{record.stored_size} bytes of {record.name!r} at {record.header_offset} lie outside the file"
        raise FormatError(where, what)


def _zip64_extra(values: Sequence[int]) -> bytes:
    if not values:
        return b""
    return struct.pack(f"<HH{len(values)}Q", ZIP64_EXTRA, 8 * len(values), *values)


_LOCAL_SIGNATURE = b"PK\x03\x04"
_LOCAL = struct.Struct("<4s3H4L2H")
_END_SIGNATURE = b"PK\x05\x06"
_END = struct.Struct("<4s4H2LH")
_END64_SIGNATURE = b"PK\x06\x06"
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_SIGNATURE = b"PK\x06\x07"
_LOCATOR = struct.Struct("<4sLQL")
END_BYTES = _END.size
END_ZIP64_BYTES = _END64.size + _LOCATOR.size + _END.size
