"""Writes members as Mozilla's `zipalign` does, byte for byte but for the time.

Every value is in a ZIP64 field, however small; all data begins at a multiple of 65536; behind each member stand 24
bytes that nothing refers to, as zipalign counts the length of the directory's record where it means the local header's.
Only a file that leaves lfbuild is written so: what lfbuild writes for itself is in `writer`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from lfbuild.archive.layout import WEIGHTS_ALIGN_BYTES
from lfbuild.formats.zip import LIMIT_16, LIMIT_32, MADE_ON_UNIX, VERSION_ZIP64, ZIP64_EXTRA, CentralRecord
from lfbuild.host.moving import write_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lfbuild.archive.source import Source

_LOCAL: Final = struct.Struct("<4s3H4L2H")
_LOCAL_EXTRA: Final = struct.Struct("<HHQQ")
_CENTRAL_EXTRA: Final = struct.Struct("<HHQQQ")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR: Final = struct.Struct("<4sLQL")
_END: Final = struct.Struct("<4s4H2LH")
_PIECE_BYTES: Final = 8 << 20


def write_zipaligned(
    descriptor: int,
    members: Sequence[tuple[CentralRecord, Source]],
    *,
    own_records: Sequence[bytes],
    start: int,
    on_bytes: Callable[[int], None],
) -> int:
    """Write members behind an engine of `start` bytes whose own members have `own_records`; returns the file's size."""
    cursor, directory = start, b"".join(own_records)
    for record, source in members:
        name = record.name.encode()
        header_size = _LOCAL.size + len(name) + _LOCAL_EXTRA.size
        data_offset = -(-(cursor + header_size) // WEIGHTS_ALIGN_BYTES) * WEIGHTS_ALIGN_BYTES
        header_offset = data_offset - header_size
        write_all(descriptor, _local_header(record, name), header_offset)
        _copy(source, descriptor, data_offset, on_bytes)
        central = _central_record(record, name, header_offset)
        directory += central
        cursor = header_offset + len(central) + record.stored_size
    end = _end_records(len(own_records) + len(members), cursor, len(directory))
    write_all(descriptor, directory + end, cursor)
    return cursor + len(directory) + len(end)


def _copy(source: Source, descriptor: int, offset: int, on_bytes: Callable[[int], None]) -> None:
    with source.opened() as opened:
        if opened.share(descriptor, target_offset=offset):
            on_bytes(source.size_bytes)
            return
        for start in range(0, source.size_bytes, _PIECE_BYTES):
            buffer = memoryview(bytearray(min(_PIECE_BYTES, source.size_bytes - start)))
            opened.read_into(buffer, start)
            write_all(descriptor, buffer, offset + start)
            on_bytes(len(buffer))


def _local_header(record: CentralRecord, name: bytes) -> bytes:
    fixed = _LOCAL.pack(
        b"PK\x03\x04",
        VERSION_ZIP64,
        record.flags,
        record.method,
        record.dos_time,
        record.crc32,
        LIMIT_32,
        LIMIT_32,
        len(name),
        _LOCAL_EXTRA.size,
    )
    return fixed + name + _LOCAL_EXTRA.pack(ZIP64_EXTRA, 16, record.decoded_size, record.stored_size)


def _central_record(record: CentralRecord, name: bytes, header_offset: int) -> bytes:
    fixed = CentralRecord.LAYOUT.pack(
        CentralRecord.SIGNATURE,
        MADE_ON_UNIX | VERSION_ZIP64,
        VERSION_ZIP64,
        record.flags,
        record.method,
        record.dos_time,
        record.crc32,
        LIMIT_32,
        LIMIT_32,
        len(name),
        _CENTRAL_EXTRA.size,
        0,
        0,
        0,
        record.mode << 16,
        LIMIT_32,
    )
    return fixed + name + _CENTRAL_EXTRA.pack(ZIP64_EXTRA, 24, record.decoded_size, record.stored_size, header_offset)


def _end_records(count: int, offset: int, size: int) -> bytes:
    made_by = MADE_ON_UNIX | VERSION_ZIP64
    end64 = _END64.pack(b"PK\x06\x06", 44, made_by, VERSION_ZIP64, 0, 0, count, count, size, offset)
    locator = _LOCATOR.pack(b"PK\x06\x07", 0, offset + size, 1)
    count_16 = count & LIMIT_16
    return end64 + locator + _END.pack(b"PK\x05\x06", 0, 0, count_16, count_16, size & LIMIT_32, LIMIT_32, 0)
