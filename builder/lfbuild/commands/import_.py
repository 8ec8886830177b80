"""`import`: gives somebody else's llamafile a manifest, so that it can be verified, edited and updated like ours."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.archive.check import check_members
from lfbuild.archive.reader import Reader
from lfbuild.commands.recover import settled
from lfbuild.commands.texts import refuse_odd_name
from lfbuild.errors import FormatError, RecipeError, command, problems_of
from lfbuild.formats.names import check_file_name, check_version
from lfbuild.host.files import check_target, expected_at, runnable
from lfbuild.host.inplace import used
from lfbuild.manifest.foreign import order_of_foreign, take_apart
from lfbuild.manifest.model import Release
from lfbuild.manifest.pack import pack
from lfbuild.manifest.verify import load_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.manifest.model import Manifest
    from lfbuild.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """What the file is now."""

    path: Path
    manifest: Manifest
    notes: tuple[str, ...]


def import_file(
    path: Path,
    *,
    output: Path | None,
    name: str,
    version: str,
    align: bool,
    epoch: int,
    threads: int,
    report: Report,
) -> Imported:
    """Write the file anew, with everything it holds and a manifest of it.

    Raises:
        RecipeError: it cannot be called so, or not by its file's name.
        FormatError: it is ours already, no llamafile, or holds something that a file of ours cannot.
        HostError: the disk refuses.
    """
    problems = [*problems_of(str(path), "--name", name, check_file_name)] if name else []
    problems += [*problems_of(str(path), "--version", version, check_version)] if version else []
    if problems:
        raise RecipeError(path, problems)
    if output is not None:
        check_target(output)
    path = settled(path, report=report)
    if not name:
        refuse_odd_name(path, place="a manifest")
    with used(path) as file:
        reader = Reader(path, file)
        if load_manifest(reader) is not None:
            raise FormatError(path, "has a manifest already", hint=command("verify", path))
        for finding in check_members(reader, content=False):
            raise FormatError(f"{path}: {finding.subject}", finding.what, hint="nothing is built on it")
        foreign = take_apart(reader)
        release = Release(name=name or path.stem, version=version)
        order = order_of_foreign(foreign, release=release, epoch=epoch, align=align)
        facts, target = os.fstat(file.fileno()), output or path
        manifest = pack(
            order,
            target,
            threads=threads,
            report=report,
            mode=runnable(facts.st_mode & 0o7777),
            expected=expected_at(target, path, facts),
        )
    unaligned = [member.name for member in order.members if member.facts and member.place != "aligned"]
    hint = "lfbuild import --align moves it"
    unaligned_notes = tuple(f"{member} lies where no system maps it without a copy: {hint}" for member in unaligned)
    return Imported(path=target, manifest=manifest, notes=(*foreign.left_out(), *unaligned_notes))
