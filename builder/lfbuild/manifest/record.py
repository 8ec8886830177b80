"""Hands the content of a file to a recorder, in the order of the file, and makes the manifest of what it took.

Order in the file: head, engines, room, weights, files, block indexes, arguments and recipe, slice table, manifest,
directory. The indexes of what is never moved stand before the tail; those of the head and of engines are in the tail,
since every swap of an engine rewrites them. A `Writer` writes what it is handed, a `Draft` notes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

import msgspec
from blake3 import blake3

from lfbuild.archive.layout import Member, check_name, check_names_differ
from lfbuild.archive.reader import SMALL_MEMBER_BYTES
from lfbuild.archive.source import BytesSource
from lfbuild.errors import FormatError
from lfbuild.formats.blocks import BLOCK_BYTES, HEAD_BLOCK_BYTES, Cuts
from lfbuild.formats.executable import PROBE_BYTES, signature_holes
from lfbuild.formats.seal import Seal
from lfbuild.formats.slices import SLICES_NAME, Slice, slices_to_bytes
from lfbuild.formats.zip import DEFLATED, STORED
from lfbuild.manifest.describe import describe_encoding, describe_head, describe_member, describe_spare
from lfbuild.manifest.model import (
    HEAD_INDEX_NAME,
    INDEX_FOLDER,
    MANIFEST_NAME,
    MANIFEST_VERSION,
    EngineRecord,
    Manifest,
    MemberRecord,
    SliceRecord,
    parse_manifest,
)
from lfbuild.manifest.order import EngineHead, EngineSlice, LauncherHead, PackMember, PackOrder, read_engine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lfbuild.archive.hashing import Digests
    from lfbuild.archive.layout import Kept, Placement
    from lfbuild.archive.source import Source
    from lfbuild.archive.writer import Entry
    from lfbuild.manifest.model import Head, Place, RegionRecord

_GGUF_ALIGN_BYTES: Final = 32
"""Of tensors inside a GGUF: at multiples of it, weights can be mapped where they lie, if not by every system."""


class Recorder(Protocol):
    """Takes members in their order: writes them, or notes what will be written."""

    cursor: int
    """Behind what it took last."""
    names: list[str]
    """Of the members so far."""

    def write_head(
        self,
        source: Source,
        cuts: Cuts,
        *,
        holes: Sequence[tuple[int, int]] = (),
        own_records: Sequence[bytes] = (),
    ) -> Digests:
        """Take what the file begins with."""

    def place(self, member: Member) -> Placement:
        """Where a member goes."""

    def store(self, placement: Placement) -> Entry:
        """Take a member."""

    def directory_digest(self) -> str:
        """BLAKE3 of the directory records so far."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """What a file says of itself, once all of it but directory and end records was taken."""

    manifest: Manifest
    seal: Seal
    holes: tuple[tuple[int, int], ...]
    """Offset and size of the bytes of the head that have to be zero: digests read them so, and signing fills them."""


@dataclass(frozen=True, slots=True)
class Recording:
    """An order whose names were checked, ready to be recorded."""

    _order: PackOrder
    _head: _Head

    @classmethod
    def of(cls, order: PackOrder) -> Recording:
        """Look at the order before a byte is written.

        Raises:
            FormatError: a member's name is unfit, or given twice; or the file would begin with no program.
        """
        head = _read_head(order.head)
        _check_names(order, head)
        return cls(order, head)

    @property
    def size_bytes(self) -> int:
        """Of all that is given: head, engines and members."""
        members = (*self._head.slots(), *self._order.members)
        return self._head.source.size_bytes + sum(member.source.size_bytes for member in members)

    def run(self, recorder: Recorder) -> Recorded:
        """Hand everything that the file will hold but directory and end records to `recorder`."""
        described = _Packing(recorder, self._order, self._head).members()
        # Beyond this point no member is added; the manifest is the last one, as it lists the others.
        manifest = _manifest(self._order, recorder, *described)
        data = manifest.to_bytes()
        _check_manifest(data, where=self._order.release.name)
        recorder.store(recorder.place(Member(name=MANIFEST_NAME, source=BytesSource(data))))
        digest = blake3(data).hexdigest()
        seal = Seal(generation=self._order.generation, state="clean", manifest_digest=digest)
        return Recorded(manifest=manifest, seal=seal, holes=self._head.holes)


def _check_manifest(data: bytes, *, where: str) -> None:
    """Refuse to write what would be refused when it is read: what the file held before would be lost with it."""
    try:
        parse_manifest(data, where=where)
    except FormatError as error:
        hint = "nothing was written; this is a mistake in lfbuild: please report it"
        raise FormatError(error.where, error.what, hint=hint) from error
    _check_size(MANIFEST_NAME, data, hint="put fewer files into it, or a ZIP of them")


def _check_size(name: str, data: bytes, *, hint: str) -> None:
    """Refuse to write what is larger than what is read whole."""
    if len(data) > SMALL_MEMBER_BYTES:
        raise FormatError(name, f"would have {len(data)} bytes, more than the {SMALL_MEMBER_BYTES} expected", hint=hint)


def _check_names(order: PackOrder, head: _Head) -> None:
    """Refuse unfit and repeated names before a byte is written, with those that the file's own records will have."""
    given = [member.name for member in (*head.slots(), *order.members, *head.tail())]
    for name in given:
        check_name(name)
    own = [MANIFEST_NAME, HEAD_INDEX_NAME, *(f"{INDEX_FOLDER}{name}.blocks" for name in given)]
    check_names_differ([*head.own_names, *given, *own])


class _Packing:
    """The members of one file, in their order."""

    def __init__(self, recorder: Recorder, order: PackOrder, head: _Head) -> None:
        self._recorder, self._order, self._head = recorder, order, head
        self._records: list[MemberRecord] = []

    def members(self) -> tuple[Head, tuple[RegionRecord, ...], tuple[MemberRecord, ...]]:
        """Take everything but the manifest; returns the head, the room for engines, and the members."""
        head_cuts = Cuts.plain(self._head.source.size_bytes, block_bytes=HEAD_BLOCK_BYTES)
        digests = self._recorder.write_head(
            self._head.source, head_cuts, holes=self._head.holes, own_records=self._head.own_records
        )
        slots = [self._store(member) for member in self._head.slots()]
        self._recorder.cursor += self._order.room_bytes
        firsts = [self._store(member) for member in self._of("aligned", "body")]
        room_end = min((entry.record.header_offset for _, entry in firsts), default=self._recorder.cursor)
        for member, entry in firsts:
            self._describe(member, entry, index=self._store_index(member, entry, place="body"))
        for member in self._of("tail"):
            self._describe(*self._store(member), index="")
        for member, entry in slots:
            self._describe(member, entry, index=self._store_index(member, entry, place="tail"))
        for member in self._head.tail():
            self._describe(*self._store(member), index="")
        head = self._describe_head(digests)
        in_order = sorted(self._records, key=lambda record: self._recorder.names.index(record.name))
        spans = [(entry.record.header_offset, entry.data_offset + entry.record.stored_size) for _, entry in slots]
        return head, describe_spare(spans, start=head.size_bytes, end=room_end), tuple(in_order)

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
        align = self._order.align_bytes if member.place == "aligned" else _GGUF_ALIGN_BYTES if member.facts else 1
        planned = Member(
            name=member.name,
            source=member.source,
            cuts=member.cuts,
            align_bytes=align,
            mode=0o100000 | member.mode,
            decoded=member.decoded,
            kept=member.kept,
        )
        return member, self._recorder.store(self._recorder.place(planned))

    def _store_index(self, member: PackMember, entry: Entry, *, place: Place) -> str:
        """The block index of a member that has more than one block, as a member of its own."""
        plain = entry.index.cuts == Cuts.plain(entry.index.cuts.size_bytes, block_bytes=BLOCK_BYTES)
        if plain and entry.index.cuts.leaves <= 1:
            return ""
        name = f"{INDEX_FOLDER}{member.name}.blocks"  # must not end in .gguf: engines look for the only such member
        self._store_index_bytes(name, entry.index.to_bytes(), place=place, kept=member.kept_index)
        return name

    def _store_index_bytes(self, name: str, data: bytes, *, place: Place, kept: Kept | None = None) -> None:
        _check_size(name, data, hint="`block-size = 1048576` in the recipe cuts it into fewer blocks")
        planned = Member(name=name, source=BytesSource(data), kept=kept)
        entry = self._recorder.store(self._recorder.place(planned))
        self._records.append(describe_member(entry, role="index", place=place))

    def _describe(self, member: PackMember, entry: Entry, *, index: str) -> None:
        if member.told is not None:
            self._records.append(msgspec.structs.replace(member.told, place=member.place, index=index))
            return
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
    order: PackOrder,
    recorder: Recorder,
    head: Head,
    regions: tuple[RegionRecord, ...],
    members: tuple[MemberRecord, ...],
) -> Manifest:
    return Manifest(
        format=MANIFEST_VERSION,
        generation=order.generation,
        epoch=order.epoch,
        release=order.release,
        head=head,
        members=members,
        directory=recorder.directory_digest(),
        regions=regions,
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
        kept=item.kept,
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


def _read_head(head: Path | EngineHead | LauncherHead) -> _Head:
    if not isinstance(head, LauncherHead):
        engine = head if isinstance(head, EngineHead) else read_engine(head)
        return _Head(
            kind="engine",
            source=engine.source,
            program=engine.program,
            holes=engine.holes,
            own_records=engine.own_records,
            own_names=engine.own_names,
        )
    holes = signature_holes(head.data[:PROBE_BYTES])
    source = BytesSource(head.data)
    return _Head(kind="launcher", source=source, program=head.program, holes=holes, slices=head.slices)
