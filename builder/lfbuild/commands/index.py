"""`index`: the control file beside a release, and for files that are not ours a second one with their leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.archive.reader import Reader
from lfbuild.channel.describe import describe_release
from lfbuild.channel.index import INDEX_SUFFIX, LEAVES_SUFFIX
from lfbuild.errors import FormatError
from lfbuild.host.files import replacing
from lfbuild.manifest.mapping import map_file
from lfbuild.manifest.verify import load_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.manifest.model import Manifest
    from lfbuild.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Indexed:
    """What was written."""

    path: Path
    index_path: Path
    index_bytes: int
    leaves_path: Path | None
    leaves_bytes: int
    root: str
    blocks: int


def index(path: Path, *, file_url: str, threads: int, report: Report) -> Indexed:
    """Write the control file of `path` beside it; `file_url` is where the file will lie, if not beside it too.

    Raises:
        FormatError, IntegrityError: the file is damaged.
        HostError: something cannot be read or written.
    """
    with report.step(f"look at {path.name}") as step:
        found = map_file(path, threads=threads, on_bytes=step.advance)
    described = describe_release(found, name=path.name, url=file_url or path.name, manifest=manifest_of(path))
    leaves_path = path.with_name(path.name + LEAVES_SUFFIX) if described.leaves else None
    if leaves_path is not None:
        with replacing(leaves_path) as file:
            file.write(described.leaves)
    # The control file is the last one: who reads it finds everything that it tells of.
    index_path, data = path.with_name(path.name + INDEX_SUFFIX), described.index.to_bytes()
    with replacing(index_path) as file:
        file.write(data)
    return Indexed(
        path=path,
        index_path=index_path,
        index_bytes=len(data),
        leaves_path=leaves_path,
        leaves_bytes=len(described.leaves),
        root=found.root.hex(),
        blocks=len(found.table),
    )


def manifest_of(path: Path) -> Manifest | None:
    """What a file says of itself; None of a file that is not ours.

    Raises:
        IntegrityError: its manifest is not the one that it was sealed with.
    """
    try:
        with Reader.open(path) as reader:
            ours = load_manifest(reader)
    except FormatError:
        return None
    return ours[0] if ours else None
