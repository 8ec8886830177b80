"""Tiny containers for the C layer: some as `zipfile` and Mozilla's zipalign make them, some made by hand to lie."""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ALIGN_BYTES = 65536
SENTINEL = 0xFFFFFFFF
HEAD = b"\x7fELF a program, of no matter which kind"


def gguf(text: str) -> bytes:
    """Looks like a model to the layer, which looks at the first four bytes only."""
    return b"GGUF" + text.encode()


def seal(state: str = "clean", version: int = 1) -> bytes:
    """The 98 bytes of docs/formats/seal.md."""
    return f"lfbuild {version} {1:016} {state:<5} {'0' * 64}\n".encode()


def write_zip(
    path: Path, members: Mapping[str, bytes], *, method: int = zipfile.ZIP_STORED, comment: bytes = b""
) -> Path:
    """What Python and `zip` write: no alignment, ZIP64 only where it is needed."""
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
        file.comment = comment
    return path


@dataclass(frozen=True, kw_only=True)
class Record:
    """A member by hand; None says "what is true"."""

    name: bytes
    data: bytes
    method: int = 0
    flags: int = 0
    size_bytes: int | None = None
    packed_size_bytes: int | None = None
    header_offset: int | None = None
    local_name: bytes | None = None
    local_magic: bytes = b"PK\3\4"
    central_magic: bytes = b"PK\1\2"
    zip64: bool = True


@dataclass(frozen=True, kw_only=True)
class EndRecord:
    """The end of the file by hand."""

    count: int | None = None
    directory_size_bytes: int | None = None
    directory_offset: int | None = None
    zip64: bool = True
    zip64_offset: int | None = None
    comment: bytes = b""


def align_gap(offset: int, header_bytes: int, align_bytes: int, skew_bytes: int) -> int:
    """How many zeros make the data begin at a multiple of align_bytes, plus skew_bytes."""
    return (skew_bytes - offset - header_bytes) % align_bytes


def write_by_hand(
    path: Path,
    *records: Record,
    end: EndRecord | None = None,
    head: bytes = HEAD,
    align_bytes: int = ALIGN_BYTES,
    skew_bytes: int = 0,
) -> Path:
    """Mozilla's zipalign, field by field: always ZIP64, data aligned, or whatever the records say instead."""
    end = end or EndRecord()
    body, directory = bytearray(head), bytearray()
    for record in records:
        name = record.name if record.local_name is None else record.local_name
        local_extra = struct.pack("<HHQQ", 1, 16, len(record.data), len(record.data)) if record.zip64 else b""
        body += bytes(align_gap(len(body), 30 + len(name) + len(local_extra), align_bytes, skew_bytes))
        offset = len(body) if record.header_offset is None else record.header_offset
        size = SENTINEL if record.zip64 else len(record.data)
        fixed = (record.local_magic, 45, record.flags, record.method, 0, 0, zlib.crc32(record.data))
        body += struct.pack("<4sHHHHHIIIHH", *fixed, size, size, len(name), len(local_extra))
        body += name + local_extra + record.data
        directory += _central(record, offset)
    directory_offset = len(body)
    body += directory
    body += _end_records(end, len(records), len(directory), directory_offset, len(body))
    path.write_bytes(body)
    return path


def _central(record: Record, offset: int) -> bytes:
    size = len(record.data) if record.size_bytes is None else record.size_bytes
    packed = len(record.data) if record.packed_size_bytes is None else record.packed_size_bytes
    extra = struct.pack("<HHQQQ", 1, 24, size, packed, offset) if record.zip64 else b""
    values = (SENTINEL,) * 3 if record.zip64 else (packed & SENTINEL, size & SENTINEL, offset & SENTINEL)
    fixed = (record.central_magic, 3 << 8 | 45, 45, record.flags, record.method, 0, 0, zlib.crc32(record.data))
    lengths = (len(record.name), len(extra), 0, 0, 0, 0)
    return struct.pack("<4sHHHHHHIIIHHHHHII", *fixed, *values[:2], *lengths, values[2]) + record.name + extra


def _end_records(end: EndRecord, count: int, size: int, offset: int, at: int) -> bytes:
    count = count if end.count is None else end.count
    size = size if end.directory_size_bytes is None else end.directory_size_bytes
    offset = offset if end.directory_offset is None else end.directory_offset
    records = b""
    if end.zip64:
        records += struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset)
        records += struct.pack("<4sIQI", b"PK\6\7", 0, at if end.zip64_offset is None else end.zip64_offset, 1)
        offset = SENTINEL
    count, size, offset = count & 0xFFFF, size & SENTINEL, offset & SENTINEL
    records += struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, size, offset, len(end.comment))
    return records + end.comment


MODEL = Record(name=b"model.gguf", data=gguf(" the weights"))
ZIP32_MODEL = replace(MODEL, zip64=False)
