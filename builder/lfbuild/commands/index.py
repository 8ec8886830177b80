"""`index`: the control file beside a release, and for files that are not ours a second one with their leaves."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from blake3 import blake3

from lfbuild.archive.reader import Reader, opened, read_at
from lfbuild.channel.describe import describe_release
from lfbuild.channel.index import INDEX_SUFFIX, LEAVES_SUFFIX, DeltaRecord, reference_to
from lfbuild.commands.texts import refuse_odd_name, refuse_shared_names
from lfbuild.commands.verify import verify
from lfbuild.errors import FormatError, IntegrityError, RecipeError, command, problems_of
from lfbuild.formats.executable import PROBE_BYTES, identify_program
from lfbuild.formats.gguf import MAGIC
from lfbuild.formats.names import check_file_address
from lfbuild.host.files import replacing
from lfbuild.manifest.mapping import map_file
from lfbuild.manifest.verify import load_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lfbuild.manifest.filemap import FileMap
    from lfbuild.manifest.model import Manifest
    from lfbuild.report import Report

ROOT_DIGITS: Final = 16
"""So much of a root tells files apart where it is part of a name."""
_PIECE_BYTES: Final = 1 << 20
_PROGRAM_SUFFIXES: Final = (".llamafile", ".exe")


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


def index(path: Path, *, file_url: str, threads: int, report: Report, deltas: Sequence[Path] = ()) -> Indexed:
    """Write the control file of `path` beside it; `file_url` is where the file will lie, if not beside it too.

    `deltas` are published differences to it, which will lie beside the control file.

    Raises:
        RecipeError: nobody could read it there, or a name cannot stand in a control file, or is another's too.
        FormatError, IntegrityError: the file is damaged, or a difference is, or makes another file.
        HostError: something cannot be read or written.
    """
    if problems := list(problems_of(str(path), "--file-url", file_url, check_file_address)):
        raise RecipeError(path, problems)
    for named in (path, *deltas):
        refuse_odd_name(named, place="a control file")
    refuse_shared_names((path, *deltas))
    found, manifest = map_whole(path, threads=threads, report=report)
    described = describe_release(
        found,
        name=reference_to(path.name),
        url=file_url or reference_to(path.name),
        manifest=manifest,
        deltas=tuple(delta_record(delta, found, url=reference_to(delta.name)) for delta in deltas),
    )
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


def map_whole(path: Path, *, threads: int, report: Report) -> tuple[FileMap, Manifest | None]:
    """The map and the manifest of a file that is to be released; one of ours is held against its manifest first.

    The map believes the manifest, so whoever updates would be the first to learn of damage.

    Raises:
        FormatError: it is damaged, empty, or a program that ends without a ZIP directory.
        IntegrityError: it is damaged. HostError: it cannot be read.
    """
    manifest = manifest_of(path)
    if manifest is None:
        _refuse_torn(path)
    for finding in verify(path, quick=False, threads=threads, report=report).findings if manifest else ():
        error = IntegrityError if finding.verdict == "untrue" else FormatError
        raise error(f"{path}: {finding.subject}", finding.what, hint=command("verify", path))
    with report.step(f"look at {path.name}") as step:
        return map_file(path, threads=threads, on_bytes=step.advance), manifest


def _refuse_torn(path: Path) -> None:
    """Refuse a program without a directory: one of ours that lost its end, whose manifest went with that.

    Raises:
        FormatError: it is one, or empty.
    """
    with opened(path) as file:
        start = read_at(file.fileno(), 0, PROBE_BYTES)
        if not start:
            raise FormatError(path, "is empty, so there is nothing to update to")
        is_program = identify_program(start).kind != "none" or path.suffix.lower() in _PROGRAM_SUFFIXES
        if is_program and not start.startswith(MAGIC):
            Reader(path, file)


def delta_record(delta: Path, found: FileMap, *, url: str) -> DeltaRecord:
    """What a control file says of a published difference to the file that `found` is the map of.

    Raises:
        FormatError: it is no difference, or not a whole one.
        IntegrityError: it makes another file, or is damaged where that shows without the old file.
        HostError: it cannot be read.
    """
    from lfbuild.delta.apply import DeltaStream
    from lfbuild.delta.publish import load_publishable

    with opened(delta) as file:
        header = load_publishable(DeltaStream(file, str(delta)), found)
        size = os.fstat(file.fileno()).st_size
        whole = blake3()
        for start in range(0, size, _PIECE_BYTES):
            whole.update(read_at(file.fileno(), start, _PIECE_BYTES))
    return DeltaRecord(old=header.old.root.hex(), url=url, size_bytes=size, blake3=whole.hexdigest())


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
