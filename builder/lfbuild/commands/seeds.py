"""The files whose blocks may serve an update: the file itself, those that were named, what was begun before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lfbuild.channel.partial import SUFFIX, find_leftovers
from lfbuild.channel.plan import Seed
from lfbuild.errors import FormatError, HostError, IntegrityError, LfbuildError
from lfbuild.host.files import find_facts, host_error
from lfbuild.host.inplace import has_journal
from lfbuild.manifest.mapping import map_as_read, map_beginning, map_bytes, map_file, shows_structure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from lfbuild.channel.release import Release
    from lfbuild.manifest.filemap import FileMap
    from lfbuild.report import Report

_SEED_SUFFIXES: Final = (".llamafile", ".gguf", ".exe", ".lfbuild")
"""What is looked at in a folder of seeds."""


def refuse_absent_seeds(others: Sequence[Path]) -> None:
    """Refuse what was named and is not there, before anything is looked at.

    Raises:
        HostError: it is not.
    """
    for named in others:
        if find_facts(named) is None:
            raise HostError(named, "does not exist, so it has no blocks that could serve", hint="check --seed")


def gather_seeds(
    path: Path, others: Sequence[Path], release: Release, *, reads_all: bool, threads: int, report: Report
) -> tuple[Seed, ...]:
    """The maps of all files whose blocks may serve: the file itself, those that were named, what was begun before.

    With `reads_all`, what the file itself says of its blocks is not believed.

    Raises:
        FormatError, IntegrityError, HostError: the file itself cannot be read.
    """
    own = _own_map(path, release, reads_all=reads_all, threads=threads, report=report) if path.exists() else None
    seeds = [(path, own)]
    for other in _seed_files(others, but=path):
        seeds += [(other, _map_of_another(other, release, threads=threads, report=report))]
    leftovers = find_leftovers(path, root=bytes.fromhex(release.index.root))
    seeds += [(item.path, item.found) for item in leftovers]
    return tuple(Seed(path=where, found=found) for where, found in seeds if found is not None)


def _own_map(path: Path, release: Release, *, reads_all: bool, threads: int, report: Report) -> FileMap | None:
    try:
        found = _look_at(path, release, threads=threads, report=report)
        return _read_all(path, found, threads=threads, report=report) if reads_all else found
    except OSError as error:
        report.note(f"{host_error(path, error)}; so it is left out")
        return None


def _map_of_another(path: Path, release: Release, *, threads: int, report: Report) -> FileMap | None:
    """What cannot be read is told, and serves nothing."""
    try:
        return _look_at(path, release, threads=threads, report=report)
    except LfbuildError as error:
        report.note(f"{error}; so it is left out")
    except OSError as error:
        report.note(f"{host_error(path, error)}; so it is left out")
    return None


def _look_at(path: Path, release: Release, *, threads: int, report: Report) -> FileMap:
    """The map of a file: from what it says of itself, or where that is damaged, from its bytes.

    What shows no structure may be the beginning of this release, as a browser leaves it that was interrupted.
    """
    with report.step(f"look at {path.name}") as step:

        def look(how: Callable[..., FileMap]) -> FileMap:
            return how(path, threads=threads, on_bytes=step.advance, block_bytes=release.index.block_bytes)

        try:
            if release.index.has_structure and not shows_structure(path):
                regions = [(region.offset, region.cuts) for region in release.index.regions]
                return map_beginning(path, regions, threads=threads, on_bytes=step.advance)
            return look(map_file)
        except (FormatError, IntegrityError) as damaged:
            if has_journal(path):
                raise
            found = look(map_bytes)
            report.note(f"{damaged}; so all of it is read")
            return found


def _read_all(path: Path, found: FileMap, *, threads: int, report: Report) -> FileMap:
    total = sum(region.size_bytes for region in found.regions)
    with report.step(f"read {path.name}", total=total) as step:
        return map_as_read(path, found, threads=threads, on_bytes=step.advance)


def _seed_files(others: Sequence[Path], *, but: Path) -> Iterator[Path]:
    for named in others:
        if not named.is_dir():
            yield named
            continue
        try:
            found = sorted(path for path in named.rglob("*") if path.suffix.lower() in _SEED_SUFFIXES)
        except OSError as error:
            raise host_error(named, error) from error
        yield from (path for path in found if path.is_file() and SUFFIX not in path.name and path.resolve() != but)
