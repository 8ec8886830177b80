"""Reads a file that is somebody's word: every offset and size is checked before it is used, and nothing is ever run."""

from __future__ import annotations

import contextlib
import os
import zlib
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from lfbuild.errors import FormatError, command
from lfbuild.formats.seal import Seal
from lfbuild.formats.zip import (
    DEFLATED,
    ENCRYPTED,
    LOCAL_HEADER_BYTES,
    STORED,
    CentralRecord,
    Directory,
    local_data_offset,
    read_directory,
)
from lfbuild.host.files import open_regular
from lfbuild.host.moving import read_into

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lfbuild.formats.zip import ReadAt

SMALL_MEMBER_BYTES: Final = 64 << 20
"""What is read whole into memory is at most this long: a manifest, arguments, a block index."""
_PIECE_BYTES = 1 << 20


class Reader:
    """A file opened for reading, with its directory."""

    def __init__(self, path: Path, file: BinaryIO, *, read: ReadAt | None = None) -> None:
        """With `read`, which gives the bytes, where `file` has not all of them itself."""
        self.path = path
        self.where = str(path)
        self.descriptor = file.fileno()
        self._file = file
        self._read = read or partial(read_at, self.descriptor)
        self.size_bytes = os.fstat(self.descriptor).st_size
        self.directory: Directory = read_directory(self.read_at, self.size_bytes, where=self.where)
        self.records: dict[str, CentralRecord] = {found.record.name: found.record for found in self.directory.records}

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Open `path` and read its directory.

        Raises:
            HostError: it cannot be read.
            FormatError: it has no directory, or one that does not hold together.
        """
        with opened(path) as file:
            yield cls(path, file)

    @property
    def seal(self) -> Seal | None:
        """The seal that lfbuild put into the end record; None in somebody else's file."""
        return Seal.parse(self.directory.comment, where=self.where)

    def read_at(self, offset: int, length: int, /) -> bytes:
        """Bytes of the file itself, fewer at its end."""
        return self._read(offset, length)

    def record(self, name: str) -> CentralRecord:
        """The record of a member.

        Raises:
            FormatError: there is none of that name.
        """
        if (record := self.records.get(name)) is None:
            raise FormatError(self.where, f"has no member {name!r}", hint=command("list", self.path))
        return record

    def data_offset(self, record: CentralRecord) -> int:
        """Where the data of a member begins, from its local header.

        Raises:
            FormatError: the local header is not one, or the data runs into the directory.
        """
        header = self.read_at(record.header_offset, LOCAL_HEADER_BYTES)
        offset = local_data_offset(header, record, where=self.where)
        if offset + record.stored_size > self.directory.offset:
            raise FormatError(self.where, f"the data of {record.name!r} runs into the directory")
        return offset

    def pieces(self, record: CentralRecord) -> Iterator[bytes]:
        """The decoded bytes of a member, in pieces of about 1 MiB.

        Raises:
            FormatError: encrypted, compressed in a way that is not known here, or of another length than it says.
        """
        self.refuse_unreadable(record)
        stored = self._stored_pieces(record)
        yield from _inflated(stored, record, self.where) if record.method == DEFLATED else stored

    def read(self, name: str, *, limit: int = SMALL_MEMBER_BYTES) -> bytes:
        """All decoded bytes of a small member.

        Raises:
            FormatError: it is absent, unreadable, or longer than `limit`.
        """
        record = self.record(name)
        if record.decoded_size > limit:
            raise FormatError(self.where, f"{name!r} has {record.decoded_size} bytes, more than the {limit} expected")
        return b"".join(self.pieces(record))

    def refuse_unreadable(self, record: CentralRecord) -> None:
        """Refuse what cannot be decoded here.

        Raises:
            FormatError: it is encrypted, of an unknown method, or its sizes contradict each other.
        """
        where = f"{self.where}: {record.name}"
        if record.flags & ENCRYPTED:
            raise FormatError(where, "is encrypted")
        if record.method not in {STORED, DEFLATED}:
            what = f"is compressed by method {record.method}, which is not known here"
            raise FormatError(where, what, hint="use 7z or another unzip for this member")
        if record.method == STORED and record.stored_size != record.decoded_size:
            raise FormatError(where, "is stored as it is, yet has two different sizes")

    def _stored_pieces(self, record: CentralRecord) -> Iterator[bytes]:
        offset = self.data_offset(record)
        end = offset + record.stored_size
        while offset < end:
            piece = self.read_at(offset, min(_PIECE_BYTES, end - offset))
            if not piece:
                raise FormatError(self.where, f"ends in the middle of {record.name!r}")
            yield piece
            offset += len(piece)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading.

    Raises:
        HostError: it cannot be read.
        FormatError: it is no regular file.
    """
    with open(open_regular(path), "rb", buffering=0) as file:  # noqa: PTH123  # a descriptor, not a path
        yield file


def read_at(descriptor: int, offset: int, length: int) -> bytes:
    """`length` bytes at `offset`, fewer at the end of the file."""
    buffer = bytearray(length)
    count = read_into(descriptor, memoryview(buffer), offset)
    return bytes(buffer[:count])


def _inflated(pieces: Iterator[bytes], record: CentralRecord, where: str) -> Iterator[bytes]:
    """Inflate; never more than the directory promises, so a bomb costs what it says and no more."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    left = record.decoded_size
    try:
        for stored in pieces:
            for decoded in _inflated_piece(inflater, stored, left):
                left -= len(decoded)
                if left < 0:
                    break
                yield decoded
            if left < 0 or inflater.unused_data or inflater.unconsumed_tail:
                break
    except zlib.error as error:
        raise FormatError(where, f"{record.name!r} cannot be decompressed: {error}") from error
    if left or not inflater.eof or inflater.unused_data:
        raise FormatError(where, f"{record.name!r} does not decompress to the {record.decoded_size} bytes it promises")


def _inflated_piece(inflater: zlib._Decompress, stored: bytes, left: int) -> Iterator[bytes]:
    """What one piece inflates to, in pieces, and at most one byte more than `left`."""
    decoded = inflater.decompress(stored, min(_PIECE_BYTES, left + 1))
    while decoded:
        yield decoded
        left -= len(decoded)
        # Also with nothing left to feed: a long match that was cut at the limit is still inside the inflater.
        decoded = inflater.decompress(inflater.unconsumed_tail, min(_PIECE_BYTES, left + 1)) if left >= 0 else b""
