"""Holds a file against its own manifest: every byte belongs to something, and is what was promised.

The chain: the seal holds the digest of the manifest; the manifest holds the digest of the directory, the root of the
head and of each member; local headers and end records have one canonical form; all that is left must be zero. So one
flipped bit anywhere is found, and the finding names the member or region it is in. Of a compressed member both are
checked, the stored bytes and the decoded ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blake3 import blake3

from lfbuild.archive.check import Finding, check_end
from lfbuild.archive.deflate import look_at
from lfbuild.archive.hashing import HashPool
from lfbuild.errors import FormatError, IntegrityError, LfbuildError, command
from lfbuild.formats.blocks import HEAD_BLOCK_BYTES, BlockIndex, Cuts
from lfbuild.formats.executable import PROBE_BYTES, certificate_table, signature_holes
from lfbuild.formats.zip import STORED, dos_time, end_records
from lfbuild.host.files import real_path
from lfbuild.host.inplace import has_journal
from lfbuild.manifest.model import MANIFEST_NAME, parse_manifest
from lfbuild.manifest.slices import check_encodings, check_slices, load_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lfbuild.archive.reader import Reader
    from lfbuild.formats.seal import Seal
    from lfbuild.formats.zip import CentralRecord
    from lfbuild.manifest.model import Manifest, MemberRecord, RegionRecord

_PIECE_BYTES = 4 << 20
_ZEROS = bytes(_PIECE_BYTES)

__all__ = ["Finding", "load_manifest", "verify_content", "verify_structure"]


def load_manifest(reader: Reader) -> tuple[Manifest, Seal] | None:
    """The manifest of a file of ours, checked against the seal; None for somebody else's file.

    Raises:
        FormatError: seal or manifest is damaged.
        IntegrityError: the manifest is not the one that was sealed, or an edit was interrupted.
    """
    seal = reader.seal
    where = f"{reader.where}: {MANIFEST_NAME}"
    if seal is None:
        if MANIFEST_NAME not in reader.records:
            return None
        raise FormatError(f"{reader.where}: seal", "is missing from the end record, though the file has a manifest")
    if seal.state == "redo":  # the directory is the one that the file will have: its members may not be there yet
        raise _interrupted(reader)
    try:
        data = reader.read(MANIFEST_NAME)
    except FormatError as error:
        raise FormatError(where, error.what, hint=error.hint) from error
    if blake3(data).hexdigest() != seal.manifest_digest:
        hint = f"get it again, or from where it is released: {command('update', reader.path, 'URL', '--repair')}"
        raise IntegrityError(where, "is not the manifest that the file was sealed with", hint=hint)
    return parse_manifest(data, where=reader.where), seal


def _interrupted(reader: Reader) -> IntegrityError:
    what = "an edit of this file was interrupted"
    if has_journal(real_path(reader.path)):
        return IntegrityError(f"{reader.where}: seal", what, hint=command("recover", reader.path))
    what = f"{what}, and the journal that would finish it is gone"
    return IntegrityError(f"{reader.where}: seal", what, hint="get the file again")


def verify_structure(reader: Reader, manifest: Manifest, seal: Seal) -> Iterator[Finding]:
    """Check everything but the content of head and members: seal, directory, headers, and that the rest is zero."""
    yield from _check_seal(reader, manifest, seal)
    yield from _told("directory", _check_directory(reader, manifest))
    yield from _told("local headers", _check_local_headers(reader, manifest))
    yield from _told("local headers", _check_coverage(reader, manifest))
    yield from _told("local headers", _check_spare(reader, manifest))
    yield from check_encodings(reader, manifest)
    yield from check_slices(reader, manifest)
    yield from check_end(reader, program_bytes=manifest.head.size_bytes)


def verify_content(
    reader: Reader, manifest: Manifest, *, threads: int, on_bytes: Callable[[int, str], None] = lambda _n, _name: None
) -> Iterator[Finding]:
    """Digest head and members and compare each block; `on_bytes` hears how much of what was digested."""
    with HashPool(threads) as pool:
        check = _ContentCheck(reader, pool, _slice_digests(reader), on_bytes)
        yield from check.head(manifest)
        for member in manifest.members:
            yield from check.member(member)
        for region in manifest.regions:
            yield from check.region(region)
        yield from _told(MANIFEST_NAME, check.manifest())


def _slice_digests(reader: Reader) -> dict[str, str]:
    """What a launcher expects each engine to be; a table that is damaged is told of with the structure."""
    try:
        return {item.member: item.digest for item in load_slices(reader)}
    except LfbuildError:
        return {}


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int
    subject: str = field(compare=False)


def _check_seal(reader: Reader, manifest: Manifest, seal: Seal) -> Iterator[Finding]:
    if seal.generation != manifest.generation:
        what = f"the seal is of generation {seal.generation}, the manifest of generation {manifest.generation}"
        yield Finding(subject="seal", what=what)
    directory = reader.directory
    expected = end_records(
        count=len(directory.records), offset=directory.offset, size=directory.size_bytes, comment=seal.to_bytes()
    )
    if reader.read_at(directory.end_offset, directory.end_size_bytes) != expected:
        yield Finding(subject="end records", what="are not the ones that fit this directory")


def _check_directory(reader: Reader, manifest: Manifest) -> Iterator[Finding]:
    found = reader.directory.records
    names = [item.record.name for item in found[manifest.head.own_members :]]
    expected = [*(member.name for member in manifest.members), MANIFEST_NAME]
    if names != expected:
        surplus = sorted(set(names) ^ set(expected)) or ["their order"]
        yield Finding(subject="directory", what=f"its members are not the manifest's: {', '.join(surplus)}")
    digest = blake3(b"".join(item.raw for item in found if item.record.name != MANIFEST_NAME)).hexdigest()
    if digest != manifest.directory:
        yield Finding(subject="directory", what="its records are not the ones in the manifest")
    record = reader.records.get(MANIFEST_NAME)
    if record is None:
        return
    canonical = record.to_bytes() == found[-1].raw and record.dos_time == dos_time(manifest.epoch)
    if not canonical or record.mode != 0o100644 or record.method != STORED:
        yield Finding(subject="directory", what="the record of the manifest itself was changed")


def _check_local_headers(reader: Reader, manifest: Manifest) -> Iterator[Finding]:
    for found in reader.directory.records[manifest.head.own_members :]:
        expected = found.record.local_header()
        if reader.read_at(found.record.header_offset, len(expected)) != expected:
            yield Finding(subject=found.record.name, what="its local header does not fit its directory record")


def _told(subject: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Findings, and what keeps more of them from being found as the last one."""
    try:
        yield from findings
    except LfbuildError as error:
        yield Finding(subject=subject, what=error.what, verdict="malformed")


def _spans(reader: Reader, manifest: Manifest) -> Iterator[_Span]:
    """Every stretch that belongs to something, in no order."""
    yield _Span(0, manifest.head.size_bytes, "head")
    for found in reader.directory.records[manifest.head.own_members :]:
        record = found.record
        yield _Span(record.header_offset, _data_offset(record) + record.stored_size, record.name)
    for region in manifest.regions:
        if region.kind != "spare":  # spare room is zero, which is what is checked of all that belongs to nothing
            yield _Span(region.offset, region.offset + region.size_bytes, _region_name(region))
    directory = reader.directory
    yield _Span(directory.offset, directory.end_offset + directory.end_size_bytes, "directory")


def gaps(reader: Reader, manifest: Manifest) -> Iterator[tuple[int, int]]:
    """Every stretch that belongs to nothing, where it begins and ends, in pieces of some MiB."""
    position = 0
    for span in sorted(_spans(reader, manifest), key=lambda item: (item.start, item.end)):
        for start in range(position, span.start, _PIECE_BYTES):
            yield start, min(start + _PIECE_BYTES, span.start)
        position = max(position, span.end)


def _region_name(region: RegionRecord) -> str:
    return f"{region.kind} region at {region.offset}"


def _check_coverage(reader: Reader, manifest: Manifest) -> Iterator[Finding]:
    position, before = 0, "start"
    for span in sorted(_spans(reader, manifest), key=lambda item: (item.start, item.end)):
        if span.end > reader.size_bytes:
            yield Finding(subject=span.subject, what="goes on past the end of the file", verdict="malformed")
        elif span.start < position:
            yield Finding(subject=span.subject, what=f"overlaps {before}", verdict="malformed")
        elif (at := _first_nonzero(reader, position, span.start)) is not None:
            what = f"the byte at {at} belongs to nothing and is not zero"
            yield Finding(subject=f"room between {before} and {span.subject}", what=what, leftover=True)
        if span.end > position:
            position, before = span.end, span.subject


def _check_spare(reader: Reader, manifest: Manifest) -> Iterator[Finding]:
    """Nothing stands in room that an edit may overwrite: that it is zero was seen with all that belongs to nothing."""
    spans = list(_spans(reader, manifest))
    for region in manifest.regions:
        end = region.offset + region.size_bytes
        if region.kind != "spare" or not region.size_bytes:
            continue
        for span in spans:
            if span.start < end and region.offset < span.end:
                yield Finding(subject=_region_name(region), what=f"overlaps {span.subject}", verdict="malformed")
        if end > reader.size_bytes:
            yield Finding(subject=_region_name(region), what="goes on past the end of the file", verdict="malformed")


def _first_nonzero(reader: Reader, start: int, end: int) -> int | None:
    while start < end:
        piece = reader.read_at(start, min(_PIECE_BYTES, end - start))
        if piece != _ZEROS[: len(piece)]:
            return start + next(index for index, byte in enumerate(piece) if byte)
        start += len(piece)
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Region:
    """Bytes whose root the manifest promises."""

    subject: str
    offset: int
    plain: Cuts
    """How it is cut where no index says otherwise."""
    root: str
    index: str = ""
    holes: tuple[tuple[int, int], ...] = ()
    crc32: int | None = None
    """What vouches for it if the index is damaged."""


class _ContentCheck:
    """Compares regions with their roots, and where they differ finds the blocks."""

    def __init__(
        self, reader: Reader, pool: HashPool, slices: Mapping[str, str], on_bytes: Callable[[int, str], None]
    ) -> None:
        self._reader, self._pool, self._slices, self._on_bytes = reader, pool, slices, on_bytes

    def head(self, manifest: Manifest) -> Iterator[Finding]:
        """The program at the start; what signing changes is digested as zeros, and is zero in an unsigned file."""
        head = manifest.head
        start = self._reader.read_at(0, min(PROBE_BYTES, head.size_bytes))
        holes = signature_holes(start)
        plain = Cuts.plain(head.size_bytes, block_bytes=HEAD_BLOCK_BYTES)
        region = _Region(subject="head", offset=0, plain=plain, root=head.root, index=head.index, holes=holes)
        yield from self._region(region)
        if certificate_table(start) is None and any(any(start[at : at + size]) for at, size in holes):
            yield Finding(subject="head", what="the fields that a signature fills are not zero, and there is none")

    def member(self, member: MemberRecord) -> Iterator[Finding]:
        """One member."""
        record = self._reader.records.get(member.name)
        if record is None:
            yield Finding(subject=member.name, what="is in the manifest and not in the file")
            return
        if record.stored_size != member.size_bytes:
            what = f"has {record.stored_size} bytes instead of {member.size_bytes}"
            yield Finding(subject=member.name, what=what)
            return
        region = _Region(
            subject=member.name,
            offset=_data_offset(record),
            plain=Cuts.plain(member.size_bytes),
            root=member.root,
            index=member.index,
            crc32=record.crc32 if record.method == STORED else None,
        )
        found = list(self._region(region))
        yield from found
        if not found and (member.encoding or member.name in self._slices):
            yield from self._decoded(member, record)

    def region(self, region: RegionRecord) -> Iterator[Finding]:
        """A region that is no member."""
        if region.kind != "spare":  # that spare room is zero belongs to the structure
            plain = Cuts.plain(region.size_bytes)
            subject = _region_name(region)
            yield from self._region(_Region(subject=subject, offset=region.offset, plain=plain, root=region.root))

    def manifest(self) -> Iterator[Finding]:
        """The manifest's own checksum; its digest was held against the seal when it was loaded."""
        from zlib_ng import zlib_ng

        if zlib_ng.crc32(self._reader.read(MANIFEST_NAME)) != self._reader.records[MANIFEST_NAME].crc32:
            yield Finding(subject=MANIFEST_NAME, what="its CRC-32 in the directory is wrong")

    def _decoded(self, member: MemberRecord, record: CentralRecord) -> Iterator[Finding]:
        """What a member is once it is decoded: for whoever unpacks it, and for the launcher that starts it."""
        try:
            found = look_at(self._reader.pieces(record))
        except LfbuildError as error:
            yield Finding(subject=member.name, what=error.what, verdict="malformed")
            return
        if member.encoding and found.root != member.encoding.decoded_root:
            yield Finding(subject=member.name, what="it decodes to other bytes than were promised")
        if found.crc32 != record.crc32:
            yield Finding(subject=member.name, what="its CRC-32 in the directory is wrong")
        if self._slices.get(member.name, found.digest) != found.digest:
            yield Finding(subject=member.name, what="it is not the engine that the slice table promises")

    def _region(self, region: _Region) -> Iterator[Finding]:
        index, problem = self._load_index(region) if region.index else (None, None)
        if problem:
            yield problem
        hashing = self._pool.region(
            self._reader.descriptor,
            region.offset,
            index.cuts if index else region.plain,
            crc=problem is not None,
            holes=region.holes,
        )
        try:
            digests = hashing.finish(lambda count: self._on_bytes(count, region.subject))
        except LfbuildError as error:
            yield Finding(subject=region.subject, what=error.what)
            return
        if digests.index.root == region.root or (problem and digests.crc32 == region.crc32):
            return
        places = _differing(index, digests.index, region.offset) if index else ()
        yield Finding(subject=region.subject, what=_untrue(places))

    def _load_index(self, region: _Region) -> tuple[BlockIndex | None, Finding | None]:
        try:
            index = BlockIndex.parse(self._reader.read(region.index), where=region.index)
        except FormatError as error:
            return None, Finding(subject=region.index, what=error.what, verdict="malformed")
        if index.root != region.root or index.cuts.size_bytes != region.plain.size_bytes:
            return None, Finding(subject=region.index, what="is not the block index that the manifest promises")
        return index, None


def _data_offset(record: CentralRecord) -> int:
    return record.header_offset + len(record.local_header())


def _differing(expected: BlockIndex, actual: BlockIndex, offset: int) -> tuple[str, ...]:
    """Offsets (and labels) of the blocks whose leaves differ."""
    labels = [run.label for run in expected.cuts.runs for _ in range(run.blocks)]
    places = []
    for number, (start, _) in enumerate(expected.cuts.blocks()):
        leaf = slice(32 * number, 32 * number + 32)
        if expected.leaves[leaf] != actual.leaves[leaf]:
            places.append(f"{offset + start}" + (f" ({labels[number]})" if labels[number] else ""))
    return tuple(places)


def _untrue(places: tuple[str, ...]) -> str:
    if not places:
        return "its bytes are not the ones that were promised"
    if len(places) == 1:
        return f"the block at {places[0]} is not the one that was promised"
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    return f"the blocks at {', '.join(places[:3])}{more} are not the ones that were promised"
