"""The local header that stands before a member's data, read to be held against the directory.

Two readers of one ZIP may disagree, as one walks the directory and another the local headers. A file in which the two
tell different stories is refused, because nobody could say which of them was checked.

offset size field
0      4    signature PK\\3\\4
4      2    version needed
6      2    flags: bit 0 encrypted, bit 3 CRC-32 and sizes stand behind the data and are 0 here, bit 11 names are UTF-8
8      2    method
10     4    DOS time and date
14     4    CRC-32 of the decoded bytes
18     8    stored size, decoded size; 0xffffffff where the ZIP64 extra field holds them, decoded first
26     4    lengths of name and extra field
30     …    name, extra field
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from lfbuild.errors import FormatError
from lfbuild.formats.zip import LIMIT_32, LOCAL_HEADER_BYTES, SIZES_AFTER_DATA, UTF8_NAMES, ZIP64_EXTRA

if TYPE_CHECKING:
    from lfbuild.formats.zip import CentralRecord

LONGEST_LOCAL_HEADER_BYTES = LOCAL_HEADER_BYTES + 2 * 0xFFFF


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalHeader:
    """What stands before the data of a member."""

    name: bytes
    flags: int
    method: int
    crc32: int
    stored_size: int
    decoded_size: int
    size_bytes: int
    """Of the header itself: the data begins that many bytes behind its start."""

    SIGNATURE: ClassVar[bytes] = b"PK\x03\x04"
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<4s3H4L2H")

    @classmethod
    def parse(cls, data: bytes, *, where: str) -> Self:
        """Read the header at the start of `data` (`LONGEST_LOCAL_HEADER_BYTES` are always enough).

        Raises:
            FormatError: it is none, or it is cut off.
        """
        if len(data) < cls.LAYOUT.size or data[:4] != cls.SIGNATURE:
            raise FormatError(where, "has no local header where the directory says")
        _, _, flags, method, _, crc, stored, decoded, name_size, extra_size = cls.LAYOUT.unpack_from(data)
        end = cls.LAYOUT.size + name_size + extra_size
        if len(data) < end:
            raise FormatError(where, "its local header is cut off")
        stored, decoded = _widen(data[end - extra_size : end], stored, decoded)
        return cls(
            name=data[cls.LAYOUT.size : cls.LAYOUT.size + name_size],
            flags=flags,
            method=method,
            crc32=crc,
            stored_size=stored,
            decoded_size=decoded,
            size_bytes=end,
        )

    def differences(self, record: CentralRecord) -> tuple[str, ...]:
        """The fields in which this header and the directory contradict each other."""
        pairs = {
            "name": (self.name, record.name.encode("utf-8" if record.flags & UTF8_NAMES else "cp437")),
            "flags": (self.flags & _TELLING_FLAGS, record.flags & _TELLING_FLAGS),
            "method": (self.method, record.method),
        }
        if not self.flags & SIZES_AFTER_DATA:
            pairs["CRC-32"] = (self.crc32, record.crc32)
            pairs["stored size"] = (self.stored_size, record.stored_size)
            pairs["decoded size"] = (self.decoded_size, record.decoded_size)
        return tuple(field for field, (here, there) in pairs.items() if here != there)


_TELLING_FLAGS = 0x0001 | SIZES_AFTER_DATA | 0x0040 | 0x2000
"""Encrypted, sizes behind the data, strongly encrypted, masked: those that change how the data is read."""


def _widen(extra: bytes, stored: int, decoded: int) -> tuple[int, int]:
    """The sizes from the ZIP64 field, which has both in a local header; as they are where there is none."""
    position = 0
    while position + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, position)
        if kind == ZIP64_EXTRA and size >= 16 and position + 20 <= len(extra):
            wide_decoded, wide_stored = struct.unpack_from("<QQ", extra, position + 4)
            return (
                wide_stored if stored == LIMIT_32 else stored,
                wide_decoded if decoded == LIMIT_32 else decoded,
            )
        position += 4 + size
    return stored, decoded
