"""From a plan and the map of OLD to the map of NEW, and what is to be done: decided before a byte is written.

Nothing here opens a file. What a plan says of OLD is held against OLD's real blocks and size, what it says of NEW
against the root in the header; after that, the map of NEW is the judge of every byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.delta.layouts import layout_of
from lfbuild.delta.model import (
    MOST_ENCODED_BYTES,
    MOST_FRAME_BYTES,
    MOST_PROGRAM_BYTES,
    Copied,
    GapPart,
    GluePart,
    PackedFrame,
    PlanesFrame,
    PrefixedFrame,
    ProgramFrame,
    RegionPart,
    StoredFrame,
    Zeroed,
)
from lfbuild.delta.zstd import MOST_PREFIX_BYTES
from lfbuild.errors import FormatError
from lfbuild.formats.blocks import DIGEST_BYTES, BlockIndex, Cuts, Run
from lfbuild.formats.delta import most_stored_bytes
from lfbuild.manifest.filemap import Blocks, FileMap, Literal, Part, Zeros
from lfbuild.manifest.matching import zero_leaf

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lfbuild.delta.model import BlockRun, Frame, Plan
    from lfbuild.formats.delta import Header
    from lfbuild.manifest.filemap import BlockTable


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyTask:
    """Blocks that follow each other in both files."""

    block: int
    """In NEW."""
    count: int
    old_offset: int
    offset: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameTask:
    """Blocks that a frame makes."""

    block: int
    frame: Frame
    offset: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """NEW, and the acts that make it, in the order of its bytes."""

    target: FileMap
    tasks: tuple[CopyTask | FrameTask, ...]
    digests: bytes
    """What frames may refer to besides OLD: the digests of what is new."""

    @property
    def blocks_bytes(self) -> int:
        """How much is to be copied or made."""
        return sum(task.size_bytes for task in self.tasks)

    def zeros(self) -> Iterator[tuple[int, int]]:
        """Offset and size of all that is neither copied nor made nor glue."""
        glue = ((part.offset, part.size_bytes) for part in self.target.parts if isinstance(part, Literal))
        position = 0
        for offset, size in sorted([*((task.offset, task.size_bytes) for task in self.tasks), *glue]):
            if offset > position:
                yield position, offset - position
            position = offset + size
        if position < self.target.size_bytes:
            yield position, self.target.size_bytes - position


def resolve(header: Header, plan: Plan, leaves: bytes, glue: bytes, old: FileMap, *, where: str) -> Resolved:
    """The map of NEW and what is to be done.

    Raises:
        FormatError: the plan contradicts itself, OLD, or the header.
    """
    making = _Target(leaves, glue, old, where)
    target, made = making.map(plan), making.made
    if target.size_bytes != header.new.size_bytes or target.root != header.new.root:
        raise FormatError(where, "its plan does not make the file that its header promises")
    tasks: list[CopyTask | FrameTask] = list(_frames(plan, target, made, old.size_bytes, where))
    tasks += _copies(plan, old, target)
    return Resolved(
        target=target,
        tasks=tuple(sorted(tasks, key=lambda task: task.block)),
        digests=digests_of(target, made),
    )


def digests_of(target: FileMap, made: Sequence[int]) -> bytes:
    """What a manifest and a block index of NEW will say: the digests of blocks that are made, and of their regions."""
    leaves = b"".join(target.table.leaf(block) for block in made)
    words: list[str] = []
    first, wanted = 0, set(made)
    for region in target.regions:
        count = region.index.cuts.leaves
        if any(block in wanted for block in range(first, first + count)):
            words.append(region.index.root)
            if count == 1:
                words.append(region.index.leaves.hex())
        first += count
    return leaves + "".join(words).encode()


def block_runs(sizes: Iterable[int]) -> tuple[tuple[int, int, int], ...]:
    """Sizes of blocks as (count, size, size of the last one)."""
    runs: list[tuple[int, int, int]] = []
    for size in sizes:
        if runs:
            count, usual, last = runs[-1]
            if last == usual and size <= usual:
                runs[-1] = (count + 1, usual, size)
                continue
        runs.append((1, size, size))
    return tuple(runs)


def cuts_of(sizes: Iterable[int]) -> Cuts:
    """Blocks of these sizes, one after the other."""
    return Cuts(
        runs=tuple(
            Run(size_bytes=(count - 1) * usual + last, block_bytes=usual) for count, usual, last in block_runs(sizes)
        )
    )


class _Target:
    """Puts the map of NEW together from a plan, part by part."""

    def __init__(self, leaves: bytes, glue: bytes, old: FileMap, where: str) -> None:
        self._leaves, self._glue, self._old, self._where = leaves, glue, old, where
        self._parts: list[Part] = []
        self._position = self._used_glue = self._used_leaves = self._block = 0
        self.made: list[int] = []
        """Numbers of the blocks that frames make."""

    def map(self, plan: Plan) -> FileMap:
        """The map that the plan speaks of.

        Raises:
            FormatError: it contradicts itself or OLD.
        """
        for part in plan.parts:
            if isinstance(part, GapPart):
                self._parts.append(Zeros(offset=self._position, size_bytes=part.size_bytes))
            elif isinstance(part, GluePart):
                self._parts.append(Literal(offset=self._position, data=self._take_glue(part.size_bytes)))
            else:
                self._parts.append(Blocks(offset=self._position, name="", index=self._region(part)))
            self._position += self._parts[-1].size_bytes
        holes = tuple(Literal(offset=offset, data=self._take_glue(size)) for offset, size in plan.holes)
        if any(hole.offset + hole.size_bytes > self._position for hole in holes):
            raise FormatError(self._where, "its plan fills bytes behind the end of the file")
        if self._used_glue != len(self._glue):
            raise FormatError(self._where, "its plan does not use all of the bytes between blocks")
        return FileMap(parts=tuple(self._parts), holes=holes)

    def _take_glue(self, size: int) -> bytes:
        start = self._used_glue
        self._used_glue += size
        if self._used_glue > len(self._glue):
            raise FormatError(self._where, "its plan uses more bytes between blocks than there are")
        return self._glue[start : self._used_glue]

    def _region(self, part: RegionPart) -> BlockIndex:
        sizes: list[int] = []
        leaves = bytearray()
        for run in part.runs:
            more_sizes, more_leaves = self._run(run)
            sizes += more_sizes
            leaves += more_leaves
            self._block += run.count
        return BlockIndex(cuts=cuts_of(sizes), leaves=bytes(leaves))

    def _run(self, run: BlockRun) -> tuple[Sequence[int], bytes]:
        if isinstance(run, Copied):
            table = self._old.table
            end = run.block + run.count
            if end > len(table):
                raise FormatError(self._where, f"its plan copies block {end - 1}, and the old file has {len(table)}")
            return table.sizes[run.block : end], table.leaves[DIGEST_BYTES * run.block : DIGEST_BYTES * end]
        if run.last_bytes > run.block_bytes:
            raise FormatError(self._where, "its plan has a last block that is larger than the others")
        sizes = [run.block_bytes] * (run.count - 1) + [run.last_bytes]
        if isinstance(run, Zeroed):
            return sizes, zero_leaf(run.block_bytes) * (run.count - 1) + zero_leaf(run.last_bytes)
        self.made += range(self._block, self._block + run.count)
        start = self._used_leaves
        self._used_leaves += DIGEST_BYTES * run.count
        return sizes, self._leaves[start : self._used_leaves]


def _copies(plan: Plan, old: FileMap, target: FileMap) -> Iterator[CopyTask]:
    """Runs of blocks that are copied, cut where they stop being neighbours in either file."""
    block = 0
    for part in plan.parts:
        for run in part.runs if isinstance(part, RegionPart) else ():
            if isinstance(run, Copied):
                yield from _neighbours(run, block, old.table, target.table)
            block += run.count


def _neighbours(run: Copied, block: int, old: BlockTable, target: BlockTable) -> Iterator[CopyTask]:
    """Blocks of zeros are left out: a new file is zeros where nothing was written."""
    start = 0
    for number in range(run.count + 1):
        here = run.block + number
        is_zero = number < run.count and old.leaf(here) == zero_leaf(old.sizes[here])
        follows = number == start or number == run.count or _is_next(old, here)
        if number < run.count and follows and not is_zero:
            continue
        if number > start:
            yield _copy_task(run, block, start, number, old, target)
        start = number + is_zero


def _is_next(table: BlockTable, block: int) -> bool:
    """Whether a block begins where the one before it ends."""
    return table.offsets[block - 1] + table.sizes[block - 1] == table.offsets[block]


def _copy_task(run: Copied, block: int, start: int, end: int, old: BlockTable, target: BlockTable) -> CopyTask:
    last, offset = block + end - 1, target.offsets[block + start]
    return CopyTask(
        block=block + start,
        count=end - start,
        old_offset=old.offsets[run.block + start],
        offset=offset,
        size_bytes=target.offsets[last] + target.sizes[last] - offset,
    )


def _frames(plan: Plan, target: FileMap, made: Sequence[int], old_size: int, where: str) -> Iterator[FrameTask]:
    """Each frame with the blocks that it makes."""
    position = 0
    for number, frame in enumerate(plan.frames):
        mine = made[position : position + frame.blocks]
        position += frame.blocks
        first, last = mine[0], mine[-1]
        offset = target.table.offsets[first]
        size = sum(target.table.sizes[block] for block in mine)
        if last - first + 1 != len(mine) or target.table.offsets[last] + target.table.sizes[last] != offset + size:
            raise FormatError(where, f"frame {number} makes blocks that are no neighbours")
        if fault := _fault(frame, size, old_size):
            raise FormatError(where, f"frame {number} {fault}")
        yield FrameTask(block=first, frame=frame, offset=offset, size_bytes=size)


def _fault(frame: Frame, size: int, old_size: int) -> str:
    """What cannot be about a frame that makes `size` bytes; empty if nothing."""
    makes = size
    if isinstance(frame, ProgramFrame):
        if frame.encoding:
            makes = frame.encoding.decoded_bytes
        decoded = frame.old_decoded_bytes
        if (frame.encoding and makes > MOST_ENCODED_BYTES) or decoded > MOST_ENCODED_BYTES:
            return f"decodes to more than {MOST_ENCODED_BYTES} bytes"
        if decoded and frame.old_bytes > most_stored_bytes(decoded):
            return f"refers to {frame.old_bytes} bytes that would decode to {decoded}"
    most = MOST_PROGRAM_BYTES if isinstance(frame, ProgramFrame) else MOST_FRAME_BYTES
    if size > most:
        return f"makes {size} bytes, more than {most}"
    if isinstance(frame, StoredFrame) and frame.size_bytes != size:
        return f"has {frame.size_bytes} bytes instead of {size}"
    if frame.size_bytes > most_stored_bytes(makes):
        return f"is larger than the {makes} bytes that it makes"
    if isinstance(frame, PlanesFrame):
        layout = layout_of(frame.tensor_type)
        if layout is None or size % layout.size_bytes:
            return f"is not made of whole blocks of the type {frame.tensor_type}"
    return _old_fault(frame, size, old_size)


def _old_fault(frame: Frame, size: int, old_size: int) -> str:
    if isinstance(frame, StoredFrame | PackedFrame):
        return ""
    old_bytes = size if isinstance(frame, PlanesFrame) else frame.old_bytes
    if isinstance(frame, PrefixedFrame) and old_bytes > MOST_PREFIX_BYTES:
        return f"refers to {old_bytes} bytes at once, more than {MOST_PREFIX_BYTES}"
    if frame.old_offset + old_bytes > old_size:
        return f"refers to {old_bytes} bytes at {frame.old_offset}, outside of the old file"
    return ""
