"""Makes the map of a file: of ours from its block indexes, of any other by reading it once.

A map of a file of ours costs its directory, its indexes and its small members; no weights are read. Other files
(Mozilla's llamafiles, plain GGUFs, anything) are digested on all cores and cut where their content has its structure,
as docs/formats/delta.md says: two machines must cut a file alike to agree on its root.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from blake3 import blake3

from lfbuild.archive.hashing import hash_region
from lfbuild.archive.reader import Reader, opened, read_at
from lfbuild.errors import FormatError, IntegrityError, command
from lfbuild.formats.blocks import BLOCK_BYTES, HEAD_BLOCK_BYTES, BlockIndex, Cuts
from lfbuild.formats.executable import PROBE_BYTES, signature_holes
from lfbuild.formats.gguf import MAGIC, cut_gguf, read_gguf
from lfbuild.formats.zip import LOCAL_HEADER_BYTES, STORED, local_data_offset
from lfbuild.manifest.filemap import Blocks, FileMap, Literal, Part, Zeros
from lfbuild.manifest.verify import load_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from lfbuild.formats.zip import CentralRecord, Directory, ReadAt
    from lfbuild.manifest.model import Manifest, MemberRecord

MOST_LITERAL_BYTES: Final = 64 << 10
"""What belongs to no member and is longer than this is cut into blocks."""
_PIECE_BYTES: Final = 64 << 10
_ZEROS: Final = bytes(_PIECE_BYTES)


class MappedFile(Protocol):
    """What a file of ours must offer to be mapped: a `Reader` does, and so may one that asks a server."""

    where: str
    size_bytes: int
    directory: Directory
    records: dict[str, CentralRecord]

    def read_at(self, offset: int, length: int, /) -> bytes:
        """Bytes of the file itself, fewer at its end."""

    def read(self, name: str, /) -> bytes:
        """All decoded bytes of a small member."""


def map_file(
    path: Path,
    *,
    threads: int,
    on_bytes: Callable[[int], None] = lambda _: None,
    block_bytes: int = BLOCK_BYTES,
) -> FileMap:
    """The map of any file; `on_bytes` hears of what had to be read for it.

    What has no blocks yet is cut into blocks of at most `block_bytes`: as a file is cut that it is compared with.

    Raises:
        HostError: it cannot be read.
        FormatError: it is a file of ours that is malformed.
        IntegrityError: it is one, and a block index or a small member is not what its manifest promises.
    """
    with opened(path) as file:
        reader, where = find_reader(path, file), str(path)
        return map_open(file, reader, where=where, threads=threads, on_bytes=on_bytes, block_bytes=block_bytes)


def map_open(
    file: BinaryIO,
    reader: Reader | None,
    *,
    where: str,
    threads: int,
    on_bytes: Callable[[int], None] = lambda _: None,
    block_bytes: int = BLOCK_BYTES,
) -> FileMap:
    """The map of a file that is open, with its reader if it is a ZIP.

    Raises:
        FormatError, IntegrityError: as `map_file`.
    """
    if reader is not None:
        return map_reader(reader, threads=threads, on_bytes=on_bytes, block_bytes=block_bytes)
    other = _OtherFile(file.fileno(), where=where, threads=threads, on_bytes=on_bytes, block_bytes=block_bytes)
    return other.map(())


def find_reader(path: Path, file: BinaryIO) -> Reader | None:
    """The file as a ZIP; None for what is none."""
    if read_at(file.fileno(), 0, len(MAGIC)) == MAGIC:
        return None
    try:
        return Reader(path, file)
    except FormatError:
        return None


def map_reader(
    reader: Reader,
    *,
    threads: int,
    on_bytes: Callable[[int], None] = lambda _: None,
    block_bytes: int = BLOCK_BYTES,
) -> FileMap:
    """The map of a ZIP that is open: of ours from its indexes, of somebody else's by reading it.

    Raises:
        FormatError, IntegrityError: as `map_file`.
    """
    ours = load_manifest(reader)
    if ours is not None:
        return map_ours(reader, ours[0])
    other = _OtherFile(
        reader.descriptor, where=reader.where, threads=threads, on_bytes=on_bytes, block_bytes=block_bytes
    )
    return other.map(found.record for found in reader.directory.records)


def map_bytes(
    path: Path,
    *,
    threads: int,
    on_bytes: Callable[[int], None] = lambda _: None,
    block_bytes: int = BLOCK_BYTES,
) -> FileMap:
    """The map of a file of which nothing is believed: one of ours whose manifest or indexes are damaged.

    Raises:
        HostError: it cannot be read.
        FormatError: it is no regular file.
    """
    with opened(path) as file:
        reader = find_reader(path, file)
        records = [found.record for found in reader.directory.records] if reader else []
        other = _OtherFile(file.fileno(), where=str(path), threads=threads, on_bytes=on_bytes, block_bytes=block_bytes)
        return other.map(records)


def shows_structure(path: Path) -> bool:
    """Whether a file is cut by what it is: a ZIP, or a whole GGUF. The beginning of a download is not.

    Raises:
        HostError: it cannot be read. FormatError: it is no regular file.
    """
    with opened(path) as file:
        if read_at(file.fileno(), 0, len(MAGIC)) != MAGIC:
            return find_reader(path, file) is not None
        size = os.fstat(file.fileno()).st_size
        try:
            read_gguf(lambda at, length: read_at(file.fileno(), at, length), size, where=str(path))
        except FormatError:
            return False
        return True


def map_beginning(
    path: Path, regions: Iterable[tuple[int, Cuts]], *, threads: int, on_bytes: Callable[[int], None] = lambda _: None
) -> FileMap:
    """The map of what may be the beginning of a file that is known: cut where that one has its regions.

    Raises:
        HostError: it cannot be read. FormatError: it is no regular file.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        walk = _Walk(partial(read_at, file.fileno()), size, str(path))
        holes = signature_holes(read_at(file.fileno(), 0, PROBE_BYTES))
        for offset, cuts in regions:
            there = cuts.within(max(size - offset, 0))
            if there.runs:
                own = [(at - offset, length) for at, length in holes if 0 <= at - offset < there.size_bytes]
                digests = hash_region(
                    file.fileno(), offset, there, threads=threads, crc=False, holes=own, on_bytes=on_bytes
                )
                walk.add("", offset, digests.index)
        return walk.finish(holes)


def map_as_read(path: Path, found: FileMap, *, threads: int, on_bytes: Callable[[int], None]) -> FileMap:
    """A map that is cut as `found`, the file's own word, with the leaves that its bytes have.

    Raises:
        HostError: it cannot be read.
    """
    holes = [(hole.offset, hole.size_bytes) for hole in found.holes]
    with opened(path) as file:

        def read(part: Part) -> Part:
            if not isinstance(part, Blocks):
                return part
            own = [(at - part.offset, size) for at, size in holes if 0 <= at - part.offset < part.size_bytes]
            cuts = part.index.cuts
            digests = hash_region(
                file.fileno(), part.offset, cuts, threads=threads, crc=False, holes=own, on_bytes=on_bytes
            )
            return replace(part, index=digests.index)

        return replace(found, parts=tuple(read(part) for part in found.parts))


def map_ours(file: MappedFile, manifest: Manifest) -> FileMap:
    """The map of a file of ours, from its directory, manifest and block indexes; small members are read, no weights.

    Every region's leaves are held against the root in the manifest, and what belongs to nothing is read: so the map
    promises what the seal does.

    Raises:
        FormatError: an index or a local header is malformed, or members overlap.
        IntegrityError: an index or a small member is not the one that the manifest promises.
    """
    walk = _Walk(file.read_at, file.size_bytes, file.where)
    holes = signature_holes(file.read_at(0, min(PROBE_BYTES, manifest.head.size_bytes)))
    head = _Promised(name="head", size=manifest.head.size_bytes, root=manifest.head.root, index=manifest.head.index)
    plain = Cuts.plain(head.size, block_bytes=HEAD_BLOCK_BYTES)
    if head.size:
        walk.add("", 0, _promised_index(file, head, 0, plain, holes))
    members = {member.name: member for member in manifest.members}
    for record in sorted(file.records.values(), key=lambda item: (item.header_offset, item.name)):
        if record.header_offset < head.size or not record.stored_size:
            continue
        offset = local_data_offset(file.read_at(record.header_offset, LOCAL_HEADER_BYTES), record, where=file.where)
        promised = _promised(members.get(record.name), record)
        walk.add(record.name, offset, _promised_index(file, promised, offset, Cuts.plain(promised.size), ()))
    return walk.finish(holes)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Promised:
    """A region of a file of ours; without a root it is the manifest, which the seal vouches for."""

    name: str
    size: int
    root: str
    index: str


def _promised(member: MemberRecord | None, record: CentralRecord) -> _Promised:
    if member is None:
        return _Promised(name=record.name, size=record.stored_size, root="", index="")
    return _Promised(name=record.name, size=record.stored_size, root=member.root, index=member.index)


def _promised_index(
    file: MappedFile, promised: _Promised, offset: int, plain: Cuts, holes: Sequence[tuple[int, int]]
) -> BlockIndex:
    where = f"{file.where}: {promised.index or promised.name}"
    if promised.index:
        index = BlockIndex.parse(file.read(promised.index), where=where)
    else:
        index = _read_index(file.read_at, offset, plain, holes)
    if (promised.root and index.root != promised.root) or index.cuts.size_bytes != promised.size:
        what = "is not the block index that the manifest promises" if promised.index else "is not what was promised"
        raise IntegrityError(where, what, hint=command("verify", file.where))
    return index


def _read_index(read: ReadAt, offset: int, cuts: Cuts, holes: Sequence[tuple[int, int]]) -> BlockIndex:
    """Blocks that no index tells of: digested one after the other."""
    leaves = bytearray()
    for start, size in cuts.blocks():
        leaves += blake3(masked(read(offset + start, size), offset + start, holes)).digest()
    return BlockIndex(cuts=cuts, leaves=bytes(leaves))


def masked(data: bytes, offset: int, holes: Sequence[tuple[int, int]]) -> bytes:
    """Bytes from `offset` of a file, with its holes (offset, size) as zeros."""
    for start, size in holes:
        first, last = max(start - offset, 0), min(start + size - offset, len(data))
        if first < last:
            data = data[:first] + bytes(last - first) + data[last:]
    return data


class _Walk:
    """Goes through a file from front to back, and lets no byte out and none in twice."""

    def __init__(self, read: ReadAt, size: int, where: str) -> None:
        self._read, self._size, self._where = read, size, where
        self._parts: list[Part] = []
        self._position = 0

    def add(self, name: str, offset: int, index: BlockIndex) -> None:
        """A region of blocks; what lies before it is looked at.

        Raises:
            FormatError: it begins before the last one ended, or goes on past the end of the file.
        """
        if offset < self._position or offset + index.cuts.size_bytes > self._size:
            what = "overlaps another region" if offset < self._position else "goes on past the end of the file"
            raise FormatError(f"{self._where}: {name or 'head'}", what)
        self._look_at(offset)
        self._parts.append(Blocks(offset=offset, name=name, index=index))
        self._position = offset + index.cuts.size_bytes

    def finish(self, holes: Sequence[tuple[int, int]]) -> FileMap:
        """The map, with all that lies behind the last region."""
        self._look_at(self._size)
        literals = tuple(Literal(offset=offset, data=self._read(offset, size)) for offset, size in holes)
        return FileMap(parts=tuple(self._parts), holes=literals)

    def _look_at(self, end: int) -> None:
        """Read what belongs to no region: zeros, or something."""
        for start, stop in _stretches(self._read, self._position, end):
            if start > self._position:
                self._parts.append(Zeros(offset=self._position, size_bytes=start - self._position))
            if stop - start <= MOST_LITERAL_BYTES:
                self._parts.append(Literal(offset=start, data=self._read(start, stop - start)))
            else:
                cuts = Cuts.plain(stop - start, block_bytes=HEAD_BLOCK_BYTES)
                self._parts.append(Blocks(offset=start, name="", index=_read_index(self._read, start, cuts, ())))
            self._position = stop
        if end > self._position:
            self._parts.append(Zeros(offset=self._position, size_bytes=end - self._position))
        self._position = end


def _stretches(read: ReadAt, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where between `start` and `end` something stands, with the zeros around it cut off; gaps inside are short."""
    first = last = -1
    for position in range(start, end, _PIECE_BYTES):
        piece = read(position, min(_PIECE_BYTES, end - position))
        if piece == _ZEROS[: len(piece)]:
            if first >= 0:
                yield first, last
            first = -1
            continue
        if first < 0:
            first = position + len(piece) - len(piece.lstrip(b"\0"))
        last = position + len(piece.rstrip(b"\0"))
    if first >= 0:
        yield first, last


class _OtherFile:
    """A file that promises nothing: read once, on all cores, and cut where its content has its structure."""

    def __init__(
        self, descriptor: int, *, where: str, threads: int, on_bytes: Callable[[int], None], block_bytes: int
    ) -> None:
        self._descriptor, self._where, self._threads, self._on_bytes = descriptor, where, threads, on_bytes
        self._block_bytes = block_bytes
        self._size = os.fstat(descriptor).st_size

    def map(self, records: Iterable[CentralRecord]) -> FileMap:
        """The map of the whole file: what precedes the first member is its head, or else all of it."""
        walk = _Walk(self._read, self._size, self._where)
        holes = signature_holes(self._read(0, PROBE_BYTES))
        members = sorted(records, key=lambda item: (item.header_offset, item.name))
        position = members[0].header_offset if members else self._size
        if position:
            walk.add("", 0, self._index(0, position, stored=True, holes=holes))
        for record in members:
            if not record.stored_size:
                continue
            offset = self._data_offset(record)
            if offset is None or offset < position:
                continue  # lies inside another one: a ZIP may say so, and its bytes are already there
            walk.add(record.name, offset, self._index(offset, record.stored_size, stored=record.method == STORED))
            position = offset + record.stored_size
        return walk.finish(holes)

    def _data_offset(self, record: CentralRecord) -> int | None:
        try:
            header = self._read(record.header_offset, LOCAL_HEADER_BYTES)
            offset = local_data_offset(header, record, where=self._where)
        except FormatError:
            return None
        return offset if offset + record.stored_size <= self._size else None

    def _index(self, offset: int, size: int, *, stored: bool, holes: Sequence[tuple[int, int]] = ()) -> BlockIndex:
        cuts = self._cuts(offset, size) if stored else Cuts.plain(size)
        return hash_region(
            self._descriptor,
            offset,
            cuts,
            threads=self._threads,
            crc=False,
            holes=holes,
            on_bytes=self._on_bytes,
        ).index

    def _cuts(self, offset: int, size: int) -> Cuts:
        start = self._read(offset, len(MAGIC))
        if start == MAGIC:
            try:
                header = read_gguf(
                    lambda at, length: self._read(offset + at, min(length, size - at)), size, where=self._where
                )
            except FormatError:
                return Cuts.plain(size)
            return cut_gguf(header, block_bytes=self._block_bytes)
        return Cuts.plain(size, block_bytes=HEAD_BLOCK_BYTES) if offset == 0 else Cuts.plain(size)

    def _read(self, offset: int, length: int) -> bytes:
        return read_at(self._descriptor, offset, length)
