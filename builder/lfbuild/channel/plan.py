"""Finds out what a release needs that is not at hand: leaves of what changed, then blocks, then the best way there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from lfbuild.channel.ahead import leaves_in_deltas
from lfbuild.channel.leaves import complete, known_leaves, leaves_at_hand, missing_leaves, recorded_leaves
from lfbuild.channel.release import fetch_leaves
from lfbuild.channel.route import Route, Supplies, find_routes, find_supplies
from lfbuild.fetch.answers import RangesRefusedError
from lfbuild.report import size_words

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from lfbuild.channel.index import DeltaRecord
    from lfbuild.channel.release import Release
    from lfbuild.channel.route import Wanted
    from lfbuild.fetch.parallel import Manners
    from lfbuild.fetch.places import Places
    from lfbuild.fetch.ranges import Span
    from lfbuild.manifest.filemap import FileMap

_WORDS = {"ranges": "what is missing, in ranges", "delta": "the published difference", "whole": "the whole file"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Seed:
    """A file at hand whose blocks may serve."""

    path: Path
    found: FileMap


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What was decided, with what it was decided from."""

    release: Release
    target: FileMap
    seeds: tuple[Seed, ...]
    supplies: Supplies
    routes: tuple[Route, ...]
    """The ways there are, the best first."""
    kept_bytes: int
    """What an earlier run has fetched already, out of what is wanted."""
    refusal: str = ""
    """Why there are no ranges, where there are none."""

    def lines(self) -> tuple[str, ...]:
        """The plan in words, the way that is taken first."""
        size, moved = self.target.size_bytes, self.routes[0].body_bytes
        saved = f"{size_words(max(size - moved, 0))} of {size_words(size)} need not be fetched"
        speed = f"{size_words(int(self.release.line.bytes_per_s))}/s"
        ways = [
            f"{_WORDS[route.kind]}: {size_words(route.body_bytes)} in {route.requests} "
            f"request{'' if route.requests == 1 else 's'}, about {route.seconds:.1f} s on the line"
            for route in self.routes
        ]
        refusal = (self.refusal,) if self.refusal else ()
        first = f"{saved}; {ways[0]} at an assumed {speed}"
        return (*refusal, first, *(f"instead of {way}" for way in ways[1:]))


class Begun(Protocol):
    """What an update that is under way can do for its plan, and one that is only looked at cannot."""

    def recorded(self) -> Mapping[Span, bytes]:
        """The blocks that an earlier run has fetched already, with their leaves."""

    def learn(self, at_hand: Collection[bytes], refused: RangesRefusedError, /) -> dict[bytes, bytes]:
        """The leaves of all runs that are not at hand, from a server that sends only whole files."""

    def done(self, target: FileMap, wanted: Sequence[Wanted], /) -> Collection[int]:
        """Offsets of the wanted blocks that stand in the new file already."""

    def held(self, delta: DeltaRecord, /) -> int:
        """How many bytes of a published difference an earlier run has fetched already."""

    def allow(self, size_bytes: int, /) -> None:
        """Raise a `FetchError` where so many more bytes may not be fetched."""

    def count(self, size_bytes: int, /) -> None:
        """So many bytes came over the line."""


def make_plan(release: Release, seeds: Sequence[Seed], begun: Begun, *, places: Places, manners: Manners) -> Plan:
    """Decide where each byte comes from.

    Raises:
        FetchError: leaves could not be had.
        FormatError, IntegrityError: the control file contradicts itself, or its leaves do.
    """
    maps = [seed.found for seed in seeds]
    recorded, refusal = recorded_leaves(release.index, begun.recorded()), ""
    known = known_leaves(release.index, maps) | recorded
    missing = missing_leaves(release.index, known, where=release.where)
    try:
        remote = release.remote(places, release.index.leaves_file)
        known |= fetch_leaves(remote, missing, manners=manners, line=release.line)
    except RangesRefusedError as refused:
        known |= leaves_in_deltas(release, maps, begun, places=places, manners=manners)
        if any(leaves.digest not in known for leaves in missing):
            known |= begun.learn(leaves_at_hand(release.index, maps) | recorded, refused)
        else:
            refusal = str(refused)
    target = complete(release.index, known, where=release.where)
    supplies = find_supplies(maps, target)
    done = begun.done(target, supplies.wanted)
    old_roots = {seed.found.root.hex() for seed in seeds}
    routes = find_routes(
        supplies,
        release.index,
        old_roots=old_roots,
        line=release.line,
        done=done,
        held=begun.held,
        has_ranges=not refusal,
    )
    return Plan(
        release=release,
        target=target,
        seeds=tuple(seeds),
        supplies=supplies,
        routes=tuple(route for route in routes if not refusal or route.kind != "ranges" or not route.requests),
        kept_bytes=sum(block.span.size_bytes for block in supplies.wanted if block.span.offset in done),
        refusal=refusal,
    )
