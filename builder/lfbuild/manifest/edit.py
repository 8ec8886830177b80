"""Decides what an edit of a file does: where every byte of the new version stands, and which way leads there.

Three ways, by what they cost. A tail is *appended* where head and weights stay and the rest is small: one sector
commits it. A *journal* carries what is written over bytes that count, or is long: a head that is the engine, an engine
that does not fit into the room. Everything else is a *new* file that takes the old one's name, and shares its blocks
where the file system can. Nothing is written here; new content is read once, to be digested.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from lfbuild.archive.draft import Draft, InOrder, InPlace
from lfbuild.archive.layout import place_end
from lfbuild.errors import FormatError, HostError
from lfbuild.formats.zip import TAIL_BYTES, local_header_size
from lfbuild.manifest.inplace import launcher_refusal
from lfbuild.manifest.model import MANIFEST_NAME
from lfbuild.manifest.order import EngineHead, LauncherHead
from lfbuild.manifest.record import Recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from lfbuild.archive.draft import Part
    from lfbuild.archive.hashing import Digests
    from lfbuild.archive.layout import Closing
    from lfbuild.archive.writer import Entry
    from lfbuild.formats.seal import Seal
    from lfbuild.formats.zip import CentralRecord
    from lfbuild.manifest.model import EngineRecord, Manifest, Release
    from lfbuild.manifest.order import EngineSlice, PackMember, PackOrder
    from lfbuild.manifest.present import Present

Way = Literal["append", "journal", "new"]
Span = tuple[int, int]

APPENDED_BYTES: Final = 48 << 10
"""A tail that is appended has no more: the old end record stays within the last 64 KiB, where all readers look."""

MOST_ROOM: Final = 4
"""How often the room of a fresh file a room may be there before it is taken for what a model left."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """What is to be another than before; everything else stays."""

    head: Path | EngineHead | LauncherHead | None = None
    """What the file begins with; launchers bring their engines along."""
    slices: tuple[EngineSlice, ...] = ()
    """Engines in the place of those of the same targets."""
    engine: EngineRecord | None = None
    """What the manifest says of the engines, where they are others."""
    put: tuple[PackMember, ...] = ()
    """Members in the place of those of the same names, or new ones."""
    remove: tuple[str, ...] = ()
    release: Release | None = None
    update_url: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EditPlan:
    """The new version of a file."""

    way: Way
    parts: tuple[Part, ...]
    """All of it but the end, in no order."""
    records: tuple[bytes, ...]
    """Of the directory."""
    closing: Closing
    """With a seal that says `clean`."""
    manifest: Manifest
    seal: Seal
    holes: tuple[Span, ...]
    """Offset and size of the bytes of the head that have to be zero."""
    entries: tuple[Entry, ...] = ()
    """Its members, in the order of the directory."""
    clear: tuple[Span, ...] = ()
    """What the old version used and the new one does not, begin and end: zeros, in place, when it is done."""

    def fresh(self) -> tuple[Part, ...]:
        """The parts that the old file has not, in the order of the file."""
        return tuple(sorted((part for part in self.parts if part.kept_offset is None), key=_offset))

    def kept(self) -> tuple[Part, ...]:
        """The parts that the old file has, in the order of the file."""
        return tuple(
            sorted((part for part in self.parts if part.kept_offset is not None), key=lambda part: part.offset)
        )


def _offset(part: Part) -> int:
    return part.offset


def changed(order: PackOrder, changes: Changes, *, where: str) -> PackOrder:
    """The order for a file that is as `order` has it but for the changes.

    Raises:
        FormatError: something is to be changed that is not there.
    """
    head = _head(order, changes, where)
    return replace(
        order,
        release=changes.release or order.release,
        head=head,
        engine=_engine(changes.engine or order.engine, head),
        members=_members(order, changes, where),
        update_url=order.update_url if changes.update_url is None else changes.update_url,
    )


def plan_new_file(present: Present, changes: Changes, *, on_bytes: Callable[[int], None] = lambda _: None) -> EditPlan:
    """The new version as a file of its own, in the order of a fresh one; weights keep their offsets where they can."""
    order = changed(present.order(), changes, where=present.where)
    order = replace(order, room_bytes=_kept_room(order, first=present.room_end()))
    return _plan_whole(present, order, None if changes.head else present.head_digests(), on_bytes)


def plan_compacted(present: Present) -> EditPlan:
    """The same content as a fresh file; where the engine is somebody else's, with the room that it came with."""
    order = changed(present.order(), Changes(), where=present.where)
    ours = isinstance(order.head, LauncherHead) or (order.engine is not None and order.engine.has_verbs)
    room_bytes = _fresh_room(order) if ours else _kept_room(order, first=present.room_end())
    return _plan_whole(present, replace(order, room_bytes=room_bytes), present.head_digests())


def plan_in_place(present: Present, changes: Changes, *, on_bytes: Callable[[int], None] = lambda _: None) -> EditPlan:
    """The new version where the old one stands, appended if that is possible.

    Raises:
        HostError: the file is signed, or a new head does not fit before the weights.
    """
    order = changed(present.order(), changes, where=present.where)
    _refuse_in_place(present, changes)
    kept_head = present.head_digests() if changes.head is None else None
    appended = _plan_at(present, order, present.size_bytes, kept_head, on_bytes)
    if _can_be_appended(present, appended):
        return _with_clearing(appended, present)
    start = max((part.end for part in appended.kept()), default=0)
    return _with_clearing(replace(_plan_at(present, order, start, kept_head, on_bytes), way="journal"), present)


def changes_nothing(plan: EditPlan, present: Present) -> bool:
    """Whether the new version has what the old one has, wherever it stands, and says the same of itself."""
    new, old = plan.manifest, present.manifest
    words = msgspec.structs.replace(new, generation=old.generation, directory=old.directory, regions=old.regions)
    here = [found.record for found in present.reader.directory.records[old.head.own_members :]]
    return words == old and _without_places(here) == _without_places([entry.record for entry in plan.entries])


def _without_places(records: Sequence[CentralRecord]) -> list[CentralRecord]:
    """What the directory says of members, but for where they are; the manifest's own is of its generation."""
    return [replace(record, header_offset=0) for record in records if record.name != MANIFEST_NAME]


def written_bytes(plan: EditPlan, present: Present) -> int:
    """How many bytes carrying out the plan writes if no blocks are shared; what goes through a journal, twice."""
    end = len(plan.closing.directory) + len(plan.closing.end)
    if plan.way == "new":
        return sum(part.source.size_bytes for part in plan.parts) + end
    return sum(part.source.size_bytes for part in plan.fresh()) + end + journalled_bytes(plan, present)


def journalled_bytes(plan: EditPlan, present: Present) -> int:
    """How many bytes of an edit in place go through a journal: all but what lies in spare room."""
    if plan.way != "journal":
        return 0
    end = len(plan.closing.directory) + len(plan.closing.end)
    return sum(part.source.size_bytes for part in plan.fresh() if not _within(part, present.room())) + end


def bytes_in_room(plan: EditPlan, present: Present) -> int:
    """How many bytes of an edit in place are written into spare room, which takes nothing of the disk before."""
    return sum(part.source.size_bytes for part in plan.fresh() if _within(part, present.room()))


def _plan_whole(
    present: Present,
    order: PackOrder,
    kept_head: Digests | None,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> EditPlan:
    """One member after the other."""
    draft = Draft(
        InOrder(), start=0, epoch=order.epoch, threads=present.threads, kept_head=kept_head, on_bytes=on_bytes
    )
    return _plan("new", order, draft)


def _plan_at(
    present: Present, order: PackOrder, start: int, kept_head: Digests | None, on_bytes: Callable[[int], None]
) -> EditPlan:
    """What is kept stays; the rest goes into the room or behind `start`."""
    slices = order.head.slices if isinstance(order.head, LauncherHead) else ()
    places = InPlace(engines={item.member_name for item in slices}, free=list(present.room()))
    draft = Draft(
        places, start=start, epoch=order.epoch, threads=present.threads, kept_head=kept_head, on_bytes=on_bytes
    )
    return _plan("append", order, draft)


def _plan(way: Way, order: PackOrder, draft: Draft) -> EditPlan:
    recorded = Recording.of(order).run(draft)
    return EditPlan(
        way=way,
        parts=tuple(draft.parts),
        records=tuple(draft.records),
        closing=place_end(draft.records, start=draft.cursor, comment=recorded.seal.to_bytes()),
        manifest=recorded.manifest,
        seal=recorded.seal,
        holes=recorded.holes,
        entries=tuple(draft.entries),
    )


def _can_be_appended(present: Present, plan: EditPlan) -> bool:
    """Whether nothing that counts is written over, and the old end record stays where all readers find it."""
    end = present.size_bytes
    beside = all(part.offset >= end or _within(part, present.room()) for part in plan.fresh())
    old_end = present.reader.directory.end_offset
    return beside and plan.closing.end_offset - end <= APPENDED_BYTES and plan.closing.file_size - old_end <= TAIL_BYTES


def _within(part: Part, spans: Iterable[Span]) -> bool:
    return any(start <= part.offset and part.end <= end for start, end in spans)


def _with_clearing(plan: EditPlan, present: Present) -> EditPlan:
    new = [(part.offset, part.end) for part in plan.parts]
    new.append((plan.closing.offset, plan.closing.file_size))
    return replace(plan, clear=tuple(_without(present.spans(), new, limit=plan.closing.file_size)))


def _without(old: Sequence[Span], new: Sequence[Span], *, limit: int) -> list[Span]:
    """What is in `old`, not in `new`, and before `limit`."""
    left: list[Span] = []
    taken = sorted(new)
    for first, last in old:
        start = first
        for begin, end in taken:
            if begin < last and end > start:
                left.append((start, begin))
                start = max(start, end)
        left.append((start, last))
    return [(start, min(end, limit)) for start, end in left if start < min(end, limit)]


def _refuse_in_place(present: Present, changes: Changes) -> None:
    if present.is_signed:
        what = "is signed, and a signature does not survive a change in place"
        raise HostError(present.where, what, hint="without --in-place a new file is written, which can be signed again")
    if changes.head is None:
        return
    if isinstance(changes.head, LauncherHead) or present.manifest.head.kind == "launcher":
        raise launcher_refusal(present.where)
    size, room = _head_size(changes.head), present.room_end()
    if size > room:
        what = f"the engine has {size} bytes, and there is room for {room} before the first member"
        raise HostError(present.where, what, hint="without --in-place a new file is written")


def _head_size(head: Path | EngineHead | LauncherHead) -> int:
    if isinstance(head, LauncherHead):
        return len(head.data)
    return head.source.size_bytes if isinstance(head, EngineHead) else head.stat().st_size


def _kept_room(order: PackOrder, *, first: int) -> int:
    """Zeros behind the engines: so many that the first weights stay where they are.

    Where that cannot be, as many as in a fresh file; also where it would be a multiple of that, which nobody has left
    for an engine: a model stood there that was replaced in place.
    """
    slices = order.head.slices if isinstance(order.head, LauncherHead) else ()
    left, fresh = first - _head_size(order.head) - sum(map(_stored_bytes, slices)), _fresh_room(order)
    return left if 0 <= left <= MOST_ROOM * fresh + order.align_bytes else fresh


def _fresh_room(order: PackOrder) -> int:
    """As a recipe that says nothing of it has it: the next engines may be a quarter larger. Those that a launcher
    starts are written beside the present ones, so all of them have to fit."""
    if isinstance(order.head, LauncherHead):
        return sum(item.source.size_bytes for item in order.head.slices) * 5 // 4
    return _head_size(order.head) // 4


def _stored_bytes(item: EngineSlice) -> int:
    """An engine with its local header."""
    size = item.source.size_bytes
    return local_header_size(item.member_name, max(size, item.program.size_bytes)) + size


def _head(order: PackOrder, changes: Changes, where: str) -> Path | EngineHead | LauncherHead:
    head = changes.head or order.head
    if not changes.slices:
        return head
    if not isinstance(head, LauncherHead):
        raise FormatError(where, "begins with its engine, and has no room for one of another target")
    given = {item.target: item for item in changes.slices}
    unknown = sorted(given.keys() - {item.target for item in head.slices})
    if unknown:
        raise FormatError(where, f"has no launcher for {', '.join(unknown)}", hint="build it from its recipe")
    return replace(head, slices=tuple(given.get(item.target, item) for item in head.slices))


def _engine(record: EngineRecord | None, head: Path | EngineHead | LauncherHead) -> EngineRecord | None:
    """The record with the targets that the file has."""
    if record is None or not isinstance(head, LauncherHead):
        return None if record is None else msgspec.structs.replace(record, slices=())
    targets = tuple(item.target for item in head.slices)
    return msgspec.structs.replace(record, targets=targets, key="", cpus=())


def _members(order: PackOrder, changes: Changes, where: str) -> tuple[PackMember, ...]:
    """The members in their order: what is replaced stands where the old one did, what is new comes last."""
    put = {member.name: member for member in changes.put}
    names = {member.name for member in order.members}
    for name in changes.remove:
        if name not in names:
            raise FormatError(where, f"has no member {name!r} that could be removed")
    kept = [put.get(member.name, member) for member in order.members if member.name not in changes.remove]
    return (*kept, *(member for member in changes.put if member.name not in names))
