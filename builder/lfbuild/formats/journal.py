r"""The journal of an edit in place: what has to be written where, so that it can be done again after any interruption.

Append-only, and each record vouches for itself and for all before it, so a journal that was cut off is known from a
complete one, and a download can go on where it stopped. Layouts, with reasons: docs/formats/journal.md.

    [header][record][data] … [record][data] … [closing record][mark]

header:  0 magic `LFREDO 1` · 8 size of the old file · 16 size of its end that is digested · 24 zeros
         32 BLAKE3 of that end · 64 BLAKE3 of these 64 bytes, with which the chain begins
record:  0 kind (`WRIT`, `ZERO`, `DONE`) · 4 zeros · 8 offset · 16 size · 24 offset of the mark (`DONE` only)
         32 BLAKE3 of the data (`ZERO`: zeros) · 64 BLAKE3 of the chain before and these 64 bytes: the chain from here
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Self

from blake3 import blake3

from lfbuild.errors import FormatError

RecordKind = Literal["write", "zero", "done"]

MOST_DATA_BYTES: Final = 16 << 20
"""Whoever replays a record holds its data in memory: no record has more."""
BOUND_BYTES: Final = 64 << 10
"""How much of the old file's end is digested: directory, seal, whatever makes it this file."""
_LARGEST: Final = 1 << 62
_DIGEST_BYTES: Final = 32
_FIXED_BYTES: Final = 64

_NAMES: Final[dict[bytes, RecordKind]] = {b"WRIT": "write", b"ZERO": "zero", b"DONE": "done"}
_MAGICS: Final = {kind: magic for magic, kind in _NAMES.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalHeader:
    """Which file a journal belongs to."""

    old_size: int
    bound_size: int
    bound_digest: bytes
    """BLAKE3 of the last `bound_size` bytes of the old file."""

    MAGIC: ClassVar[bytes] = b"LFREDO 1"
    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<8sQQ8s32s")
    SIZE_BYTES: ClassVar[int] = _FIXED_BYTES + _DIGEST_BYTES

    @classmethod
    def of(cls, old_size: int, end: bytes) -> Self:
        """The header for a file of `old_size` bytes that ends in `end`."""
        return cls(old_size=old_size, bound_size=len(end), bound_digest=blake3(end).digest())

    def to_bytes(self) -> bytes:
        """The header as it stands in the journal."""
        fixed = self.LAYOUT.pack(self.MAGIC, self.old_size, self.bound_size, bytes(8), self.bound_digest)
        return fixed + blake3(fixed).digest()

    @classmethod
    def parse(cls, data: bytes, *, where: str) -> Self:
        """Read the header at the start of a journal.

        Raises:
            FormatError: it is cut off, damaged, or of a version that this lfbuild does not know.
        """
        fixed, digest = data[:_FIXED_BYTES], data[_FIXED_BYTES : cls.SIZE_BYTES]
        if fixed.startswith(b"LFREDO ") and not fixed.startswith(cls.MAGIC):
            raise FormatError(where, "is a journal of a later lfbuild", hint="update lfbuild: pip install -U lfbuild")
        if len(digest) < _DIGEST_BYTES or blake3(fixed).digest() != digest or not fixed.startswith(cls.MAGIC):
            raise FormatError(where, "is no journal, or one that was cut off at its start")
        _, old_size, bound_size, _, bound_digest = cls.LAYOUT.unpack(fixed)
        if bound_size != min(old_size, BOUND_BYTES):
            raise FormatError(where, "its header does not hold together")
        return cls(old_size=old_size, bound_size=bound_size, bound_digest=bound_digest)

    @property
    def chain(self) -> bytes:
        """What the first record is chained to."""
        return self.to_bytes()[_FIXED_BYTES:]


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalRecord:
    """One step of an edit: bytes to be written, a range to be zero, or the end of the journal."""

    kind: RecordKind
    offset: int
    """Where it goes in the file; of `done`, the size that the file has in the end."""
    size: int
    """Of its data or, of `zero`, of the range; of `done`, the mark's."""
    mark_offset: int = 0
    digest: bytes = bytes(_DIGEST_BYTES)

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<4s4sQQQ32s")
    SIZE_BYTES: ClassVar[int] = _FIXED_BYTES + _DIGEST_BYTES

    @property
    def data_bytes(self) -> int:
        """How many bytes follow the record."""
        return 0 if self.kind == "zero" else self.size

    def to_bytes(self, chain: bytes) -> tuple[bytes, bytes]:
        """The record behind a chain, and the chain from here on."""
        fields = (_MAGICS[self.kind], bytes(4), self.offset, self.size, self.mark_offset, self.digest)
        fixed = self.LAYOUT.pack(*fields)
        link = blake3(chain + fixed).digest()
        return fixed + link, link

    @classmethod
    def parse(cls, data: bytes, chain: bytes, *, where: str) -> tuple[Self, bytes]:
        """Read a record that follows a chain; returns it and the chain from here on.

        Raises:
            FormatError: it is cut off, damaged, or asks for something that cannot be.
        """
        fixed, link = data[:_FIXED_BYTES], data[_FIXED_BYTES : cls.SIZE_BYTES]
        if len(link) < _DIGEST_BYTES or blake3(chain + fixed).digest() != link:
            raise FormatError(where, "is cut off, or damaged")
        magic, zeros, offset, size, mark_offset, digest = cls.LAYOUT.unpack(fixed)
        kind = _NAMES.get(magic)
        if kind is None or any(zeros) or offset + size > _LARGEST or mark_offset > _LARGEST:
            raise FormatError(where, "asks for something that cannot be")
        if kind != "zero" and size > MOST_DATA_BYTES + BOUND_BYTES:
            raise FormatError(where, f"has {size} bytes of data, more than a record may have")
        return cls(kind=kind, offset=offset, size=size, mark_offset=mark_offset, digest=digest), link
