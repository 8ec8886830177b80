"""The plan of a delta: where every byte of NEW comes from (docs/formats/delta.md).

MessagePack inside a Zstandard frame. What it says of NEW and of itself is checked here and by its types; what it says
of OLD, in `resolve`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from lfbuild.delta import zstd
from lfbuild.errors import FormatError
from lfbuild.formats.blocks import BLOCK_BYTES, DIGEST_BYTES
from lfbuild.formats.delta import LARGEST_NUMBER
from lfbuild.manifest.model import EncoderLevel, EncoderVersion  # noqa: TC001  # msgspec looks the types up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lfbuild.formats.delta import Header

MOST_FRAME_BYTES: Final = 16 << 20
"""What a frame makes, if it is not a program: it is held in memory."""
MOST_PROGRAM_BYTES: Final = 512 << 20
"""What a program that is stored as it is may have: its frame is held in memory, and finding covers took five times
the memory of both programs."""
MOST_ENCODED_BYTES: Final = 256 << 20
"""What a compressed program decodes to: it is held in memory too."""
MOST_BLOCKS: Final = 1 << 21
"""2 TB in blocks of 1 MiB; a plan of more is a lie that costs memory."""

Count = Annotated[int, msgspec.Meta(ge=0, lt=LARGEST_NUMBER)]
Positive = Annotated[int, msgspec.Meta(ge=1, lt=LARGEST_NUMBER)]
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
    encoder_version: EncoderVersion
    level: EncoderLevel


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
        return sum(run.count for run in self.runs() if isinstance(run, Made))

    def runs(self) -> Iterator[BlockRun]:
        """The runs of all regions."""
        return (run for part in self.parts if isinstance(part, RegionPart) for run in part.runs)


def parse_plan(stored: bytes, header: Header, *, where: str) -> Plan:
    """Read a plan, and hold it against the header; what it says of OLD is not checked yet.

    Raises:
        FormatError: it is none, its frames do not add up, or it has more blocks than any file.
    """
    data = zstd.unpacked(stored, header.plan_bytes, where=f"{where}: plan")
    try:
        plan = msgspec.msgpack.decode(data, type=Plan)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"{where}: plan", f"is damaged: {error}") from error
    if sum(run.count for run in plan.runs()) > MOST_BLOCKS:
        raise FormatError(f"{where}: plan", f"has more than {MOST_BLOCKS} blocks")
    if sum(frame.size_bytes for frame in plan.frames) != header.frames_bytes:
        raise FormatError(f"{where}: plan", "its frames do not add up to what the header says")
    if plan.made_blocks != sum(frame.blocks for frame in plan.frames):
        raise FormatError(f"{where}: plan", "its frames do not make the blocks that are to be made")
    return plan


def leaves_bytes(plan: Plan) -> int:
    """How many bytes of leaves follow a plan."""
    return DIGEST_BYTES * plan.made_blocks
