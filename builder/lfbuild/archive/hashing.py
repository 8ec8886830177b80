"""BLAKE3 of every block and the CRC-32 of the whole, on all cores, while bytes are read or copied.

Blocks are gathered into batches of about 1 MiB. Each worker reads a batch into its own buffer, writes it from there
if it is being copied, and digests it there while it is still in the processor's cache. Ordinary reads keep a disk
busy, where mapping the file would reach less than half of its speed; and as every worker copies, none waits for a
single thread that copies in the kernel (docs/benchmarks.md has both). Both digests release the interpreter lock.
Memory is one buffer a worker, at any file size.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from blake3 import blake3
from zlib_ng import zlib_ng

from lfbuild.errors import IntegrityError
from lfbuild.formats.blocks import BlockIndex, Cuts
from lfbuild.host.moving import LargePageWriter, read_into

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lfbuild.archive.source import OpenSource

BATCH_BYTES: Final = 1 << 20
_MOST_WAITING_BATCHES = 64
_MOST_THREADS = 32
"""More would wait for memory, and each has a buffer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Digests:
    """What was found in a region."""

    index: BlockIndex
    crc32: int
    """Of all bytes, as ZIP has it (holes included as they are)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Neighbouring blocks that are read at once."""

    offset: int
    """From the start of the region, in bytes."""
    sizes: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of all its blocks."""
        return sum(self.sizes)


def gather(cuts: Cuts) -> Iterator[Batch]:
    """Gather the blocks of a region into batches of about `BATCH_BYTES`."""
    start, sizes, total = 0, list[int](), 0
    for offset, size in cuts.blocks():
        if sizes and total + size > BATCH_BYTES:
            yield Batch(offset=start, sizes=tuple(sizes))
            start, sizes, total = offset, [], 0
        sizes.append(size)
        total += size
    if sizes:
        yield Batch(offset=start, sizes=tuple(sizes))


class HashPool:
    """Workers that digest batches. One pool serves a whole file."""

    def __init__(self, threads: int) -> None:
        workers = min(max(threads, 1), _MOST_THREADS)
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="hash")
        self._own = threading.local()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def region(
        self, descriptor: int, offset: int, cuts: Cuts, *, crc: bool = True, holes: Sequence[tuple[int, int]] = ()
    ) -> RegionHash:
        """Begin a region of `descriptor` that starts at `offset`; see `RegionHash`.

        Raises:
            IntegrityError: told by `finish`: the file ends before the region does.
        """

        def fill(view: memoryview, start: int) -> None:
            if read_into(descriptor, view, offset + start) != len(view):
                raise IntegrityError("file", f"ends before offset {offset + start + len(view)}")

        return RegionHash(self, fill, cuts, crc=crc, holes=holes)

    def copy(
        self, source: OpenSource, descriptor: int, offset: int, cuts: Cuts, *, holes: Sequence[tuple[int, int]] = ()
    ) -> RegionHash:
        """Begin to copy all of `source` to `offset` of `descriptor`, by reference where the file system can.

        What is digested is what was written, so a source that changes meanwhile cannot make digests false.
        """
        if source.share(descriptor, target_offset=offset):
            return self.region(descriptor, offset, cuts, holes=holes)
        pages = LargePageWriter(descriptor, offset, cuts.size_bytes)
        writing = threading.Lock()  # file systems let one writer in at a time; the others would wait in a spin

        def fill(view: memoryview, start: int) -> None:
            source.read_into(view, start)
            with writing:
                pages.write(view, offset + start)

        return RegionHash(self, fill, cuts, crc=True, holes=holes)

    def source(self, source: OpenSource, cuts: Cuts, *, holes: Sequence[tuple[int, int]] = ()) -> RegionHash:
        """Begin to digest all of `source` where it stands."""
        return RegionHash(self, source.read_into, cuts, crc=True, holes=holes)

    def submit(self, task: Callable[[memoryview], tuple[bytes, int]], size: int) -> Future[tuple[bytes, int]]:
        """Run `task` with a buffer of at least `size` bytes."""
        return self._pool.submit(lambda: task(self._buffer(size)))

    def _buffer(self, size: int) -> memoryview:
        buffer: memoryview | None = getattr(self._own, "buffer", None)
        if buffer is None or len(buffer) < size:
            buffer = self._own.buffer = memoryview(bytearray(max(size, BATCH_BYTES)))
        return buffer


class RegionHash:
    """The digests of one region, while its bytes arrive.

    `fill(buffer, start)` has the bytes from `start` of the region. `ready(n)` says that the first n are there to be
    had; whatever batches they complete are digested in the background. `holes` (offset, size) are digested as zeros:
    bytes that signing may change later.
    """

    def __init__(
        self,
        pool: HashPool,
        fill: Callable[[memoryview, int], None],
        cuts: Cuts,
        *,
        crc: bool,
        holes: Sequence[tuple[int, int]],
    ) -> None:
        self._pool, self._fill, self._cuts = pool, fill, cuts
        self._crc, self._holes = crc, tuple(holes)
        self._batches = gather(cuts)
        self._next = next(self._batches, None)
        self._waiting: deque[tuple[Future[tuple[bytes, int]], int]] = deque()
        self._leaves: list[bytes] = []
        self._sum = 0

    def ready(self, size: int) -> None:
        """The first `size` bytes of the region are in the file."""
        while self._next is not None and self._next.offset + self._next.size_bytes <= size:
            batch = self._next
            self._waiting.append((self._pool.submit(self._task(batch), batch.size_bytes), batch.size_bytes))
            self._next = next(self._batches, None)
            if len(self._waiting) > _MOST_WAITING_BATCHES:
                self._collect()

    def finish(self, on_bytes: Callable[[int], None] | None = None) -> Digests:
        """Digest what is left and return everything; `on_bytes` hears of each batch that is done.

        When it returns or raises, no worker uses the descriptors any more.

        Raises:
            IntegrityError: the file ended before the region did.
        """
        try:
            while self._next is not None or self._waiting:
                if self._next is not None:
                    self.ready(self._next.offset + self._next.size_bytes)
                if self._next is None or len(self._waiting) >= _MOST_WAITING_BATCHES:
                    size = self._collect()
                    if on_bytes:
                        on_bytes(size)
        except BaseException:
            self._abandon()
            raise
        return Digests(index=BlockIndex(cuts=self._cuts, leaves=b"".join(self._leaves)), crc32=self._sum)

    def _collect(self) -> int:
        future, size = self._waiting.popleft()
        leaves, crc = future.result()
        self._leaves.append(leaves)
        if self._crc:
            self._sum = zlib_ng.crc32_combine(self._sum, crc, size)
        return size

    def _abandon(self) -> None:
        futures = [future for future, _ in self._waiting]
        self._waiting.clear()
        wait([future for future in futures if not future.cancel()])

    def _task(self, batch: Batch) -> Callable[[memoryview], tuple[bytes, int]]:
        def digest(buffer: memoryview) -> tuple[bytes, int]:
            view = buffer[: batch.size_bytes]
            self._fill(view, batch.offset)
            crc = zlib_ng.crc32(view) if self._crc else 0
            _clear(view, batch.offset, self._holes)
            return _leaves(view, batch.sizes), crc

        return digest


def hash_region(
    descriptor: int,
    offset: int,
    cuts: Cuts,
    *,
    threads: int,
    crc: bool = True,
    holes: Sequence[tuple[int, int]] = (),
    on_bytes: Callable[[int], None] | None = None,
) -> Digests:
    """Digest a region that is complete."""
    with HashPool(threads) as pool:
        return pool.region(descriptor, offset, cuts, crc=crc, holes=holes).finish(on_bytes)


def _leaves(view: memoryview, sizes: Sequence[int]) -> bytes:
    leaves = bytearray()
    position = 0
    for size in sizes:
        leaves += blake3(view[position : position + size]).digest()
        position += size
    return bytes(leaves)


def _clear(view: memoryview, start: int, holes: Sequence[tuple[int, int]]) -> None:
    for offset, size in holes:
        first, last = max(offset - start, 0), min(offset + size - start, len(view))
        if first < last:
            view[first:last] = bytes(last - first)
