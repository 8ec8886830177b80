"""Writes one file from an engine and members: the act that building, swapping and applying a difference share.

Order in the file: head, room, weights, files, block indexes, arguments and recipe, manifest, directory. The indexes
of what is never moved stand before the tail; the head's own index is in the tail, since every swap of the engine
rewrites it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blake3 import blake3

from lfbuild.archive.layout import Member, check_name, check_names_differ, place
from lfbuild.archive.reader import Reader, opened, read_at
from lfbuild.archive.source import FileSource
from lfbuild.archive.writer import Writer
from lfbuild.errors import FormatError
from lfbuild.formats.blocks import BLOCK_BYTES, HEAD_BLOCK_BYTES, Cuts
from lfbuild.formats.executable import PROBE_BYTES, identify_program, signature_holes
from lfbuild.formats.seal import Seal
from lfbuild.host.files import replacing, write_all
from lfbuild.manifest.describe import describe_engine_head, describe_member, describe_spare
from lfbuild.manifest.model import (
    HEAD_INDEX_NAME,
    INDEX_FOLDER,
    MANIFEST_NAME,
    MANIFEST_VERSION,
    EngineRecord,
    Manifest,
    MemberRecord,
    Release,
)

if TYPE_CHECKING:
    from pathlib import Path

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


@dataclass(frozen=True, kw_only=True, slots=True)
class PackOrder:
    """Everything that decides the bytes of the file."""

    release: Release
    head: Path
    engine: EngineRecord | None
    members: tuple[PackMember, ...]
    """In the order of the file: `aligned`, then `body`, then `tail`."""
    align_bytes: int
    room_bytes: int
    """Zeros between head and first member, at the least."""
    epoch: int
    recipe_sha256: str = ""
    update_url: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Head:
    """What is known of the program before it is written."""

    source: FileSource
    program: str
    holes: tuple[tuple[int, int], ...]
    own_records: tuple[bytes, ...]
    own_names: tuple[str, ...]


def pack(order: PackOrder, target: Path, *, threads: int, report: Report) -> Manifest:
    """Write `target`, whole or not at all.

    Raises:
        FormatError: a member's name is unfit, or given twice.
        HostError: what the disk refuses.
    """
    head = _read_head(order.head)
    _check_names(order, head)
    total = head.source.size_bytes + sum(member.source.size_bytes for member in order.members)
    with (
        report.step("packing", total=total) as step,
        replacing(target, mode=0o755) as file,
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
    given = [member.name for member in order.members]
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
        room_start = self._writer.cursor
        self._writer.cursor += self._order.room_bytes
        firsts = [self._store(member) for member in self._of("aligned", "body")]
        room_end = firsts[0][1].record.header_offset if firsts else self._writer.cursor
        for member, entry in firsts:
            self._describe(member, entry, index=self._store_index(member, entry))
        for member in self._of("tail"):
            self._describe(*self._store(member), index="")
        index = HEAD_INDEX_NAME if digests.index.cuts.leaves > 1 else ""
        if index:
            self._store_index_bytes(index, digests.index.to_bytes(), place="tail")
        head = describe_engine_head(
            digests, program=self._head.program, index=index, own_members=len(self._head.own_records)
        )
        in_order = sorted(self._records, key=lambda record: self._writer.names.index(record.name))
        return head, room_start, room_end, tuple(in_order)

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
        )
        (placement,) = place([planned], start=self._writer.cursor)
        return member, self._writer.store(placement)

    def _store_index(self, member: PackMember, entry: Entry) -> str:
        """The block index of a member that has more than one block, as a member of its own."""
        plain = entry.index.cuts == Cuts.plain(entry.index.cuts.size_bytes, block_bytes=BLOCK_BYTES)
        if plain and entry.index.cuts.leaves <= 1:
            return ""
        name = f"{INDEX_FOLDER}{member.name}.blocks"  # must not end in .gguf: engines look for the only such member
        self._store_index_bytes(name, entry.index.to_bytes(), place="body")
        return name

    def _store_index_bytes(self, name: str, data: bytes, *, place: Place) -> None:
        entry = self._writer.store_bytes(name, data)
        self._records.append(describe_member(entry, role="index", place=place))

    def _describe(self, member: PackMember, entry: Entry, *, index: str) -> None:
        self._records.append(
            describe_member(
                entry,
                role=member.role,
                place=member.place,
                index=index,
                license=member.license,
                origin=member.origin,
                facts=member.facts,
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
        engine=order.engine,
        recipe_sha256=order.recipe_sha256,
        update_url=order.update_url,
    )


def _read_head(path: Path) -> _Head:
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
        source=FileSource.whole(path),
        program=program.kind,
        holes=signature_holes(start),
        own_records=tuple(item.raw for item in found),
        own_names=tuple(item.record.name for item in found),
    )
