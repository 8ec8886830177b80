"""Writes one file from a head and members: the act that building, swapping and applying a difference share.

Order in the file: head, engines, room, weights, files, block indexes, arguments and recipe, slice table, manifest,
directory. The indexes of what is never moved stand before the tail; those of the head and of engines are in the tail,
since every swap of an engine rewrites them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import msgspec
from blake3 import blake3

from lfbuild.archive.layout import Member, check_name, check_names_differ, place
from lfbuild.archive.reader import Reader, opened, read_at
from lfbuild.archive.source import BytesSource, FileSource
from lfbuild.archive.writer import Writer
from lfbuild.errors import FormatError
from lfbuild.formats.blocks import BLOCK_BYTES, HEAD_BLOCK_BYTES, Cuts
from lfbuild.formats.executable import PROBE_BYTES, identify_program, signature_holes
from lfbuild.formats.seal import Seal
from lfbuild.formats.slices import SLICES_NAME, Slice, slices_to_bytes
from lfbuild.formats.zip import DEFLATED, STORED
from lfbuild.host.files import replacing, write_all
from lfbuild.manifest.describe import describe_encoding, describe_head, describe_member, describe_spare
from lfbuild.manifest.model import (
    ENGINE_FOLDER,
    HEAD_INDEX_NAME,
    INDEX_FOLDER,
    MANIFEST_NAME,
    MANIFEST_VERSION,
    EngineRecord,
    Manifest,
    MemberRecord,
    Release,
    SliceRecord,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lfbuild.archive.deflate import Decoded
    from lfbuild.archive.hashing import Digests
    from lfbuild.archive.source import Source
    from lfbuild.archive.writer import Entry
    from lfbuild.formats.model import ModelFacts
    from lfbuild.formats.zip import FoundRecord
    from lfbuild.manifest.model import Head, Origin, Place, Role
    from lfbuild.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class PackMember:
    """A member to be written, and what the manifest is to say of it."""

    name: str
    role: Role
    place: Place
    source: Source
    cuts: Cuts = field(default_factory=lambda: Cuts(runs=()))
    mode: int = 0o644
    license: str = ""
    origin: Origin | None = None
    facts: ModelFacts | None = None
    decoded: Decoded | None = None
    """What `source` decodes to, if it is deflated."""
    encoder_version: str = ""
    """Of what deflated it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSlice:
    """The engine of one target, which a launcher starts."""

    target: str
    cpus: tuple[str, ...]
    """The levels that it has code for, best first."""
    key: str
    source: Source
    """The program, or what it is deflated to."""
    program: Decoded
    encoder_version: str = ""
    """Of what deflated it; empty: it is stored as it is."""

    @property
    def member_name(self) -> str:
        """What it is called in the file."""
        return f"{ENGINE_FOLDER}{self.target}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LauncherHead:
    """A head that starts one of several engines."""

    program: str
    """`elf`, `script` or `polyglot`: what starts it."""
    data: bytes
    slices: tuple[EngineSlice, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PackOrder:
    """Everything that decides the bytes of the file."""

    release: Release
    head: Path | LauncherHead
    """An engine that answers by itself, or a launcher and its engines."""
    engine: EngineRecord | None
    members: tuple[PackMember, ...]
    """In the order of the file: `aligned`, then `body`, then `tail`."""
    align_bytes: int
    room_bytes: int
    """Zeros before the first of the members, at the least."""
    epoch: int
    recipe_sha256: str = ""
    update_url: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Head:
    """What is known of the head before it is written."""

    kind: Literal["engine", "launcher"]
    source: Source
    program: str
    holes: tuple[tuple[int, int], ...]
    own_records: tuple[bytes, ...] = ()
    own_names: tuple[str, ...] = ()
    slices: tuple[EngineSlice, ...] = ()

    def slots(self) -> tuple[PackMember, ...]:
        """The engines as members."""
        return tuple(_slot(item) for item in self.slices)

    def tail(self) -> tuple[PackMember, ...]:
        """The slice table as a member; none beside a head that is an engine."""
        if self.kind == "engine":
            return ()
        table = BytesSource(slices_to_bytes(tuple(_line(item) for item in self.slices)))
        return (PackMember(name=SLICES_NAME, role="slices", place="tail", source=table),)


def pack(
    order: PackOrder,
    target: Path,
    *,
    threads: int,
    report: Report,
    sign: Callable[[Path], None] | None = None,
) -> Manifest:
    """Write `target`, whole or not at all; `sign` may change the finished file before it has that name.

    Raises:
        FormatError: a member's name is unfit, or given twice.
        HostError: what the disk refuses.
    """
    head = _read_head(order.head)
    _check_names(order, head)
    sources = [head.source, *(member.source for member in (*head.slots(), *order.members))]
    with (
        report.step("packing", total=sum(source.size_bytes for source in sources)) as step,
        replacing(target, mode=0o755, change=sign) as file,
        Writer(file, epoch=order.epoch, threads=threads, on_bytes=step.advance) as writer,
    ):
        described = _Packing(writer, order, head).members()
        # Beyond this point no member is added; the manifest is the last one, as it lists the others.
        manifest = _manifest(order, writer, *described)
        data = manifest.to_bytes()
        writer.store_bytes(MANIFEST_NAME, data)
        writer.finish(Seal(generation=1, state="clean", manifest_digest=blake3(data).hexdigest()).to_bytes())
        for offset, size in head.holes:  # a checksum that the linker wrote; digests read it as zeros
            write_all(file.fileno(), bytes(size), offset)
    return manifest


def _check_names(order: PackOrder, head: _Head) -> None:
    """Refuse unfit and repeated names before a byte is written, with those that the file's own records will have."""
    given = [member.name for member in (*head.slots(), *order.members, *head.tail())]
    for name in given:
        check_name(name)
    own = [MANIFEST_NAME, HEAD_INDEX_NAME, *(f"{INDEX_FOLDER}{name}.blocks" for name in given)]
    check_names_differ([*head.own_names, *given, *own])


class _Packing:
    """The members of one file, in their order."""

    def __init__(self, writer: Writer, order: PackOrder, head: _Head) -> None:
        self._writer, self._order, self._head = writer, order, head
        self._records: list[MemberRecord] = []

    def members(self) -> tuple[Head, int, int, tuple[MemberRecord, ...]]:
        """Write everything but the manifest; returns the head, where the room begins and ends, and the members."""
        head_cuts = Cuts.plain(self._head.source.size_bytes, block_bytes=HEAD_BLOCK_BYTES)
        digests = self._writer.write_head(
            self._head.source, head_cuts, holes=self._head.holes, own_records=self._head.own_records
        )
        slots = [self._store(member) for member in self._head.slots()]
        room_start = self._writer.cursor
        self._writer.cursor += self._order.room_bytes
        firsts = [self._store(member) for member in self._of("aligned", "body")]
        room_end = firsts[0][1].record.header_offset if firsts else self._writer.cursor
        for member, entry in firsts:
            self._describe(member, entry, index=self._store_index(member, entry, place="body"))
        for member in self._of("tail"):
            self._describe(*self._store(member), index="")
        for member, entry in slots:
            self._describe(member, entry, index=self._store_index(member, entry, place="tail"))
        for member in self._head.tail():
            self._describe(*self._store(member), index="")
        head = self._describe_head(digests)
        in_order = sorted(self._records, key=lambda record: self._writer.names.index(record.name))
        return head, room_start, room_end, tuple(in_order)

    def _describe_head(self, digests: Digests) -> Head:
        index = HEAD_INDEX_NAME if digests.index.cuts.leaves > 1 else ""
        if index:
            self._store_index_bytes(index, digests.index.to_bytes(), place="tail")
        return describe_head(
            digests,
            kind=self._head.kind,
            program=self._head.program,
            index=index,
            own_members=len(self._head.own_records),
        )

    def _of(self, *places: Place) -> list[PackMember]:
        return [member for place in places for member in self._order.members if member.place == place]

    def _store(self, member: PackMember) -> tuple[PackMember, Entry]:
        align = self._order.align_bytes if member.place == "aligned" else 1
        planned = Member(
            name=member.name,
            source=member.source,
            cuts=member.cuts,
            align_bytes=align,
            mode=0o100000 | member.mode,
            decoded=member.decoded,
        )
        (placement,) = place([planned], start=self._writer.cursor)
        return member, self._writer.store(placement)

    def _store_index(self, member: PackMember, entry: Entry, *, place: Place) -> str:
        """The block index of a member that has more than one block, as a member of its own."""
        plain = entry.index.cuts == Cuts.plain(entry.index.cuts.size_bytes, block_bytes=BLOCK_BYTES)
        if plain and entry.index.cuts.leaves <= 1:
            return ""
        name = f"{INDEX_FOLDER}{member.name}.blocks"  # must not end in .gguf: engines look for the only such member
        self._store_index_bytes(name, entry.index.to_bytes(), place=place)
        return name

    def _store_index_bytes(self, name: str, data: bytes, *, place: Place) -> None:
        entry = self._writer.store_bytes(name, data)
        self._records.append(describe_member(entry, role="index", place=place))

    def _describe(self, member: PackMember, entry: Entry, *, index: str) -> None:
        encoding = describe_encoding(member.decoded, encoder_version=member.encoder_version) if member.decoded else None
        self._records.append(
            describe_member(
                entry,
                role=member.role,
                place=member.place,
                index=index,
                license=member.license,
                origin=member.origin,
                facts=member.facts,
                encoding=encoding,
            )
        )


def _manifest(
    order: PackOrder, writer: Writer, head: Head, room_start: int, room_end: int, members: tuple[MemberRecord, ...]
) -> Manifest:
    return Manifest(
        format=MANIFEST_VERSION,
        generation=1,
        epoch=order.epoch,
        release=order.release,
        head=head,
        members=members,
        directory=writer.directory_digest(),
        regions=describe_spare(room_start, room_end),
        engine=_with_slices(order),
        recipe_sha256=order.recipe_sha256,
        update_url=order.update_url,
    )


def _with_slices(order: PackOrder) -> EngineRecord | None:
    if order.engine is None or not isinstance(order.head, LauncherHead):
        return order.engine
    slices = tuple(
        SliceRecord(target=item.target, cpus=item.cpus, key=item.key, member=item.member_name)
        for item in order.head.slices
    )
    return msgspec.structs.replace(order.engine, slices=slices)


def _slot(item: EngineSlice) -> PackMember:
    return PackMember(
        name=item.member_name,
        role="engine",
        place="slot",
        source=item.source,
        mode=0o755,
        decoded=item.program if item.encoder_version else None,
        encoder_version=item.encoder_version,
    )


def _line(item: EngineSlice) -> Slice:
    return Slice(
        target=item.target,
        cpus=item.cpus,
        member=item.member_name,
        method=DEFLATED if item.encoder_version else STORED,
        stored_size=item.source.size_bytes,
        decoded_size=item.program.size_bytes,
        digest=item.program.digest,
    )


def _read_head(head: Path | LauncherHead) -> _Head:
    if not isinstance(head, LauncherHead):
        return _read_engine(head)
    holes = signature_holes(head.data[:PROBE_BYTES])
    source = BytesSource(head.data)
    return _Head(kind="launcher", source=source, program=head.program, holes=holes, slices=head.slices)


def _read_engine(path: Path) -> _Head:
    """The program as it will stand at byte 0; an APE's own members stay where they are, so their records are kept."""
    with opened(path) as file:
        start = read_at(file.fileno(), 0, PROBE_BYTES)
    program = identify_program(start)
    if program.kind == "none":
        raise FormatError(path, "is no program, so a file that begins with it would not start")
    found: tuple[FoundRecord, ...] = ()
    if program.kind == "ape":
        try:
            with Reader.open(path) as reader:
                found = reader.directory.records
        except FormatError:
            found = ()  # an APE without members
    return _Head(
        kind="engine",
        source=FileSource.whole(path),
        program=program.kind,
        holes=signature_holes(start),
        own_records=tuple(item.raw for item in found),
        own_names=tuple(item.record.name for item in found),
    )
