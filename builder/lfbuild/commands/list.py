"""`list`: the members of a file, from its directory alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.archive.reader import Reader

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """One member as the directory has it."""

    name: str
    size_bytes: int
    """Decoded."""
    stored_bytes: int
    method: int
    """ZIP's number: 0 is stored, 8 deflated."""
    data_offset: int
    mode: int
    crc32: int


def list_members(path: Path) -> tuple[Listed, ...]:
    """The members of any ZIP file, in the order of its directory.

    Raises:
        FormatError: not a ZIP, or one that does not hold together.
        HostError: it cannot be read.
    """
    with Reader.open(path) as reader:
        return tuple(
            Listed(
                name=found.record.name,
                size_bytes=found.record.decoded_size,
                stored_bytes=found.record.stored_size,
                method=found.record.method,
                data_offset=reader.data_offset(found.record),
                mode=found.record.mode & 0o7777,
                crc32=found.record.crc32,
            )
            for found in reader.directory.records
        )
