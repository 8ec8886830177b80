"""Completes a control file to the whole map of a release: most leaves are known from files at hand, few are fetched.

Values in, values out. A run that stands unchanged in any file at hand brings its leaves from there; only the leaves of
changed runs have to be fetched, and each is held against its digest before it counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from lfbuild.channel.describe import run_digest
from lfbuild.channel.index import Region, ReleaseIndex
from lfbuild.errors import FormatError, IntegrityError
from lfbuild.fetch.ranges import Span
from lfbuild.formats.blocks import DIGEST_BYTES, BlockIndex, Cuts
from lfbuild.manifest.filemap import Blocks, FileMap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lfbuild.channel.index import IndexPart
    from lfbuild.manifest.filemap import Part


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaves:
    """The leaves of one run, where they stand and what they must be."""

    span: Span
    """In the file of the leaves."""
    digest: bytes

    def are(self, data: bytes | memoryview) -> bool:
        """Whether these bytes are they."""
        return run_digest(bytes(data)) == self.digest


def known_leaves(index: ReleaseIndex, seeds: Iterable[FileMap]) -> dict[bytes, bytes]:
    """The leaves of all runs that need no fetching, by the run's digest."""
    return leaves_at_hand(index, seeds) | {
        digest: digest
        for region in index.regions
        for run, digest in zip(region.runs, region.digests, strict=True)
        if run.blocks == 1
    }


def leaves_at_hand(index: ReleaseIndex, seeds: Iterable[FileMap]) -> dict[bytes, bytes]:
    """The leaves of the runs that stand whole in a file at hand, by the run's digest."""
    # By the number, too: a block that consists of a run's leaves has the digest of that run.
    wanted = {(leaves.digest, leaves.span.size_bytes) for region in index.regions for leaves in _of_region(region)}
    found: dict[bytes, bytes] = {}
    for seed in seeds:
        for leaves in _runs_of(seed):
            if ((digest := run_digest(leaves)), len(leaves)) in wanted:
                found.setdefault(digest, leaves)
    return found


def recorded_leaves(index: ReleaseIndex, blocks: Mapping[Span, bytes]) -> dict[bytes, bytes]:
    """The leaves of the runs whose blocks are all among `blocks`, by the run's digest."""
    found = {}
    for region in index.regions if blocks else ():
        starts = accumulate((run.size_bytes for run in region.runs), initial=region.offset)
        for start, run, digest in zip(starts, region.runs, region.digests, strict=False):
            own = [blocks.get(Span(start + at, size), b"") for at, size in Cuts(runs=(run,)).blocks()]
            if all(own) and run_digest(joined := b"".join(own)) == digest:
                found[digest] = joined
    return found


def missing_leaves(index: ReleaseIndex, known: Mapping[bytes, bytes], *, where: str) -> tuple[Leaves, ...]:
    """The leaves that have to be fetched, in the order of their file.

    Raises:
        FormatError: the index says that they lie outside of their file.
        IntegrityError: what it says of some of them cannot all be true.
    """
    missing = {leaves for region in index.regions for leaves in _of_region(region) if leaves.digest not in known}
    needed = sorted(missing, key=lambda leaves: leaves.span)
    if any(before.span.end > after.span.offset for before, after in pairwise(needed)):
        raise IntegrityError(where, "promises other leaves for two runs, and tells of the same place for both")
    if needed and max(leaves.span.end for leaves in needed) > index.leaves_file.size_bytes:
        raise FormatError(where, "tells of leaves outside of the file that has them")
    return tuple(needed)


def complete(index: ReleaseIndex, leaves: Mapping[bytes, bytes], *, where: str) -> FileMap:
    """The map of the release, all leaves in place.

    Raises:
        IntegrityError: it is not the map that the control file promises.
    """
    found = FileMap(parts=tuple(_with_leaves(part, leaves, where) for part in index.parts), holes=index.holes)
    if found.root.hex() != index.root:
        raise IntegrityError(where, "its parts are not those of the file that it promises")
    return found


def _with_leaves(part: IndexPart, leaves: Mapping[bytes, bytes], where: str) -> Part:
    if not isinstance(part, Region):
        return part
    joined = b"".join(leaves[digest] for digest in part.digests)
    if len(joined) != DIGEST_BYTES * part.cuts.leaves:
        raise IntegrityError(where, "promises the same digest for runs of another number of blocks")
    return Blocks(offset=part.offset, name=part.name, index=BlockIndex(cuts=part.cuts, leaves=joined))


def _of_region(region: Region) -> Iterator[Leaves]:
    position = region.leaves_at
    for run, digest in zip(region.runs, region.digests, strict=True):
        size = DIGEST_BYTES * run.blocks
        yield Leaves(span=Span(position, size), digest=digest)
        position += size


def _runs_of(seed: FileMap) -> Iterator[bytes]:
    for region in seed.regions:
        start = 0
        for run in region.index.cuts.runs:
            size = DIGEST_BYTES * run.blocks
            yield region.index.leaves[start : start + size]
            start += size
