"""The control file beside a release: what its every byte is, in a few KB (docs/formats/index.md).

    offset  size    field
    0       8       magic `LFRINDEX`
    8       4       version, 1
    12      4       size of the packed part
    16      4       size of the description, unpacked
    20      4       size of the glue, unpacked
    24      4       number of digests
    28      36      zeros, for later
    64      …       the packed part: description (JSON) and glue, deflated together
    …       32 × n  a digest for each run of blocks, in the order of the file
    …       32      BLAKE3 of everything before

A run of one block has the block's own digest there. One of more has the BLAKE3 of its leaves, which stand elsewhere,
and are fetched where the run is not known already. So the first fetch does not grow with the file.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final, Self
from urllib.parse import quote

import msgspec
from blake3 import blake3

from lfbuild.errors import FormatError, IntegrityError
from lfbuild.formats.blocks import BLOCK_BYTES, DIGEST_BYTES, NO_TENSOR, Cuts, Run
from lfbuild.manifest.filemap import Literal, Zeros
from lfbuild.manifest.model import Release  # noqa: TC001  # msgspec looks the type up

if TYPE_CHECKING:
    from collections.abc import Iterator

INDEX_SUFFIX: Final = ".lfindex"
LEAVES_SUFFIX: Final = ".lfleaves"
MOST_INDEX_BYTES: Final = 8 << 20
"""A longer one is no index. 40 GB in 723 tensors need 32 KB."""
_MOST_UNPACKED_BYTES: Final = 32 << 20
_MOST_LEAVES: Final = 1 << 22
"""128 MB of digests; what a hostile index may make us hold."""
_MOST_HOLES_BYTES: Final = 1 << 16
_MAGIC: Final = b"LFRINDEX"
_VERSION: Final = 1
_HEADER: Final = struct.Struct("<8sIIIII36s")

Offset = Annotated[int, msgspec.Meta(ge=0, lt=1 << 48)]
Size = Annotated[int, msgspec.Meta(ge=1, lt=1 << 48)]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]


class RunRecord(msgspec.Struct, frozen=True, array_like=True):
    """A run of blocks: see `formats.blocks.Run`."""

    size_bytes: Size
    block_bytes: Annotated[int, msgspec.Meta(ge=1, le=BLOCK_BYTES)]
    label: Annotated[str, msgspec.Meta(max_length=0xFFFF)]
    tensor_type: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]


class RegionRecord(msgspec.Struct, frozen=True, array_like=True, tag="b"):
    """A region that is known by blocks."""

    name: Annotated[str, msgspec.Meta(max_length=0xFFFF)]
    leaves_at: Offset
    """Where in the file of the leaves its leaves begin; 0 where no run has more than one."""
    runs: Annotated[tuple[RunRecord, ...], msgspec.Meta(min_length=1)]


class GlueRecord(msgspec.Struct, frozen=True, array_like=True, tag="l"):
    """The next bytes of the glue."""

    size_bytes: Size


class ZerosRecord(msgspec.Struct, frozen=True, array_like=True, tag="z"):
    """Zeros."""

    size_bytes: Size


class HoleRecord(msgspec.Struct, frozen=True, array_like=True):
    """What stands in a field that a signature fills: the next bytes of the glue, behind all others."""

    offset: Offset
    size_bytes: Size


class DeltaRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A published difference from an older file to this one."""

    old: Digest
    """Root of the older file's map."""
    url: Name
    size_bytes: Size
    blake3: Digest


class FileRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file of the release and where it lies, seen from the index: a name as in an address, or a whole one."""

    url: Name
    size_bytes: Size


def reference_to(name: str) -> str:
    """How a control file names what lies beside it: as in an address, where `#`, `?`, `%` and `:` mean something."""
    return quote(name, errors="surrogateescape")


class _Description(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    file: FileRecord
    root: Digest
    parts: tuple[RegionRecord | GlueRecord | ZerosRecord, ...]
    release: Release | None = None
    generation: Offset = 0
    leaves: FileRecord | None = None
    """The file with the leaves; absent where they stand in the release's own file."""
    holes: tuple[HoleRecord, ...] = ()
    deltas: tuple[DeltaRecord, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """A region of the release that is known by blocks, with a digest a run in the place of its leaves."""

    offset: int
    name: str
    runs: tuple[Run, ...]
    digests: tuple[bytes, ...]
    """One a run."""
    leaves_at: int = 0

    @property
    def cuts(self) -> Cuts:
        """How it is cut."""
        return Cuts(runs=self.runs)

    @property
    def size_bytes(self) -> int:
        """Bytes of all its blocks."""
        return self.cuts.size_bytes


IndexPart = Region | Literal | Zeros


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseIndex:
    """A release, as its control file tells of it."""

    file: FileRecord
    root: str
    """Of the map of the file: the same root means the same bytes."""
    parts: tuple[IndexPart, ...]
    holes: tuple[Literal, ...] = ()
    release: Release | None = None
    """What the file says of itself; None of a file that is not ours."""
    generation: int = 0
    leaves: FileRecord | None = None
    deltas: tuple[DeltaRecord, ...] = ()

    @property
    def regions(self) -> tuple[Region, ...]:
        """The parts that are known by blocks."""
        return tuple(part for part in self.parts if isinstance(part, Region))

    @property
    def has_structure(self) -> bool:
        """Whether it is cut by what it is; else it has one region without tensors, as any file may have."""
        return (
            self.release is not None
            or len(self.regions) > 1
            or any(run.tensor_type != NO_TENSOR for region in self.regions for run in region.runs)
        )

    @property
    def block_bytes(self) -> int:
        """How large the blocks of tensors may be, as far as they show it: a file that is compared is cut alike."""
        tensors = [run for region in self.regions for run in region.runs if run.tensor_type != NO_TENSOR]
        largest = max((run.block_bytes for run in tensors), default=BLOCK_BYTES)
        return min(1 << (largest - 1).bit_length(), BLOCK_BYTES)

    @property
    def leaves_file(self) -> FileRecord:
        """Where the leaves are to be had."""
        return self.leaves or self.file

    def to_bytes(self) -> bytes:
        """The control file."""
        description = msgspec.json.encode(self._description(), order="sorted")
        glue = b"".join(part.data for part in (*self.parts, *self.holes) if isinstance(part, Literal))
        packed = zlib.compress(description + glue, 9)
        digests = b"".join(digest for region in self.regions for digest in region.digests)
        count = len(digests) // DIGEST_BYTES
        header = _HEADER.pack(_MAGIC, _VERSION, len(packed), len(description), len(glue), count, bytes(36))
        body = header + packed + digests
        return body + blake3(body).digest()

    def _description(self) -> _Description:
        return _Description(
            file=self.file,
            root=self.root,
            parts=tuple(_record(part) for part in self.parts),
            release=self.release,
            generation=self.generation,
            leaves=self.leaves,
            holes=tuple(HoleRecord(hole.offset, hole.size_bytes) for hole in self.holes),
            deltas=self.deltas,
        )

    @classmethod
    def parse(cls, data: bytes, *, where: str) -> Self:
        """Read a control file.

        Raises:
            FormatError: it is none, of an unknown version, or contradicts itself.
            IntegrityError: it is damaged.
        """
        description, glue, digests = _unpack(data, where)
        walk = _Walk(glue, digests, where)
        parts = tuple(walk.part(record) for record in description.parts)
        holes = tuple(walk.hole(record, description.file.size_bytes) for record in description.holes)
        if walk.offset != description.file.size_bytes or not walk.is_spent:
            raise FormatError(where, "what it tells of does not add up to the size of the file")
        return cls(
            file=description.file,
            root=description.root,
            parts=parts,
            holes=holes,
            release=description.release,
            generation=description.generation,
            leaves=description.leaves,
            deltas=description.deltas,
        )


def _record(part: IndexPart) -> RegionRecord | GlueRecord | ZerosRecord:
    if isinstance(part, Literal):
        return GlueRecord(part.size_bytes)
    if isinstance(part, Zeros):
        return ZerosRecord(part.size_bytes)
    runs = tuple(RunRecord(run.size_bytes, run.block_bytes, run.label, run.tensor_type) for run in part.runs)
    return RegionRecord(part.name, part.leaves_at, runs)


def _unpack(data: bytes, where: str) -> tuple[_Description, bytes, Iterator[bytes]]:
    """The three things that a control file holds, their sizes checked before anything is unpacked."""
    if len(data) < _HEADER.size + DIGEST_BYTES or not data.startswith(_MAGIC):
        raise FormatError(where, "is not a control file of a release", hint="`lfbuild index FILE` makes one")
    _, version, packed_size, description_size, glue_size, count, later = _HEADER.unpack_from(data)
    if version != _VERSION:
        hint = "update lfbuild: pip install -U lfbuild"
        raise FormatError(where, f"version {version} of control files is not known, only {_VERSION}", hint=hint)
    digests_at = _HEADER.size + packed_size
    end = digests_at + DIGEST_BYTES * count
    if any(later) or end + DIGEST_BYTES != len(data) or description_size + glue_size > _MOST_UNPACKED_BYTES:
        raise FormatError(where, "its sizes do not add up to its length")
    if blake3(data[:end]).digest() != data[end:]:
        raise IntegrityError(where, "is damaged: its digest does not fit", hint="fetch it again, or make it again")
    unpacked = _inflate(data[_HEADER.size : digests_at], description_size + glue_size, where)
    digests = (data[at : at + DIGEST_BYTES] for at in range(digests_at, end, DIGEST_BYTES))
    try:
        description = msgspec.json.decode(unpacked[:description_size], type=_Description)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(where, f"its description cannot be read: {error}") from error
    return description, unpacked[description_size:], digests


def _inflate(packed: bytes, size: int, where: str) -> bytes:
    """What was deflated, of exactly the promised size: never more, however much it would become."""
    inflater = zlib.decompressobj()
    try:
        unpacked = inflater.decompress(packed, size + 1)
    except zlib.error as error:
        raise FormatError(where, "its packed part cannot be unpacked") from error
    if len(unpacked) != size or not inflater.eof or inflater.unused_data:
        raise FormatError(where, "its packed part is not of the size that it says")
    return unpacked


class _Walk:
    """Goes through the parts in the order of the file, and takes what belongs to each."""

    def __init__(self, glue: bytes, digests: Iterator[bytes], where: str) -> None:
        self._glue, self._digests, self._where = glue, digests, where
        self._glue_at, self._leaves, self._holes_bytes = 0, 0, 0
        self.offset = 0

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left over."""
        return self._glue_at == len(self._glue) and next(self._digests, None) is None

    def part(self, record: RegionRecord | GlueRecord | ZerosRecord) -> IndexPart:
        """The next part."""
        offset = self.offset
        if isinstance(record, RegionRecord):
            part: IndexPart = self._region(record)
        elif isinstance(record, GlueRecord):
            part = Literal(offset=offset, data=self._take(record.size_bytes))
        else:
            part = Zeros(offset=offset, size_bytes=record.size_bytes)
        self.offset += part.size_bytes
        return part

    def hole(self, record: HoleRecord, size: int) -> Literal:
        """A field that a signature fills."""
        self._holes_bytes += record.size_bytes
        if record.offset + record.size_bytes > size or self._holes_bytes > _MOST_HOLES_BYTES:
            raise FormatError(self._where, "tells of signatures outside of the file")
        return Literal(offset=record.offset, data=self._take(record.size_bytes))

    def _region(self, record: RegionRecord) -> Region:
        runs = tuple(
            Run(size_bytes=run.size_bytes, block_bytes=run.block_bytes, label=run.label, tensor_type=run.tensor_type)
            for run in record.runs
        )
        self._leaves += sum(run.blocks for run in runs)
        if self._leaves > _MOST_LEAVES:
            raise FormatError(self._where, f"tells of more than {_MOST_LEAVES} blocks")
        digests = tuple(islice(self._digests, len(runs)))
        if len(digests) != len(runs):
            raise FormatError(self._where, "has fewer digests than runs")
        return Region(offset=self.offset, name=record.name, runs=runs, digests=digests, leaves_at=record.leaves_at)

    def _take(self, size: int) -> bytes:
        data = self._glue[self._glue_at : self._glue_at + size]
        if len(data) != size:
            raise FormatError(self._where, "has less glue than its parts ask for")
        self._glue_at += size
        return data
