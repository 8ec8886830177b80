"""Commands that read no weights answer at once, at any size: `--help`, `list`, `inspect`."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import inputs
from benchmarks.front import GIB, main
from benchmarks.measure import Contender, interleaved, median, run_program
from benchmarks.tables import Goal, Table, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.front import Setting

_RUNS_A_ROUND = 3
HELP_S, LIST_S, INSPECT_S = 0.15, 0.15, 0.3


def measure(setting: Setting) -> Iterator[Table]:
    """The one table of starts."""
    files = {
        f"packed, {_size_words(size)}, {262_144:,} words": inputs.sparse_packed(setting.folder, size)
        for size in (setting.sparse_bytes // 20, setting.sparse_bytes)
    }
    if gemma := os.environ.get("LFBUILD_BENCH_GEMMA"):
        files["Gemma 3 270M, plain GGUF"] = Path(gemma)
    files |= {path.name: path for path in setting.packed}
    commands: dict[str, tuple[float, list[str | Path]]] = {"--help": (HELP_S, ["--help"])}
    for what, path in files.items():
        if path.suffix != ".gguf":
            commands[f"list: {what}"] = (LIST_S, ["list", path])
        commands[f"inspect: {what}"] = (INSPECT_S, ["inspect", path])
    contenders = [_contender(name, words) for name, (_, words) in commands.items()]
    samples = interleaved(contenders, rounds=setting.rounds * _RUNS_A_ROUND)
    yield Table(
        title="Commands that read no weights",
        columns=("command", "time", "slowest", "CPU"),
        rows=[
            (
                name,
                seconds(median(samples, name, "wall")),
                seconds(max(sample.wall_s for sample in taken)),
                seconds(median(samples, name, "cpu")),
            )
            for name, taken in samples.items()
        ],
        goals=[
            Goal(what=name, limit=limit, found=median(samples, name, "wall"), unit=" s")
            for name, (limit, _) in commands.items()
        ],
        notes=("Whole processes, Python's start included; file and programs in the page cache.",),
    )


def _contender(name: str, words: list[str | Path]) -> Contender:
    program = _program()
    return Contender(name=name, run=lambda: run_program([*program, *words]))


def _program() -> list[str | Path]:
    """The installed script, as a user has it."""
    script = shutil.which("lfbuild", path=str(Path(sys.executable).parent))
    return [script] if script else [sys.executable, "-m", "lfbuild"]


def _size_words(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


if __name__ == "__main__":
    sys.exit(main("start", measure))
