"""Carries an order out: the file by its recipe, and the wheel around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lfbuild.archive.source import FileSource
from lfbuild.backend.contents import editable_files, package_files, small_files
from lfbuild.backend.order import dist_info
from lfbuild.backend.tags import program_name
from lfbuild.backend.wheel import WheelFile, write_wheel
from lfbuild.commands.build import carry_out
from lfbuild.commands.prepare import prepare
from lfbuild.errors import Problem, RecipeError
from lfbuild.formats.head import HEAD_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.backend.order import Order
    from lfbuild.commands.build import Built
    from lfbuild.plan import Plan

MIB: Final = 1 << 20
PYPI_LIMIT_BYTES: Final = 100 * MIB
"""What PyPI takes without being asked; other indexes have other limits, or none."""


def make_wheel(order: Order, folder: Path) -> Path:
    """Build the file, and write the wheel that has it as a program.

    Raises:
        RecipeError: the wheel would be over the limit.
        ToolError, FormatError, IntegrityError, FetchError, HostError: as the steps find.
    """
    names, info = order.project.names, dist_info(order)
    program = program_name(names.command, order.targets)
    with order.settings.store().incoming() as scratch:
        plan = _prepared(order, scratch / program)
        _refuse_over_limit(order, HEAD_BYTES + sum(file.content_bytes for file in plan.files))
        built = carry_out(plan, jobs=_jobs(order), settings=order.settings, report=order.report)
        programs = [
            WheelFile(name=f"{names.scripts}/{path.name}", source=FileSource.whole(path), mode=0o755)
            for path in (built.path, *built.beside)
        ]
        _refuse_over_limit(order, sum(file.source.size_bytes for file in programs))
        # Beyond this point nothing is decided any more; metadata comes last, as installers look for it there.
        package = package_files(names, summary=order.project.summary, targets=order.targets)
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
    file = (project.folder / project.recipe.output_name).resolve()
    built = carry_out(_prepared(order, file), jobs=_jobs(order), settings=order.settings, report=order.report)
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
    return carry_out(plan, jobs=_jobs(order), settings=order.settings, report=order.report)


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


def _jobs(order: Order) -> int:
    return order.wishes.jobs or order.settings.jobs


def _refuse_over_limit(order: Order, least_bytes: int) -> None:
    """Refuse a wheel of at least so many bytes; over PyPI's own limit, tell it."""
    limit = order.limit_bytes
    if limit is None and least_bytes > PYPI_LIMIT_BYTES:
        order.report.note(
            f"the wheel has {_mib(least_bytes)} MiB; PyPI takes {_mib(PYPI_LIMIT_BYTES)} MiB unless asked for more"
        )
    if limit is not None and least_bytes > limit:
        what = f"the wheel would have {_mib(least_bytes)} MiB at least, and the index takes {_mib(limit)} MiB"
        raise RecipeError("wheel", [Problem(where="wheel", key="", what=what)])


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:.1f}"
