"""What lets others update to a released file: its control file, and differences from earlier releases of it.

FILE.lfindex                      the control file, which `lfbuild update` reads
FILE.lfleaves                     leaves, of a file that is not ours
FILE.from-ROOT.lfdelta            the difference from the file with that root, where it is much smaller
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from blake3 import blake3

from lfbuild.channel.describe import describe_release
from lfbuild.channel.index import INDEX_SUFFIX, LEAVES_SUFFIX, DeltaRecord, reference_to
from lfbuild.commands.diff import SUFFIX as DELTA_SUFFIX
from lfbuild.commands.diff import diff
from lfbuild.commands.index import manifest_of
from lfbuild.host.files import replacing
from lfbuild.manifest.mapping import map_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lfbuild.report import Report

_ROOT_DIGITS: Final = 16


def write_increments(path: Path, older: Sequence[Path], *, threads: int, report: Report) -> tuple[str, ...]:
    """Write them beside `path`; `older` are its earlier releases, newest first. Returns the names of what was written.

    Raises:
        FormatError, IntegrityError: one of the files is damaged. HostError: the disk refuses.
    """
    deltas = dict(_deltas(path, older, threads=threads, report=report))
    found, name = map_file(path, threads=threads), reference_to(path.name)
    described = describe_release(found, name=name, url=name, manifest=manifest_of(path), deltas=tuple(deltas.values()))
    texts = {f"{path.name}{LEAVES_SUFFIX}": described.leaves} if described.leaves else {}
    texts |= {f"{path.name}{INDEX_SUFFIX}": described.index.to_bytes()}
    for name, data in texts.items():
        with replacing(path.with_name(name)) as file:
            file.write(data)
    return (*deltas, *texts)


def _deltas(path: Path, older: Sequence[Path], *, threads: int, report: Report) -> Iterator[tuple[str, DeltaRecord]]:
    seen: set[str] = set()
    for old in older:
        root = map_file(old, threads=threads).root.hex()
        if root in seen:
            continue
        seen.add(root)
        target = path.with_name(f"{path.name}.from-{root[:_ROOT_DIGITS]}{DELTA_SUFFIX}")
        made = diff(old, path, target, threads=threads, report=report)
        if not made.worth_it:
            target.unlink()
            report.note(f"no difference from {old}: it would save little of {path.name}")
            continue
        data = target.read_bytes()
        url = reference_to(target.name)
        yield target.name, DeltaRecord(old=root, url=url, size_bytes=len(data), blake3=blake3(data).hexdigest())
