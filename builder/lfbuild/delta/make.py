"""Makes a delta from two files: which blocks are copied, how each other piece travels, and the file of it.

Both maps are known, so only what differs is read. Frames go to a file without a name as they are made, since the plan
that stands before them is known only at the end.
"""

from __future__ import annotations

import tempfile
from array import array
from collections import Counter
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, BinaryIO, Final

from lfbuild.delta import zstd
from lfbuild.delta.apply import glue_prefix
from lfbuild.delta.choose import Chooser, Hull, Piece, stretches
from lfbuild.delta.model import (
    BlockRun,
    Copied,
    Frame,
    GapPart,
    GluePart,
    Made,
    PackedFrame,
    Plan,
    PlanesFrame,
    PlanPart,
    PrefixedFrame,
    ProgramFrame,
    RegionPart,
    StoredFrame,
    Zeroed,
)
from lfbuild.delta.resolve import block_runs, digests_of
from lfbuild.errors import FormatError
from lfbuild.formats.blocks import DIGEST_BYTES
from lfbuild.formats.delta import MOST_GLUE_BYTES, MOST_PLAN_BYTES, Header, Identity
from lfbuild.manifest.filemap import Blocks, Zeros
from lfbuild.manifest.matching import MISSING, match

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from lfbuild.delta.choose import ProgramPiece
    from lfbuild.delta.side import Side

_PIECE_BYTES: Final = 1 << 20

WAYS: Final[dict[type[Frame], str]] = {
    StoredFrame: "as it is",
    PackedFrame: "compressed",
    PrefixedFrame: "compressed against the old",
    PlanesFrame: "difference of tensors",
    ProgramFrame: "difference of programs",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Travel:
    """How one region of NEW is made."""

    name: str
    """The member; empty for the head."""
    size_bytes: int
    copied_bytes: int
    delta_bytes: int
    """What its frames and leaves take in the delta."""
    ways: tuple[tuple[str, int], ...]
    """Each way that frames of it take, and how many bytes of NEW travel so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A delta that was made, and what is to be said of it."""

    header: Header
    plan: Plan
    size_bytes: int
    travels: tuple[Travel, ...]
    requantized_bytes: int
    """Of tensors that OLD has in another type."""
    notes: tuple[str, ...]


def make_delta(
    old: Side,
    new: Side,
    target: BinaryIO,
    *,
    folder: Path,
    executable: bool,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Difference:
    """Write the delta from OLD to NEW; `on_bytes` hears how much of NEW is decided.

    Frames wait in `folder`, the target's: where there is room for the delta, and temporary folders are often memory.

    Raises:
        FormatError: NEW has more blocks, or more bytes between them, than a delta can tell of.
        HostError: a file became shorter.
        OSError: the folder takes no file, or is full.
    """
    with tempfile.TemporaryFile(dir=folder) as spool:
        making = _Making(old, new, spool, on_bytes)
        making.run()
        plan = Plan(
            old_name=old.path.name,
            new_name=new.path.name,
            executable=executable,
            parts=tuple(making.parts),
            holes=new.holes,
            frames=tuple(making.frames),
        )
        leaves = b"".join(new.map.table.leaf(block) for block in making.made)
        header, head = _head(plan, leaves, old, new)
        target.write(head)
        spool.seek(0)
        while piece := spool.read(_PIECE_BYTES):
            target.write(piece)
    return Difference(
        header=header,
        plan=plan,
        size_bytes=len(head) + header.frames_bytes,
        travels=tuple(making.travels),
        requantized_bytes=making.chooser.requantized_bytes,
        notes=tuple(making.chooser.notes),
    )


def _head(plan: Plan, leaves: bytes, old: Side, new: Side) -> tuple[Header, bytes]:
    """Everything before the frames."""
    plan_bytes, glue = plan.to_bytes(), new.map.glue
    if len(plan_bytes) > MOST_PLAN_BYTES or len(glue) > MOST_GLUE_BYTES:
        raise FormatError(new.where, "differs in more places than a delta can tell of", hint="publish the file itself")
    stored_plan = zstd.packed(plan_bytes)
    stored_glue = zstd.packed(glue, prefix=glue_prefix(old.map, leaves))
    header = Header(
        old=Identity(size_bytes=old.map.size_bytes, root=old.map.root),
        new=Identity(size_bytes=new.map.size_bytes, root=new.map.root),
        plan_stored=len(stored_plan),
        plan_bytes=len(plan_bytes),
        glue_stored=len(stored_glue),
        glue_bytes=len(glue),
        frames_bytes=sum(frame.size_bytes for frame in plan.frames),
    )
    return header, header.to_bytes() + stored_plan + leaves + stored_glue


@dataclass(frozen=True, kw_only=True, slots=True)
class _Region:
    """A region of NEW, and where its blocks come from."""

    blocks: Blocks
    first: int
    """Number of its first block in NEW."""
    origins: Sequence[int]
    """Of each block: its number in OLD, or `MISSING` or `ZEROS`."""

    @property
    def end(self) -> int:
        """The number behind its last block."""
        return self.first + len(self.origins)


class _Making:
    """Decides region by region; what frames hold goes to `spool`."""

    def __init__(self, old: Side, new: Side, spool: IO[bytes], on_bytes: Callable[[int], None]) -> None:
        self._old, self._new, self._spool, self._on_bytes = old, new, spool, on_bytes
        self._table = new.map.table
        self.parts: list[PlanPart] = []
        self.frames: list[Frame] = []
        self.travels: list[Travel] = []
        self.made: list[int] = []
        self.chooser = Chooser(old, new)

    def run(self) -> None:
        """Decide about all of NEW.

        Programs first: which blocks are made, and so which digests other frames may refer to, depends on them.
        """
        regions = list(self._regions())
        programs = {region.first: made for region in regions if (made := self._program(region))}
        regions = [_with_hull_missing(region, programs.get(region.first)) for region in regions]
        self.made = [
            region.first + number
            for region in regions
            for number, origin in enumerate(region.origins)
            if origin == MISSING
        ]
        self.chooser.digests = digests_of(self._new.map, self.made)
        waiting = iter(regions)
        for part in self._new.map.parts:
            if isinstance(part, Blocks):
                region = next(waiting)
                self._region(region, programs.get(region.first))
            elif isinstance(part, Zeros):
                self.parts.append(GapPart(part.size_bytes))
            else:
                self.parts.append(GluePart(part.size_bytes))
            self._on_bytes(part.size_bytes)

    def _regions(self) -> Iterator[_Region]:
        origins = array("q")
        for stretch in match([self._old.map], self._new.map):
            numbers = range(stretch.seed_block, stretch.seed_block + stretch.blocks)
            origins.extend(numbers if stretch.seed >= 0 else [stretch.seed] * stretch.blocks)
        first = 0
        for blocks in self._new.map.regions:
            count = blocks.index.cuts.leaves
            yield _Region(blocks=blocks, first=first, origins=origins[first : first + count])
            first += count

    def _program(self, region: _Region) -> ProgramPiece | None:
        missing = [number for number, origin in enumerate(region.origins) if origin == MISSING]
        if not missing:
            return None
        first, last = missing[0], missing[-1]
        if region.blocks.name in self._new.encodings:
            first, last = 0, len(region.origins) - 1
        offset = self._table.offsets[region.first + first]
        end = self._table.offsets[region.first + last] + self._table.sizes[region.first + last]
        hull = Hull(first=first, blocks=last - first + 1, offset=offset, size_bytes=end - offset)
        return self.chooser.program(region.blocks, hull)

    def _region(self, region: _Region, program: ProgramPiece | None) -> None:
        before = len(self.frames)
        self.parts.append(RegionPart(tuple(self._runs(region))))
        if program:
            self._keep(program.frame, program.data)
        else:
            for piece in self._pieces(region):
                for frame, data in self.chooser.pieces(piece):
                    self._keep(frame, data)
        self.travels.append(self._travel(region, self.frames[before:]))

    def _keep(self, frame: Frame, data: bytes) -> None:
        self.frames.append(frame)
        self._spool.write(data)

    def _runs(self, region: _Region) -> Iterator[BlockRun]:
        """The region's blocks as runs of one origin."""
        for start, end in _alike(region.origins):
            origin = region.origins[start]
            if origin >= 0:
                yield Copied(origin, end - start)
                continue
            kind = Made if origin == MISSING else Zeroed
            for count, usual, last in block_runs(self._table.sizes[region.first + start : region.first + end]):
                yield kind(count, usual, last)

    def _pieces(self, region: _Region) -> Iterator[Piece]:
        """Neighbouring blocks that are missing, inside one run of the region's cuts."""
        block = 0
        for stretch in stretches(region.blocks):
            count = stretch.run.blocks
            for start, end in _alike(region.origins[block : block + count]):
                if region.origins[block + start] == MISSING:
                    first, last = region.first + block + start, region.first + block + end - 1
                    offset = self._table.offsets[first]
                    size = self._table.offsets[last] + self._table.sizes[last] - offset
                    yield Piece(stretch=stretch, offset=offset, size_bytes=size)
            block += count

    def _travel(self, region: _Region, frames: Sequence[Frame]) -> Travel:
        missing = sum(origin == MISSING for origin in region.origins)
        sizes = self._table.sizes[region.first : region.end]
        copied = sum(size for size, origin in zip(sizes, region.origins, strict=True) if origin != MISSING)
        ways = Counter[str]()
        for frame in frames:
            ways[WAYS[type(frame)]] += frame.size_bytes
        return Travel(
            name=region.blocks.name,
            size_bytes=region.blocks.size_bytes,
            copied_bytes=copied,
            delta_bytes=sum(frame.size_bytes for frame in frames) + DIGEST_BYTES * missing,
            ways=tuple(ways.most_common()),
        )


def _with_hull_missing(region: _Region, program: ProgramPiece | None) -> _Region:
    """A program's frame makes all blocks of its hull, those that OLD has too."""
    if program is None:
        return region
    origins = array("q", region.origins)
    for number in range(program.hull.first, program.hull.first + program.hull.blocks):
        origins[number] = MISSING
    return replace(region, origins=origins)


def _alike(origins: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Stretches of blocks that follow each other in OLD, or are all missing or zeros."""
    start = 0
    for number in range(1, len(origins) + 1):
        before = origins[number - 1]
        expected = before if before < 0 else before + 1
        if number == len(origins) or origins[number] != expected:
            yield start, number
            start = number
