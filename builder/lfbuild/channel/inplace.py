"""Makes the old file the new one where it stands: only what differs is written, under the journal of `archive.journal`.

What stays where it is costs nothing; what moved, or comes from elsewhere, is gathered in the partial file, which then
has holes for all the rest. When both together are the new file, byte for byte, the journal gets what the old one lacks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from lfbuild.archive.journal import JournalWriter, carry_out_journal
from lfbuild.archive.reader import opened, read_at
from lfbuild.errors import FormatError, HostError
from lfbuild.fetch.ranges import Span
from lfbuild.formats.seal import Seal
from lfbuild.formats.zip import read_directory
from lfbuild.manifest.inplace import refuse_changed_launcher, refuse_signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from lfbuild.channel.carry import NewBytes
    from lfbuild.channel.plan import Plan
    from lfbuild.manifest.matching import Stretch
    from lfbuild.report import Report

PIECE_BYTES: Final = 1 << 20
"""The journal gets the new file in pieces of this size: one of nothing but zeros takes nothing of it."""
_ZEROS: Final = bytes(PIECE_BYTES)


@dataclass(frozen=True, kw_only=True, slots=True)
class InPlace:
    """A plan for a file that becomes another one where it stands."""

    plan: Plan
    """Without copies of what stands where it belongs."""
    standing: tuple[Span, ...]


def find_in_place(plan: Plan, path: Path) -> InPlace | None:
    """The plan in place instead; None where something is in the way."""
    try:
        return plan_in_place(limited_to_place(plan, path), path)
    except (FormatError, HostError):
        return None


def limited_to_place(plan: Plan, path: Path) -> Plan:
    """The plan for `path` where it stands: a published difference makes a new file, so it is no way there.

    Raises:
        FormatError: the old file or the new one is somebody else's, or signed.
        HostError: the new one begins with another launcher.
    """
    own = next((seed for seed in plan.seeds if seed.path == path), None)
    if own is None or plan.release.index.release is None:
        raise FormatError(path, "is not updated in place, as it or its release is not lfbuild's own file")
    refuse_signed(str(path), own.found, plan.target)
    with opened(path) as file:
        refuse_changed_launcher(path, file, own.found, plan.target)
    return replace(plan, routes=tuple(route for route in plan.routes if route.delta is None))


def plan_in_place(plan: Plan, path: Path) -> InPlace:
    """Take out of such a plan what `path` has in its place already."""
    own = next(number for number, seed in enumerate(plan.seeds) if seed.path == path)

    def stays(copy: Stretch) -> bool:
        return copy.seed == own and copy.seed_offset == copy.offset

    copies = plan.supplies.copies
    moves = tuple(copy for copy in copies if not stays(copy))
    return InPlace(
        plan=replace(plan, supplies=replace(plan.supplies, copies=moves)),
        standing=tuple(Span(copy.offset, copy.size_bytes) for copy in copies if stays(copy)),
    )


def commit(new: NewBytes, path: Path, file: BinaryIO, *, report: Report) -> int:
    """Write what the old file lacks under a journal; returns how many bytes. `file` is `path`, open and had alone.

    Until the journal is complete the old version is kept; from then on the new one cannot be lost.

    Raises:
        FormatError: the new file has no seal.
        IntegrityError: the journal is not what was written to it.
        HostError: the disk refuses.
    """
    where, size = str(path), new.partial.size_bytes
    directory = read_directory(new.read, size, where=where)
    seal = Seal.parse(directory.comment, where=where)
    if seal is None:
        raise FormatError(path, "is not updated in place, as its release is not lfbuild's own file")
    written = 0
    with report.step("write the journal") as step, JournalWriter.create(path, file) as journal:
        for offset, data in _differences(new, file.fileno()):
            if data == _ZEROS[: len(data)]:
                journal.clear(offset, len(data))
            else:
                journal.write_bytes(offset, data)
                written += len(data)
            step.advance(len(data))
        # Beyond this point the new version counts, whatever happens.
        journal.complete(file_size=size, records=[found.raw for found in directory.records], seal=seal)
    with report.step("carry it out"):
        carry_out_journal(path, file)
    return written


def _differences(new: NewBytes, old: int) -> Iterator[tuple[int, bytes]]:
    """Pieces of the new file that are not in the old one where they belong."""
    for span in new.missing():
        for offset in range(span.offset, span.end, PIECE_BYTES):
            data = new.read(offset, min(PIECE_BYTES, span.end - offset))
            if read_at(old, offset, len(data)) != data:
                yield offset, data
