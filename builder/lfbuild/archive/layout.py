"""Decides where every member goes, before a byte is written.

Nothing here opens a file, so every offset can be tested with made-up sizes. The shape (docs/formats/file.md):

    [head][engines][room for the next one][weights, data at multiples of the alignment][files][small members][directory]
    [end records]

The gap before an aligned member goes before its local header, so a reader that walks headers from the front finds
nothing between header and data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lfbuild.errors import FormatError
from lfbuild.formats.blocks import Cuts
from lfbuild.formats.zip import (
    DEFLATED,
    END_BYTES,
    END_ZIP64_BYTES,
    LIMIT_16,
    LIMIT_32,
    STORED,
    CentralRecord,
    end_records,
    local_header_size,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lfbuild.archive.deflate import Decoded
    from lfbuild.archive.hashing import Digests
    from lfbuild.archive.source import Source

WEIGHTS_ALIGN_BYTES: Final = 64 << 10
"""MapViewOfFile's granularity, and a multiple of every page size in use."""
SECTOR_BYTES: Final = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What is known of a member that another file has already."""

    header_offset: int
    """In that file."""
    digests: Digests


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One member that is to be stored."""

    name: str
    source: Source
    cuts: Cuts = field(default_factory=lambda: Cuts(runs=()))
    """How its bytes are cut into blocks; empty: as plain bytes."""
    align_bytes: int = 1
    mode: int = 0o100644
    decoded: Decoded | None = None
    """What its bytes decode to, if they are deflated; None: they are the member's own."""
    kept: Kept | None = None
    """Where its bytes stand already, if they are another file's."""

    def record(self, *, header_offset: int, crc32: int, dos_time: int) -> CentralRecord:
        """Its directory record; `crc32` is that of the stored bytes."""
        return CentralRecord(
            name=self.name,
            method=DEFLATED if self.decoded else STORED,
            crc32=self.decoded.crc32 if self.decoded else crc32,
            stored_size=self.source.size_bytes,
            decoded_size=self.decoded_size,
            header_offset=header_offset,
            mode=self.mode,
            dos_time=dos_time,
        )

    @property
    def decoded_size(self) -> int:
        """How many bytes an unzip makes of it."""
        return self.decoded.size_bytes if self.decoded else self.source.size_bytes

    @property
    def blocks(self) -> Cuts:
        """Its cuts, whether given or plain."""
        return self.cuts if self.cuts.runs else Cuts.plain(self.source.size_bytes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """A member and its place, in bytes from the start of the file."""

    member: Member
    header_offset: int
    data_offset: int

    @property
    def end(self) -> int:
        """The first byte behind its data."""
        return self.data_offset + self.member.source.size_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Closing:
    """What a file ends with: its directory and, in one sector, its end records."""

    offset: int
    """Where the directory begins; between the last member and it there may be zeros."""
    directory: bytes
    end: bytes

    @property
    def end_offset(self) -> int:
        """Where the end records begin."""
        return self.offset + len(self.directory)

    @property
    def file_size(self) -> int:
        """Of the whole file."""
        return self.end_offset + len(self.end)


def place_end(records: Sequence[bytes], *, start: int, comment: bytes) -> Closing:
    """Directory and end records at or behind `start`."""
    directory, count = b"".join(records), len(records)
    offset = directory_offset(start, len(directory), comment_size=len(comment), count=count)
    end = end_records(count=count, offset=offset, size=len(directory), comment=comment)
    return Closing(offset=offset, directory=directory, end=end)


def place(members: Iterable[Member], *, start: int) -> tuple[Placement, ...]:
    """Place members one after the other from `start`.

    Raises:
        FormatError: two names are the same, or would be on a system that ignores case; or a name is unfit.
    """
    ordered = tuple(members)
    for member in ordered:
        check_name(member.name)
    check_names_differ(member.name for member in ordered)
    placements = []
    for member in ordered:
        placement = _place_one(member, start)
        placements.append(placement)
        start = placement.end
    return tuple(placements)


def directory_offset(start: int, directory_size: int, *, comment_size: int, count: int) -> int:
    """Where the directory begins, at or behind `start`, so that the end records lie within one 512-byte sector.

    Then a commit that writes them is one sector write, which a disk does whole or not at all.
    """
    offset = start
    while True:
        zip64 = count >= LIMIT_16 or offset >= LIMIT_32 or directory_size >= LIMIT_32
        end_size = (END_ZIP64_BYTES if zip64 else END_BYTES) + comment_size
        into_sector = (offset + directory_size) % SECTOR_BYTES
        if into_sector + end_size <= SECTOR_BYTES:
            return offset
        offset += SECTOR_BYTES - into_sector


def check_name(name: str) -> None:
    """Refuse a member name that some unzip would write elsewhere, or that could not be named on a command line.

    Raises:
        FormatError: what is wrong with it.
    """
    if fault := name_fault(name):
        raise FormatError("member", f"the name {name!r} {fault}")


def name_fault(name: str) -> str:
    """What makes a name unfit for a member; empty if nothing does."""
    faults = {
        "is empty": not name,
        "is longer than 65535 bytes": len(name.encode("utf-8", "surrogatepass")) > LIMIT_16,
        "contains a NUL byte": "\0" in name,
        "contains a backslash": "\\" in name,
        "contains '@', which separates file and member": "@" in name,
        "is absolute": name.startswith("/") or name[1:2] == ":",
        "leads out of the folder": any(part in {"..", ".", ""} for part in name.split("/")),
        "contains a control character": any(ord(char) < 32 or ord(char) == 127 for char in name),
        "is not valid Unicode": any(0xD800 <= ord(char) < 0xE000 for char in name),
    }
    return next((fault for fault, applies in faults.items() if applies), "")


def check_names_differ(names: Iterable[str], *, where: str = "member") -> None:
    """Refuse names that are the same, or would be on a system that ignores case.

    Raises:
        FormatError: which names they are.
    """
    spellings: dict[str, str] = {}
    for name in names:
        other = spellings.get(name.casefold())
        if other == name:
            raise FormatError(where, f"the name {name!r} is given more than once")
        if other is not None:
            raise FormatError(where, f"the names {other!r} and {name!r} are one where systems ignore case")
        spellings[name.casefold()] = name


def _place_one(member: Member, start: int) -> Placement:
    header = local_header_size(member.name, max(member.source.size_bytes, member.decoded_size))
    data_offset = -(-(start + header) // member.align_bytes) * member.align_bytes
    return Placement(member=member, header_offset=data_offset - header, data_offset=data_offset)
