"""Reads what the documents of a release tell of a file: its manifest, its arguments, its size and its SHA-256."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from lfbuild.archive.reader import Reader
from lfbuild.errors import FormatError
from lfbuild.formats.args import ARGS_NAME, AS_THEY_STAND, VERB_ARGS_FOLDER, parse_args
from lfbuild.host.files import host_error
from lfbuild.manifest.verify import load_manifest
from lfbuild.release.facts import FileFacts, ReleaseFacts
from lfbuild.release.provenance import PROVENANCE_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lfbuild.report import Report


def load_facts(path: Path, *, report: Report) -> FileFacts:
    """The facts of one file of ours.

    Raises:
        FormatError: it is not one of ours, or damaged. IntegrityError: its manifest is not the one it was sealed with.
        HostError: it cannot be read.
    """
    with Reader.open(path) as reader:
        ours = load_manifest(reader)
        if ours is None:
            raise FormatError(path, "was not made by lfbuild, so nothing is known of how it was made")
        manifest, seal = ours
        args = {
            name: tuple(parse_args(reader.read(name), environment=AS_THEY_STAND, where=f"{path}: {name}"))
            for name in reader.records
            if name == ARGS_NAME or name.startswith(VERB_ARGS_FOLDER)
        }
    return FileFacts(
        name=path.name,
        size_bytes=path.stat().st_size,
        sha256=sha256_of(path, report=report),
        manifest_digest=seal.manifest_digest,
        manifest=manifest,
        arguments=args.pop(ARGS_NAME, ()),
        verb_arguments={name.removeprefix(VERB_ARGS_FOLDER): words for name, words in args.items()},
    )


def load_release(folder: Path, *, report: Report) -> ReleaseFacts:
    """The facts of all files of ours in a folder, ordered by name: those that provenance tells of, whatever they are
    called, and what can be nothing else where there is none.

    Raises:
        FormatError: there are none. IntegrityError, HostError: as reading them finds.
    """
    return ReleaseFacts(files=tuple(_files(folder, report)))


def _files(folder: Path, report: Report) -> Iterator[FileFacts]:
    if not folder.is_dir():
        raise FormatError(folder, "is no folder, so it holds no release")
    told = {path.with_name(path.name.removesuffix(PROVENANCE_SUFFIX)) for path in folder.glob(f"?*{PROVENANCE_SUFFIX}")}
    called = {path for path in folder.iterdir() if path.suffix in {".llamafile", ".exe"}}
    found = sorted(path for path in told | called if path.is_file())
    if not found:
        what = f"holds no .llamafile, no .exe and nothing with its {PROVENANCE_SUFFIX} beside it, so it is no release"
        raise FormatError(folder, what)
    yield from (load_facts(path, report=report) for path in found)


def sha256_of(path: Path, *, report: Report) -> str:
    """The SHA-256 of a whole file.

    Raises:
        HostError: it cannot be read.
    """
    try:
        with report.step(f"digesting {path.name}", total=path.stat().st_size) as step, path.open("rb") as file:
            digest = hashlib.sha256()
            while piece := file.read(4 << 20):
                digest.update(piece)
                step.advance(len(piece))
            return digest.hexdigest()
    except OSError as error:
        raise host_error(path, error) from error
