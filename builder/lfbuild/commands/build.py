"""`build`: recipe in, one runnable file out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.commands.prepare import prepare
from lfbuild.engine.compile import compile_engine
from lfbuild.manifest.pack import pack

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.commands.settings import Settings
    from lfbuild.manifest.model import Manifest
    from lfbuild.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """The file that was made."""

    path: Path
    manifest: Manifest


def build(
    recipe_path: Path,
    *,
    output: Path | None,
    locked: bool,
    jobs: int,
    launcher: str | None,
    epoch: int,
    settings: Settings,
    report: Report,
) -> Built:
    """Make the file that a recipe describes; what was fetched or compiled before is reused.

    Raises:
        RecipeError: the recipe, or its lock, cannot be carried out.
        ToolError, FormatError, IntegrityError, FetchError, HostError: as the steps find.
    """
    plan = prepare(
        recipe_path, output=output, locked=locked, launcher=launcher, epoch=epoch, settings=settings, report=report
    )
    for note in plan.notes:
        report.note(note)
    # Beyond this point nothing is decided any more: the plan is carried out.
    engine = compile_engine(
        plan.engine_job,
        store=settings.store(),
        machine=settings.machine,
        jobs=jobs,
        report=report,
        passed=settings.environment,
    )
    manifest = pack(plan.order(engine), plan.output, threads=settings.machine.cores, report=report)
    return Built(path=plan.output, manifest=manifest)
