"""`compact`: a file anew, in the order of a fresh one, without what edits in place left behind.

`FALLOC_FL_COLLAPSE_RANGE` and `INSERT_RANGE` are not used: where blocks can be shared a new file costs as little, and
elsewhere neither call is one transaction (docs/decisions/0008-editing.md).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.archive.reader import Reader
from lfbuild.commands.recover import settled
from lfbuild.errors import FormatError, command
from lfbuild.host.files import check_target, expected_at
from lfbuild.host.inplace import used
from lfbuild.host.room import refuse_full_disk_for_copy
from lfbuild.manifest.carry import write_new_file
from lfbuild.manifest.edit import plan_compacted
from lfbuild.manifest.present import load_present

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Compacted:
    """What became of the file."""

    path: Path
    old_bytes: int
    new_bytes: int
    copied_bytes: int
    """The rest is shared with the old file."""


def compact(path: Path, *, output: Path | None, threads: int, report: Report) -> Compacted:
    """Write the file anew.

    Raises:
        FormatError: it is somebody else's.
        IntegrityError: something in it is not what was promised.
        HostError: the disk refuses.
    """
    path = settled(path, report=report)
    with used(path) as file:
        present = load_present(Reader(path, file), threads=threads)
        if present is None:
            raise FormatError(path, "is somebody else's file", hint=command("import", path))
        if present.is_signed:
            report.note("the file was signed for Windows, and the new one is not: sign it again")
        plan = plan_compacted(present)
        facts = os.fstat(file.fileno())
        target = output or path
        check_target(target)
        refuse_full_disk_for_copy(target.parent, file.fileno(), copied_bytes=plan.closing.file_size, new_bytes=0)
        with report.step("writing", total=sum(part.source.size_bytes for part in plan.parts)) as step:
            copied = write_new_file(
                plan,
                target,
                mode=facts.st_mode & 0o7777,
                threads=threads,
                step=step,
                expected=expected_at(target, path, facts),
            )
        return Compacted(path=target, old_bytes=facts.st_size, new_bytes=plan.closing.file_size, copied_bytes=copied)
