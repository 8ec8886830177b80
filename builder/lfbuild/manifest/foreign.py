"""Somebody else's llamafile: which part is the engine, what was put behind it, and an order that packs both as ours.

Mozilla's engines bring members of their own, linked in; their directory and end record stay in the file when members
are appended, as bytes that nothing refers to. That tells where the engine ends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lfbuild.archive.deflate import look_at
from lfbuild.archive.layout import WEIGHTS_ALIGN_BYTES, name_fault
from lfbuild.archive.source import BytesSource, OpenFileSource
from lfbuild.errors import FormatError
from lfbuild.formats.args import ARGS_NAME
from lfbuild.formats.executable import PROBE_BYTES, identify_program, signature_holes
from lfbuild.formats.gguf import cut_gguf, read_gguf
from lfbuild.formats.model import model_facts
from lfbuild.formats.zip import STORED, read_directory
from lfbuild.manifest.model import EngineRecord, Release, ToolchainRecord
from lfbuild.manifest.order import EngineHead, PackMember, PackOrder

if TYPE_CHECKING:
    from lfbuild.archive.reader import Reader
    from lfbuild.formats.zip import CentralRecord, FoundRecord, ReadAt
    from lfbuild.manifest.model import Role

MOZILLAS: Final = "llamafile"
"""What Mozilla's engine is called in a manifest."""
_END = re.compile(rb"PK\x05\x06")
_END_RECORD_BYTES: Final = 22
_LONGEST_GAP_BYTES: Final = 32 << 20
"""Behind an engine's last own member stands its directory, of some KB; a gap that is longer is somebody's padding."""
_PIECE_BYTES: Final = 8 << 20
_VERSION_BYTES: Final = 128 << 20
_LLAMAFILE_VERSION = re.compile(rb"llamafile v(\d{1,9}\.\d{1,9}\.\d{1,9})(?!\d)")
_ROLES: Final[dict[str, Role]] = {"mmproj": "mmproj", "adapter": "lora"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Foreign:
    """A llamafile of somebody else's, taken apart."""

    reader: Reader
    engine_bytes: int
    """The engine is the beginning of the file, up to here."""
    own: tuple[FoundRecord, ...]
    """Members of the engine itself."""
    users: tuple[CentralRecord, ...]
    """Members that were put behind it."""

    @property
    def first_offset(self) -> int:
        """Where the first of the users' members begins."""
        return min((item.header_offset for item in self.users), default=self.reader.directory.offset)

    def left_out(self) -> tuple[str, ...]:
        """What a file of ours does not keep, in words: entries of folders, which hold nothing."""
        folders = [record.name for record in self.users if record.name.endswith("/")]
        if not folders:
            return ()
        named = ", ".join(folders[:3]) + (f" and {len(folders) - 3} more" if len(folders) > 3 else "")
        return (f"entries of folders are left out ({named}): unpacking a member makes its folder",)

    def head(self) -> EngineHead:
        """The engine as a head.

        Raises:
            FormatError: the file begins with no program.
        """
        start = self.reader.read_at(0, min(PROBE_BYTES, self.engine_bytes))
        program = identify_program(start)
        if program.kind == "none":
            raise FormatError(self.reader.where, "begins with no program, so it is no llamafile")
        return EngineHead(
            program=program.kind,
            source=_stretch(self.reader, 0, self.engine_bytes),
            holes=signature_holes(start),
            own_records=tuple(item.raw for item in self.own),
            own_names=tuple(item.record.name for item in self.own),
        )


def take_apart(reader: Reader) -> Foreign:
    """Tell the engine of a foreign llamafile from what was put behind it."""
    found = sorted(reader.directory.records, key=lambda item: item.record.header_offset)
    # The first directory that is complete by itself is the engine's; later ones are of whoever put members behind it.
    for count in range(1, len(found)):
        end = _end_of_engine(reader, found, count)
        if end:
            return _parted(reader, found, count, end)
    if not any(item.record.name == ARGS_NAME or item.record.name.lower().endswith(".gguf") for item in found):
        return _parted(reader, found, len(found), reader.size_bytes)  # an engine alone
    return _parted(reader, found, 0, _last_byte(reader, found[0].record.header_offset))


def _parted(reader: Reader, found: list[FoundRecord], count: int, engine_bytes: int) -> Foreign:
    own = {item.record.header_offset for item in found[:count]}
    return Foreign(
        reader=reader,
        engine_bytes=engine_bytes,
        own=tuple(item for item in reader.directory.records if item.record.header_offset in own),
        users=tuple(item.record for item in found[count:]),
    )


def order_of_foreign(foreign: Foreign, *, release: Release, epoch: int, align: bool) -> PackOrder:
    """An order that packs the file as one of ours, with all that it holds.

    Without `align`, weights that lie at no multiple of the alignment are not moved to one, and are slower to load.

    Raises:
        FormatError: a member cannot be in a file of ours.
    """
    users = [record for record in foreign.users if not record.name.endswith("/")]
    members = tuple(_member(foreign.reader, record, align=align) for record in users)
    return PackOrder(
        release=release,
        head=foreign.head(),
        engine=engine_record(foreign.reader, foreign.engine_bytes),
        members=members,
        align_bytes=WEIGHTS_ALIGN_BYTES,
        room_bytes=max(0, foreign.first_offset - foreign.engine_bytes),
        epoch=epoch,
    )


def engine_record(reader: Reader, engine_bytes: int) -> EngineRecord:
    """What can be said of an engine that somebody else made."""
    version = scan_version(reader.read_at, engine_bytes)
    machines = identify_program(reader.read_at(0, min(PROBE_BYTES, engine_bytes))).machines
    return EngineRecord(
        name=MOZILLAS if version else "unknown",
        version=version,
        source_sha256="",
        toolchain=ToolchainRecord(kind="unknown", version=""),
        targets=machines,
    )


def scan_version(read: ReadAt, end: int) -> str:
    """The version that Mozilla's engine names in its own bytes; nobody runs a file to learn about it."""
    overlap = 64
    for start in range(0, min(end, _VERSION_BYTES), _PIECE_BYTES):
        if match := _LLAMAFILE_VERSION.search(read(start, min(_PIECE_BYTES + overlap, end - start))):
            return match[1].decode()
    return ""


def _end_of_engine(reader: Reader, found: list[FoundRecord], count: int) -> int:
    """Where the engine ends, if the first `count` members are all that it brought along; else 0."""
    last = found[count - 1].record
    start = reader.data_offset(last) + last.stored_size
    stop = min(found[count].record.header_offset, start + _LONGEST_GAP_BYTES)
    gap = reader.read_at(start, stop - start)
    names = {(item.record.name, item.record.header_offset) for item in found[:count]}
    for match in _END.finditer(gap):
        end = start + match.start() + _END_RECORD_BYTES
        try:
            directory = read_directory(_up_to(reader, end), end, where=reader.where)
        except FormatError:
            continue
        if {(item.record.name, item.record.header_offset) for item in directory.records} == names:
            return end
    return 0


def _up_to(reader: Reader, end: int) -> ReadAt:
    return lambda offset, length: reader.read_at(offset, max(0, min(length, end - offset)))


def _last_byte(reader: Reader, end: int) -> int:
    """The end of what is not zero before `end`."""
    while end > 0:
        start = max(0, end - _PIECE_BYTES)
        piece = reader.read_at(start, end - start).rstrip(b"\0")
        if piece:
            return start + len(piece)
        end = start
    return 0


def _member(reader: Reader, record: CentralRecord, *, align: bool) -> PackMember:
    if fault := name_fault(record.name):
        raise FormatError(f"{reader.where}: {record.name}", f"its name {fault}, so it cannot be in a file of ours")
    reader.refuse_unreadable(record)
    offset = reader.data_offset(record)
    source = _stretch(reader, offset, record.stored_size)
    mode = 0o755 if record.mode & 0o111 else 0o644
    if record.name == ARGS_NAME:
        return PackMember(
            name=record.name, role="args", place="tail", source=BytesSource(reader.read(record.name)), mode=mode
        )
    if record.method != STORED:
        decoded = look_at(reader.pieces(record))
        if decoded.size_bytes != record.decoded_size or decoded.crc32 != record.crc32:
            raise FormatError(f"{reader.where}: {record.name}", "its bytes are not the ones that its checksum promises")
        return PackMember(name=record.name, role="file", place="body", source=source, mode=mode, decoded=decoded)
    if record.name.lower().endswith(".gguf"):
        return _model(reader, record, source, align=align or offset % WEIGHTS_ALIGN_BYTES == 0)
    return PackMember(name=record.name, role="file", place="body", source=source, mode=mode)


def _model(reader: Reader, record: CentralRecord, source: OpenFileSource, *, align: bool) -> PackMember:
    def read(start: int, length: int) -> bytes:
        return reader.read_at(source.offset + start, max(0, min(length, record.stored_size - start)))

    header = read_gguf(read, record.stored_size, where=f"{reader.where}: {record.name}")
    facts = model_facts(header)
    return PackMember(
        name=record.name,
        role=_ROLES.get(facts.kind, "weights"),
        place="aligned" if align else "body",
        source=source,
        cuts=cut_gguf(header),
        license=facts.license,
        facts=facts,
    )


def _stretch(reader: Reader, offset: int, size: int) -> OpenFileSource:
    return OpenFileSource(descriptor=reader.descriptor, path=reader.path, offset=offset, size_bytes=size)
