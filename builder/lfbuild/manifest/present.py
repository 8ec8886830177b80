"""A file of ours as an edit finds it: what it holds, where, and each member fit to be packed again as it is.

What an edit keeps is not read again: its digests are those of the file's own manifest and block indexes, which hang
together up to the seal. They are held against the bytes where those are copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lfbuild.archive.deflate import Decoded
from lfbuild.archive.hashing import Digests, hash_region
from lfbuild.archive.layout import WEIGHTS_ALIGN_BYTES, Kept
from lfbuild.archive.source import BytesSource, OpenFileSource
from lfbuild.errors import FormatError, IntegrityError, command
from lfbuild.formats.blocks import HEAD_BLOCK_BYTES, BlockIndex, Cuts
from lfbuild.formats.executable import PROBE_BYTES, certificate_table, signature_holes
from lfbuild.formats.seal import LAST_GENERATION
from lfbuild.manifest.order import EngineHead, EngineSlice, LauncherHead, PackMember, PackOrder
from lfbuild.manifest.slices import load_slices
from lfbuild.manifest.verify import load_manifest, verify_structure

if TYPE_CHECKING:
    from lfbuild.archive.reader import Reader
    from lfbuild.formats.seal import Seal
    from lfbuild.manifest.model import Manifest, MemberRecord

GENERATED: Final = frozenset({"index", "slices"})
"""Roles of members that are made anew from the others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Present:
    """A file that holds together, by its structure."""

    reader: Reader
    manifest: Manifest
    seal: Seal
    threads: int

    @property
    def where(self) -> str:
        """Its path, for what is said."""
        return self.reader.where

    @property
    def size_bytes(self) -> int:
        """Up to the last byte of its end records."""
        directory = self.reader.directory
        return directory.end_offset + directory.end_size_bytes

    @property
    def is_signed(self) -> bool:
        """Whether it carries a signature for Windows."""
        return certificate_table(self.start()) is not None

    def start(self) -> bytes:
        """The first bytes of its head."""
        return self.reader.read_at(0, min(PROBE_BYTES, self.manifest.head.size_bytes))

    def spans(self) -> tuple[tuple[int, int], ...]:
        """Every stretch that is not zero, where it begins and ends, in order."""
        records = self.reader.directory.records[self.manifest.head.own_members :]
        spans = [(item.record.header_offset, self._end(item.record.name)) for item in records]
        spans += [(0, self.manifest.head.size_bytes), (self.reader.directory.offset, self.size_bytes)]
        return tuple(sorted(spans))

    def room(self) -> tuple[tuple[int, int], ...]:
        """Stretches of spare room, where each begins and ends."""
        regions = [region for region in self.manifest.regions if region.kind == "spare"]
        return tuple((region.offset, region.offset + region.size_bytes) for region in regions)

    def room_end(self) -> int:
        """Where what no engine may use begins: the first member that is neither engine nor rewritten by every edit."""
        firsts = [item.name for item in self.manifest.members if item.place in {"aligned", "body"}]
        return min((self.reader.records[name].header_offset for name in firsts), default=self._first_of_tail())

    def order(self) -> PackOrder:
        """What packs its content again, as its next generation.

        Raises:
            FormatError: there is none after its own.
        """
        manifest = self.manifest
        if manifest.generation >= LAST_GENERATION:
            hint = "`lfbuild convert-back`, then `lfbuild import`, begin at 1 again"
            raise FormatError(self.where, f"is of generation {manifest.generation}, the last one", hint=hint)
        return PackOrder(
            release=manifest.release,
            head=self.head(),
            engine=manifest.engine,
            members=self.members(),
            align_bytes=WEIGHTS_ALIGN_BYTES,
            room_bytes=0,
            epoch=manifest.epoch,
            recipe_sha256=manifest.recipe_sha256,
            update_url=manifest.update_url,
            generation=manifest.generation + 1,
        )

    def members(self) -> tuple[PackMember, ...]:
        """All that somebody put into the file, engines apart, fit to be packed again."""
        kept = [item for item in self.manifest.members if item.role not in GENERATED and item.place != "slot"]
        return tuple(self._member(item) for item in kept)

    def head(self) -> EngineHead | LauncherHead:
        """Its head, with the engines that a launcher starts."""
        head = self.manifest.head
        if head.kind == "launcher":
            return LauncherHead(
                program=head.program, data=self.reader.read_at(0, head.size_bytes), slices=self.slices()
            )
        own = self.reader.directory.records[: head.own_members]
        return EngineHead(
            program=head.program,
            source=self._stretch(0, head.size_bytes),
            holes=signature_holes(self.start()),
            own_records=tuple(item.raw for item in own),
            own_names=tuple(item.record.name for item in own),
        )

    def head_digests(self) -> Digests:
        """What its head must be.

        Raises:
            IntegrityError: the head is not what the manifest promises.
        """
        head = self.manifest.head
        cuts = Cuts.plain(head.size_bytes, block_bytes=HEAD_BLOCK_BYTES)
        found = hash_region(self.reader.descriptor, 0, cuts, threads=self.threads, holes=signature_holes(self.start()))
        if found.index.root != head.root:
            raise self._damaged("head")
        return found

    def slices(self) -> tuple[EngineSlice, ...]:
        """The engines that a launcher starts, in the order of its table."""
        told = {item.member: item for item in self.manifest.engine.slices} if self.manifest.engine else {}
        slices = []
        for line in load_slices(self.reader):
            member = self._record(line.member)
            record = self.reader.record(line.member)
            encoding = member.encoding
            slices.append(
                EngineSlice(
                    target=line.target,
                    cpus=line.cpus,
                    key=told[line.member].key if line.member in told else "",
                    source=self._stretch(self._data_offset(line.member), member.size_bytes),
                    program=Decoded(
                        size_bytes=line.decoded_size,
                        crc32=record.crc32,
                        root=encoding.decoded_root if encoding else member.root,
                        digest=line.digest,
                    ),
                    encoder_version=encoding.encoder_version if encoding else "",
                    kept=self._kept(member),
                )
            )
        return tuple(slices)

    def _member(self, member: MemberRecord) -> PackMember:
        record = self.reader.record(member.name)
        moves = member.place == "tail"
        kept = None if moves else self._kept(member)
        source = self._stretch(self._data_offset(member.name), member.size_bytes)
        encoding = member.encoding
        return PackMember(
            name=member.name,
            role=member.role,
            place=member.place,
            source=BytesSource(self.reader.read(member.name)) if moves and not encoding else source,
            cuts=kept.digests.index.cuts if kept else Cuts(runs=()),
            mode=record.mode & 0o7777,
            decoded=Decoded(size_bytes=encoding.decoded_size, crc32=record.crc32, root=encoding.decoded_root, digest="")
            if encoding
            else None,
            encoder_version=encoding.encoder_version if encoding else "",
            kept=kept,
            kept_index=self._kept(self._record(member.index)) if member.index and not moves else None,
            told=member,
        )

    def _kept(self, member: MemberRecord) -> Kept:
        record = self.reader.record(member.name)
        return Kept(header_offset=record.header_offset, digests=self._digests(member))

    def _digests(self, member: MemberRecord) -> Digests:
        """From its block index, which the manifest vouches for; without one, from the bytes."""
        record = self.reader.record(member.name)
        if member.index:
            index = BlockIndex.parse(self.reader.read(member.index), where=f"{self.where}: {member.index}")
            if index.root != member.root or index.cuts.size_bytes != member.size_bytes:
                raise self._damaged(member.index)
            return Digests(index=index, crc32=record.crc32)
        cuts, offset = Cuts.plain(member.size_bytes), self._data_offset(member.name)
        found = hash_region(self.reader.descriptor, offset, cuts, threads=self.threads)
        if found.index.root != member.root:
            raise self._damaged(member.name)
        return found

    def _damaged(self, subject: str) -> IntegrityError:
        what = "its bytes are not the ones that were promised, so nothing is built on them"
        return IntegrityError(f"{self.where}: {subject}", what, hint=command("verify", self.reader.path))

    def _stretch(self, offset: int, size: int) -> OpenFileSource:
        return OpenFileSource(descriptor=self.reader.descriptor, path=self.reader.path, offset=offset, size_bytes=size)

    def _record(self, name: str) -> MemberRecord:
        member = self.manifest.member(name)
        if member is None:
            raise FormatError(f"{self.where}: {name}", "is in the file and not in its manifest")
        return member

    def _data_offset(self, name: str) -> int:
        return self.reader.data_offset(self.reader.record(name))

    def _end(self, name: str) -> int:
        return self._data_offset(name) + self.reader.record(name).stored_size

    def _first_of_tail(self) -> int:
        slots = {item.name for item in self.manifest.members if item.place == "slot"}
        records = self.reader.directory.records[self.manifest.head.own_members :]
        return min(item.record.header_offset for item in records if item.record.name not in slots)


def load_present(reader: Reader, *, threads: int) -> Present | None:
    """The file as an edit finds it; None if it is somebody else's.

    Raises:
        FormatError: it does not hold together.
        IntegrityError: its structure is not what was promised.
    """
    ours = load_manifest(reader)
    if ours is None:
        return None
    manifest, seal = ours
    findings = list(verify_structure(reader, manifest, seal))
    if findings and all(finding.leftover for finding in findings):
        what = "an edit of this file was interrupted, and left bytes that belong to nothing"
        raise IntegrityError(f"{reader.where}: {findings[0].subject}", what, hint=command("recover", reader.path))
    for finding in findings:
        kind = IntegrityError if finding.verdict == "untrue" else FormatError
        hint = command("verify", reader.path)
        raise kind(f"{reader.where}: {finding.subject}", f"{finding.what}, so nothing is built on it", hint=hint)
    return Present(reader=reader, manifest=manifest, seal=seal, threads=threads)
