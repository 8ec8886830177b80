"""Makes a release's control file out of the map of its file. Values in, values out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from blake3 import blake3

from lfbuild.channel.index import LEAVES_SUFFIX, FileRecord, Region, ReleaseIndex
from lfbuild.formats.blocks import DIGEST_BYTES, BlockIndex, Cuts
from lfbuild.manifest.filemap import Blocks
from lfbuild.manifest.model import HEAD_INDEX_NAME, INDEX_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lfbuild.channel.index import DeltaRecord, IndexPart
    from lfbuild.manifest.filemap import FileMap, Part
    from lfbuild.manifest.model import Manifest

_IN_NO_FILE: Final = -1
_MOST_LEAVES_INSIDE: Final = 256
"""So many leaves that stand nowhere in the release's own file are kept in the control file itself: 8 KB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """What is to stand beside a release."""

    index: ReleaseIndex
    leaves: bytes
    """Of the second file; empty where the release's own file has all leaves."""


def describe_release(
    found: FileMap, *, name: str, url: str, manifest: Manifest | None, deltas: Sequence[DeltaRecord] = ()
) -> Described:
    """The control file of a file that lies at `url`; its leaves, where they need a file, beside `name`.

    Both are seen from the control file, and written as in an address (`reference_to`).
    """
    places, leaves = _leaves_in_file(found), b""
    homeless = sum(region.index.cuts.leaves for region in found.regions if places[region.offset] == _IN_NO_FILE)
    if homeless > _MOST_LEAVES_INSIDE:
        places, leaves = _leaves_in_second_file(found)
    index = ReleaseIndex(
        file=FileRecord(url=url, size_bytes=found.size_bytes),
        root=found.root.hex(),
        parts=tuple(_without_leaves(part, places) for part in found.parts),
        holes=found.holes,
        release=manifest.release if manifest else None,
        generation=manifest.generation if manifest else 0,
        leaves=FileRecord(url=f"{name}{LEAVES_SUFFIX}", size_bytes=len(leaves)) if leaves else None,
        deltas=tuple(deltas),
    )
    return Described(index=index, leaves=leaves)


def index_members(found: FileMap) -> Iterator[tuple[Blocks, Blocks, bytes]]:
    """Each region whose block index is a member of the file, that member, and the bytes that it must have."""
    members = {region.name: region for region in found.regions if region.name}
    for region in found.regions:
        name = f"{INDEX_FOLDER}{region.name}.blocks" if region.name else HEAD_INDEX_NAME
        is_head_or_member = bool(region.name) or region.offset == 0
        if is_head_or_member and (member := members.get(name)) is not None:
            yield region, member, region.index.to_bytes()


def run_digests(index: BlockIndex) -> tuple[bytes, ...]:
    """A digest for each run: of its one block, or of its leaves."""
    digests, start = [], 0
    for run in index.cuts.runs:
        leaves = index.leaves[start : start + DIGEST_BYTES * run.blocks]
        digests.append(run_digest(leaves))
        start += len(leaves)
    return tuple(digests)


def run_digest(leaves: bytes) -> bytes:
    """The digest of a run that has these leaves."""
    return leaves if len(leaves) == DIGEST_BYTES else bytes(blake3(leaves).digest())


def is_region(region: Blocks, data: bytes) -> bool:
    """Whether a region has exactly these bytes, as its leaves say."""
    cuts = region.index.cuts
    if cuts.size_bytes != len(data):
        return False
    leaves = b"".join(blake3(data[at : at + size]).digest() for at, size in cuts.blocks())
    return leaves == region.index.leaves


def _leaves_in_file(found: FileMap) -> dict[int, int]:
    """Where in the file itself each region's leaves stand, by the region's offset; 0 where none are needed."""
    places = {region.offset: 0 if _is_known(region) else _IN_NO_FILE for region in found.regions}
    for region, member, data in index_members(found):
        if is_region(member, data):
            places[region.offset] = member.offset + len(data) - len(region.index.leaves)
    return places


def _is_known(region: Blocks) -> bool:
    return all(run.blocks == 1 for run in region.index.cuts.runs)


def _leaves_in_second_file(found: FileMap) -> tuple[dict[int, int], bytes]:
    places, leaves = dict[int, int](), bytearray()
    for region in found.regions:
        places[region.offset] = 0 if _is_known(region) else len(leaves)
        if not _is_known(region):
            leaves += region.index.leaves
    return places, bytes(leaves)


def _without_leaves(part: Part, places: dict[int, int]) -> IndexPart:
    if not isinstance(part, Blocks):
        return part
    index = _in_single_blocks(part.index) if places[part.offset] == _IN_NO_FILE else part.index
    return Region(
        offset=part.offset,
        name=part.name,
        runs=index.cuts.runs,
        digests=run_digests(index),
        leaves_at=max(places[part.offset], 0),
    )


def _in_single_blocks(index: BlockIndex) -> BlockIndex:
    """The same blocks, each as a run of its own, so that its digest is its leaf."""
    runs = [replace(run, size_bytes=size) for run in index.cuts.runs for _, size in Cuts(runs=(run,)).blocks()]
    return BlockIndex(cuts=Cuts(runs=tuple(runs)), leaves=index.leaves)
