"""What lets others update to a released file: its control file, and differences from earlier releases of it.

FILE.lfindex                      the control file, which `lfbuild update` reads
FILE.lfleaves                     leaves, of a file that is not ours
FILE.from-ROOT.lfdelta            the difference from the file with that root, where it is much smaller
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfbuild.commands.diff import SUFFIX as DELTA_SUFFIX
from lfbuild.commands.diff import diff
from lfbuild.commands.index import ROOT_DIGITS, index
from lfbuild.manifest.mapping import map_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lfbuild.report import Report


def write_increments(path: Path, older: Sequence[Path], *, threads: int, report: Report) -> tuple[str, ...]:
    """Write them beside `path`; `older` are its earlier releases, newest first. Returns the names of what was written.

    Raises:
        FormatError, IntegrityError: one of the files is damaged. HostError: the disk refuses.
    """
    deltas = tuple(_deltas(path, older, threads=threads, report=report))
    indexed = index(path, file_url="", deltas=deltas, threads=threads, report=report)
    written = (*deltas, *([indexed.leaves_path] if indexed.leaves_path else []), indexed.index_path)
    return tuple(it.name for it in written)


def _deltas(path: Path, older: Sequence[Path], *, threads: int, report: Report) -> Iterator[Path]:
    seen: set[str] = set()
    for old in older:
        root = map_file(old, threads=threads).root.hex()
        if root in seen:
            continue
        seen.add(root)
        target = path.with_name(f"{path.name}.from-{root[:ROOT_DIGITS]}{DELTA_SUFFIX}")
        made = diff(old, path, target, threads=threads, report=report)
        if not made.worth_it:
            target.unlink()
            report.note(f"no difference from {old}: it would save little of {path.name}")
            continue
        yield target
