"""Carries an order out: the file by its recipe, and the wheel around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfbuild.archive.source import FileSource
from lfbuild.backend.contents import editable_files, package_files, small_files
from lfbuild.backend.limit import refuse_over_limit, tell_size
from lfbuild.backend.order import dist_info
from lfbuild.backend.tags import program_name
from lfbuild.backend.wheel import WheelFile, write_wheel
from lfbuild.commands.build import carry_out
from lfbuild.commands.engines import source_facts
from lfbuild.commands.prepare import prepare
from lfbuild.errors import Problem, RecipeError
from lfbuild.formats.head import HEAD_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.backend.order import Order
    from lfbuild.commands.build import Built
    from lfbuild.plan import Plan


def make_wheel(order: Order, folder: Path) -> Path:
    """Write the wheel that the project asks for.

    Raises:
        RecipeError: the wheel would be over the limit.
        ToolError, FormatError, IntegrityError, FetchError, HostError: as the steps find.
    """
    if order.is_of_engines:
        from lfbuild.backend.engines import make_engine_wheel

        return make_engine_wheel(order, folder)
    if not order.project.wheel.embed:
        from lfbuild.backend.thin import make_thin_wheel

        return make_thin_wheel(order, folder)
    return make_program_wheel(order, folder)


def make_program_wheel(order: Order, folder: Path) -> Path:
    """Build the file, and write the wheel that has it as a program.

    Raises:
        RecipeError: the wheel would be over the limit.
        ToolError, FormatError, IntegrityError, FetchError, HostError: as the steps find.
    """
    names, info = order.project.names, dist_info(order)
    program = program_name(names.command, order.targets)
    with order.settings.store().incoming() as scratch:
        plan = _prepared(order, scratch / program)
        least_bytes = HEAD_BYTES + sum(file.content_bytes for file in plan.files)
        refuse_over_limit(order, least_bytes)
        tell_size(order, least_bytes)
        built = carry_out(plan, jobs=order.jobs, settings=order.settings, report=order.report)
        programs = [
            WheelFile(name=f"{names.scripts}/{path.name}", source=FileSource.whole(path), mode=0o755)
            for path in (built.path, *built.beside)
        ]
        refuse_over_limit(order, sum(file.source.size_bytes for file in programs))
        # Beyond this point nothing is decided any more; metadata comes last, as installers look for it there.
        package = package_files(
            names,
            summary=order.project.summary,
            targets=order.targets,
            engine_license=source_facts(plan.engine_jobs[0]).license,
        )
        files = [*small_files(package), *programs, *small_files(info.files(), folder=f"{names.dist_info}/")]
        target = folder / names.wheel(info.platforms)
        with order.report.step(f"writing {target.name}"):
            write_wheel(target, files, record=names.record, epoch=order.settings.epoch)
    return target


def make_editable(order: Order, folder: Path) -> Path:
    """Build the file in the project's folder, and write a wheel whose program starts it there.

    Raises:
        RecipeError, ToolError, FormatError, IntegrityError, FetchError, HostError: as the steps find.
    """
    project, names, info = order.project, order.project.names, dist_info(order, editable=True)
    if order.is_of_engines:
        what = "a package of engines has nothing that could be edited; install its wheel"
        raise RecipeError("wheel", [Problem(where="wheel", key="", what=what)])
    file = (project.folder / project.recipe.output_name).resolve()
    built = carry_out(_prepared(order, file), jobs=order.jobs, settings=order.settings, report=order.report)
    program = built.beside[0] if built.beside else built.path
    recipe = project.recipe.path.relative_to(project.folder).as_posix()
    remake = " ".join(["lfbuild build", recipe, *(f"--target {target}" for target in order.choice.systems)])
    package = editable_files(names, summary=project.summary, file=program, remake=remake)
    files = [*small_files(package), *small_files(info.files(), folder=f"{names.dist_info}/")]
    target = folder / names.wheel(info.platforms)
    write_wheel(target, files, record=names.record, epoch=order.settings.epoch)
    return target


def make_file(order: Order, folder: Path) -> Built:
    """Build the file itself into `folder`.

    Raises:
        RecipeError, ToolError, FormatError, IntegrityError, FetchError, HostError: as the steps find.
    """
    plan = _prepared(order, folder / order.project.recipe.output_name)
    return carry_out(plan, jobs=order.jobs, settings=order.settings, report=order.report)


def _prepared(order: Order, output: Path) -> Plan:
    for note in order.project.notes:
        order.report.note(note)
    return prepare(
        order.project.recipe.path,
        output=output,
        locked=order.locked,
        choice=order.choice,
        epoch=order.settings.epoch,
        settings=order.settings,
        report=order.report,
    )
