"""Runs contenders in turn (A B A B …) and keeps what each run cost: wall time, CPU time, memory.

Every contender is a program of its own, so that its memory and CPU time are its own as well. Children of this
package print what they timed themselves as one line of JSON; those times begin after Python has started. They tell
their peak memory too: what `wait4` says of it includes the memory of the parent, as it was when it forked.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CHECKOUT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """What one run cost."""

    wall_s: float
    cpu_s: float
    parts: Mapping[str, float] = field(default_factory=dict)
    """What the run itself tells, by name: times, and `peak`, its peak memory in bytes (of a program that tells
    nothing, what the kernel says: never less than this process had when it started the program)."""

    def __getitem__(self, name: str) -> float:
        return float({"wall": self.wall_s, "cpu": self.cpu_s, **self.parts}[name])


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """Something that is measured, and what must be true before each of its runs."""

    name: str
    run: Callable[[], Sample]
    prepare: Callable[[], None] = lambda: None


Samples = dict[str, list[Sample]]


def interleaved(contenders: Sequence[Contender], *, rounds: int, warmups: int = 1) -> Samples:
    """Run each contender once a round; the first `warmups` rounds warm caches and memory and are not kept."""
    samples: Samples = {contender.name: [] for contender in contenders}
    for number in range(-warmups, rounds):
        for contender in contenders:
            contender.prepare()
            sample = contender.run()
            if number >= 0:
                samples[contender.name].append(sample)
            print(f"  {number + 1:3d}  {contender.name}: {sample.wall_s:.3f} s", file=sys.stderr)
    return samples


def median(samples: Samples, name: str, what: str) -> float:
    """The median of a value over the runs of a contender."""
    return statistics.median(sample[what] for sample in samples[name])


class OutOfPatienceError(Exception):
    """A program used more CPU time than it was allowed."""


def run_program(
    arguments: Sequence[str | Path], *, tells: bool = False, folder: Path = CHECKOUT, most_cpu_s: int | None = None
) -> Sample:
    """Run a program to its end in `folder`; with `tells`, its last line is JSON of times that it took itself.

    Raises:
        OutOfPatienceError: it needs more than `most_cpu_s`.
    """
    limited = [] if most_cpu_s is None else ["prlimit", f"--cpu={most_cpu_s}:{most_cpu_s}"]
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complaint:
        start = time.perf_counter()
        words = [str(item) for item in (*limited, *arguments)]
        process = subprocess.Popen(words, stdout=said, stderr=complaint, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        complaint.seek(0)
        if most_cpu_s is not None and process.returncode < 0 and usage.ru_utime + usage.ru_stime > most_cpu_s - 1:
            raise OutOfPatienceError(f"gave up after {most_cpu_s // 60} min of CPU")
        if process.returncode:
            complained = complaint.read().decode("utf-8", "replace").strip()
            raise SystemExit(f"{' '.join(words)}: exit code {process.returncode}: {complained[-2000:]}")
        said.seek(0)
        parts = json.loads(said.read().splitlines()[-1]) if tells else {"peak": usage.ru_maxrss * 1024}
    return Sample(wall_s=wall_s, cpu_s=usage.ru_utime + usage.ru_stime, parts=parts)


def run_child(act: str, *arguments: str | Path | int) -> Sample:
    """Run one act of `benchmarks.acts` in an interpreter of its own."""
    return run_program([sys.executable, "-m", "benchmarks.acts", act, *(str(item) for item in arguments)], tells=True)


def run_and_flush(arguments: Sequence[str | Path], target: Path) -> Sample:
    """Run a program that writes `target`, then `sync` it: the part `to flush` is the program alone."""
    wrote = run_program(arguments)
    flushed = run_program(["sync", target])
    return Sample(
        wall_s=wrote.wall_s + flushed.wall_s,
        cpu_s=wrote.cpu_s + flushed.cpu_s,
        parts={"to flush": wrote.wall_s, "flushed": wrote.wall_s + flushed.wall_s},
    )
