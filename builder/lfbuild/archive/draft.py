"""A file that is not written yet: every stretch of it, where it comes from, and what its bytes have to be.

A `Draft` takes members in their order, as a `Writer` does, and notes instead of writing: new content is read once to be
digested, content that another file has already is only referred to. So all offsets and digests of the new file are
known before a byte of it is written, and carrying it out has nothing left to decide.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from blake3 import blake3

from lfbuild.archive.hashing import HashPool
from lfbuild.archive.layout import Placement, place
from lfbuild.archive.source import BytesSource
from lfbuild.archive.writer import Entry
from lfbuild.formats.zip import dos_time

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from lfbuild.archive.hashing import Digests
    from lfbuild.archive.layout import Member
    from lfbuild.archive.source import Source
    from lfbuild.formats.blocks import Cuts


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A stretch of the new file."""

    offset: int
    source: Source
    name: str = ""
    """Of the member that it is the data of, or `head`; empty: of none."""
    digests: Digests | None = None
    """What the bytes must be; None: it is no member's data."""
    kept_offset: int | None = None
    """Where the same bytes stand in the old file; None: they are new."""
    holes: tuple[tuple[int, int], ...] = ()
    """Digested as zeros."""

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.source.size_bytes


class Places(Protocol):
    """Says where members go."""

    def place(self, member: Member, cursor: int) -> Placement:
        """The place of the next member; `cursor` is behind the last one."""


class InOrder:
    """One after the other, as in a new file."""

    def place(self, member: Member, cursor: int) -> Placement:
        """Behind the last one."""
        (placement,) = place([member], start=cursor)
        return placement


@dataclass(slots=True)
class InPlace:
    """What is kept stays where it is; engines go into free room if it is large enough; the rest goes to the end."""

    engines: Collection[str]
    """Names of the members that may go into the room."""
    free: list[tuple[int, int]] = field(default_factory=list)
    """Stretches of the room, where each begins and ends."""

    def place(self, member: Member, cursor: int) -> Placement:
        """Where it is, in the room, or behind the last one."""
        if member.kept is not None:
            (header,) = place([member], start=0)
            size = header.data_offset - header.header_offset
            return Placement(
                member=member, header_offset=member.kept.header_offset, data_offset=member.kept.header_offset + size
            )
        for number, (start, end) in enumerate(self.free if member.name in self.engines else ()):
            (placement,) = place([member], start=start)
            if placement.end <= end:
                self.free[number] = (placement.end, end)
                return placement
        (placement,) = place([member], start=cursor)
        return placement


class Draft:
    """Notes every stretch of a file."""

    def __init__(
        self,
        places: Places,
        *,
        start: int,
        epoch: int,
        threads: int,
        kept_head: Digests | None = None,
        on_bytes: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._places, self._start, self._threads, self._on_bytes = places, start, threads, on_bytes
        self._time = dos_time(epoch)
        self._kept_head = kept_head
        self.cursor = start
        self.names: list[str] = []
        self.records: list[bytes] = []
        self.parts: list[Part] = []
        self.entries: list[Entry] = []

    def write_head(
        self,
        source: Source,
        cuts: Cuts,
        *,
        holes: Sequence[tuple[int, int]] = (),
        own_records: Sequence[bytes] = (),
    ) -> Digests:
        """Note what the file begins with."""
        digests = self._kept_head or self._digest(source, cuts, holes=holes)
        offset = 0 if self._kept_head else None
        self.parts.append(
            Part(offset=0, source=source, name="head", digests=digests, kept_offset=offset, holes=tuple(holes))
        )
        self.records.extend(own_records)
        self.cursor = max(self._start, source.size_bytes)
        return digests

    def place(self, member: Member) -> Placement:
        """Where a member goes."""
        return self._places.place(member, self.cursor)

    def store(self, placement: Placement) -> Entry:
        """Note one member where it was placed."""
        member = placement.member
        digests = member.kept.digests if member.kept else self._digest(member.source, member.blocks)
        record = member.record(header_offset=placement.header_offset, crc32=digests.crc32, dos_time=self._time)
        header = record.local_header()
        kept_at = member.kept.header_offset if member.kept else None
        self.parts.append(Part(offset=placement.header_offset, source=BytesSource(header), kept_offset=kept_at))
        self.parts.append(
            Part(
                offset=placement.data_offset,
                source=member.source,
                name=record.name,
                digests=digests,
                kept_offset=None if kept_at is None else kept_at + len(header),
            )
        )
        self.records.append(record.to_bytes())
        self.names.append(record.name)
        if placement.header_offset >= self.cursor:
            self.cursor = placement.end
        entry = Entry(record=record, data_offset=placement.data_offset, index=digests.index)
        self.entries.append(entry)
        return entry

    def directory_digest(self) -> str:
        """BLAKE3 of the directory records so far, as 64 hexadecimal digits."""
        return blake3(b"".join(self.records)).hexdigest()

    def _digest(self, source: Source, cuts: Cuts, *, holes: Sequence[tuple[int, int]] = ()) -> Digests:
        with HashPool(self._threads) as pool, source.opened() as opened:
            return pool.source(opened, cuts, holes=holes).finish(self._on_bytes)
