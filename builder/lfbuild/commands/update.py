"""`update`: a file becomes the newer release, and only what no file at hand has comes over the line.

The old file is not touched before the last rename. Whatever ends an update before that, the next one goes on from
there: a block that was fetched and held is not fetched again.
"""

from __future__ import annotations

import contextlib
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from lfbuild.channel.carry import NewBytes
from lfbuild.channel.index import INDEX_SUFFIX
from lfbuild.channel.inplace import commit, find_in_place, limited_to_place, plan_in_place
from lfbuild.channel.partial import (
    blocks_done,
    clear_leftovers,
    has_leftovers,
    opened_partial,
    updating,
)
from lfbuild.channel.plan import Seed, make_plan
from lfbuild.channel.release import index_address, is_folder, load_release, shown_address
from lfbuild.channel.room import bytes_gathered_in_place, find_room
from lfbuild.channel.work import Means, Work, delta_bytes_held
from lfbuild.commands.index import manifest_of
from lfbuild.commands.recover import settled
from lfbuild.commands.seeds import gather_seeds, refuse_absent_seeds
from lfbuild.commands.update_words import Update, compare
from lfbuild.errors import (
    KEPT,
    FetchError,
    HostError,
    IntegrityError,
    Problem,
    RecipeError,
    TrustError,
    command,
)
from lfbuild.fetch.answers import ChangedError, NotThereError
from lfbuild.fetch.places import Places
from lfbuild.host.files import find_facts, host_error, mode_of_new, real_path, refuse_another
from lfbuild.host.inplace import had_alone, has_journal, used
from lfbuild.host.room import refuse_full_disk, refuse_full_disk_in_place
from lfbuild.report import size_words

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from os import stat_result
    from pathlib import Path

    from lfbuild.channel.index import DeltaRecord
    from lfbuild.channel.partial import Partial
    from lfbuild.channel.plan import Plan
    from lfbuild.channel.release import Release
    from lfbuild.channel.route import Wanted
    from lfbuild.fetch.answers import RangesRefusedError
    from lfbuild.fetch.network import Network
    from lfbuild.fetch.parallel import Manners
    from lfbuild.fetch.ranges import Span
    from lfbuild.manifest.filemap import FileMap
    from lfbuild.report import Report

NEWER_EXIT_CODE: Final = 10
"""What `--check` ends with where the release is another file than the one that is here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateOrder:
    """What is asked for."""

    path: Path
    url: str = ""
    """Of the release or its control file; empty for the one that the file itself names."""
    seeds: tuple[Path, ...] = ()
    """Files, or folders of files, whose blocks may serve."""
    keep_old: bool = False
    in_place: bool = False
    """Write only what differs into the file itself, under a journal, instead of a new file beside it."""
    repair: bool = False
    """Read every byte of the file first, so that a damaged block is fetched anew."""
    another: bool = False
    """Let the file become a release of another name, or of none."""
    at_most_bytes: int | None = None
    """Refuse a plan that would fetch more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenUp:
    """What an update that was interrupted had left beside its file, and is gone."""

    path: Path
    freed_bytes: int
    """Of the disk."""


def check_for_update(order: UpdateOrder, *, network: Network, manners: Manners, threads: int, report: Report) -> Update:
    """Tell whether the release is another file than the one that is here, and what would move; changes nothing.

    Raises:
        FetchError: the release could not be looked at.
        FormatError, IntegrityError, TrustError: what stands there is no release, or one of another name.
        HostError, RecipeError: what is asked for cannot be.
    """
    order = _of_the_file_itself(order)
    places = Places(network, clock=manners.clock)
    release = _release(order, places, manners)
    told = _compared(order, release)
    seeds = _seeds(order, release, threads=threads, report=report)
    if _is_current(order, seeds, release):
        return replace(told, is_current=True)
    plan = make_plan(release, seeds, _OnlyLookedAt(order, release), places=places, manners=manners)
    plan = limited_to_place(plan, order.path) if order.in_place else plan
    return _with_plan(told, plan)


def update(order: UpdateOrder, *, network: Network, manners: Manners, threads: int, report: Report) -> Update:
    """Make the file what the release is, if it is not that already.

    Raises:
        FetchError: something could not be had; what came is kept for the next run.
        FormatError, IntegrityError, TrustError: what stands there is no release, one of another name, or not the
            promised one.
        HostError: the disk is full, or the folder cannot be written; the old file is as it was.
        RecipeError: what is asked for contradicts itself.
    """
    order = _of_the_file_itself(order)
    places = Places(network, clock=manners.clock)
    means = Means(places=places, manners=manners, threads=threads, report=report, at_most_bytes=order.at_most_bytes)
    with updating(order.path), _told_if_stopped(order.path):
        if has_journal(order.path):
            settled(order.path, report=report)
        release = _release(order, places, manners)
        try:
            return _update_to(release, order, means)
        except ChangedError as changed:
            report.note(f"{changed}; the release is looked at once more")
            newer = _release(order, places, manners)
            if newer.index.root == release.index.root:
                hint = "the publisher has to make the control file anew: lfbuild index FILE"
                what = f"{changed.what}, and the control file does not tell of it"
                raise FetchError(changed.where, what, hint=hint) from changed
            return _update_to(newer, order, means)


@contextlib.contextmanager
def _told_if_stopped(path: Path) -> Iterator[None]:
    """An interrupt says whether anything is kept."""
    try:
        yield
    except BaseException as stopped:
        if not isinstance(stopped, Exception) and has_leftovers(path):
            stopped.add_note(KEPT)
        raise


def give_up(path: Path) -> GivenUp:
    """Remove what an interrupted update of `path` keeps for going on; the file itself is as it was.

    An edit in place that has begun to count is none of that: it is finished by the next command on the file.

    Raises:
        HostError: an update is under way, or the folder cannot be written.
    """
    path = real_path(path)
    with updating(path):
        try:
            return GivenUp(path=path, freed_bytes=clear_leftovers(path))
        except OSError as error:
            raise host_error(path.parent, error) from error


def _of_the_file_itself(order: UpdateOrder) -> UpdateOrder:
    """The order without links: what stands beside a file stands where every verb looks for it.

    Raises:
        HostError, RecipeError: what is asked for cannot be.
    """
    if order.in_place and order.keep_old:
        problem = Problem(where=str(order.path), key="", what="--in-place and --keep-old contradict each other")
        raise RecipeError(order.path, [problem], hint="`lfbuild update --help`")
    order = replace(order, path=real_path(order.path))
    if order.in_place and not order.path.exists():
        hint = "without --in-place the whole file is fetched"
        raise HostError(order.path, "does not exist, so nothing can be updated in place", hint=hint)
    refuse_absent_seeds(order.seeds)
    return order


def _update_to(release: Release, order: UpdateOrder, means: Means) -> Update:
    before, told = find_facts(order.path), _compared(order, release)
    seeds = _seeds(order, release, threads=means.threads, report=means.report)
    if _is_current(order, seeds, release):
        clear_leftovers(order.path)
        return replace(told, is_current=True)
    if told.here_name and told.here != told.there:
        means.report.note(told.comparison)
    root, size = bytes.fromhex(release.index.root), release.index.file.size_bytes
    with opened_partial(order.path, root=root, size_bytes=size) as partial:
        work = Work(release, partial, means)
        plan = make_plan(release, seeds, work, places=means.places, manners=means.manners)
        plan = limited_to_place(plan, order.path) if order.in_place else plan
        for line in plan.lines() if plan.supplies.wanted_bytes > plan.kept_bytes else ():
            means.report.note(line)
        work.refuse_too_much(plan)
        if order.in_place:
            _finish_in_place(plan, work, partial, order, before, report=means.report)
        else:
            _have_room(plan, partial, order, report=means.report)
            kept_as = _kept_as(order)
            if kept_as and kept_as.exists():
                means.report.note(f"{kept_as.name} of before is replaced")
            # Beyond this point nothing is decided any more: the plan is carried out.
            with _kept_from_changes(order.path):
                work.carry_out(plan)
                # Beyond this point the file is the newer release, if nobody has changed it meanwhile.
                partial.finish(mode=_mode(order.path), expected=before, kept_as=kept_as)
    outcome = _with_plan(told, plan)
    if work.learnt is not None:
        outcome = replace(outcome, kept_bytes=work.kept_bytes(plan), routes=(work.learnt,))
    return replace(outcome, is_done=True, body_bytes=work.body_bytes)


def _have_room(plan: Plan, partial: Partial, order: UpdateOrder, *, report: Report) -> None:
    """Tell what is copied on this disk, and refuse what it has no room for."""
    room = find_room(plan, partial)
    told = f"{size_words(room.copied_bytes)} are copied on this disk"
    hint = "free some space"
    if (in_place := find_in_place(plan, order.path)) is not None:
        told, needed_bytes = f"{told}; --in-place writes only what changes", bytes_gathered_in_place(in_place, partial)
        if needed_bytes < room.needed_bytes:
            hint = f"--in-place needs {size_words(needed_bytes)}; or {hint}"
    refuse_full_disk(order.path.parent, room.needed_bytes, hint=hint)
    if room.copied_bytes:
        report.note(told)


def _finish_in_place(
    plan: Plan, work: Work, partial: Partial, order: UpdateOrder, before: stat_result | None, *, report: Report
) -> None:
    """Gather while the file may still be used; have it alone only to look at it and to write."""
    in_place = plan_in_place(plan, order.path)
    refuse_full_disk_in_place(order.path.parent, bytes_gathered_in_place(in_place, partial))
    # Beyond this point nothing is decided any more: the plan is carried out.
    with _kept_from_changes(order.path):
        work.gather(in_place.plan)
    with had_alone(order.path) as file:
        refuse_another(order.path, before)
        standing = NewBytes(partial=partial, old=file.fileno(), standing=in_place.standing)
        written = commit(work.mend(in_place.plan, standing), order.path, file, report=report)
    report.note(f"{size_words(written)} of the file were written anew, in their place")
    clear_leftovers(order.path)


class _OnlyLookedAt:
    """An update that nobody has begun: nothing may be written for its plan."""

    def __init__(self, order: UpdateOrder, release: Release) -> None:
        self._order, self._release = order, release

    def recorded(self) -> Mapping[Span, bytes]:
        """See `Begun`."""
        root, size = bytes.fromhex(self._release.index.root), self._release.index.file.size_bytes
        return blocks_done(self._order.path, root=root, size_bytes=size)

    def learn(self, at_hand: Collection[bytes], refused: RangesRefusedError, /) -> dict[bytes, bytes]:
        """See `Begun`: the whole file is not fetched only to look at it."""
        del at_hand
        hint = "without --check, all of the file is fetched"
        raise FetchError(refused.where, f"{refused.what}, so what would move cannot be told", hint=hint) from refused

    def done(self, target: FileMap, wanted: Sequence[Wanted], /) -> Collection[int]:
        """See `Begun`."""
        del target, wanted
        return {span.offset for span in self.recorded()}

    def held(self, delta: DeltaRecord, /) -> int:
        """See `Begun`."""
        return delta_bytes_held(self._order.path, delta)

    def allow(self, size_bytes: int, /) -> None:
        """See `Begun`: whoever looks is told, and decides then."""

    def count(self, size_bytes: int, /) -> None:
        """See `Begun`: nobody asks."""


def _release(order: UpdateOrder, places: Places, manners: Manners) -> Release:
    url = order.url or _own_address(order.path)
    try:
        return load_release(places, index_address(url, order.path.name), limit_bytes_per_s=manners.limit_bytes_per_s)
    except NotThereError as absent:
        shown = shown_address(url)
        if is_folder(url):
            release = command("update", order.path, f"{shown}NAME")
            hint = f"it was looked for under this file's own name; where the release has another: {release}"
        elif order.url and not order.url.endswith(INDEX_SUFFIX):
            hint = f"check the address; if {shown} is a folder, write {shown}/"
        else:
            raise
        raise NotThereError(absent.where, absent.what, hint=hint) from absent


def _own_address(path: Path) -> str:
    """Where the file itself says that newer releases are."""
    hint = command("update", path, "URL")
    if not path.exists():
        raise HostError(path, "does not exist", hint=f"check the path, or give the address to fetch it from: {hint}")
    try:
        ours = manifest_of(path)
    except IntegrityError as damaged:
        if has_journal(path):
            raise
        raise IntegrityError(damaged.where, damaged.what, hint=hint) from damaged
    if ours is None or not ours.update_url:
        what = "names no address of newer releases"
        problem = Problem(where=str(path), key="", what=what)
        raise RecipeError(path, [problem], hint=hint)
    return ours.update_url


def _seeds(order: UpdateOrder, release: Release, *, threads: int, report: Report) -> tuple[Seed, ...]:
    return gather_seeds(order.path, order.seeds, release, reads_all=order.repair, threads=threads, report=report)


def _is_current(order: UpdateOrder, seeds: Sequence[Seed], release: Release) -> bool:
    return any(seed.path == order.path and seed.found.root.hex() == release.index.root for seed in seeds)


def _compared(order: UpdateOrder, release: Release) -> Update:
    told = compare(order.path, release, is_read=order.repair)
    if told.here_name and told.here_name != told.name and not order.another:
        what = f"is {told.here}, and the release at {release.where} is {told.there}; nothing was changed"
        raise TrustError(order.path, what, hint="check the address; --another takes that release all the same")
    return told


def _with_plan(told: Update, plan: Plan) -> Update:
    return replace(
        told,
        copied_bytes=plan.supplies.copied_bytes,
        wanted_bytes=plan.supplies.wanted_bytes,
        kept_bytes=plan.kept_bytes,
        routes=plan.routes,
        assumed_bytes_per_s=plan.release.line.bytes_per_s,
    )


@contextlib.contextmanager
def _kept_from_changes(path: Path) -> Iterator[None]:
    """Nobody edits the file in place while it is copied from; it may be read and run."""
    with used(path) if path.exists() else contextlib.nullcontext():
        yield


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else mode_of_new(path.parent, 0o755)


def _kept_as(order: UpdateOrder) -> Path | None:
    return order.path.with_name(order.path.name + ".old") if order.keep_old else None
