"""What runs in an interpreter of its own: one act, timed after all imports, the times printed as JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from benchmarks.inputs import engine, file_member, order, release
from lfbuild.archive.hashing import HashPool, hash_region
from lfbuild.archive.reader import Reader
from lfbuild.archive.source import BytesSource, FileSource
from lfbuild.backend.wheel import WheelFile, write_wheel
from lfbuild.commands.apply import DeltaSource, apply, apply_in_place_of
from lfbuild.commands.diff import diff
from lfbuild.commands.verify import verify
from lfbuild.formats.blocks import Cuts
from lfbuild.formats.zip import FIRST_EPOCH
from lfbuild.host.files import can_share
from lfbuild.host.inplace import flush, had_alone, used
from lfbuild.host.moving import write_all
from lfbuild.manifest.carry import append, clear, write_new_file
from lfbuild.manifest.edit import Changes, plan_in_place, plan_new_file, written_bytes
from lfbuild.manifest.order import PackMember
from lfbuild.manifest.pack import pack
from lfbuild.manifest.present import load_present
from lfbuild.report import SilentReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lfbuild.manifest.edit import EditPlan
    from lfbuild.manifest.present import Present

_READ_BYTES = 8 << 20
_COPY_BYTES = 16 << 20
_MEMORY_BYTES = 512 << 20


def act_pack(source: str, target: str, head: str, threads: str) -> dict[str, float]:
    """lfbuild's packer."""
    work = order(Path(head), file_member(Path(source)))
    return _until_flushed(lambda: pack(work, Path(target), threads=int(threads), report=SilentReport()))


def act_wheel(source: str, target: str) -> dict[str, float]:
    """The same file as the one program of a wheel."""
    file = WheelFile(name="tiny-1.0.data/scripts/tiny", source=FileSource.whole(Path(source)), mode=0o755)
    record = "tiny-1.0.dist-info/RECORD"
    return _until_flushed(lambda: write_wheel(Path(target), [file], record=record, epoch=FIRST_EPOCH))


def _until_flushed(act: Callable[[], object]) -> dict[str, float]:
    """Times of writing a file; the flush begins where fsync is called for the first time."""
    flushes: list[float] = []
    flush = os.fsync

    def timed(descriptor: int) -> None:
        flushes.append(time.perf_counter())
        flush(descriptor)

    with mock.patch("os.fsync", timed):
        start = time.perf_counter()
        act()
        end = time.perf_counter()
    return {"to flush": flushes[0] - start, "flushed": end - start}


def act_copy_then_digest(source: str, target: str, threads: str) -> dict[str, float]:
    """The way that lfbuild's packer does not take: the kernel copies, and the copy is read again to be digested."""
    size = Path(source).stat().st_size
    start = time.perf_counter()
    with Path(source).open("rb") as given, Path(target).open("w+b") as made, HashPool(int(threads)) as pool:
        digesting = pool.region(made.fileno(), 0, Cuts.plain(size))
        position = 0
        while count := os.copy_file_range(given.fileno(), made.fileno(), _COPY_BYTES, position, position):
            position += count
            digesting.ready(position)
        digesting.finish()
        copied = time.perf_counter()
        os.fsync(made.fileno())
    return {"to flush": copied - start, "flushed": time.perf_counter() - start}


def act_verify(path: str, threads: str) -> dict[str, float]:
    """lfbuild's full verification."""
    return _verified(path, threads, quick=False)


def act_verify_quick(path: str, threads: str) -> dict[str, float]:
    """The structure of a file alone."""
    return _verified(path, threads, quick=True)


def _verified(path: str, threads: str, *, quick: bool) -> dict[str, float]:
    import msgspec  # noqa: F401  # so that the import is not timed

    start = time.perf_counter()
    found = verify(Path(path), quick=quick, threads=int(threads), report=SilentReport())
    assert found.ok, found.findings
    return {"act": time.perf_counter() - start}


def act_read(path: str) -> dict[str, float]:
    """The bytes alone, in large pieces."""
    buffer = memoryview(bytearray(_READ_BYTES))
    start = time.perf_counter()
    descriptor = os.open(path, os.O_RDONLY)
    position = 0
    while count := os.preadv(descriptor, [buffer], position):
        position += count
    return {"act": time.perf_counter() - start}


def act_digest(path: str, threads: str) -> dict[str, float]:
    """BLAKE3 of every block and CRC-32 of a file: the hashing of a pack without the pack."""
    size = Path(path).stat().st_size
    start = time.perf_counter()
    descriptor = os.open(path, os.O_RDONLY)
    hash_region(descriptor, 0, Cuts.plain(size), threads=int(threads))
    return {"act": time.perf_counter() - start}


def act_blake3_mapped(path: str, threads: str) -> dict[str, float]:
    """The blake3 package over a file, as its own documentation recommends."""
    from blake3 import blake3

    start = time.perf_counter()
    blake3(max_threads=int(threads)).update_mmap(path).digest()
    return {"act": time.perf_counter() - start}


def act_blake3_memory(path: str, threads: str) -> dict[str, float]:
    """The blake3 package over as many bytes that are in memory already: no reading at all."""
    from blake3 import blake3

    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        data = memoryview(bytearray(file.read(_MEMORY_BYTES)))
    hasher = blake3(max_threads=int(threads))
    start = time.perf_counter()
    for position in range(0, size, len(data)):
        hasher.update(data[: min(len(data), size - position)])
    hasher.digest()
    return {"act": time.perf_counter() - start}


def act_fetch(url: str, spans: str, most: str) -> dict[str, float]:
    """Scattered blocks over HTTP, each held against its digest, as an update fetches them."""
    from blake3 import blake3

    from lfbuild.fetch.network import Network
    from lfbuild.fetch.pace import Clock
    from lfbuild.fetch.parallel import Manners, fetch_units
    from lfbuild.fetch.places import Places
    from lfbuild.fetch.ranges import Line, Span

    leaves = {Span(offset, size): leaf for offset, size, leaf in json.loads(Path(spans).read_bytes())}

    def accept(span: Span, data: memoryview) -> bool:
        return blake3(data).hexdigest() == str(leaves[span])

    def measured(clock: float) -> float:
        return time.perf_counter() - clock

    # What reading the control file would have told: how far the server is. That took two round trips.
    began = time.perf_counter()
    manners = Manners(clock=Clock(now=time.monotonic), most_connections=int(most))
    places = Places(Network(), clock=manners.clock)
    with places.remote(url).open(Span(0, 1)) as body:
        body.read(1)
    line = Line(round_trip_s=measured(began) / 2, bytes_per_s=25e6)
    start = time.perf_counter()
    remote = Places(Network(), clock=manners.clock).remote(url)
    traffic = fetch_units(remote, list(leaves), accept, manners=manners, line=line)
    return {"act": measured(start), "requests": traffic.requests, "body": traffic.body_bytes}


def act_diff(old: str, new: str, patch: str) -> dict[str, float]:
    """lfbuild's diff, and how much it read."""
    before = _read_bytes()
    start = time.perf_counter()
    diff(Path(old), Path(new), Path(patch), threads=1, report=SilentReport())
    return {"act": time.perf_counter() - start, "read": _read_bytes() - before}


def act_apply(old: str, patch: str, made: str) -> dict[str, float]:
    """lfbuild's apply."""
    start = time.perf_counter()
    source = DeltaSource(name=patch)
    apply(Path(old), [source], Path(made), force=True, threads=1, report=SilentReport())
    return {"act": time.perf_counter() - start}


def act_apply_in_place(path: str, patch: str) -> dict[str, float]:
    """lfbuild's apply into the old file itself, and what was written for it: journal and file."""
    before = _stored_bytes()
    start = time.perf_counter()
    apply_in_place_of(Path(path), [DeltaSource(name=patch)], threads=1, report=SilentReport())
    return {"act": time.perf_counter() - start, "stored": _stored_bytes() - before}


def act_large(kind: str, size: str, number: str, target: str) -> dict[str, float]:
    """Write one of two releases of a large file."""
    path = Path(target)
    release(path.parent, path, size=int(size), sparse=kind == "sparse", number=int(number))
    return {}


def _read_bytes() -> int:
    """What this process has read so far, from the page cache too."""
    return int(Path("/proc/self/io").read_text(encoding="ascii").partition("rchar:")[2].split()[0])


def act_swap_in_place(path: str, engine_bytes: str) -> dict[str, float]:
    """Another engine in place, with launchers at the head of the file."""
    return _edit_in_place(Path(path), Changes(slices=(engine(int(engine_bytes)),)))


def act_swap_arguments(path: str) -> dict[str, float]:
    """Other arguments in place: nothing but a tail."""
    source = BytesSource(f"cli\n-s\n{time.time_ns()}\n...\n".encode())
    member = PackMember(name=".args", role="args", place="tail", source=source)
    return _edit_in_place(Path(path), Changes(put=(member,)))


def act_write_engine(path: str, engine_bytes: str) -> dict[str, float]:
    """What writing an engine costs by itself: into a hole, as room is, and flushed."""
    data = os.urandom(int(engine_bytes))
    with Path(path).open("w+b", buffering=0) as file:
        file.truncate(len(data))
        flush(file.fileno())
        before = _stored_bytes()
        start = time.perf_counter()
        write_all(file.fileno(), data, 0)
        flush(file.fileno())
        took = time.perf_counter() - start
    return {"act": took, "cleared": 0.0, "planned": 0.0, "stored": _stored_bytes() - before}


def act_swap_new_file(path: str, engine_bytes: str) -> dict[str, float]:
    """Another engine in a new file that takes the old one's name."""
    target, changes = Path(path), Changes(slices=(engine(int(engine_bytes)),))
    with used(target) as file, SilentReport().step("") as step:
        begun = time.perf_counter()
        present = load_present(Reader(target, file), threads=1)
        assert present is not None
        plan = plan_new_file(present, changes)
        start = time.perf_counter()
        write_new_file(plan, target, mode=0o755, threads=1, step=step, expected=os.fstat(file.fileno()))
        return {"act": time.perf_counter() - start, "planned": start - begun}


def act_plan_swap(path: str, engine_bytes: str) -> dict[str, float]:
    """What `swap --dry-run` says."""
    target, changes = Path(path), Changes(slices=(engine(int(engine_bytes)),))
    with used(target) as file:
        present = load_present(Reader(target, file), threads=1)
        assert present is not None
        new, here = plan_new_file(present, changes), plan_in_place(present, changes)
        cloned = can_share(file.fileno(), target.parent)
        return {
            "new": float(cloned),
            "new written": float(written_bytes(new, present)),
            "in place written": float(written_bytes(here, present)),
        }


def _edit_in_place(path: Path, changes: Changes) -> dict[str, float]:
    with had_alone(path) as file, SilentReport().step("") as step:
        begun = time.perf_counter()
        present = load_present(Reader(path, file), threads=1)
        assert present is not None
        plan = plan_in_place(present, changes)
        assert plan.way == "append", plan.way
        before, committed = _stored_bytes(), list[float]()

        def clearing(spans: Iterable[tuple[int, int]], target: int) -> None:
            committed.append(time.perf_counter())
            clear(spans, target)

        with mock.patch("lfbuild.manifest.carry.clear", clearing):
            start = time.perf_counter()
            append(plan, path, file, threads=1, step=step)
            end = time.perf_counter()
        stored, weights = _stored_bytes() - before, _weights_written(plan, present)
    return {
        "act": committed[0] - start,
        "cleared": end - committed[0],
        "planned": start - begun,
        "stored": stored,
        "weights": weights,
    }


def _weights_written(plan: EditPlan, present: Present) -> float:
    """Bytes of the weights that the plan writes or clears."""
    record = present.reader.record("model.gguf")
    first, last = record.header_offset, present.reader.data_offset(record) + record.stored_size
    spans = [(part.offset, part.end) for part in plan.fresh()] + [*plan.clear]
    return float(sum(max(0, min(end, last) - max(start, first)) for start, end in spans))


def _stored_bytes() -> float:
    """Bytes that this process has had written to a disk."""
    facts = Path("/proc/self/io").read_text(encoding="ascii")
    return float(facts.partition("\nwrite_bytes: ")[2].split()[0])


ACTS: dict[str, Callable[..., dict[str, float]]] = {
    "wheel": act_wheel,
    "pack": act_pack,
    "copy-then-digest": act_copy_then_digest,
    "verify": act_verify,
    "verify-quick": act_verify_quick,
    "read": act_read,
    "digest": act_digest,
    "blake3-mapped": act_blake3_mapped,
    "blake3-memory": act_blake3_memory,
    "fetch": act_fetch,
    "diff": act_diff,
    "apply": act_apply,
    "apply-in-place": act_apply_in_place,
    "large": act_large,
    "swap-in-place": act_swap_in_place,
    "swap-arguments": act_swap_arguments,
    "swap-new-file": act_swap_new_file,
    "write-engine": act_write_engine,
    "plan-swap": act_plan_swap,
}


def peak_bytes() -> int:
    """Most memory that this process had at once; unlike getrusage's, without what its parent had."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


if __name__ == "__main__":
    times = ACTS[sys.argv[1]](*sys.argv[2:])
    print(json.dumps({**times, "peak": peak_bytes()}))
