"""Decides how a file becomes the newer one: what is copied, what is fetched, and by which of the ways.

Values in, values out: the maps of the files at hand and of the release, and what the line is like.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lfbuild.channel.describe import index_members, is_region
from lfbuild.fetch.ranges import Line, Piece, Span, plan_pieces
from lfbuild.manifest.filemap import Literal as Glue
from lfbuild.manifest.matching import MISSING, Stretch, match

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from lfbuild.channel.index import DeltaRecord, ReleaseIndex
    from lfbuild.manifest.filemap import FileMap

RouteKind = Literal["ranges", "delta", "whole"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A block that no file at hand has."""

    span: Span
    leaf: bytes
    twins: tuple[int, ...] = ()
    """Where else in the file the same block stands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Supplies:
    """Where every byte of the new file comes from."""

    copies: tuple[Stretch, ...]
    given: tuple[Glue, ...]
    """What is in memory: glue, and block indexes, which are made of leaves that are known."""
    wanted: tuple[Wanted, ...]

    @property
    def copied_bytes(self) -> int:
        """Bytes that files at hand have."""
        return sum(stretch.size_bytes for stretch in self.copies)

    @property
    def wanted_bytes(self) -> int:
        """Bytes that have to come from elsewhere."""
        return sum(block.span.size_bytes for block in self.wanted)


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One way to the new file."""

    kind: RouteKind
    body_bytes: int
    """Bytes that come over the line, with what lies between wanted blocks."""
    requests: int
    seconds: float
    """On the line as it is known, or taken to be."""
    delta: DeltaRecord | None = None


def find_supplies(seeds: Sequence[FileMap], target: FileMap) -> Supplies:
    """Where each byte of `target` comes from."""
    glue = [part for part in target.parts if isinstance(part, Glue)]
    indexes = [
        Glue(offset=member.offset, data=data) for _, member, data in index_members(target) if is_region(member, data)
    ]
    stretches = match(seeds, target)
    return Supplies(
        copies=tuple(stretch for stretch in stretches if stretch.seed >= 0),
        given=(*glue, *indexes),
        wanted=_wanted(target, stretches, indexes),
    )


def find_routes(
    supplies: Supplies,
    index: ReleaseIndex,
    *,
    old_roots: Collection[str],
    line: Line,
    done: Collection[int] = (),
    held: Callable[[DeltaRecord], int] = lambda _: 0,
    has_ranges: bool = True,
) -> tuple[Route, ...]:
    """The ways there are, the best first.

    What an earlier run has fetched already is not reckoned: `done` are offsets of blocks, `held` tells how many bytes
    of a difference.
    """
    spans = [block.span for block in supplies.wanted if block.span.offset not in done]
    pieces = plan_pieces(spans, line=line)
    routes = [
        Route(
            kind="ranges",
            body_bytes=sum(piece.span.size_bytes for piece in pieces),
            requests=len(pieces),
            seconds=line.seconds(pieces),
        )
    ]
    for delta in index.deltas:
        if delta.old in old_roots:
            left = delta_bytes_left(delta, held(delta), has_ranges=has_ranges)
            seconds = _one_request(left, line)
            routes.append(Route(kind="delta", body_bytes=left, requests=1, seconds=seconds, delta=delta))
    routes.append(whole_route(index.file.size_bytes, line))
    return tuple(sorted(routes, key=lambda route: (route.seconds, route.body_bytes)))


def delta_bytes_left(delta: DeltaRecord, held_bytes: int, *, has_ranges: bool) -> int:
    """What of a published difference comes over the line: without ranges all of it, if not all is here."""
    left = delta.size_bytes - held_bytes
    return delta.size_bytes if left and not has_ranges else left


def whole_route(size_bytes: int, line: Line) -> Route:
    """All of the file in one request."""
    return Route(kind="whole", body_bytes=size_bytes, requests=1, seconds=_one_request(size_bytes, line))


def _one_request(size: int, line: Line) -> float:
    return line.seconds((Piece(units=(Span(0, size),)),)) if size else 0.0


def _wanted(target: FileMap, stretches: Sequence[Stretch], given: Sequence[Glue]) -> tuple[Wanted, ...]:
    """Missing blocks, each once."""
    table = target.table
    firsts: dict[tuple[bytes, int], int] = {}
    twins: dict[int, list[int]] = {}
    for stretch in stretches:
        if stretch.seed != MISSING:
            continue
        for number in range(stretch.block, stretch.block + stretch.blocks):
            if any(glue.offset <= table.offsets[number] < glue.offset + glue.size_bytes for glue in given):
                continue
            first = firsts.setdefault((table.leaf(number), table.sizes[number]), number)
            twins.setdefault(first, [])
            if first != number:
                twins[first].append(table.offsets[number])
    return tuple(
        Wanted(span=Span(table.offsets[number], table.sizes[number]), leaf=table.leaf(number), twins=tuple(more))
        for number, more in twins.items()
    )
