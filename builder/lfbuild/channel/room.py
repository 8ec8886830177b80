"""How much of the disk an update takes: looked at when all is decided, before anything is carried out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.archive.reader import opened
from lfbuild.channel.inplace import PIECE_BYTES
from lfbuild.channel.work import delta_bytes_held
from lfbuild.fetch.ranges import Span
from lfbuild.host.files import can_share
from lfbuild.host.moving import SHARED_BYTES
from lfbuild.host.room import bytes_in_place, disk_bytes
from lfbuild.manifest.filemap import Zeros

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from lfbuild.channel.inplace import InPlace
    from lfbuild.channel.partial import Partial
    from lfbuild.channel.plan import Plan
    from lfbuild.manifest.matching import Stretch


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """What an update takes of the disk that the file is on."""

    copied_bytes: int
    """Of files at hand whose blocks the new file cannot share, and that an earlier run has not copied."""
    needed_bytes: int


def find_room(plan: Plan, partial: Partial, *, standing: Collection[Span] = ()) -> Room:
    """What `plan` takes, but for what stands in the old file where it belongs, and what an earlier run has written.

    Zeros count: whoever makes a file of nothing but zeros look like a release is refused before each of them is judged.

    Raises:
        HostError, FormatError: a file at hand cannot be opened.
    """
    shared = set(_shared(plan, partial))
    copied = [stretch for stretch in plan.supplies.copies if stretch not in shared]
    delta = plan.routes[0].delta
    here_bytes = sum(stretch.size_bytes for stretch in shared) + sum(span.size_bytes for span in standing)
    held_bytes = disk_bytes(os.fstat(partial.descriptor)) - sum(partial.copied.get(span.offset, 0) for span in standing)
    delta_bytes = delta.size_bytes - delta_bytes_held(partial.target, delta) if delta else 0
    return Room(
        copied_bytes=sum(it.size_bytes for it in copied if partial.copied.get(it.offset, 0) < it.size_bytes),
        needed_bytes=max(plan.target.size_bytes - here_bytes - max(held_bytes, 0), 0) + delta_bytes,
    )


def bytes_gathered_in_place(in_place: InPlace, partial: Partial) -> int:
    """What it takes to write a plan in place: what changes is gathered first, and gone only when the file is complete.

    Gaps are neither gathered nor written: the journal clears them.

    Raises:
        HostError, FormatError: a file at hand cannot be opened.
    """
    target, standing = in_place.plan.target, in_place.standing
    size = target.size_bytes
    gaps = [Span(part.offset, part.size_bytes) for part in target.parts if isinstance(part, Zeros)]
    gathered = find_room(in_place.plan, partial, standing=(*standing, *gaps)).needed_bytes
    # What the journal has of a gap's ends is in one piece with what stands beside it.
    cleared = sum(max(gap.size_bytes - 2 * PIECE_BYTES, 0) for gap in gaps)
    changed = size - sum(span.size_bytes for span in standing) - cleared
    return gathered + bytes_in_place(partial.target, changed_bytes=changed, new_bytes=size)


def _shared(plan: Plan, partial: Partial) -> Iterator[Stretch]:
    """The stretches that the new file shares with files at hand, without a copy."""
    for number, seed in enumerate(plan.seeds):
        own = [
            stretch
            for stretch in plan.supplies.copies
            if stretch.seed == number and (stretch.seed_offset - stretch.offset) % SHARED_BYTES == 0
        ]
        if not own:
            continue
        with opened(seed.path) as file:
            if can_share(file.fileno(), partial.path.parent):
                yield from own
