"""Journals that are damaged, or lie with digests that fit: read or refused, and no file is lost to them."""

from __future__ import annotations

import struct
import tempfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.world.zips import Stored, zip_of

from lfbuild.archive.journal import finish_journal, is_journal_complete
from lfbuild.channel.partial import Record, blocks_done, find_leftovers, opened_partial
from lfbuild.errors import FormatError
from lfbuild.fetch.ranges import Span
from lfbuild.formats.blocks import BLOCK_BYTES
from lfbuild.formats.journal import BOUND_BYTES, MOST_DATA_BYTES, JournalHeader, JournalRecord
from lfbuild.formats.seal import Seal
from lfbuild.host.inplace import had_alone, journal_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import DrawFn

LARGEST = 1 << 62
NUMBERS = st.one_of(
    st.integers(0, 9000), st.sampled_from((MOST_DATA_BYTES, LARGEST - 1, LARGEST, LARGEST + 1, (1 << 64) - 1))
)
SEAL = Seal(generation=2, state="redo", manifest_digest="b" * 64)
OLD = zip_of(Stored("a", b"a" * 3000), comment=replace(SEAL, state="clean", generation=1).to_bytes())
MARK = zip_of(comment=SEAL.to_bytes())
ROOT = bytes(range(32))


HEADERS = NUMBERS.map(lambda size: struct.pack("<8sQQ8s32s", b"LFREDO 1", size, size, bytes(8), ROOT))


@given(st.one_of(st.binary(max_size=200), HEADERS))
def test_a_header_is_read_as_it_is_written_or_refused(data: bytes) -> None:
    for whole in (data, data[:64] + blake3(data[:64]).digest()):
        try:
            header = JournalHeader.parse(whole, where="x")
        except FormatError:
            continue
        assert header.to_bytes() == whole[: JournalHeader.SIZE_BYTES]
        assert header.bound_size == min(header.old_size, BOUND_BYTES)


@st.composite
def records(draw: DrawFn) -> bytes:
    """The 64 bytes of a record before its link, of any kind and numbers."""
    magic = draw(st.sampled_from((b"WRIT", b"ZERO", b"DONE", b"ELSE")))
    zeros = draw(st.sampled_from((bytes(4), b"\0\0\0\1")))
    digest = draw(st.binary(max_size=32))
    return struct.pack("<4s4sQQQ32s", magic, zeros, draw(NUMBERS), draw(NUMBERS), draw(NUMBERS), digest)


@given(st.one_of(st.binary(max_size=200), records()))
def test_a_record_is_read_as_it_is_written_or_refused(data: bytes) -> None:
    for whole in (data, data[:64] + blake3(ROOT + data[:64]).digest()):
        try:
            record, chain = JournalRecord.parse(whole, ROOT, where="x")
        except FormatError:
            continue
        assert record.to_bytes(ROOT) == (whole[: JournalRecord.SIZE_BYTES], chain)
        assert record.offset + record.size <= LARGEST
        assert record.data_bytes <= MOST_DATA_BYTES + BOUND_BYTES


@st.composite
def journals(draw: DrawFn) -> bytes:
    """A journal whose chain holds and whose records lie, perhaps cut off or damaged."""
    header = JournalHeader.of(len(OLD), OLD)
    data, chain = header.to_bytes(), header.chain
    steps = [*draw(st.lists(st.sampled_from(("write", "zero")), max_size=4)), *draw(st.sampled_from((["done"], [])))]
    for kind in steps:
        content = MARK if kind == "done" else draw(st.binary(max_size=50))
        size = draw(NUMBERS) if kind == "zero" or draw(st.integers(0, 9)) == 0 else len(content)
        offset = draw(st.one_of(st.integers(0, 2 * len(OLD)), NUMBERS))
        mark_offset = draw(st.one_of(st.integers(0, 3 * len(OLD)), NUMBERS)) if kind == "done" else 0
        digest = bytes(32) if kind == "zero" else blake3(content).digest()
        try:
            record = JournalRecord(kind=kind, offset=offset, size=size, mark_offset=mark_offset, digest=digest)
            fixed, chain = record.to_bytes(chain)
        except struct.error:
            continue
        data += fixed + (b"" if kind == "zero" else content)
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(data) - 1))
        data = draw(st.sampled_from((data[:at], data[:at] + b"!" + data[at + 1 :])))
    return data


@given(journals())
@settings(deadline=None)
def test_whatever_a_journal_asks_for_the_file_stays_unless_it_is_complete(journal: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "chat"
        path.write_bytes(OLD)
        journal_path(path).write_bytes(journal)
        try:
            complete = is_journal_complete(path)
        except FormatError:
            complete = False
        assert path.read_bytes() == OLD
        if not complete:
            with had_alone(path) as file:
                try:
                    assert finish_journal(path, file) == "undone"
                except FormatError:
                    assert journal_path(path).read_bytes() == journal
            assert path.read_bytes() == OLD


UPDATE_HEADER = struct.pack("<8sI32sQ8s", b"LFUPDATE", 1, ROOT, 9000, bytes(8))


def with_crc(body: bytes) -> bytes:
    return body + struct.pack("<I", zlib.crc32(body))


@st.composite
def update_records(draw: DrawFn) -> bytes:
    """A record of an update, true in nothing but its checksum."""
    kind = draw(st.sampled_from((b"B", b"B", b"C", b"X")))
    size = draw(st.one_of(NUMBERS, st.integers(0, 300)))
    return with_crc(struct.pack("<c7sQQ32s4s", kind, bytes(7), draw(NUMBERS), size, ROOT, bytes(4)))


@given(st.one_of(st.binary(max_size=80), st.binary(min_size=60, max_size=60).map(with_crc), update_records()))
def test_a_record_of_an_update_is_read_or_torn(data: bytes) -> None:
    record = Record.parse(data)

    if record is not None:
        assert Record.parse(record.to_bytes()) == record


@given(st.lists(update_records(), max_size=6), st.binary(max_size=70), st.integers(0, 9000))
@settings(deadline=None)
def test_whatever_the_journal_of_an_update_tells_the_update_goes_on(
    told: Sequence[bytes], rest: bytes, size: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        target = Path(name) / "chat"
        partial = target.with_name(f".chat.{ROOT.hex()[:16]}.lfbuild-update")
        journal = with_crc(UPDATE_HEADER) + b"".join(told) + rest
        partial.write_bytes(bytes(size))
        partial.with_name(partial.name + "-journal").write_bytes(journal)

        for leftover in find_leftovers(target, root=bytes(32)):
            assert all(part.offset + part.size_bytes <= size for part in leftover.found.regions)
            assert all(part.size_bytes <= BLOCK_BYTES for part in leftover.found.regions)
        done = blocks_done(target, root=ROOT, size_bytes=9000)
        with opened_partial(target, root=ROOT, size_bytes=9000) as opened:
            assert opened.was_begun
            assert opened.done == {block.offset for block in done}
            opened.store(0, b"a block", ROOT)
        assert blocks_done(target, root=ROOT, size_bytes=9000)[Span(0, len(b"a block"))] == ROOT
