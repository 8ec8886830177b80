"""Full verification: cold against a raw read of the same file, warm against BLAKE3 alone; the quick one at any size."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import caches, inputs
from benchmarks.front import GIB, MIB, main
from benchmarks.measure import Contender, Sample, interleaved, median, run_child, run_program
from benchmarks.tables import Goal, Table, mebibytes, rate, seconds
from lfbuild.host.machine import usable_cores

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.front import Setting
    from benchmarks.measure import Samples

OURS = "lfbuild verify"
RAW = "raw read, 8 MiB pieces"
DD = "dd bs=8M"
MAPPED = "BLAKE3 alone, file mapped"
MEMORY = "BLAKE3 alone, bytes in memory"


def measure(setting: Setting) -> Iterator[Table]:
    """All tables of verifying."""
    source = inputs.random_file(setting.folder / "source.bin", setting.size_bytes)
    packed = setting.folder / "source.llamafile"
    run_child("pack", source, packed, inputs.head(setting.folder), usable_cores())
    source.unlink()
    yield _cold(packed, setting)
    yield _warm(packed, setting)
    packed.unlink()
    yield _quick(setting)


def _cold(packed: Path, setting: Setting) -> Table:
    whole_machine = not setting.quick

    def prepare() -> None:
        caches.cold(packed, whole_machine=whole_machine)

    contenders = [
        Contender(name=OURS, run=lambda: run_child("verify", packed, usable_cores()), prepare=prepare),
        Contender(name=RAW, run=lambda: run_child("read", packed), prepare=prepare),
        Contender(name=DD, run=lambda: _dd(packed), prepare=prepare),
    ]
    samples = interleaved(contenders, rounds=setting.rounds)
    return Table(
        title=f"Verify a file of {setting.size_bytes // MIB} MiB, cold",
        columns=("program", "time", "speed", "CPU", "peak memory"),
        rows=_rows(samples, packed),
        goals=[_speed_goal(samples, RAW, "speed, share of a raw read", 0.95)],
        notes=(f"Medians of {setting.rounds} interleaved runs; {caches.told(whole_machine=whole_machine)}.",),
    )


def _warm(packed: Path, setting: Setting) -> Table:
    threads = usable_cores()
    contenders = [
        Contender(name=OURS, run=lambda: run_child("verify", packed, threads), prepare=lambda: caches.warm(packed)),
        Contender(name=MAPPED, run=lambda: run_child("blake3-mapped", packed, threads)),
        Contender(name=MEMORY, run=lambda: run_child("blake3-memory", packed, threads)),
    ]
    samples = interleaved(contenders, rounds=setting.rounds)
    note = (
        "BLAKE3 alone is the blake3 package with `max_threads`: `update_mmap` of the file, and `update` with bytes "
        "that were read before."
    )
    return Table(
        title=f"Verify a file of {setting.size_bytes // MIB} MiB, warm, {threads} threads",
        columns=("program", "time", "speed", "CPU", "peak memory"),
        rows=_rows(samples, packed),
        goals=[
            _speed_goal(samples, MEMORY, "speed, share of BLAKE3 over bytes in memory", 0.8),
            _speed_goal(samples, MAPPED, "speed, share of BLAKE3 over the mapped file", 0.8),
        ],
        notes=(note,),
    )


def _quick(setting: Setting) -> Table:
    sizes = (setting.sparse_bytes // 20, setting.sparse_bytes)
    files = {f"{size / GIB:.1f} GiB, 262,144 words": inputs.sparse_packed(setting.folder, size) for size in sizes}
    contenders = [
        Contender(name=name, run=partial(run_child, "verify-quick", path, usable_cores()))
        for name, path in files.items()
    ]
    samples = interleaved(contenders, rounds=setting.rounds)
    return Table(
        title="Verify the structure alone (--quick)",
        columns=("packed file", "time", "CPU of the process", "peak memory"),
        rows=[
            (
                name,
                seconds(median(samples, name, "act")),
                seconds(median(samples, name, "cpu")),
                mebibytes(median(samples, name, "peak")),
            )
            for name in samples
        ],
        goals=[Goal(what=name, limit=0.06, found=median(samples, name, "act"), unit=" s") for name in samples],
        notes=("Without the start of Python and the imports.",),
    )


def _speed_goal(samples: Samples, peer: str, what: str, limit: float) -> Goal:
    found = median(samples, peer, "act") / median(samples, OURS, "act")
    return Goal(what=what, limit=limit, found=found, at_least=True)


def _rows(samples: Samples, packed: Path) -> list[tuple[str, ...]]:
    size = packed.stat().st_size
    return [
        (
            name,
            seconds(median(samples, name, "act")),
            rate(size, median(samples, name, "act")),
            seconds(median(samples, name, "cpu")),
            mebibytes(median(samples, name, "peak")) if name != DD else "",
        )
        for name in samples
    ]


def _dd(path: Path) -> Sample:
    sample = run_program(["dd", f"if={path}", "of=/dev/null", "bs=8M", "status=none"])
    return Sample(wall_s=sample.wall_s, cpu_s=sample.cpu_s, parts={"act": sample.wall_s})


if __name__ == "__main__":
    sys.exit(main("verify", measure))
