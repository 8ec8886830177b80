"""Writes a wheel: a ZIP whose files are stored as they are, with a RECORD of their digests at its end (PEP 427).

Every file is copied in one pass. While a piece is written it is digested on another core, so that a wheel of weights
is written about as fast as they can be copied, in the memory of a few pieces. Between the files is nothing: some
installers read a wheel from its front, as it arrives.
"""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from zlib_ng import zlib_ng

from lfbuild.archive.source import BytesSource
from lfbuild.errors import FormatError
from lfbuild.formats.zip import STORED, CentralRecord, dos_time, end_records, local_header_size
from lfbuild.host.files import replacing
from lfbuild.host.moving import write_all

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future
    from pathlib import Path

    from lfbuild.archive.source import Source

_PIECE_BYTES: Final = 4 << 20
_REGULAR: Final = 0o100000


@dataclass(frozen=True, kw_only=True, slots=True)
class WheelFile:
    """One file of a wheel."""

    name: str
    source: Source
    mode: int = 0o644


@dataclass(frozen=True, kw_only=True, slots=True)
class _Digests:
    crc32: int
    sha256: bytes


def write_wheel(target: Path, files: Iterable[WheelFile], *, record: str, epoch: int) -> None:
    """Write a wheel whole or not at all; `record` is the name of its RECORD.

    Raises:
        FormatError: two files have one name.
        HostError: what the disk refuses.
    """
    with replacing(target) as out, _WheelWriter(out.fileno(), epoch=epoch) as writer:
        for file in files:
            writer.store(file)
        lines = [*writer.lines, f"{record},,"]
        writer.store(WheelFile(name=record, source=BytesSource("".join(f"{line}\n" for line in lines).encode())))
        writer.finish()


class _WheelWriter:
    def __init__(self, descriptor: int, *, epoch: int) -> None:
        self._descriptor, self._time = descriptor, dos_time(epoch)
        self._digester = ThreadPoolExecutor(max_workers=1, thread_name_prefix="digest")
        self._records: dict[str, bytes] = {}
        self._cursor = 0
        self.lines: list[str] = []
        """RECORD, so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._digester.shutdown(wait=True, cancel_futures=True)

    def store(self, file: WheelFile) -> None:
        if file.name in self._records:
            raise FormatError(file.name, "would be twice in the wheel")
        size = file.source.size_bytes
        header_offset = self._cursor
        data_offset = header_offset + local_header_size(file.name, size)
        digests = self._copy(file.source, data_offset)
        record = CentralRecord(
            name=file.name,
            method=STORED,
            crc32=digests.crc32,
            stored_size=size,
            decoded_size=size,
            header_offset=header_offset,
            mode=_REGULAR | file.mode,
            dos_time=self._time,
        )
        write_all(self._descriptor, record.local_header(), header_offset)
        self._records[file.name] = record.to_bytes()
        self._cursor = data_offset + size
        digest = base64.urlsafe_b64encode(digests.sha256).rstrip(b"=").decode()
        self.lines.append(f"{_quoted(file.name)},sha256={digest},{size}")

    def finish(self) -> None:
        directory = b"".join(self._records.values())
        end = end_records(count=len(self._records), offset=self._cursor, size=len(directory), comment=b"")
        write_all(self._descriptor, directory + end, self._cursor)

    def _copy(self, source: Source, target_offset: int) -> _Digests:
        """Copy piece by piece, one being digested while the next is read and written."""
        size, running = source.size_bytes, _Running()
        buffers = [memoryview(bytearray(min(size, _PIECE_BYTES))) for _ in range(2)]
        waiting: Future[None] | None = None
        with source.opened() as opened:
            for number, start in enumerate(range(0, size, _PIECE_BYTES)):
                piece = buffers[number % 2][: min(_PIECE_BYTES, size - start)]
                opened.read_into(piece, start)
                if waiting is not None:
                    waiting.result()
                waiting = self._digester.submit(running.add, piece)
                write_all(self._descriptor, piece, target_offset + start)
            if waiting is not None:
                waiting.result()
        return running.digests()


class _Running:
    def __init__(self) -> None:
        self._sha256, self._crc32 = hashlib.sha256(), 0

    def add(self, piece: memoryview) -> None:
        self._sha256.update(piece)
        self._crc32 = zlib_ng.crc32(piece, self._crc32)

    def digests(self) -> _Digests:
        return _Digests(crc32=self._crc32, sha256=self._sha256.digest())


def _quoted(name: str) -> str:
    """A field of RECORD, which is CSV."""
    return '"' + name.replace('"', '""') + '"' if "," in name or '"' in name else name
