"""An update that is under way: its new file is open, and what was planned is carried out in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from lfbuild.archive.reader import Reader, opened
from lfbuild.channel.carry import (
    NewBytes,
    copy_what_is_here,
    fetch_delta,
    fetch_the_rest,
    fetch_unknown,
    find_unrecorded,
    is_delta,
    judge,
)
from lfbuild.channel.index import FileRecord
from lfbuild.channel.mend import copy_again
from lfbuild.channel.partial import Partial, blocks_done, opened_partial
from lfbuild.channel.route import delta_bytes_left, whole_route
from lfbuild.errors import FetchError, FormatError, IntegrityError, ToolError
from lfbuild.fetch.answers import ChangedError, NotThereError, RangesRefusedError
from lfbuild.fetch.ranges import Span, plan_pieces
from lfbuild.formats.gguf import MAGIC
from lfbuild.manifest.verify import load_manifest, verify_structure
from lfbuild.report import size_words

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from lfbuild.channel.index import DeltaRecord
    from lfbuild.channel.plan import Plan, Seed
    from lfbuild.channel.release import Release
    from lfbuild.channel.route import Route, Wanted
    from lfbuild.fetch.parallel import Manners
    from lfbuild.fetch.places import Places
    from lfbuild.fetch.remote import Remote
    from lfbuild.manifest.filemap import FileMap
    from lfbuild.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Means:
    """What an update works with."""

    places: Places
    manners: Manners
    threads: int
    report: Report
    at_most_bytes: int | None = None
    """More than this is not fetched."""


class Work:
    """Puts the new file together; a `Begun` for its own plan."""

    def __init__(self, release: Release, partial: Partial, means: Means) -> None:
        self._release, self._partial, self._means = release, partial, means
        self.learnt: Route | None = None
        """The way by which all came, with the leaves, from a server that sends only whole files."""
        self.body_bytes = 0
        """What came over the line so far."""
        root = bytes.fromhex(release.index.root)
        self._recorded = blocks_done(partial.target, root=root, size_bytes=partial.size_bytes)

    @cached_property
    def _file(self) -> Remote:
        """The file of the release; one for all requests, as it remembers what they were answered."""
        return self._release.remote(self._means.places, self._release.index.file)

    def recorded(self) -> Mapping[Span, bytes]:
        """See `Begun`."""
        return self._recorded

    def allow(self, size_bytes: int, /) -> None:
        """See `Begun`: what came already counts too, but nothing is refused that costs nothing."""
        most, all_of_it = self._means.at_most_bytes, self.body_bytes + size_bytes
        if most is not None and size_bytes and all_of_it > most:
            allowed = f"more than the {size_words(most)} that --at-most allows"
            what = f"{size_words(all_of_it)} would have to be fetched, {allowed}"
            hint = "name a file that has more of it with --seed, or allow more"
            raise FetchError(self._release.where, what, hint=hint)

    def count(self, size_bytes: int, /) -> None:
        """See `Begun`."""
        self.body_bytes += size_bytes

    def learn(self, at_hand: Collection[bytes], refused: RangesRefusedError, /) -> dict[bytes, bytes]:
        """See `Begun`."""
        size, before = self._release.index.file.size_bytes, self.body_bytes
        self.allow(size)
        self._means.report.note(f"{refused}; so all of it is read, {size_words(size)}")
        leaves = fetch_unknown(
            self._partial,
            self._release.index,
            at_hand,
            self._file,
            manners=self._means.manners,
            on_traffic=self.count,
            report=self._means.report,
        )
        self.learnt = replace(whole_route(size, self._release.line), body_bytes=self.body_bytes - before)
        return leaves

    def done(self, target: FileMap, wanted: Sequence[Wanted], /) -> Collection[int]:
        """See `Begun`: what was written and not yet recorded when an earlier run ended counts too."""
        if self._partial.was_begun or self.learnt is not None:
            find_unrecorded(self._partial, target, wanted)
        return self._partial.done

    def held(self, delta: DeltaRecord, /) -> int:
        """See `Begun`."""
        return delta_bytes_held(self._partial.target, delta)

    def kept_bytes(self, plan: Plan) -> int:
        """What an earlier run had kept out of what was wanted; what came with the leaves is there for the plan, too."""
        return sum(block.span.size_bytes for block in plan.supplies.wanted if block.span in self._recorded)

    def refuse_too_much(self, plan: Plan) -> None:
        """Refuse a plan by which more would be fetched than is allowed.

        Raises:
            FetchError: it is such a plan.
        """
        self.allow(plan.routes[0].body_bytes)

    def carry_out(self, plan: Plan) -> None:
        """Make the new file complete, by the best of the ways that leads there.

        Raises:
            FetchError: something could not be had, or would be more than is allowed.
            IntegrityError: what came is not what the release promises, or that does not hold together.
            HostError: the disk is full.
        """
        self.gather(plan)
        self.mend(plan, NewBytes(partial=self._partial))

    def gather(self, plan: Plan) -> None:
        """Bring everything into the new file that is not there yet, from files at hand or over the line."""
        best = plan.routes[0]
        if best.delta is None or not self._take_delta(plan, best.delta):
            self.allow(self._line_bytes(plan, plan.supplies.wanted))
            seeds = [seed.path for seed in plan.seeds]
            copy_what_is_here(self._partial, plan.supplies, seeds, report=self._means.report)
            self._fetch(plan, plan.supplies.wanted)

    def mend(self, plan: Plan, new: NewBytes) -> NewBytes:
        """Look at every byte, and bring what is wrong anew; returns where the bytes are now.

        Raises:
            FetchError: something could not be had, or would be more than is allowed.
            IntegrityError: what was written does not stand there, something else than a block is wrong, or it does not
                hold together.
        """
        new = self._without_wrong_blocks(plan, new)
        self._hold_against_itself(new)
        return new

    def _without_wrong_blocks(self, plan: Plan, new: NewBytes) -> NewBytes:
        threads, report = self._means.threads, self._means.report
        # No digest covers what stands in a hole, so what the old file has there does not count.
        new = new.without(Span(hole.offset, hole.size_bytes) for hole in plan.target.holes)
        wrong = judge(new, plan.target, threads=threads, report=report)
        if not wrong:
            return new
        self._partial.forget([block.span.offset for block in wrong])
        new = new.without([block.span for block in wrong])
        left = copy_again(new, wrong, plan.target, plan.seeds, report=report)
        if left:
            size = sum(block.span.size_bytes for block in left)
            report.note(f"{size_words(size)} turned out wrong, and no file at hand has them whole; they are fetched")
            self.allow(self._line_bytes(plan, left))
            self._fetch(plan, left)
        if judge(new, plan.target, threads=threads, report=report):
            raise IntegrityError(self._partial.path, "is not what was written there", hint="check the disk")
        return new

    def _fetch(self, plan: Plan, wanted: Sequence[Wanted]) -> None:
        """Fetch blocks in ranges, or out of the whole file where that is the better way, or the only one."""
        try:
            self._fetch_by(plan, wanted, is_whole=_is_whole(plan))
        except RangesRefusedError as refused:
            delta = next((route.delta for route in plan.routes if route.delta), None)
            if delta is not None and plan.routes[0].delta is None:  # not as good as ranges, but there are none
                self._means.report.note(f"{refused}; so the published difference is taken")
                self.allow(delta_bytes_left(delta, self.held(delta), has_ranges=False))
                if self._take_delta(plan, delta):
                    return
            size = self._release.index.file.size_bytes
            self.allow(size)
            self._means.report.note(f"{refused}; so all of it is read, {size_words(size)}")
            self._fetch_by(plan, wanted, is_whole=True)

    def _line_bytes(self, plan: Plan, wanted: Sequence[Wanted]) -> int:
        """What comes over the line when these blocks are fetched."""
        left = [block.span for block in wanted if block.span.offset not in self._partial.done]
        if left and _is_whole(plan):
            return self._release.index.file.size_bytes
        return sum(piece.span.size_bytes for piece in plan_pieces(left, line=self._release.line))

    def _fetch_by(self, plan: Plan, wanted: Sequence[Wanted], *, is_whole: bool) -> None:
        fetch_the_rest(
            self._partial,
            wanted,
            self._file,
            target=plan.target,
            manners=self._means.manners,
            line=self._release.line,
            is_whole=is_whole,
            on_traffic=self.count,
            report=self._means.report,
        )

    def _take_delta(self, plan: Plan, delta: DeltaRecord) -> bool:
        """Fetch a published difference and apply it; where it is of no use, that is told, and there are other ways.

        What it has written by then stays: it is judged like everything else. One that broke off is of use as long as
        more of it comes in each run.
        """
        old = next(seed for seed in plan.seeds if seed.found.root.hex() == delta.old)
        digest, before = bytes.fromhex(delta.blake3), self.held(delta)
        try:
            with opened_partial(self._partial.target, root=digest, size_bytes=delta.size_bytes) as fetched:
                self._fetch_delta(fetched, delta, digest)
                self._apply(plan, old, fetched)
        except (FetchError, FormatError, IntegrityError, ToolError) as error:
            is_gone = isinstance(error, NotThereError | ChangedError)
            if isinstance(error, FetchError) and not is_gone and self.held(delta) > before:
                raise
            self._means.report.note(f"{error}; so the published difference is not taken")
            return False
        return True

    def _fetch_delta(self, fetched: Partial, delta: DeltaRecord, digest: bytes) -> None:
        remote = self._release.remote(self._means.places, FileRecord(url=delta.url, size_bytes=delta.size_bytes))
        was_begun = bool(fetched.done)
        self._bring_delta(fetched, remote)
        if was_begun and not is_delta(fetched, digest):
            # What an earlier run fetched did not reach the disk, or was another one.
            fetched.restart()
            self.allow(delta.size_bytes)
            self._bring_delta(fetched, remote)
        if not is_delta(fetched, digest):
            fetched.restart()
            raise IntegrityError(remote.where, "is not the difference that the control file promises")

    def _bring_delta(self, fetched: Partial, remote: Remote) -> None:
        fetch_delta(
            fetched,
            remote,
            manners=self._means.manners,
            line=self._release.line,
            allow=self.allow,
            on_traffic=self.count,
            report=self._means.report,
        )

    def _apply(self, plan: Plan, old: Seed, fetched: Partial) -> None:
        from lfbuild.delta.apply import DeltaStream, apply_delta, prepare
        from lfbuild.delta.side import Side

        threads, report = self._means.threads, self._means.report
        with (
            Side.open(old.path, threads=threads, report=report) as side,
            fetched.path.open("rb") as file,
            self._partial.path.open("r+b") as target,
        ):
            stream = DeltaStream(file, self._release.where)
            _, resolved = prepare(side, stream)
            if resolved.target.root != plan.target.root:
                raise IntegrityError(self._release.where, "promises a difference that makes another file")
            try:
                with report.step("apply the difference", total=resolved.blocks_bytes) as step:
                    apply_delta(side, stream, resolved, target, threads=threads, on_bytes=step.advance)
            except (FormatError, IntegrityError, ToolError):
                find_unrecorded(self._partial, plan.target, plan.supplies.wanted)
                raise

    def _hold_against_itself(self, new: NewBytes) -> None:
        """A release of ours promises more than its bytes: that they hold together as a file."""
        if new.read(0, len(MAGIC)) == MAGIC:
            return
        try:
            with opened(self._partial.path) as file:
                reader = Reader(self._partial.path, file, read=new.read)
                ours = load_manifest(reader)
                findings = list(verify_structure(reader, *ours)) if ours else []
        except FormatError:
            return  # no ZIP: the release is somebody else's file, and its bytes are as its control file says
        if findings:
            hint = "the release itself is broken; the old file is as it was"
            raise IntegrityError(self._partial.path, f"{findings[0].subject}: {findings[0].what}", hint=hint)


def _is_whole(plan: Plan) -> bool:
    """Whether the better way, without a difference, is to read the whole file."""
    return next(route.kind for route in plan.routes if route.delta is None) == "whole"


def delta_bytes_held(target: Path, delta: DeltaRecord) -> int:
    """How many bytes of a published difference lie beside `target`."""
    done = blocks_done(target, root=bytes.fromhex(delta.blake3), size_bytes=delta.size_bytes)
    return sum(span.size_bytes for span in done)
