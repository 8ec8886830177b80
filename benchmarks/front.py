"""The command line that all benchmarks share: sizes, rounds, where files go, and what is done with the results."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.machine import IDLE_LOAD, look
from benchmarks.measure import CHECKOUT
from benchmarks.tables import replace_section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.machine import Place
    from benchmarks.tables import Table

PAGE = CHECKOUT / "docs" / "benchmarks.md"
GIB = 1 << 30
MIB = 1 << 20
_PAUSE_S = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """How much is measured, and where."""

    folder: Path
    """Empty; what is written there is gone afterwards."""
    size_bytes: int
    """Of the large member."""
    sparse_bytes: int
    """Of the file that has holes for weights."""
    rounds: int
    quick: bool
    packed: tuple[Path, ...]
    """Files with an engine and a model, made before."""
    kept: Path | None = None
    """Where trials of other tools are kept between runs."""


def main(
    name: str,
    measure: Callable[[Setting], Iterable[Table]],
    arguments: Sequence[str] | None = None,
    *,
    wants_idle: bool = True,
) -> int:
    """Parse the words, measure, print, and write the page if asked to."""
    words = _parser(name).parse_args(arguments)
    words.folder.mkdir(parents=True, exist_ok=True)
    place = _look_when_idle(words)
    if wants_idle and not place.idle and not (words.busy or words.quick):
        print(f"the load is {place.load:.2f}, over {IDLE_LOAD}: wait, or say --busy and get a trial", file=sys.stderr)
        return 1
    trial = words.quick or (wants_idle and words.busy)
    parts = [f"Measured on {place.sentence()}." + (" **A trial, no result.**\n" if trial else "\n")]
    print(parts[0])
    with tempfile.TemporaryDirectory(prefix="lfbuild-bench-", dir=words.folder) as folder:
        for table in measure(_setting(words, Path(folder))):
            parts.append(table.markdown())
            print(parts[-1], flush=True)  # a run takes up to hours, and may be cut short
    text = "\n".join(parts)
    if words.write and trial:
        print(f"{PAGE.name} is left alone: a trial is no result", file=sys.stderr)
        return 1
    if words.write:
        replace_section(PAGE, name, text)
    return 0


def _look_when_idle(words: argparse.Namespace) -> Place:
    place = look(words.folder)
    for _ in range(0, words.wait, _PAUSE_S):
        if place.idle or words.busy or words.quick:
            break
        time.sleep(_PAUSE_S)
        place = look(words.folder)
    return place


def _setting(words: argparse.Namespace, folder: Path) -> Setting:
    size_bytes = (32 * MIB if words.quick else 2 * GIB) if words.size_mib is None else words.size_mib * MIB
    return Setting(
        folder=folder,
        size_bytes=size_bytes,
        sparse_bytes=2 * GIB if words.quick else 40_000_000_000,
        rounds=words.rounds or (1 if words.quick else 7),
        quick=words.quick,
        packed=tuple(path.absolute() for path in words.packed),
        kept=words.kept,
    )


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=__doc__)
    parser.add_argument("packed", type=Path, nargs="*", help="files with an engine and a model (engine only)")
    parser.add_argument("--quick", action="store_true", help="small sizes and one round: does it run at all?")
    parser.add_argument("--write", action="store_true", help="put the results into docs/benchmarks.md")
    parser.add_argument("--busy", action="store_true", help="measure although the machine is not idle")
    parser.add_argument("--wait", type=int, default=0, help="wait so many seconds for the load to fall")
    parser.add_argument("--rounds", type=int, help="runs of each contender that are kept (7)")
    parser.add_argument("--size-mib", type=int, help="size of the large member (2048)")
    parser.add_argument(
        "--kept",
        type=Path,
        metavar="FILE",
        help="go on with what other tools did with the same files before (delta only)",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="where files are written, on the disk to measure",
    )
    return parser
