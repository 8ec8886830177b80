"""One of the two files of a difference, open: its map, its bytes as the map sees them, and what is compressed in it."""

from __future__ import annotations

import contextlib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lfbuild.archive.reader import opened, read_at
from lfbuild.errors import FormatError, HostError
from lfbuild.host.files import host_error
from lfbuild.host.moving import share_range
from lfbuild.manifest.mapping import find_reader, map_open, masked
from lfbuild.manifest.verify import load_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO

    from lfbuild.archive.reader import Reader
    from lfbuild.manifest.filemap import Blocks, FileMap
    from lfbuild.manifest.model import Encoding
    from lfbuild.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """A file that is compared, or copied from."""

    path: Path
    descriptor: int
    map: FileMap
    encodings: Mapping[str, Encoding]
    """Of the members that are compressed in a way that was recorded."""

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path, *, threads: int, report: Report) -> Iterator[Self]:
        """Open and map a file.

        Raises:
            HostError, FormatError, IntegrityError: as `manifest.mapping.map_file`.
        """
        with opened(path) as file:
            yield cls.of(file, path, threads=threads, report=report)

    @classmethod
    def of(cls, file: BinaryIO, path: Path, *, threads: int, report: Report) -> Self:
        """A file that is open already; `path` is what it is called.

        Raises:
            FormatError, IntegrityError: as `manifest.mapping.map_file`.
        """
        reader = find_reader(path, file)
        with report.step(f"mapping {path.name}") as step:
            found = map_open(file, reader, where=str(path), threads=threads, on_bytes=step.advance)
        return cls(path=path, descriptor=file.fileno(), map=found, encodings=_encodings(reader))

    @property
    def where(self) -> str:
        """What it is called in a refusal."""
        return str(self.path)

    @property
    def holes(self) -> tuple[tuple[int, int], ...]:
        """Offset and size of what blocks take for zeros."""
        return tuple((hole.offset, hole.size_bytes) for hole in self.map.holes)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes as blocks have them: holes are zeros.

        Raises:
            HostError: the file has become shorter, or cannot be read.
        """
        try:
            data = read_at(self.descriptor, offset, length)
        except OSError as error:
            raise host_error(self.path, error) from error
        if len(data) != length:
            raise HostError(self.path, "became shorter while it was read", hint="run the command again")
        return masked(data, offset, self.holes)

    def decoded(self, region: Blocks) -> bytes:
        """All bytes of a region, decoded if it is a compressed member.

        Raises:
            FormatError: it does not decode to what was promised.
        """
        stored = self.read(region.offset, region.size_bytes)
        encoding = self.encodings.get(region.name)
        return stored if encoding is None else inflated(stored, encoding.decoded_size, where=self.where)

    def range(self, offset: int, size: int) -> FileRange:
        """A stretch of it, to be copied."""
        return FileRange(side=self, offset=offset, size_bytes=size)


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRange:
    """A stretch of a file, as `archive.source.OpenSource` asks for it."""

    side: Side
    offset: int
    size_bytes: int

    def share(self, target: int, *, target_offset: int) -> bool:
        """Let the target refer to the same blocks; not where a hole has to become zeros."""
        end = self.offset + self.size_bytes
        if any(self.offset < start + size and start < end for start, size in self.side.holes):
            return False
        return share_range(
            self.side.descriptor,
            target,
            source_offset=self.offset,
            target_offset=target_offset,
            length=self.size_bytes,
        )

    def read_into(self, buffer: memoryview, start: int) -> None:
        """Fill `buffer`."""
        buffer[:] = self.side.read(self.offset + start, len(buffer))


def inflated(stored: bytes, size: int, *, where: str) -> bytes:
    """What a deflate stream decodes to, which must be `size` bytes; never more is decoded.

    Raises:
        FormatError: it is none, or decodes to another size.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        decoded = inflater.decompress(stored, size + 1)
    except zlib.error as error:
        raise FormatError(where, f"a compressed member cannot be decompressed: {error}") from error
    if len(decoded) != size or not inflater.eof or inflater.unused_data:
        raise FormatError(where, f"a compressed member does not decompress to the {size} bytes it promises")
    return decoded


def _encodings(reader: Reader | None) -> dict[str, Encoding]:
    ours = load_manifest(reader) if reader else None
    return {member.name: member.encoding for member in ours[0].members if member.encoding} if ours else {}
