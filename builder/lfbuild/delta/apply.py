"""Makes NEW from OLD and a delta that arrives front to back: checked first, then carried out.

Memory is a frame, what it refers to and 32 MiB, whatever the size of the files. OLD is held against the header before a
byte is written; every block against its digest before it is written, but for those that are copied: they are digested
on their way, and the file gets its name only if all of them were right.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

from blake3 import blake3

from lfbuild.archive.deflate import ENCODER, deflate, encoder_version
from lfbuild.archive.hashing import HashPool
from lfbuild.delta import planes, programs, zstd
from lfbuild.delta.layouts import layout_of
from lfbuild.delta.model import (
    Encoding,
    PackedFrame,
    Plan,
    PlanesFrame,
    PrefixedFrame,
    ProgramFrame,
    leaves_bytes,
    parse_plan,
)
from lfbuild.delta.resolve import CopyTask, FrameTask, cuts_of, resolve
from lfbuild.delta.side import inflated
from lfbuild.delta.target import NewFile
from lfbuild.errors import FormatError, IntegrityError, ToolError, command
from lfbuild.formats.blocks import DIGEST_BYTES
from lfbuild.formats.delta import Header, Identity
from lfbuild.host.files import host_error
from lfbuild.manifest.filemap import Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lfbuild.delta.resolve import Resolved
    from lfbuild.delta.side import Side
    from lfbuild.delta.target import Target
    from lfbuild.manifest.filemap import FileMap

WHAT_DELTAS_TELL = "`lfbuild inspect` tells what a delta is for and makes"

_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class DeltaHead:
    """What a delta says before its frames."""

    header: Header
    plan: Plan
    leaves: bytes
    stored_glue: bytes


class Readable(Protocol):
    """What a delta may come out of: a file, a pipe, a line."""

    def read(self, most: int, /) -> bytes | None:
        """Up to so many bytes; none at the end."""


class DeltaStream:
    """A delta, read front to back."""

    def __init__(self, file: Readable, where: str) -> None:
        self._file, self.where = file, where
        self._header: Header | None = None
        self._plan: Plan | None = None

    def header(self) -> Header:
        """Which OLD, which NEW: the first bytes, which are read once and remembered.

        Raises:
            FormatError: it is no delta.
        """
        if self._header is None:
            self._header = Header.parse(self._some(Header.LAYOUT.size), where=self.where)
        return self._header

    def plan(self) -> Plan:
        """Where every byte of NEW comes from, and its name: read once and remembered.

        Raises:
            FormatError: it is no delta, or damaged.
        """
        if self._plan is None:
            header = self.header()
            self._plan = parse_plan(self.take(header.plan_stored), header, where=self.where)
        return self._plan

    def head(self) -> DeltaHead:
        """Everything before the frames.

        Raises:
            FormatError: it is no delta, or damaged.
        """
        header, plan = self.header(), self.plan()
        leaves = self.take(leaves_bytes(plan))
        return DeltaHead(header=header, plan=plan, leaves=leaves, stored_glue=self.take(header.glue_stored))

    def take(self, size: int) -> bytes:
        """The next `size` bytes; memory grows with what arrives, not with what was promised.

        Raises:
            FormatError: it ends before.
        """
        data = bytearray()
        while len(data) < size:
            piece = self._some(min(_PIECE_BYTES, size - len(data)))
            if not piece:
                raise FormatError(self.where, "the delta ends too early", hint="it was cut off: get it again")
            data += piece
        return bytes(data)

    def finish(self) -> None:
        """Refuse what follows the last frame.

        Raises:
            FormatError: something does.
        """
        if self._some(1):
            raise FormatError(self.where, "the delta goes on behind its last frame")

    def _some(self, most: int) -> bytes:
        """Up to `most` bytes; none at the end."""
        try:
            return self._file.read(most) or b""
        except OSError as error:
            raise host_error(self.where, error) from error


def prepare(old: Side, delta: DeltaStream) -> tuple[Plan, Resolved]:
    """Read the head of a delta and hold it against OLD: nothing is written.

    Raises:
        FormatError: the delta is damaged or contradicts itself.
        IntegrityError: it was made for another file.
    """
    return resolve_head(delta, old.map, where=old.where)


def resolve_head(delta: DeltaStream, old: FileMap, *, where: str) -> tuple[Plan, Resolved]:
    """The same, where OLD is known by its map, and called `where`.

    Raises:
        FormatError, IntegrityError: as `prepare`.
    """
    head = delta.head()
    expected, found = head.header.old, Identity(size_bytes=old.size_bytes, root=old.root)
    if found != expected:
        if found == head.header.new:
            raise IntegrityError(where, f"is already what {delta.where} makes", hint=WHAT_DELTAS_TELL)
        what = f"is not the file that {delta.where} was made for: that is {head.plan.old_name}"
        raise IntegrityError(where, f"{what} of {expected.size_bytes} bytes", hint=WHAT_DELTAS_TELL)
    prefix = glue_prefix(old, head.leaves)
    glue = zstd.unpacked(head.stored_glue, head.header.glue_bytes, prefix=prefix, where=f"{delta.where}: glue")
    return head.plan, resolve(head.header, head.plan, head.leaves, glue, old, where=delta.where)


def apply_delta(
    old: Side,
    delta: DeltaStream,
    resolved: Resolved,
    target: BinaryIO,
    *,
    threads: int,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> None:
    """Write NEW into an empty file that is open for reading and writing.

    Raises:
        FormatError: a frame is damaged.
        IntegrityError: a block is not the promised one.
        ToolError: a member has to be compressed again, and what did it is not here.
    """
    os.ftruncate(target.fileno(), resolved.target.size_bytes)
    with HashPool(threads) as pool:
        carry_out(old, delta, resolved, NewFile(target.fileno(), pool, on_bytes), on_bytes=on_bytes)


def carry_out(
    old: Side, delta: DeltaStream, resolved: Resolved, target: Target, *, on_bytes: Callable[[int], None]
) -> None:
    """Bring every byte of NEW to `target` that is not zero; `on_bytes` hears of those that frames made.

    Raises:
        FormatError, IntegrityError, ToolError: as `apply_delta`.
    """
    work = _Work(old, delta, resolved, target, on_bytes)
    for task in resolved.tasks:
        if isinstance(task, CopyTask):
            work.copy(task)
        else:
            work.make(task)
    delta.finish()
    for part in (*resolved.target.parts, *resolved.target.holes):
        if isinstance(part, Literal):
            target.write(part.offset, part.data)


def glue_prefix(old: FileMap, leaves: bytes) -> bytes:
    """What the bytes between blocks are compressed against: those of OLD, and the digests of what is new."""
    return old.glue[: zstd.MOST_PREFIX_BYTES // 2] + leaves[: zstd.MOST_PREFIX_BYTES // 4].hex().encode()


def frame_prefix(frame: PrefixedFrame, old: Side, digests: bytes) -> bytes:
    """What a frame is compressed against."""
    own = old.read(frame.old_offset, frame.old_bytes)
    return own + digests[: zstd.MOST_PREFIX_BYTES - len(own)] if frame.with_digests else own


class _Work:
    """Carries tasks out."""

    def __init__(
        self, old: Side, delta: DeltaStream, resolved: Resolved, target: Target, on_bytes: Callable[[int], None]
    ) -> None:
        self._old, self._delta, self._target, self._on_bytes = old, delta, target, on_bytes
        self._table, self._digests = resolved.target.table, resolved.digests

    def copy(self, task: CopyTask) -> None:
        """Copy blocks, and hold what stands there then against their digests."""
        first, last = task.block, task.block + task.count
        cuts = cuts_of(self._table.sizes[first:last])
        source = self._old.range(task.old_offset, task.size_bytes)
        found = self._target.copy(source, task.offset, cuts)
        expected = self._table.leaves[DIGEST_BYTES * first : DIGEST_BYTES * last]
        if found == expected:
            return
        for number, (start, _) in enumerate(cuts.blocks()):
            leaf = slice(DIGEST_BYTES * number, DIGEST_BYTES * (number + 1))
            if found[leaf] != expected[leaf]:
                what = f"the block at {task.old_offset + start} is not the one that was promised"
                raise IntegrityError(self._old.where, what, hint=command("verify", self._old.path))

    def make(self, task: FrameTask) -> None:
        """Make blocks from a frame; each is written once it is known to be right."""
        data = self._delta.take(task.frame.size_bytes)
        pieces = self._decoded(task, data)
        offset, block, waiting = task.offset, task.block, bytearray()
        for piece in pieces:
            waiting += piece
            while block < task.block + task.frame.blocks and len(waiting) >= self._table.sizes[block]:
                size = self._table.sizes[block]
                ready = bytes(memoryview(waiting)[:size])
                del waiting[:size]
                self._check(ready, block, offset, task)
                self._target.write(offset, ready)
                self._on_bytes(size)
                offset, block = offset + size, block + 1
        if waiting or block != task.block + task.frame.blocks:
            raise FormatError(
                self._delta.where, f"the frame for the bytes at {task.offset} makes another number of them"
            )

    def _check(self, data: bytes, block: int, offset: int, task: FrameTask) -> None:
        if blake3(data).digest() == self._table.leaf(block):
            return
        frame = task.frame
        encoding = frame.encoding if isinstance(frame, ProgramFrame) else None
        if encoding and encoding.encoder_version != encoder_version():
            what = f"deflate {encoder_version()} compresses the program at {task.offset} to other bytes than it had"
            raise ToolError("deflate", what, hint=f"pip install deflate=={encoding.encoder_version}")
        raise IntegrityError(self._delta.where, f"the frame for the block at {offset} makes another one than promised")

    def _decoded(self, task: FrameTask, data: bytes) -> Iterable[bytes]:
        frame, where = task.frame, f"{self._delta.where}: frame for the bytes at {task.offset}"
        if isinstance(frame, PackedFrame):
            return zstd.unpacked_pieces(data, task.size_bytes, where=where)
        if isinstance(frame, PrefixedFrame):
            prefix = frame_prefix(frame, self._old, self._digests)
            return zstd.unpacked_pieces(data, task.size_bytes, prefix=prefix, where=where)
        if isinstance(frame, PlanesFrame):
            return [unpacked_planes(frame, data, self._old.read(frame.old_offset, task.size_bytes), where=where)]
        if isinstance(frame, ProgramFrame):
            return unpacked_program(frame, data, task.size_bytes, self._old, where=where)
        return [data]


def unpacked_planes(frame: PlanesFrame, data: bytes, old: bytes, *, where: str) -> bytes:
    """The blocks of a frame of planes.

    Raises:
        FormatError: the type is not known, or the frame is damaged.
    """
    layout = layout_of(frame.tensor_type)
    if layout is None:
        raise FormatError(where, f"is of the type {frame.tensor_type}, which is not known")
    return planes.unpacked(old, data, layout, where=where)


def unpacked_program(frame: ProgramFrame, data: bytes, size: int, old: Side, *, where: str) -> Iterator[bytes]:
    """The stored bytes of a program: in pieces, or whole where it has to be compressed again."""
    read_old, old_size = _old_program(frame, old), frame.old_decoded_bytes or frame.old_bytes
    if frame.encoding is None:
        yield from programs.unpacked(data, size, read_old, old_size, where=where)
        return
    decoded = b"".join(programs.unpacked(data, frame.encoding.decoded_bytes, read_old, old_size, where=where))
    yield encoded_again(decoded, frame.encoding, where=where)


def _old_program(frame: ProgramFrame, old: Side) -> Callable[[int, int], bytes]:
    """Reads the program in OLD; one that is compressed is decoded as a whole."""
    if not frame.old_decoded_bytes:
        return lambda offset, length: old.read(frame.old_offset + offset, length)
    stored = old.read(frame.old_offset, frame.old_bytes)
    whole = inflated(stored, frame.old_decoded_bytes, where=old.where)
    return lambda offset, length: whole[offset : offset + length]


def encoded_again(decoded: bytes, encoding: Encoding, *, where: str) -> bytes:
    """A program as it is stored, by the encoder that was recorded.

    Another version of it may make the same bytes: it is tried, and the digests of the blocks decide.

    Raises:
        FormatError: the encoder is not known.
        ToolError: it is not here.
    """
    if encoding.encoder != ENCODER:
        raise FormatError(where, "was compressed by an encoder that is not known")
    try:
        return deflate(decoded, level=encoding.level)
    except ImportError as error:
        hint = f"pip install deflate=={encoding.encoder_version}"
        raise ToolError(
            where, "has to be compressed again, and the package `deflate` is not here", hint=hint
        ) from error
