"""Makes NEW of OLD where it stands: the journal gets what is to be written, and until it is whole nothing is touched.

What stands where it belongs is digested and costs no write; what moved is read from the old file, which stays as it is
until the journal is complete. So each byte that changes is written twice, and no other one at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from blake3 import blake3

from lfbuild.archive.hashing import HashPool
from lfbuild.archive.journal import JournalWriter, carry_out_journal
from lfbuild.archive.reader import read_at
from lfbuild.delta.apply import carry_out
from lfbuild.errors import FormatError
from lfbuild.formats.seal import Seal
from lfbuild.formats.zip import LONGEST_DIRECTORY_BYTES, TAIL_BYTES, read_directory
from lfbuild.manifest.filemap import Literal
from lfbuild.manifest.inplace import refuse_changed_launcher, refuse_signed

if TYPE_CHECKING:
    from collections.abc import Callable

    from lfbuild.delta.apply import DeltaStream
    from lfbuild.delta.resolve import Resolved
    from lfbuild.delta.side import FileRange, Side
    from lfbuild.formats.blocks import Cuts
    from lfbuild.report import Report

_PIECE_BYTES: Final = 1 << 20
_ZEROS: Final = bytes(_PIECE_BYTES)


def apply_in_place(old: Side, delta: DeltaStream, resolved: Resolved, *, threads: int, report: Report) -> int:
    """Change OLD, which is open for writing and had alone, into NEW; returns how many bytes were written anew.

    Until the journal is complete the old version is kept; from then on the new one cannot be lost.

    Raises:
        FormatError: OLD or NEW is not lfbuild's own file, or is signed; or a frame is damaged.
        IntegrityError, ToolError: as `delta.apply.apply_delta`, and `archive.journal.carry_out_journal`.
        HostError: NEW begins with another launcher, or the disk refuses.
    """
    refuse_signed(old.where, old.map, resolved.target)
    with open(old.descriptor, "r+b", buffering=0, closefd=False) as file:  # a descriptor, not a path
        refuse_changed_launcher(old.path, file, old.map, resolved.target)
        with (
            JournalWriter.create(old.path, file) as journal,
            HashPool(threads) as pool,
            report.step("going through the new version", total=resolved.blocks_bytes) as step,
        ):
            target = _InPlace(old, journal, pool, resolved.target.size_bytes, on_bytes=step.advance)
            carry_out(old, delta, resolved, target, on_bytes=step.advance)
            for offset, size in resolved.zeros():
                target.clear(offset, size)
            end = read_directory(target.read_new, resolved.target.size_bytes, where=old.where)
            seal = Seal.parse(end.comment, where=old.where)
            if seal is None:
                raise FormatError(old.where, "is not changed in place, as what it becomes is not lfbuild's own file")
            # Beyond this point the new version counts, whatever happens.
            records = [found.raw for found in end.records]
            journal.complete(file_size=resolved.target.size_bytes, records=records, seal=seal)
        with report.step("carrying it out"):
            carry_out_journal(old.path, file)
    return target.written_bytes


class _InPlace:
    """A `Target` that is OLD itself, through its journal."""

    def __init__(
        self, old: Side, journal: JournalWriter, pool: HashPool, new_size: int, *, on_bytes: Callable[[int], None]
    ) -> None:
        self._old, self._journal, self._pool, self._on_bytes = old, journal, pool, on_bytes
        self._old_size = old.map.size_bytes
        self._tail_from = new_size - LONGEST_DIRECTORY_BYTES - TAIL_BYTES
        self._tail: list[Literal] = []
        """What is written near the end, in its order: the directory of NEW is read before it stands anywhere."""
        self.written_bytes = 0

    def copy(self, source: FileRange, offset: int, cuts: Cuts) -> bytes:
        """What stands where it belongs is only digested."""
        if source.offset == offset:
            region = self._pool.region(self._old.descriptor, offset, cuts, crc=False, holes=self._holes(offset))
            return region.finish(self._on_bytes).index.leaves
        leaves = bytearray()
        for start, size in cuts.blocks():
            data = self._old.read(source.offset + start, size)
            leaves += blake3(data).digest()
            self.write(offset + start, data)
            self._on_bytes(size)
        return bytes(leaves)

    def write(self, offset: int, data: bytes) -> None:
        """Only what differs goes to the journal, in pieces of 1 MiB."""
        for start in range(0, len(data), _PIECE_BYTES):
            piece = data[start : start + _PIECE_BYTES]
            if piece != self._standing(offset + start, len(piece)):
                self._note(offset + start, piece)

    def clear(self, offset: int, size: int) -> None:
        """Have zeros stand where the old file has anything else."""
        for start in range(offset, min(offset + size, self._old_size), _PIECE_BYTES):
            length = min(_PIECE_BYTES, offset + size - start, self._old_size - start)
            if self._standing(start, length) != _ZEROS[:length]:
                self._note(start, bytes(length))

    def read_new(self, offset: int, length: int, /) -> bytes:
        """Bytes near the end of NEW, from what was written there, over what stands there in OLD."""
        data = bytearray(self._standing(offset, length).ljust(length, b"\0"))
        for piece in self._tail:
            first, last = max(piece.offset, offset), min(piece.offset + piece.size_bytes, offset + length)
            if first < last:
                data[first - offset : last - offset] = piece.data[first - piece.offset : last - piece.offset]
        return bytes(data)

    def _note(self, offset: int, data: bytes) -> None:
        if data == _ZEROS[: len(data)]:
            self._journal.clear(offset, len(data))
        else:
            self._journal.write_bytes(offset, data)
            self.written_bytes += len(data)
        if offset + len(data) > self._tail_from:
            self._tail.append(Literal(offset=offset, data=data))

    def _standing(self, offset: int, length: int) -> bytes:
        return read_at(self._old.descriptor, offset, length)

    def _holes(self, offset: int) -> list[tuple[int, int]]:
        return [(start - offset, size) for start, size in self._old.holes]
