"""The first bytes of a `.lfdelta` file: which OLD, which NEW, and the sizes of what follows.

    header (120 bytes) | plan | leaves | glue | frames            docs/formats/delta.md has the tables and the reasons

The plan says of every byte of NEW where it comes from. Then come the BLAKE3 of each block that OLD does not have, the
bytes between blocks, and the frames that blocks are made from, in the order of NEW. So a delta can be applied while it
arrives, and the header alone says whether it is the right one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from lfbuild.errors import FormatError

MAGIC: Final = b"LFDELTA\n"
VERSION: Final = 1
MOST_PLAN_BYTES: Final = 4 << 20
"""300 GB of blocks that are all new; more would be a lie that costs memory."""
MOST_GLUE_BYTES: Final = 32 << 20
LARGEST_NUMBER: Final = 1 << 62
_FRAME_OVERHEAD_BYTES: Final = 64 << 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Which file is meant."""

    size_bytes: int
    root: bytes
    """`FileMap.root`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """The first 120 bytes."""

    old: Identity
    new: Identity
    plan_stored: int
    plan_bytes: int
    glue_stored: int
    glue_bytes: int
    frames_bytes: int

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<8sIIIIIIQ32sQ32sQ")

    def to_bytes(self) -> bytes:
        """The bytes."""
        return self.LAYOUT.pack(
            MAGIC,
            VERSION,
            self.plan_stored,
            self.plan_bytes,
            self.glue_stored,
            self.glue_bytes,
            0,
            self.old.size_bytes,
            self.old.root,
            self.new.size_bytes,
            self.new.root,
            self.frames_bytes,
        )

    @classmethod
    def parse(cls, data: bytes, *, where: str) -> Self:
        """Read a header.

        Raises:
            FormatError: it is none, of an unknown version, or asks for more memory than any plan needs.
        """
        if not data.startswith(MAGIC) or len(data) < cls.LAYOUT.size:
            raise FormatError(where, "is not a delta", hint="`lfbuild diff OLD NEW` makes one")
        _, version, plan_stored, plan_bytes, glue_stored, glue_bytes, later, *rest = cls.LAYOUT.unpack_from(data)
        if version != VERSION:
            hint = "update lfbuild: pip install -U lfbuild"
            raise FormatError(where, f"delta version {version} is not known, only {VERSION}", hint=hint)
        old_size, old_root, new_size, new_root, frames_bytes = rest
        header = cls(
            old=Identity(size_bytes=old_size, root=old_root),
            new=Identity(size_bytes=new_size, root=new_root),
            plan_stored=plan_stored,
            plan_bytes=plan_bytes,
            glue_stored=glue_stored,
            glue_bytes=glue_bytes,
            frames_bytes=frames_bytes,
        )
        header._check(later, where)
        return header

    def _check(self, later: int, where: str) -> None:
        limits = (
            (self.plan_bytes, MOST_PLAN_BYTES),
            (self.glue_bytes, MOST_GLUE_BYTES),
            (self.plan_stored, self.plan_bytes + _FRAME_OVERHEAD_BYTES),
            (self.glue_stored, self.glue_bytes + _FRAME_OVERHEAD_BYTES),
            (max(self.old.size_bytes, self.new.size_bytes, self.frames_bytes), LARGEST_NUMBER),
        )
        if later or any(value > limit for value, limit in limits):
            raise FormatError(where, "the sizes in the header of the delta cannot be")


def most_stored_bytes(target_bytes: int) -> int:
    """How large a frame may be that makes `target_bytes`: no codec makes more of them than that."""
    return target_bytes + target_bytes // 64 + _FRAME_OVERHEAD_BYTES
