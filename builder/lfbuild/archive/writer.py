"""Writes a file in one pass: head, members, directory. What is written is digested on its way.

Nothing is decided here: placements come in, entries go out. Digests are those of the very bytes that were written, so
a source that changes in mid-copy cannot make a file whose digests are false.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from blake3 import blake3

from lfbuild.archive.hashing import HashPool
from lfbuild.archive.layout import Member, place, place_end
from lfbuild.errors import FormatError
from lfbuild.formats.zip import dos_time
from lfbuild.host.moving import write_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import BinaryIO

    from lfbuild.archive.hashing import Digests
    from lfbuild.archive.layout import Placement
    from lfbuild.archive.source import Source
    from lfbuild.formats.blocks import BlockIndex, Cuts
    from lfbuild.formats.zip import CentralRecord

_FLUSH_BYTES: Final = 128 << 20
"""How much is written before the disk is asked to begin; it works while the next bytes are copied."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A member as it was written."""

    record: CentralRecord
    data_offset: int
    index: BlockIndex

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.name


class Writer:
    """Writes into an empty file that is open for reading and writing."""

    def __init__(
        self, file: BinaryIO, *, epoch: int, threads: int, on_bytes: Callable[[int], None] = lambda _: None
    ) -> None:
        self._descriptor = file.fileno()
        self._time = dos_time(epoch)
        self._on_bytes = on_bytes
        self._hashes = HashPool(threads)
        self._flusher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="flush")
        self._flush: Future[None] | None = None
        self._unflushed = 0
        self._records: list[bytes] = []
        self.names: list[str] = []
        """Names of the members so far, in the order of the directory."""
        self.cursor = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._hashes.__exit__()
        self._flusher.shutdown(wait=True)

    def write_head(
        self,
        source: Source,
        cuts: Cuts,
        *,
        holes: Sequence[tuple[int, int]] = (),
        own_records: Sequence[bytes] = (),
    ) -> Digests:
        """Write what the file begins with; `own_records` are the directory records of members inside it."""
        self._records.extend(own_records)
        return self._copy(source, cuts, 0, holes=holes)

    def store(self, placement: Placement) -> Entry:
        """Write one member where it was placed."""
        member = placement.member
        digests = self._copy(member.source, member.blocks, placement.data_offset)
        record = member.record(header_offset=placement.header_offset, crc32=digests.crc32, dos_time=self._time)
        write_all(self._descriptor, record.local_header(), placement.header_offset)
        self._records.append(record.to_bytes())
        self.names.append(record.name)
        return Entry(record=record, data_offset=placement.data_offset, index=digests.index)

    def place(self, member: Member) -> Placement:
        """Where a member goes: behind the last one."""
        (placement,) = place([member], start=self.cursor)
        return placement

    def directory_digest(self) -> str:
        """BLAKE3 of the directory records so far, as 64 hexadecimal digits."""
        return blake3(b"".join(self._records)).hexdigest()

    def finish(self, comment: bytes) -> None:
        """Write directory and end records; nothing is written after them."""
        closing = place_end(self._records, start=self.cursor, comment=comment)
        write_all(self._descriptor, closing.directory + closing.end, closing.offset)
        self.cursor = closing.file_size
        if self._flush is not None:
            self._flush.result()

    def _copy(
        self, source: Source, cuts: Cuts, target_offset: int, *, holes: Sequence[tuple[int, int]] = ()
    ) -> Digests:
        if cuts.size_bytes != source.size_bytes:  # what no block covers would not be written
            what = f"is cut into blocks of {cuts.size_bytes} bytes in all, but has {source.size_bytes}"
            raise FormatError("member", what)
        with source.opened() as opened:
            digests = self._hashes.copy(opened, self._descriptor, target_offset, cuts, holes=holes).finish(self._told)
        self.cursor = target_offset + source.size_bytes
        return digests

    def _told(self, length: int) -> None:
        self._begin_flush(length)
        self._on_bytes(length)

    def _begin_flush(self, length: int) -> None:
        self._unflushed += length
        if self._unflushed < _FLUSH_BYTES or not hasattr(os, "fdatasync"):
            return
        if self._flush is None or self._flush.done():
            if self._flush is not None:
                self._flush.result()  # a full disk is told here, not at the end
            self._flush = self._flusher.submit(os.fdatasync, self._descriptor)
            self._unflushed = 0
