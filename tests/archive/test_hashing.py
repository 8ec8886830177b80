"""Digests of regions: the same as zlib and blake3 have, whatever the batches and threads."""

from __future__ import annotations

import errno
import os
import tempfile
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from lfbuild.archive import hashing
from lfbuild.archive.hashing import BATCH_BYTES, Batch, HashPool, gather, hash_region
from lfbuild.archive.source import BytesSource
from lfbuild.errors import IntegrityError
from lfbuild.formats.blocks import BLOCK_BYTES, Cuts, Run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = bytes(number * number % 251 for number in range(100_000))


@pytest.fixture(scope="module")
def descriptor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    path = tmp_path_factory.mktemp("hashing") / "region"
    path.write_bytes(CONTENT)
    opened = os.open(path, os.O_RDONLY)
    yield opened
    os.close(opened)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 9000), st.integers(1, 9000)), min_size=1, max_size=9),
    st.integers(0, 5000),
    st.integers(1, 4),
    st.sampled_from([1000, 5000, BATCH_BYTES]),
)
def test_leaves_and_crc_are_those_of_blake3_and_zlib(
    descriptor: int, runs: list[tuple[int, int]], offset: int, threads: int, batch_bytes: int
) -> None:
    cuts = Cuts(runs=tuple(Run(size_bytes=size, block_bytes=block) for size, block in runs))
    region = CONTENT[offset : offset + cuts.size_bytes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "BATCH_BYTES", batch_bytes)
        found = hash_region(descriptor, offset, cuts, threads=threads)

    assert found.crc32 == zlib.crc32(region)
    assert found.index.leaves == b"".join(blake3(region[at : at + size]).digest() for at, size in cuts.blocks())
    assert found.index.cuts == cuts


def test_a_region_of_nothing_has_no_leaves(descriptor: int) -> None:
    found = hash_region(descriptor, 0, Cuts.plain(0), threads=1)

    assert (found.index.leaves, found.crc32) == (b"", 0)


def test_without_crc_there_is_none(descriptor: int) -> None:
    assert hash_region(descriptor, 0, Cuts.plain(50), threads=1, crc=False).crc32 == 0


def test_holes_are_digested_as_zeros_and_summed_as_they_are(descriptor: int) -> None:
    cuts = Cuts.plain(10_000, block_bytes=1000)
    holes = ((990, 20), (5000, 1), (9_990, 100), (20_000, 5))
    zeroed = bytearray(CONTENT[100:10_100])
    for at, size in holes:
        zeroed[at : at + size] = bytes(len(zeroed[at : at + size]))

    found = hash_region(descriptor, 100, cuts, threads=2, holes=holes)

    assert found.crc32 == zlib.crc32(CONTENT[100:10_100])
    assert found.index.leaves == b"".join(blake3(bytes(zeroed[at : at + size])).digest() for at, size in cuts.blocks())


def test_bytes_are_digested_as_soon_as_they_are_ready(descriptor: int) -> None:
    cuts = Cuts.plain(9000, block_bytes=1000)
    with pytest.MonkeyPatch.context() as patch, HashPool(1) as pool:
        patch.setattr(hashing, "BATCH_BYTES", 3000)
        region = pool.region(descriptor, 0, cuts)
        region.ready(2999)
        assert len(region._waiting) == 0
        region.ready(6500)
        assert len(region._waiting) == 2
        told: list[int] = []
        found = region.finish(told.append)

    assert told == [3000, 3000, 3000]
    assert found.crc32 == zlib.crc32(CONTENT[:9000])


def test_no_more_batches_wait_than_memory_allows(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "BATCH_BYTES", 100)
    monkeypatch.setattr(hashing, "_MOST_WAITING_BATCHES", 4)
    cuts = Cuts.plain(50_000, block_bytes=100)
    with HashPool(2) as pool:
        region = pool.region(descriptor, 0, cuts)
        region.ready(25_000)
        assert len(region._waiting) <= 4
        found = region.finish()

    assert found.crc32 == zlib.crc32(CONTENT[:50_000])


def test_a_file_that_ends_before_the_region_is_told(descriptor: int) -> None:
    with pytest.raises(IntegrityError) as caught:
        hash_region(descriptor, 99_000, Cuts.plain(2000), threads=1)

    assert str(caught.value) == "file: ends before offset 101000"


def test_batches_have_whole_blocks_and_about_one_mebibyte() -> None:
    runs = (
        Run(size_bytes=3 << 20),
        Run(size_bytes=10),
        Run(size_bytes=5),
        Run(size_bytes=1 << 20, block_bytes=300_000),
    )
    cuts = Cuts(runs=runs)

    batches = list(gather(cuts))

    assert [batch.offset for batch in batches[:4]] == [0, 1 << 20, 2 << 20, 3 << 20]
    assert batches[3].sizes == (10, 5, 300_000, 300_000, 300_000)
    assert sum(batch.size_bytes for batch in batches) == cuts.size_bytes
    assert all(batch.size_bytes <= BATCH_BYTES for batch in batches)
    assert list(gather(Cuts.plain(0))) == []
    assert list(gather(Cuts.plain(BLOCK_BYTES))) == [Batch(offset=0, sizes=(BLOCK_BYTES,))]


class Failing:
    """Bytes that cannot be read from some place on, and that are slow to be read before it."""

    def __init__(self, until: int) -> None:
        self.until, self.closed = until, False

    def share(self, target: int, *, target_offset: int) -> bool:
        del target, target_offset
        return False

    def read_into(self, buffer: memoryview, start: int) -> None:
        assert not self.closed
        if start >= self.until:
            raise OSError(errno.EIO, "Input/output error")
        time.sleep(0.002)
        assert not self.closed
        buffer[:] = CONTENT[start : start + len(buffer)]


def test_what_is_copied_is_digested(tmp_path: Path) -> None:
    cuts = Cuts.plain(9000, block_bytes=1000)
    path = tmp_path / "target"
    with pytest.MonkeyPatch.context() as patch, path.open("w+b") as file, HashPool(3) as pool:
        patch.setattr(hashing, "BATCH_BYTES", 2000)
        with BytesSource(CONTENT[:9000]).opened() as opened:
            found = pool.copy(opened, file.fileno(), 7, cuts).finish()

    assert path.read_bytes() == bytes(7) + CONTENT[:9000]
    assert found.crc32 == zlib.crc32(CONTENT[:9000])
    assert found.index.leaves == b"".join(blake3(CONTENT[at : at + size]).digest() for at, size in cuts.blocks())


def test_after_an_error_nobody_reads_the_source_any_more(tmp_path: Path) -> None:
    source = Failing(until=20_000)
    with pytest.MonkeyPatch.context() as patch, (tmp_path / "f").open("w+b") as file, HashPool(3) as pool:
        patch.setattr(hashing, "BATCH_BYTES", 1000)
        with pytest.raises(OSError, match="Input/output error"):
            pool.copy(source, file.fileno(), 0, Cuts.plain(50_000, block_bytes=1000)).finish()
        source.closed = True
        pool.submit(lambda _: (b"", 0), 1).result()


@dataclass(frozen=True, slots=True)
class Shared:
    """A source that a file system could share: all its bytes are there at once, and nobody asks for a copy."""

    data: bytes

    def share(self, target: int, *, target_offset: int) -> bool:
        os.pwrite(target, self.data, target_offset)
        return True

    def read_into(self, buffer: memoryview, start: int) -> None:
        raise AssertionError(f"{len(buffer)} bytes from {start} were copied")


def test_bytes_that_are_shared_are_digested_where_they_are(tmp_path: Path) -> None:
    with (tmp_path / "target").open("w+b", buffering=0) as file, HashPool(2) as pool:
        found = pool.copy(Shared(CONTENT), file.fileno(), 5, Cuts.plain(len(CONTENT))).finish()

    assert found.crc32 == zlib.crc32(CONTENT)
    assert (tmp_path / "target").read_bytes() == bytes(5) + CONTENT


@settings(max_examples=30)
@given(st.integers(0, 5000), st.integers(1, 4000), st.integers(0, 99), st.integers(1, 4))
def test_bytes_that_are_copied_are_written_and_digested(size: int, block: int, offset: int, threads: int) -> None:
    cuts = Cuts.plain(size, block_bytes=block)
    with tempfile.TemporaryFile() as file, HashPool(threads) as pool, BytesSource(CONTENT[:size]).opened() as source:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hashing, "BATCH_BYTES", 1000)
            found = pool.copy(source, file.fileno(), offset, cuts, holes=((3, 4),)).finish()
        written = os.pread(file.fileno(), 10_000, 0)

    assert written == (bytes(offset) + CONTENT[:size] if size else b"")
    assert found.crc32 == zlib.crc32(CONTENT[:size])


def test_after_a_failure_no_worker_writes_any_more(tmp_path: Path) -> None:
    class Failing(Shared):
        def share(self, target: int, *, target_offset: int) -> bool:
            del target, target_offset
            return False

        def read_into(self, buffer: memoryview, start: int) -> None:
            if start >= 50_000:
                raise OSError(5, "Input/output error")
            buffer[:] = bytes(len(buffer))

    with (
        pytest.MonkeyPatch.context() as patch,
        (tmp_path / "target").open("w+b", buffering=0) as file,
        HashPool(3) as pool,
    ):
        patch.setattr(hashing, "BATCH_BYTES", 1000)
        copying = pool.copy(Failing(b""), file.fileno(), 0, Cuts.plain(100_000, block_bytes=1000))
        with pytest.raises(OSError, match="Input/output error"):
            copying.finish()
        size = os.fstat(file.fileno()).st_size
        assert all(future.done() for future, _ in copying._waiting)
        assert os.fstat(file.fileno()).st_size == size
