"""`update`: a file becomes the newer release, and only what no file at hand has comes over the line.

The old file is not touched before the last rename. Whatever ends an update before that, the next one goes on from
there: a block that was fetched and held is not fetched again.
"""

from __future__ import annotations

import contextlib
import stat
from dataclasses import dataclass, replace
from functools import partial as partial_of
from typing import TYPE_CHECKING, Final

from lfbuild.archive.reader import Reader, opened, read_at
from lfbuild.channel.carry import copy_what_is_here, fetch_the_rest, fetch_unknown, find_unrecorded, judge
from lfbuild.channel.partial import (
    SUFFIX,
    blocks_done,
    clear_leftovers,
    find_leftovers,
    opened_partial,
    updating,
)
from lfbuild.channel.plan import Plan, Seed, make_plan
from lfbuild.channel.release import Release, index_address, load_release
from lfbuild.errors import FetchError, FormatError, HostError, IntegrityError, Problem, RecipeError
from lfbuild.fetch.answers import ChangedError, RangesRefusedError
from lfbuild.fetch.places import Places
from lfbuild.formats.gguf import MAGIC
from lfbuild.host.files import host_error
from lfbuild.manifest.mapping import map_file
from lfbuild.manifest.verify import load_manifest, verify_structure

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from lfbuild.channel.partial import Partial
    from lfbuild.channel.route import Route, Wanted
    from lfbuild.fetch.network import Network
    from lfbuild.fetch.parallel import Manners
    from lfbuild.manifest.filemap import FileMap
    from lfbuild.report import Report

    FetchUnknown = Callable[[Collection[bytes], RangesRefusedError], dict[bytes, bytes]]

NEWER_EXIT_CODE: Final = 10
"""What `--check` ends with where there is a newer release."""
_SEED_SUFFIXES: Final = (".llamafile", ".gguf", ".exe", ".lfbuild")
"""What is looked at in a folder of seeds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateOrder:
    """What is asked for."""

    path: Path
    url: str = ""
    """Of the release or its control file; empty for the one that the file itself names."""
    seeds: tuple[Path, ...] = ()
    """Files, or folders of files, whose blocks may serve."""
    keep_old: bool = False
    at_most_bytes: int | None = None
    """Refuse a plan that would fetch more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Update:
    """What there was to do, and what was done."""

    path: Path
    url: str
    name: str
    version: str
    """Of the release; empty where it tells none."""
    size_bytes: int
    is_current: bool
    """The file is that release already."""
    is_done: bool = False
    copied_bytes: int = 0
    wanted_bytes: int = 0
    kept_bytes: int = 0
    """What an earlier run has fetched already, out of these."""
    routes: tuple[Route, ...] = ()
    """The ways there were, the best first; it is taken."""
    assumed_bytes_per_s: float = 0
    """What the seconds are reckoned with."""
    body_bytes: int = 0
    """What came over the line in the end."""


def check_for_update(order: UpdateOrder, *, network: Network, manners: Manners, threads: int, report: Report) -> Update:
    """Tell whether there is a newer release, and what would move; changes nothing.

    Raises:
        FetchError: the release could not be looked at.
        FormatError, IntegrityError, TrustError: what stands there is no release.
    """
    places = Places(network, clock=manners.clock)
    release = load_release(places, _address(order), limit_bytes_per_s=manners.limit_bytes_per_s)
    seeds = _gather_seeds(order, release, threads=threads, report=report)
    if _is_current(order, seeds, release):
        return _told(order, release, is_current=True)
    plan = make_plan(release, seeds, _OnlyLookedAt(order), places=places, manners=manners)
    return _with_plan(_told(order, release, is_current=False), plan)


def update(order: UpdateOrder, *, network: Network, manners: Manners, threads: int, report: Report) -> Update:
    """Make the file the newer release, if there is one.

    Raises:
        FetchError: something could not be had; what came is kept for the next run.
        FormatError, IntegrityError, TrustError: what stands there is no release, or not the promised one.
        HostError: the disk is full, or the folder cannot be written; the old file is as it was.
    """
    places = Places(network, clock=manners.clock)
    with updating(order.path):
        work = _Work(order, places=places, manners=manners, threads=threads, report=report)
        try:
            return work.run()
        except ChangedError as changed:
            report.note(f"{changed}; the release is looked at once more")
            return work.run(after=changed)


class _Work:
    """One update, from the control file to the rename."""

    def __init__(self, order: UpdateOrder, *, places: Places, manners: Manners, threads: int, report: Report) -> None:
        self._order, self._places, self._manners = order, places, manners
        self._threads, self._report = threads, report
        self._seen_root = ""
        self._body_bytes = 0

    def run(self, *, after: ChangedError | None = None) -> Update:
        """See `update`; `after`: what made an earlier look useless."""
        order, report = self._order, self._report
        release = load_release(self._places, _address(order), limit_bytes_per_s=self._manners.limit_bytes_per_s)
        if after is not None and release.index.root == self._seen_root:
            hint = "the publisher has to make the control file anew: lfbuild index FILE"
            raise FetchError(after.where, f"{after.what}, and the control file does not tell of it", hint=hint)
        self._seen_root = release.index.root
        before = _identity(order.path)
        seeds = _gather_seeds(order, release, threads=self._threads, report=report)
        if _is_current(order, seeds, release):
            clear_leftovers(order.path)
            return _told(order, release, is_current=True)
        root = bytes.fromhex(release.index.root)
        with opened_partial(order.path, root=root, size_bytes=release.index.file.size_bytes) as partial:
            begun = _UnderWay(partial, partial_of(self._fetch_unknown, partial, release))
            plan = make_plan(release, seeds, begun, places=self._places, manners=self._manners)
            for line in plan.lines() if plan.supplies.wanted_bytes > plan.kept_bytes else ():
                report.note(line)
            _refuse_too_much(order, plan)
            # Beyond this point nothing is decided any more: the plan is carried out.
            self._carry_out(plan, partial)
            _hold_against_itself(partial)
            if _identity(order.path) != before:
                raise HostError(order.path, "was changed while its update was put together", hint="run again")
            partial.finish(mode=_mode(order.path), kept_as=_kept_as(order))
        outcome = _with_plan(_told(order, release, is_current=False), plan)
        return replace(outcome, is_done=True, body_bytes=self._body_bytes)

    def _carry_out(self, plan: Plan, partial: Partial) -> None:
        copy_what_is_here(partial, plan.supplies, [seed.path for seed in plan.seeds], report=self._report)
        self._fetch(plan, partial, plan.supplies.wanted, plan.routes[0])
        wrong = judge(partial, plan.target, threads=self._threads, report=self._report)
        if wrong:
            size = sum(block.span.size_bytes for block in wrong)
            self._report.note(f"{len(wrong)} blocks ({size} bytes) of the files at hand are damaged; they are fetched")
            for block in wrong:
                partial.done[b"B"].discard(block.span.offset)
            self._fetch(plan, partial, wrong, plan.routes[0])
            if judge(partial, plan.target, threads=self._threads, report=self._report):
                raise IntegrityError(partial.path, "does not become what the release promises; the disk may be bad")

    def _fetch(self, plan: Plan, partial: Partial, wanted: Sequence[Wanted], route: Route) -> None:
        remote = plan.release.remote(self._places, plan.release.index.file)

        def fetch(*, is_whole: bool) -> None:
            self._body_bytes += fetch_the_rest(
                partial,
                wanted,
                remote,
                target=plan.target,
                manners=self._manners,
                line=plan.release.line,
                is_whole=is_whole,
                report=self._report,
            ).body_bytes

        try:
            fetch(is_whole=route.kind == "whole")
        except RangesRefusedError as refused:
            self._report.note(f"{refused}; so all of it is read, {plan.release.index.file.size_bytes} bytes")
            fetch(is_whole=True)

    def _fetch_unknown(
        self, partial: Partial, release: Release, at_hand: Collection[bytes], refused: RangesRefusedError
    ) -> dict[bytes, bytes]:
        size = release.index.file.size_bytes
        if self._order.at_most_bytes is not None and size > self._order.at_most_bytes:
            raise _too_much(self._order, size)
        self._report.note(f"{refused}; so all of it is read, {size} bytes")
        remote = release.remote(self._places, release.index.file)
        leaves, traffic = fetch_unknown(
            partial, release.index, at_hand, remote, manners=self._manners, report=self._report
        )
        self._body_bytes += traffic.body_bytes
        return leaves


class _OnlyLookedAt:
    """An update that nobody has begun: nothing may be written for its plan."""

    def __init__(self, order: UpdateOrder) -> None:
        self._order = order

    def learn(self, at_hand: Collection[bytes], refused: RangesRefusedError, /) -> dict[bytes, bytes]:
        """See `Begun`: the whole file is not fetched only to look at it."""
        del at_hand
        hint = "without --check, all of the file is fetched"
        raise FetchError(refused.where, f"{refused.what}, so what would move cannot be told", hint=hint) from refused

    def done(self, target: FileMap, wanted: Sequence[Wanted], /) -> Collection[int]:
        """See `Begun`."""
        del wanted
        return blocks_done(self._order.path, root=target.root, size_bytes=target.size_bytes)


class _UnderWay:
    """An update whose new file is open."""

    def __init__(self, partial: Partial, fetch_unknown_runs: FetchUnknown) -> None:
        self._partial, self._fetch_unknown_runs = partial, fetch_unknown_runs
        self._has_learnt = False

    def learn(self, at_hand: Collection[bytes], refused: RangesRefusedError, /) -> dict[bytes, bytes]:
        """See `Begun`."""
        self._has_learnt = True
        return self._fetch_unknown_runs(at_hand, refused)

    def done(self, target: FileMap, wanted: Sequence[Wanted], /) -> Collection[int]:
        """See `Begun`: what was written and not yet recorded when an earlier run ended counts too."""
        if self._partial.was_begun or self._has_learnt:
            find_unrecorded(self._partial, target, wanted)
        return self._partial.done[b"B"]


def _address(order: UpdateOrder) -> str:
    url = order.url or _own_address(order.path)
    return index_address(url, order.path.name)


def _own_address(path: Path) -> str:
    """Where the file itself says that newer releases are."""
    url = ""
    with contextlib.suppress(FormatError), Reader.open(path) as reader:
        ours = load_manifest(reader)
        url = ours[0].update_url if ours else ""
    if not url:
        what = "names no address of newer releases"
        problem = Problem(where=str(path), key="", what=what)
        raise RecipeError(path, [problem], hint=f"lfbuild update {path.name} URL")
    return url


def _gather_seeds(order: UpdateOrder, release: Release, *, threads: int, report: Report) -> tuple[Seed, ...]:
    """The maps of all files whose blocks may serve: the file itself, those that were named, what was begun before."""
    seeds = []
    for path in (order.path, *_seed_files(order)):
        if path == order.path and not path.exists():
            continue
        with report.step(f"look at {path.name}") as step:
            found = map_file(path, threads=threads, on_bytes=step.advance, block_bytes=release.index.block_bytes)
            seeds.append(Seed(path=path, found=found))
    leftovers = find_leftovers(order.path, root=bytes.fromhex(release.index.root))
    return (*seeds, *(Seed(path=item.path, found=item.found) for item in leftovers))


def _seed_files(order: UpdateOrder) -> Iterator[Path]:
    for named in order.seeds:
        if not named.is_dir():
            yield named
            continue
        try:
            found = sorted(path for path in named.rglob("*") if path.suffix.lower() in _SEED_SUFFIXES)
        except OSError as error:
            raise host_error(named, error) from error
        yield from (path for path in found if path.is_file() and SUFFIX not in path.name and path != order.path)


def _is_current(order: UpdateOrder, seeds: Sequence[Seed], release: Release) -> bool:
    return any(seed.path == order.path and seed.found.root.hex() == release.index.root for seed in seeds)


def _told(order: UpdateOrder, release: Release, *, is_current: bool) -> Update:
    about = release.index.release
    return Update(
        path=order.path,
        url=release.where,
        name=about.name if about else "",
        version=about.version if about else "",
        size_bytes=release.index.file.size_bytes,
        is_current=is_current,
    )


def _with_plan(told: Update, plan: Plan) -> Update:
    return replace(
        told,
        copied_bytes=plan.supplies.copied_bytes,
        wanted_bytes=plan.supplies.wanted_bytes,
        kept_bytes=plan.kept_bytes,
        routes=plan.routes,
        assumed_bytes_per_s=plan.release.line.bytes_per_s,
    )


def _refuse_too_much(order: UpdateOrder, plan: Plan) -> None:
    if order.at_most_bytes is not None and plan.routes[0].body_bytes > order.at_most_bytes:
        raise _too_much(order, plan.routes[0].body_bytes)


def _too_much(order: UpdateOrder, size: int) -> FetchError:
    what = f"{size} bytes would have to be fetched, more than the {order.at_most_bytes} that --at-most allows"
    return FetchError(order.path, what, hint="name a file that has more of it with --seed, or allow more")


def _hold_against_itself(partial: Partial) -> None:
    """A release of ours promises more than its bytes: that they hold together as a file.

    Raises:
        IntegrityError: they do not.
    """
    if read_at(partial.descriptor, 0, len(MAGIC)) == MAGIC:
        return
    try:
        with opened(partial.path) as file:
            reader = Reader(partial.path, file)
            ours = load_manifest(reader)
            findings = list(verify_structure(reader, *ours)) if ours else []
    except FormatError:
        return  # no ZIP: the release is somebody else's file, and its bytes are as its control file says
    if findings:
        hint = "the release itself is broken; the old file is as it was"
        raise IntegrityError(partial.path, f"{findings[0].subject}: {findings[0].what}", hint=hint)


def _identity(path: Path) -> tuple[int, int, int] | None:
    """What tells a file from another one under its name."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise host_error(path, error) from error
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o755


def _kept_as(order: UpdateOrder) -> Path | None:
    return order.path.with_name(order.path.name + ".old") if order.keep_old else None
