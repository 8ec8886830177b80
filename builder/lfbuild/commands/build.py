"""`build`: recipe in, one runnable file out; two where Windows would not start the one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.archive.source import FileSource
from lfbuild.commands.choice import EVERYTHING
from lfbuild.commands.depfile import check_depfile, write_depfile
from lfbuild.commands.prepare import prepare
from lfbuild.commands.programs import make_head_of, make_programs
from lfbuild.commands.sign import sign_finished
from lfbuild.host.room import refuse_full_disk_for_copies
from lfbuild.manifest.pack import pack
from lfbuild.recipe import load_recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lfbuild.commands.choice import Choice
    from lfbuild.commands.programs import Programs
    from lfbuild.commands.settings import Settings
    from lfbuild.manifest.model import Manifest
    from lfbuild.plan import Plan, PlannedFile
    from lfbuild.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """What was made."""

    path: Path
    """The file with the weights."""
    manifest: Manifest
    targets: tuple[str, ...]
    """Where that file starts; nowhere, if Windows alone is meant and has a file of its own."""
    beside: tuple[Path, ...] = ()
    """The program for Windows, where that is a file of its own."""


def build(
    recipe_path: Path,
    *,
    output: Path | None,
    locked: bool,
    jobs: int,
    choice: Choice = EVERYTHING,
    epoch: int,
    settings: Settings,
    report: Report,
    depfile: Path | None = None,
) -> Built:
    """Make the file that a recipe describes; what was fetched or compiled before is reused.

    `depfile` is written once the file is there: what it was made from, for make and its like.

    Raises:
        RecipeError: the recipe, or its lock, cannot be carried out.
        ToolError, FormatError, IntegrityError, FetchError, HostError: as the steps find.
    """
    if depfile is not None:
        recipe = load_recipe(recipe_path)
        check_depfile(depfile, recipe, (output or Path(recipe.output_name),))
    plan = prepare(
        recipe_path, output=output, locked=locked, choice=choice, epoch=epoch, settings=settings, report=report
    )
    built = carry_out(plan, jobs=jobs, settings=settings, report=report)
    if depfile is not None:
        write_depfile(depfile, recipe, (built.path, *built.beside))
    return built


def carry_out(plan: Plan, *, jobs: int, settings: Settings, report: Report) -> Built:
    """Compile and pack what was planned; nothing is decided any more.

    Raises:
        ToolError, FormatError, HostError: as the steps find.
    """
    for note in plan.notes:
        report.note(note)
    _refuse_full_disk(plan.files)
    with settings.store().incoming() as scratch:
        programs = make_programs(plan, scratch=scratch, jobs=jobs, settings=settings, report=report)
        manifests = [_pack(file, plan, programs, settings=settings, report=report) for file in plan.files]
    return Built(
        path=plan.output,
        manifest=manifests[0],
        targets=plan.files[0].targets,
        beside=tuple(file.output for file in plan.files[1:]),
    )


def _refuse_full_disk(files: Sequence[PlannedFile]) -> None:
    """Before anything is compiled: what is already known to be in the files, the weights above all."""
    sources = [member.source for file in files for member in file.members if isinstance(member.source, FileSource)]
    copies = [(source.path, source.size_bytes) for source in sources]
    refuse_full_disk_for_copies(files[0].output.parent, copies)  # the others stand beside it


def _pack(file: PlannedFile, plan: Plan, programs: Programs, *, settings: Settings, report: Report) -> Manifest:
    head = make_head_of(file, plan, programs, settings=settings, report=report)
    order = plan.order(file, head, next(iter(programs.facts.values())))
    return pack(
        order,
        file.output,
        threads=settings.machine.cores,
        report=report,
        sign=_windows_signing(file, plan, settings),
    )


def _windows_signing(file: PlannedFile, plan: Plan, settings: Settings) -> Callable[[Path], None] | None:
    """What is done to a finished file before it has its name: a signature covers all of it."""
    if not plan.sign_windows or not file.is_signed_as_a_whole:
        return None
    return partial(sign_finished, plan.sign_windows, folder=plan.recipe_folder, settings=settings)
