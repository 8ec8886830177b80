"""Chooses for each piece of NEW how it travels: every way that may be small is tried, and the smallest taken.

What a piece is compared with is its counterpart: the same part of the member of the same name, else the same part of
any member. A part is what a block index gives a label: the key-values, a tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lfbuild.archive.deflate import ENCODER, deflate, encoder_version
from lfbuild.delta import covers, planes, programs, zstd
from lfbuild.delta.apply import unpacked_program
from lfbuild.delta.layouts import layout_of
from lfbuild.delta.model import (
    MOST_ENCODED_BYTES,
    MOST_PROGRAM_BYTES,
    Encoding,
    Frame,
    PackedFrame,
    PlanesFrame,
    PrefixedFrame,
    ProgramFrame,
    StoredFrame,
)
from lfbuild.errors import ToolError
from lfbuild.formats.blocks import NO_TENSOR
from lfbuild.formats.executable import PROBE_BYTES, identify_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lfbuild.delta.side import Side
    from lfbuild.formats.blocks import Run
    from lfbuild.manifest.filemap import Blocks

_SLACK_BYTES: Final = 4 << 20
"""How far to both sides of its own place a piece is compared: what was inserted before it may have moved it so far."""
_GROUP_BYTES: Final = 8 << 20
"""Neighbouring blocks that are no tensor travel together up to here."""
_LEAST_PROGRAM_BYTES: Final = 4096
"""A smaller one gains nothing from covers."""
_POOR_PLANES: Final = 0.5
"""Planes that are larger than this share of a block say that it was moved rather than trained."""
_TENSOR_LEVEL: Final = 3

Choice = tuple[Frame, bytes]
"""A frame, and what it holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """A run of a region: what a label stands for, and where."""

    region: Blocks
    run: Run
    offset: int
    """In the file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Neighbouring blocks of NEW that OLD does not have, inside one stretch."""

    stretch: Stretch
    offset: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Hull:
    """From the first block of a region that OLD does not have to the last one."""

    first: int
    """Number of the first one in the region."""
    blocks: int
    offset: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgramPiece:
    """A hull, and the frame that makes it."""

    hull: Hull
    frame: ProgramFrame
    data: bytes


class Counterparts:
    """The parts of OLD, by what they are called."""

    def __init__(self, old: Side) -> None:
        self._by_name: dict[tuple[str, str], Stretch] = {}
        self._by_label: dict[str, Stretch] = {}
        self.regions = {region.name: region for region in reversed(old.map.regions)}
        for region in old.map.regions:
            for stretch in stretches(region):
                self._by_name.setdefault((region.name, stretch.run.label), stretch)
                if stretch.run.label:
                    self._by_label.setdefault(stretch.run.label, stretch)

    def of(self, stretch: Stretch) -> Stretch | None:
        """The part of OLD that a part of NEW is compared with."""
        label = stretch.run.label
        return self._by_name.get((stretch.region.name, label)) or (self._by_label.get(label) if label else None)


def stretches(region: Blocks) -> Iterator[Stretch]:
    """The runs of a region and where they begin."""
    offset = region.offset
    for run in region.index.cuts.runs:
        yield Stretch(region=region, run=run, offset=offset)
        offset += run.size_bytes


class Chooser:
    """Makes frames."""

    def __init__(self, old: Side, new: Side) -> None:
        self._old, self._new = old, new
        self.digests = b""
        """What frames may refer to besides OLD."""
        self._counterparts = Counterparts(old)
        self.requantized_bytes = 0
        """Of tensors that OLD has in another type: nothing of them can be copied or compared."""
        self.notes: list[str] = []

    def pieces(self, piece: Piece) -> Iterator[Choice]:
        """The frames that make a piece."""
        counterpart = self._counterparts.of(piece.stretch)
        is_tensor = piece.stretch.run.tensor_type != NO_TENSOR
        if is_tensor and counterpart and counterpart.run.tensor_type != piece.stretch.run.tensor_type:
            self.requantized_bytes += piece.size_bytes
            counterpart = None
        step = piece.stretch.run.block_bytes if is_tensor else _group_bytes(piece.stretch.run.block_bytes)
        for start in range(0, piece.size_bytes, step):
            size = min(step, piece.size_bytes - start)
            data = self._new.read(piece.offset + start, size)
            blocks = -(-size // piece.stretch.run.block_bytes)
            place = piece.offset + start - piece.stretch.offset
            if is_tensor:
                yield self._tensor(data, blocks, place, piece.stretch, counterpart)
            else:
                yield self._plain(data, blocks, place, counterpart)

    def program(self, region: Blocks, hull: Hull) -> ProgramPiece | None:
        """The blocks of a hull as a program; None where the region is none, or there is nothing to compare it with.

        A program that is compressed travels whole.
        """
        old_region = self._counterparts.regions.get(region.name)
        if old_region is None or region.size_bytes < _LEAST_PROGRAM_BYTES:
            return None
        if not (_is_program(self._new, region) and _is_program(self._old, old_region)):
            return None
        if why := _why_not(self._new, region) or _why_not(self._old, old_region):
            self.notes.append(f"{region.name or 'the head'} is not compared as a program: {why}")
            return None
        recorded = self._new.encodings.get(region.name)
        program = self._new.read(hull.offset, hull.size_bytes)
        encoding = None
        if recorded is not None:
            encoding = Encoding(recorded.decoded_size, recorded.encoder, recorded.encoder_version, recorded.level)
            stored, program = program, self._new.decoded(region)
            if why := _cannot_encode(encoding, program, stored):
                self.notes.append(f"{region.name} travels as it is stored: {why}")
                return None
        old_program = self._old.decoded(old_region)
        data = programs.packed(old_program, program, covers.find_covers(old_program, program))
        frame = ProgramFrame(
            blocks=hull.blocks,
            size_bytes=len(data),
            old_offset=old_region.offset,
            old_bytes=old_region.size_bytes,
            old_decoded_bytes=len(old_program) if old_region.name in self._old.encodings else 0,
            encoding=encoding,
        )
        self._prove(frame, data, hull, region)
        return ProgramPiece(hull=hull, frame=frame, data=data)

    def _prove(self, frame: ProgramFrame, data: bytes, hull: Hull, region: Blocks) -> None:
        """Undo what another package decided on, so that a fault of it is found here and not by those who apply it."""
        made = b"".join(unpacked_program(frame, data, hull.size_bytes, self._old, where=self._new.where))
        if made != self._new.read(hull.offset, hull.size_bytes):
            where = f"{self._new.where}: {region.name or 'head'}"
            raise ToolError(where, f"cannot be made again from the difference that {covers.PACKAGE} found")

    def _plain(self, data: bytes, blocks: int, place: int, counterpart: Stretch | None) -> Choice:
        choices: list[Choice] = [_packed(data, blocks, zstd.BEST_LEVEL)]
        choices.append(self._prefixed(data, blocks, place, counterpart, zstd.BEST_LEVEL, with_digests=True))
        if counterpart and len(self.digests) > len(data):
            choices.append(self._prefixed(data, blocks, place, counterpart, zstd.BEST_LEVEL, with_digests=False))
        return _smallest([*choices, (StoredFrame(blocks, len(data)), data)])

    def _tensor(self, data: bytes, blocks: int, place: int, stretch: Stretch, counterpart: Stretch | None) -> Choice:
        choices: list[Choice] = [(StoredFrame(blocks, len(data)), data), _packed(data, blocks, _TENSOR_LEVEL)]
        layout = layout_of(stretch.run.tensor_type)
        poor = True
        if (
            counterpart
            and layout
            and place + len(data) <= counterpart.run.size_bytes
            and not len(data) % layout.size_bytes
        ):
            old = self._old.read(counterpart.offset + place, len(data))
            packed = planes.packed(old, data, layout)
            frame = PlanesFrame(blocks, len(packed), counterpart.offset + place, stretch.run.tensor_type)
            choices.append((frame, packed))
            poor = len(packed) > _POOR_PLANES * len(data)
        if counterpart and poor:
            choices.append(self._prefixed(data, blocks, place, counterpart, _TENSOR_LEVEL, with_digests=False))
        return _smallest(choices)

    def _prefixed(
        self, data: bytes, blocks: int, place: int, counterpart: Stretch | None, level: int, *, with_digests: bool
    ) -> Choice:
        offset = size = 0
        if counterpart:
            start = max(0, min(place - _SLACK_BYTES, counterpart.run.size_bytes - _SLACK_BYTES))
            size = min(counterpart.run.size_bytes - start, len(data) + 2 * _SLACK_BYTES, zstd.MOST_PREFIX_BYTES)
            offset = counterpart.offset + start
        digests = self.digests[: zstd.MOST_PREFIX_BYTES - size] if with_digests else b""
        prefix = self._old.read(offset, size) + digests
        packed = zstd.packed(data, level=level, prefix=prefix)
        return PrefixedFrame(blocks, len(packed), offset, size, with_digests), packed


def _is_program(side: Side, region: Blocks) -> bool:
    """Whether a region is an engine: what is compressed in a recorded way is one, and nothing else is."""
    if region.name in side.encodings:
        return True
    start = side.read(region.offset, min(PROBE_BYTES, region.size_bytes))
    return identify_program(start).kind != "none"


def _why_not(side: Side, region: Blocks) -> str:
    """Why a program is not compared; empty if it can be."""
    recorded = side.encodings.get(region.name)
    most = MOST_ENCODED_BYTES if recorded else MOST_PROGRAM_BYTES
    if max(region.size_bytes, recorded.decoded_size if recorded else 0) > most:
        return f"in {side.path.name} it has more than {most >> 20} MiB"
    if not covers.can_find_covers():
        return f"the package `{covers.PACKAGE}` is not here (pip install 'lfbuild[delta]')"
    return ""


def _cannot_encode(encoding: Encoding, program: bytes, stored: bytes) -> str:
    """Why a program cannot be compressed again to its stored bytes; empty if it can."""
    if encoding.encoder != ENCODER:
        return f"it was compressed by {encoding.encoder}, which is not known here"
    try:
        here = encoder_version()
    except ImportError:
        return "the package `deflate`, which compressed it, is not here"
    if deflate(program, level=encoding.level) != stored:
        return f"deflate {here} does not compress it to the bytes that {encoding.encoder_version} made"
    return ""


def _packed(data: bytes, blocks: int, level: int) -> Choice:
    packed = zstd.packed(data, level=level)
    return PackedFrame(blocks, len(packed)), packed


def _group_bytes(block_bytes: int) -> int:
    return max(_GROUP_BYTES // block_bytes, 1) * block_bytes


def _smallest(choices: Sequence[Choice]) -> Choice:
    """The smallest one, and of equal ones the first."""
    return min(choices, key=lambda choice: len(choice[1]))
