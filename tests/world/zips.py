"""ZIPs of somebody else, made record by record so that each may lie."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lfbuild.formats.zip import CentralRecord, dos_time, end_records

if TYPE_CHECKING:
    from pathlib import Path

NOON = dos_time(1_700_000_000)


@dataclass(frozen=True, slots=True)
class Stored:
    """A member; `local` and `central` replace fields of one of its two records."""

    name: str
    data: bytes = b""
    method: int = 0
    mode: int = 0o100644
    local: dict[str, object] = field(default_factory=dict)
    central: dict[str, object] = field(default_factory=dict)

    @property
    def stored(self) -> bytes:
        return raw_deflate(self.data) if self.method == 8 else self.data

    def record(self, offset: int) -> CentralRecord:
        return CentralRecord(
            name=self.name,
            method=self.method,
            crc32=zlib.crc32(self.data),
            stored_size=len(self.stored),
            decoded_size=len(self.data),
            header_offset=offset,
            mode=self.mode,
            dos_time=NOON,
        )


def raw_deflate(data: bytes) -> bytes:
    """Deflate without zlib's frame, as ZIP has it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def zip_of(*members: Stored, start: bytes = b"", comment: bytes = b"") -> bytes:
    """A whole ZIP."""
    body, directory = bytearray(start), bytearray()
    for member in members:
        record = member.record(len(body))
        body += replace(record, **member.local).local_header() + member.stored  # type: ignore[arg-type]
        directory += replace(record, **member.central).to_bytes()  # type: ignore[arg-type]
    end = end_records(count=len(members), offset=len(body), size=len(directory), comment=comment)
    return bytes(body + directory + end)


def write_zip(path: Path, *members: Stored, start: bytes = b"", comment: bytes = b"") -> Path:
    """A whole ZIP as a file."""
    path.write_bytes(zip_of(*members, start=start, comment=comment))
    return path
