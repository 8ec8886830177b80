"""The files whose blocks may serve an update: the file itself, those that were named, what was begun before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lfbuild.channel.partial import SUFFIX, find_leftovers
from lfbuild.channel.plan import Seed
from lfbuild.errors import FormatError, HostError, IntegrityError, LfbuildError
from lfbuild.host.files import find_facts, host_error
from lfbuild.host.inplace import has_journal
from lfbuild.manifest.mapping import map_as_read, map_bytes, map_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lfbuild.channel.release import Release
    from lfbuild.commands.update import UpdateOrder
    from lfbuild.manifest.filemap import FileMap
    from lfbuild.report import Report

_SEED_SUFFIXES: Final = (".llamafile", ".gguf", ".exe", ".lfbuild")
"""What is looked at in a folder of seeds."""


def gather_seeds(order: UpdateOrder, release: Release, *, threads: int, report: Report) -> tuple[Seed, ...]:
    """The maps of all files whose blocks may serve: the file itself, those that were named, what was begun before."""
    seeds = [
        Seed(path=path, found=found)
        for path in (order.path, *_seed_files(order))
        if (found := _find_map(path, order, release, threads=threads, report=report)) is not None
    ]
    leftovers = find_leftovers(order.path, root=bytes.fromhex(release.index.root))
    return (*seeds, *(Seed(path=item.path, found=item.found) for item in leftovers))


def _find_map(path: Path, order: UpdateOrder, release: Release, *, threads: int, report: Report) -> FileMap | None:
    """The map of a file whose blocks may serve; what cannot be read is told, and serves nothing."""
    if path == order.path and not path.exists():
        return None
    try:
        found = _look_at(path, release, threads=threads, report=report)
        is_believed = path != order.path or not order.repair
        return found if is_believed else _read_all(path, found, threads=threads, report=report)
    except LfbuildError as error:
        if path == order.path:
            raise
        report.note(f"{error}; so it is left out")
    except OSError as error:
        report.note(f"{host_error(path, error)}; so it is left out")
    return None


def _look_at(path: Path, release: Release, *, threads: int, report: Report) -> FileMap:
    """The map of a file: from what it says of itself, or where that is damaged, from its bytes."""
    with report.step(f"look at {path.name}") as step:

        def look(how: Callable[..., FileMap]) -> FileMap:
            return how(path, threads=threads, on_bytes=step.advance, block_bytes=release.index.block_bytes)

        try:
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


def _seed_files(order: UpdateOrder) -> Iterator[Path]:
    for named in order.seeds:
        if find_facts(named) is None:
            raise HostError(named, "does not exist, so it has no blocks that could serve", hint="check --seed")
        if not named.is_dir():
            yield named
            continue
        try:
            found = sorted(path for path in named.rglob("*") if path.suffix.lower() in _SEED_SUFFIXES)
        except OSError as error:
            raise host_error(named, error) from error
        yield from (
            path for path in found if path.is_file() and SUFFIX not in path.name and path.resolve() != order.path
        )
