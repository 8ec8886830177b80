"""The `.lfdelta` file: its header, its plan, and what of them is checked before anything is believed.

    header (120 bytes) | plan | leaves | glue | frames            docs/formats/delta.md has the tables and the reasons

The plan says of every byte of NEW where it comes from; it is MessagePack inside a Zstandard frame. Then come the
BLAKE3 of each block that OLD does not have, the bytes between blocks, and the frames that blocks are made from, in the
order of NEW. So a delta can be applied while it arrives.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Annotated, Final, Self

import msgspec

from lfbuild.delta import zstd
from lfbuild.errors import FormatError
from lfbuild.formats.blocks import BLOCK_BYTES, DIGEST_BYTES

MAGIC: Final = b"LFDELTA\n"
VERSION: Final = 1
MOST_PLAN_BYTES: Final = 4 << 20
"""300 GB of blocks that are all new; more would be a lie that costs memory."""
MOST_GLUE_BYTES: Final = 32 << 20
MOST_FRAME_BYTES: Final = 16 << 20
"""What a frame makes, if it is not a program: it is held in memory."""
MOST_ENCODED_BYTES: Final = 256 << 20
"""What a compressed program decodes to: it is held in memory too."""
_FRAME_OVERHEAD_BYTES: Final = 64 << 10
_LARGEST_NUMBER: Final = 1 << 62

Count = Annotated[int, msgspec.Meta(ge=0, lt=_LARGEST_NUMBER)]
Positive = Annotated[int, msgspec.Meta(ge=1, lt=_LARGEST_NUMBER)]
BlockSize = Annotated[int, msgspec.Meta(ge=1, le=BLOCK_BYTES)]


class Copied(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """Blocks of OLD, as they are."""

    block: Count
    """Number of the first one in OLD."""
    count: Positive


class Made(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Blocks that frames make: all of one size but the last."""

    count: Positive
    block_bytes: BlockSize
    last_bytes: BlockSize


class Zeroed(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Blocks of zeros."""

    count: Positive
    block_bytes: BlockSize
    last_bytes: BlockSize


BlockRun = Copied | Made | Zeroed


class GapPart(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """Zeros that belong to no block."""

    size_bytes: Positive


class GluePart(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The next bytes of the glue."""

    size_bytes: Positive


class RegionPart(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Blocks."""

    runs: tuple[BlockRun, ...]


PlanPart = GapPart | GluePart | RegionPart


class Encoding(msgspec.Struct, frozen=True, array_like=True):
    """How the decoded bytes become the stored ones."""

    decoded_bytes: Count
    encoder: str
    encoder_version: str
    level: Annotated[int, msgspec.Meta(ge=0, le=12)]


class StoredFrame(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """The blocks as they are."""

    blocks: Positive
    size_bytes: Count


class PackedFrame(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The blocks in a Zstandard frame."""

    blocks: Positive
    size_bytes: Count


class PrefixedFrame(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The blocks in a Zstandard frame whose dictionary is bytes of OLD, and perhaps the digests of NEW."""

    blocks: Positive
    size_bytes: Count
    old_offset: Count
    old_bytes: Count
    with_digests: bool


class PlanesFrame(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Blocks of a quantized tensor as planes of differences from as many bytes of OLD."""

    blocks: Positive
    size_bytes: Count
    old_offset: Count
    tensor_type: Count


class ProgramFrame(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """A program as covers of one in OLD."""

    blocks: Positive
    size_bytes: Count
    old_offset: Count
    old_bytes: Count
    old_decoded_bytes: Count
    """What the bytes of OLD are inflated to; 0: they are stored as they are."""
    encoding: Encoding | None
    """How the program is stored in NEW; None: as it is."""


Frame = StoredFrame | PackedFrame | PrefixedFrame | PlanesFrame | ProgramFrame


class Plan(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Where every byte of NEW comes from."""

    old_name: str
    new_name: str
    """What both are called; NEW gets this name where none is given."""
    executable: bool
    parts: tuple[PlanPart, ...]
    holes: tuple[tuple[Count, Annotated[int, msgspec.Meta(ge=1, le=64)]], ...]
    """Offset and size of fields that a signature fills; their bytes are the last ones of the glue."""
    frames: tuple[Frame, ...]

    def to_bytes(self) -> bytes:
        """The plan as it is packed."""
        return msgspec.msgpack.encode(self)

    @property
    def made_blocks(self) -> int:
        """How many blocks frames make: each has a leaf."""
        runs = (run for part in self.parts if isinstance(part, RegionPart) for run in part.runs)
        return sum(run.count for run in runs if isinstance(run, Made))


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

    LAYOUT = struct.Struct("<8sIIIIIIQ32sQ32sQ")

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
            (max(self.old.size_bytes, self.new.size_bytes, self.frames_bytes), _LARGEST_NUMBER),
        )
        if later or any(value > limit for value, limit in limits):
            raise FormatError(where, "the sizes in the header of the delta cannot be")


def parse_plan(stored: bytes, header: Header, *, where: str) -> Plan:
    """Read a plan, and hold it against the header; what it says of OLD is not checked yet.

    Raises:
        FormatError: it is none, or its frames do not add up.
    """
    data = zstd.unpacked(stored, header.plan_bytes, where=f"{where}: plan")
    try:
        plan = msgspec.msgpack.decode(data, type=Plan)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"{where}: plan", f"is damaged: {error}") from error
    if sum(frame.size_bytes for frame in plan.frames) != header.frames_bytes:
        raise FormatError(f"{where}: plan", "its frames do not add up to what the header says")
    if plan.made_blocks != sum(frame.blocks for frame in plan.frames):
        raise FormatError(f"{where}: plan", "its frames do not make the blocks that are to be made")
    return plan


def leaves_bytes(plan: Plan) -> int:
    """How many bytes of leaves follow a plan."""
    return DIGEST_BYTES * plan.made_blocks


def most_stored_bytes(target_bytes: int) -> int:
    """How large a frame may be that makes `target_bytes`: no codec makes more of them than that."""
    return target_bytes + target_bytes // 64 + _FRAME_OVERHEAD_BYTES
