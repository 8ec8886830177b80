"""Another engine in a file of 40 GB: in place, in a new file that shares blocks, and what a plan says where none can.

The file is sparse: its weights are holes, which no edit reads or writes. Whatever an edit costs beyond them is here.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks import inputs, volumes
from benchmarks.front import GIB, MIB, main
from benchmarks.measure import Contender, interleaved, median, run_child
from benchmarks.tables import Goal, Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.front import Setting

ENGINE_BYTES = 8 * MIB
ROOM_BYTES = 24 * MIB
"""Three engines of that size."""
COMMIT_MS, CLONED_MS = 5.0, 50.0
IN_PLACE = "swap --in-place, an engine"
ENGINE_ALONE = "writing the engine alone, and a flush"
ARGUMENTS = "swap --in-place, arguments"
JOURNAL = "swap --in-place, an engine that does not fit into the room"
CLONED = "swap, a new file that shares blocks"


def measure(setting: Setting) -> Iterator[Table]:
    """All tables of swapping."""
    path = _file(setting.folder, setting.sparse_bytes)
    yield _in_place(path, setting)
    yield _told(path)
    yield from _cloned(setting)


def _file(folder: Path, size: int) -> Path:
    return inputs.sparse_launcher_file(folder, size, engine_bytes=ENGINE_BYTES, room_bytes=ROOM_BYTES)


def _in_place(path: Path, setting: Setting) -> Table:
    """Each run swaps to another engine, so that every one has something to write."""
    contenders = [
        Contender(name=IN_PLACE, run=lambda: run_child("swap-in-place", path, ENGINE_BYTES)),
        Contender(name=ENGINE_ALONE, run=lambda: run_child("write-engine", setting.folder / "engine", ENGINE_BYTES)),
        Contender(name=ARGUMENTS, run=lambda: run_child("swap-arguments", path)),
    ]
    samples = interleaved(contenders, rounds=setting.rounds)
    commit_s = median(samples, IN_PLACE, "act") - median(samples, ENGINE_ALONE, "act")
    weights = max(sample["weights"] for sample in samples[IN_PLACE] + samples[ARGUMENTS])
    rows = [
        (
            name,
            *(f"{median(samples, name, what) * 1000:.1f} ms" for what in ("planned", "act", "cleared")),
            f"{median(samples, name, 'stored') / 1e6:.2f} MB",
        )
        for name in samples
    ]
    goals = [
        Goal(what="commit besides writing the engine", limit=COMMIT_MS, found=commit_s * 1000, unit=" ms"),
        Goal(what="bytes of weights written", limit=0, found=weights),
    ]
    note = (
        "`decided`: directory, manifest and block index are read, the new engine is digested. `committed`: from then "
        "on until the new version counts and is on the disk. `cleared`: what the old version used is zero. Bytes on "
        "the disk are the kernel's count for the process (`/proc/self/io`)."
    )
    return Table(
        title=f"A new engine of {ENGINE_BYTES // MIB} MiB in place, in a file of {setting.sparse_bytes / 1e9:.0f} GB",
        columns=("act", "decided", "committed", "cleared", "bytes on the disk"),
        rows=rows,
        goals=goals,
        notes=(f"Medians of {setting.rounds} interleaved runs. {note}",),
    )


def _told(path: Path) -> Table:
    """What the plan says, where no blocks are shared and where the room is too small."""
    small = run_child("plan-swap", path, ENGINE_BYTES)
    large = run_child("plan-swap", path, 4 * ENGINE_BYTES)
    rows = [
        ("swap, here", _copied(small["new"]), f"{small['new written'] / 1e9:.2f} GB"),
        (IN_PLACE, "appended tail", f"{small['in place written'] / 1e6:.1f} MB"),
        (JOURNAL, "journal", f"{large['in place written'] / 1e6:.1f} MB"),
    ]
    return Table(
        title="What `swap --dry-run` says beforehand",
        columns=("act", "way", "would be written"),
        rows=rows,
        notes=("An engine behind the weights is written twice: to the journal, and to its place.",),
    )


def _copied(cloned: float) -> str:
    return "new file, cloned" if cloned else "new file, copied"


def _cloned(setting: Setting) -> Iterator[Table]:
    title = f"A new file on a file system that shares blocks, {setting.sparse_bytes / 1e9:.0f} GB"
    if reason := volumes.lacking():
        yield Table(title=title, columns=("act",), rows=[(f"not measured: {reason}",)])
        return
    with volumes.cloning_volume(setting.folder, 2 * GIB) as volume:
        path = _file(volume.folder, setting.sparse_bytes)
        before = volume.used_bytes()
        contender = Contender(name=CLONED, run=lambda: run_child("swap-new-file", path, ENGINE_BYTES))
        samples = interleaved([contender], rounds=setting.rounds)
        taken = volume.used_bytes() - before
        rows = [
            (
                f"{CLONED} ({volume.kind}, loop device)",
                f"{median(samples, CLONED, 'act') * 1000:.1f} ms",
                f"{median(samples, CLONED, 'planned') * 1000:.0f} ms",
                f"{taken / 1e6:.1f} MB",
            )
        ]
        goal = Goal(what="done", limit=CLONED_MS, found=median(samples, CLONED, "act") * 1000, unit=" ms")
        yield Table(title=title, columns=("act", "done", "decided", "blocks taken in the end"), rows=rows, goals=[goal])


if __name__ == "__main__":
    sys.exit(main("swap", measure))
