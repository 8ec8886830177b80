"""Differences between releases, beside every tool that makes them: what travels, and what it costs.

Sizes, memory, and what is read and written do not depend on the machine's load, and no time is measured but CPU
seconds, which other work makes more, not fewer. Each tool runs once a pair; with --kept FILE a run that was interrupted
goes on. With --quick: one small pair.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import inputs
from benchmarks.front import MIB, main
from benchmarks.kept import KeptTrials
from benchmarks.measure import run_child
from benchmarks.pairs import Pair, Workshop, cffi, cyllama
from benchmarks.peers import ALL, OURS
from benchmarks.tables import Goal, Table, mebibytes, seconds
from lfbuild.manifest.mapping import map_file
from lfbuild.manifest.matching import MISSING, match

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.front import Setting
    from benchmarks.peers import Trial

GIB = 1 << 30
KB = 1000
_MOST_MEMORY_MIB = 80
"""64 MiB, and the largest pair that is held: two programs of 8 MiB."""
_MOST_CPU_S = 1.5
"""To make a delta, for each MB of the engine or of the tensors that changed."""
_MORE_WRITTEN_MIB = 0.25
"""Heads of the journal's records, the directory and its mark."""
_PAGE_BYTES = 4096

Trials = dict[tuple[str, str], "Trial | str"]
"""Of a tool and a pair: what it did, or why it could not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A model whose releases are compared."""

    recipe: str
    share: str
    """How much training changes all of its weights, of their root mean square."""
    other: tuple[str, ...]
    """Which types become which, in another quantization."""
    tuned_percent: int | None = None
    """How much of the file may travel when all weights changed, where there is a goal for it."""


SMOL = Model(recipe="smollm2", share="0.003", other=("Q4_1=Q5_1",), tuned_percent=8)
GEMMA = Model(recipe="gemma3", share="0.005", other=("Q8_0=Q4_0", "Q5_0=Q5_1"))
LAYERS = "5,6,7"
LAYERS_SHARE = "0.005"


def measure(setting: Setting) -> Iterator[Table]:
    """All tables of differences."""
    kept = KeptTrials(setting.kept)
    if setting.quick:
        yield _sizes("One small pair", [_small_pair(setting.folder)], setting.folder, kept)[0]
        yield _scale(setting, [("sparse", setting.sparse_bytes)])
        return
    workshop = Workshop(setting.folder)
    table, _ = _sizes("Engines alone", list(_engines(workshop)), setting.folder, kept, goals=_engine_goals)
    yield table
    yield from _model(workshop, SMOL, setting.folder, kept)
    yield _scale(setting, [("synthetic", 8 * GIB), ("sparse", setting.sparse_bytes)])
    yield from _model(workshop, GEMMA, setting.folder, kept)  # last, as it takes the longest


def _model(workshop: Workshop, model: Model, folder: Path, kept: KeptTrials) -> Iterator[Table]:
    title, pairs = f"Releases of {model.recipe}", list(_releases(workshop, model))
    table, trials = _sizes(title, pairs, folder, kept, goals=partial(_release_goals, model))
    yield table
    yield _costs(title, trials)
    yield _applying(title, pairs, trials)


def _small_pair(folder: Path) -> Pair:
    old = inputs.random_file(folder / "old", MIB)
    new = folder / "new"
    new.write_bytes(old.read_bytes()[: MIB // 2] + b"something new" + old.read_bytes()[MIB // 2 :])
    return Pair(name="something new", old=old, new=new)


def _engines(workshop: Workshop) -> Iterator[Pair]:
    """Consecutive releases of real engines, as programs alone."""
    steps = (
        ("cyllama 0.2.17 to 0.2.18", cyllama("0.2.17"), cyllama("0.2.18")),
        ("cyllama 0.2.13 to 0.2.18", cyllama("0.2.13"), cyllama("0.2.18")),
        ("llama-cpp-cffi CPU 0.4.40 to 0.4.42", cffi("cpu", "0.4.40"), cffi("cpu", "0.4.42")),
        ("llama-cpp-cffi Vulkan 0.4.40 to 0.4.42", cffi("vulkan_1_x", "0.4.40"), cffi("vulkan_1_x", "0.4.42")),
    )
    for name, old, new in steps:
        path = workshop.engine(new)
        yield Pair(name=name, old=workshop.engine(old), new=path, changed_bytes=path.stat().st_size)


def _releases(workshop: Workshop, model: Model) -> Iterator[Pair]:
    """An old release, and what a new one may have changed."""
    name = model.recipe
    old_engine, engine = workshop.engine(cyllama("0.2.17")), workshop.engine(cyllama("0.2.18"))
    base = workshop.varied(workshop.model(name), f"{name}.base", "tune", "0")
    template = workshop.varied(base, f"{name}.template", "template")
    layers = workshop.varied(workshop.model(name), f"{name}.layers", "tune", LAYERS_SHARE, LAYERS)
    everything = workshop.varied(workshop.model(name), f"{name}.all", "tune", model.share)
    other = workshop.varied(base, f"{name}.other", "requantize", *model.other)
    release = workshop.varied(layers, f"{name}.release", "template")
    old = workshop.packed(f"{name}-old.llamafile", old_engine, base)
    engine_bytes = engine.stat().st_size
    yield Pair(name="engine", old=old, new=workshop.packed(f"{name}-engine", engine, base), changed_bytes=engine_bytes)
    yield Pair(
        name="engine, compressed",
        old=workshop.packed_in_slot(f"{name}-slot-old", old_engine, base),
        new=workshop.packed_in_slot(f"{name}-slot", engine, base),
        changed_bytes=engine_bytes,
    )
    yield Pair(name="template", old=old, new=workshop.packed(f"{name}-template", old_engine, template))
    yield _tensors("three layers", old, workshop.packed(f"{name}-layers", old_engine, layers))
    yield Pair(name="release: all three", old=old, new=workshop.packed(f"{name}-release", engine, release))
    yield _tensors("everything tuned", old, workshop.packed(f"{name}-all", old_engine, everything))
    yield _tensors("other quantization", old, workshop.packed(f"{name}-other", old_engine, other))


def _tensors(name: str, old: Path, new: Path) -> Pair:
    """A pair with the bytes of the blocks that changed."""
    stretches = match([map_file(old, threads=1)], map_file(new, threads=1))
    return Pair(name=name, old=old, new=new, changed_bytes=sum(it.size_bytes for it in stretches if it.seed == MISSING))


def _sizes(
    title: str, pairs: Sequence[Pair], folder: Path, kept: KeptTrials, *, goals: object = None
) -> tuple[Table, Trials]:
    """What travels, tool by tool."""
    trials: Trials = {}
    taken_before = kept.taken
    for pair in pairs:
        for peer in ALL:
            work = folder / "trial"
            work.mkdir()
            trials[peer.name, pair.name] = kept.trial(peer, pair, work)
            shutil.rmtree(work)
            print(f"  {pair.name}: {peer.name}: {_bytes(trials, peer.name, pair.name)}", file=sys.stderr)
    taken = kept.taken - taken_before
    rows = [(peer.name, *(_bytes(trials, peer.name, pair.name) for pair in pairs)) for peer in ALL]
    rows.append(("the new file itself", *(f"{pair.new.stat().st_size:,}" for pair in pairs)))
    table = Table(
        title=f"{title}: bytes that travel",
        columns=("tool", *(pair.name for pair in pairs)),
        rows=rows,
        goals=goals(pairs, trials) if callable(goals) else (),
        notes=(
            "In brackets: times what lfbuild needs. Each tool made the new file again, byte for byte.",
            *([f"{taken} of the other tools' trials are of an earlier run with the same files."] if taken else []),
        ),
    )
    return table, trials


def _bytes(trials: Trials, tool: str, pair: str) -> str:
    trial, ours = trials[tool, pair], trials[OURS.name, pair]
    if isinstance(trial, str):
        return trial
    if tool == OURS.name or isinstance(ours, str):
        return f"**{trial.travels_bytes:,}**"
    return f"{trial.travels_bytes:,} ({trial.travels_bytes / ours.travels_bytes:.2f})"


def _travels(trials: Trials, tool: str, pair: str) -> int | None:
    trial = trials.get((tool, pair), "")
    return None if isinstance(trial, str) else trial.travels_bytes


def _best_peer(trials: Trials, pair: str, tools: Sequence[str] | None = None) -> int | None:
    names = tools or [peer.name for peer in ALL if peer.name != OURS.name]
    sizes = [size for name in names if (size := _travels(trials, name, pair)) is not None]
    return min(sizes, default=None)


def _engine_goals(pairs: Sequence[Pair], trials: Trials) -> list[Goal]:
    suffix = ("HDiffPatch, LZMA2", "bsdiff4")
    goals = [
        Goal(
            what=f"× the better of HDiffPatch and bsdiff4: {pair.name}",
            limit=1.02,
            found=_ratio(_travels(trials, OURS.name, pair.name), _best_peer(trials, pair.name, suffix)),
        )
        for pair in pairs
    ]
    first = pairs[0]
    ours = _travels(trials, OURS.name, first.name)
    limit = round(0.06 * first.changed_bytes / KB + 3)
    first_goal = Goal(what=f"6 % of the engine and 3 KB: {first.name}", limit=limit, found=_kb(ours), unit=" KB")
    return [first_goal, *goals, *_making_goals(pairs, trials)]


def _making_goals(pairs: Sequence[Pair], trials: Trials) -> list[Goal]:
    """CPU to make it, where it is known how much changed."""
    goals = []
    for pair in pairs:
        trial = trials[OURS.name, pair.name]
        if pair.changed_bytes and not isinstance(trial, str):
            what, found = f"CPU to make it, a changed MB: {pair.name}", trial.make.cpu_s / (pair.changed_bytes / 1e6)
            goals.append(Goal(what=what, limit=_MOST_CPU_S, found=found, unit=" s"))
    return goals


def _release_goals(model: Model, pairs: Sequence[Pair], trials: Trials) -> list[Goal]:
    by_name = {pair.name: pair for pair in pairs}
    goals = [
        Goal(what="template edit", limit=3, found=_kb(_travels(trials, OURS.name, "template")), unit=" KB"),
        Goal(
            what="three layers, of their changed bytes",
            limit=10,
            found=_percent(_travels(trials, OURS.name, "three layers"), by_name["three layers"].changed_bytes),
            unit=" %",
        ),
    ]
    if model.tuned_percent is not None:
        size = by_name["everything tuned"].new.stat().st_size
        found = _percent(_travels(trials, OURS.name, "everything tuned"), size)
        goals.append(Goal(what="everything tuned, of the file", limit=model.tuned_percent, found=found, unit=" %"))
    for pair in pairs:
        ours, best = _travels(trials, OURS.name, pair.name), _best_peer(trials, pair.name)
        if pair.name == "template":
            found = None if ours is None or best is None else (ours - best) / KB
            goals.append(Goal(what="template edit, more than the best peer", limit=1, found=found, unit=" KB"))
        elif pair.name == "other quantization":  # noticed, and as good as fetched plainly
            found = _percent(ours, pair.changed_bytes)
            goals.append(Goal(what="other quantization, of its changed bytes", limit=100, found=found, unit=" %"))
        else:
            goals.append(Goal(what=f"× the best peer: {pair.name}", limit=1, found=_ratio(ours, best)))
    return [*goals, *_making_goals(pairs, trials)]


def _costs(title: str, trials: Trials) -> Table:
    """CPU and memory, tool by tool, of the pair in which all three things changed."""
    rows = []
    for (tool, pair), trial in trials.items():
        if pair == "release: all three" and not isinstance(trial, str):
            rows.append(
                (
                    tool,
                    seconds(trial.make.cpu_s),
                    mebibytes(trial.make["peak"]),
                    seconds(trial.apply.cpu_s),
                    mebibytes(trial.apply["peak"]),
                )
            )
    return Table(
        title=f"{title}, all three changes: what it costs",
        columns=("tool", "CPU to make", "memory to make", "CPU to apply", "memory to apply"),
        rows=rows,
        notes=("CPU of one run; zsync's server is not counted.",),
    )


def _applying(title: str, pairs: Sequence[Pair], trials: Trials) -> Table:
    """What applying costs, pair by pair: memory, and what is written to change the old file itself."""
    rows, goals = [], []
    for pair in pairs:
        trial = trials[OURS.name, pair.name]
        if isinstance(trial, str) or trial.in_place is None:
            continue
        new, moved = _changed_in_place(pair)
        peak, stored = max(trial.apply["peak"], trial.in_place["peak"]), trial.in_place["stored"]
        rows.append((pair.name, *map(mebibytes, (new, moved, stored, trial.apply["peak"], trial.in_place["peak"]))))
        most = round(2 * (new + moved) / MIB + _MORE_WRITTEN_MIB, 2)
        goals += [
            Goal(what=f"memory to apply it: {pair.name}", limit=_MOST_MEMORY_MIB, found=peak / MIB, unit=" MiB"),
            Goal(what=f"written in place, 2 × what changes: {pair.name}", limit=most, found=stored / MIB, unit=" MiB"),
        ]
    return Table(
        title=f"{title}: what applying costs",
        columns=("pair", "new", "moved", "written in place", "memory, new file", "memory, in place"),
        rows=rows,
        goals=goals,
        notes=(
            "What changes in place: blocks that OLD has not or has elsewhere, as all weights behind a longer template.",
            f"In whole pages. Written may be twice that, and {_MORE_WRITTEN_MIB:g} MiB of heads.",
        ),
    )


def _changed_in_place(pair: Pair) -> tuple[int, int]:
    """Bytes of blocks that OLD does not have, and of those that it has elsewhere; no page is written in part."""
    stretches = match([map_file(pair.old, threads=1)], map_file(pair.new, threads=1))
    new = sum(_paged(it.offset, it.size_bytes) for it in stretches if it.seed == MISSING)
    moved = sum(_paged(it.offset, it.size_bytes) for it in stretches if it.seed >= 0 and it.seed_offset != it.offset)
    return new, moved


def _paged(offset: int, size: int) -> int:
    return -(-(offset + size) // _PAGE_BYTES) * _PAGE_BYTES - offset // _PAGE_BYTES * _PAGE_BYTES


def _scale(setting: Setting, sizes: Sequence[tuple[str, int]]) -> Table:
    """Large files: what is read, and what it costs, whatever the size of the weights."""
    rows, goals = [], []
    for kind, size in sizes:
        old, new = _large_pair(setting.folder, kind, size)
        patch, made = setting.folder / "large.lfdelta", setting.folder / "large.made"
        make = run_child("diff", old, new, patch)
        apply = run_child("apply", old, patch, made)
        name = f"{kind}, {size / 1e9:.0f} GB"
        rows.append(
            (
                name,
                f"{patch.stat().st_size:,}",
                mebibytes(make["read"]),
                seconds(make.cpu_s),
                mebibytes(make["peak"]),
                mebibytes(apply["peak"]),
            )
        )
        goals += [
            Goal(what=f"read to make it: {name}", limit=200, found=make["read"] / MIB, unit=" MiB"),
            Goal(
                what=f"memory to make it, 200 MB and 17 × the engine: {name}",
                limit=round((200e6 + 17 * inputs.program_bytes(size)) / MIB),
                found=make["peak"] / MIB,
                unit=" MiB",
            ),
            Goal(
                what=f"CPU to make it, a MB of the engine: {name}",
                limit=_MOST_CPU_S,
                found=make.cpu_s / (inputs.program_bytes(size) / 1e6),
                unit=" s",
            ),
            Goal(what=f"memory to apply it: {name}", limit=_MOST_MEMORY_MIB, found=apply["peak"] / MIB, unit=" MiB"),
        ]
        for path in (old, new, patch, made):
            path.unlink()
    return Table(
        title="Large files: a new engine and a longer template",
        columns=("file", "delta", "read to make", "CPU to make", "memory to make", "memory to apply"),
        rows=rows,
        goals=goals,
        notes=("Weights of the synthetic file are random bytes, those of the sparse one are holes.",),
    )


def _large_pair(folder: Path, kind: str, size: int) -> tuple[Path, Path]:
    """Two releases of one large model; what is between engine and template is the same."""
    paths = []
    for number in range(2):
        target = folder / f"large-{number}"
        run_child("large", kind, size, number, target)
        paths.append(target)
    return paths[0], paths[1]


def _ratio(ours: int | None, other: int | None) -> float | None:
    return None if ours is None or not other else ours / other


def _percent(part: int | None, whole: int) -> float | None:
    return None if part is None or not whole else 100 * part / whole


def _kb(size: int | None) -> float | None:
    return None if size is None else size / KB


if __name__ == "__main__":
    sys.exit(main("delta", measure, wants_idle=False))
