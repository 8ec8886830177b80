"""Carries a project out: the file by its recipe, and the wheel around it.

What is decided before anything is compiled: for which systems, under which name, and whether an index will take it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lfbuild.archive.source import FileSource
from lfbuild.backend.contents import (
    DistInfo,
    editable_files,
    package_files,
    script_entry_point,
    small_files,
)
from lfbuild.backend.project import load_project
from lfbuild.backend.tags import platforms, program_name
from lfbuild.backend.wheel import WheelFile, write_wheel
from lfbuild.commands.build import carry_out
from lfbuild.commands.prepare import Choice, host_target, lock_path, prepare
from lfbuild.errors import Problem, RecipeError
from lfbuild.formats.head import HEAD_BYTES
from lfbuild.recipe import narrowed, retooled, systems_of
from lfbuild.recipe.values import parse_size

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.backend.project import Project
    from lfbuild.backend.wishes import Wishes
    from lfbuild.commands.build import Built
    from lfbuild.commands.settings import Settings
    from lfbuild.plan import Plan
    from lfbuild.report import Report

MIB: Final = 1 << 20
PYPI_LIMIT_BYTES: Final = 100 * MIB
"""What PyPI takes without being asked; other indexes have other limits, or none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """A project, and all that was wished of it."""

    project: Project
    wishes: Wishes
    settings: Settings
    report: Report
    targets: tuple[str, ...]
    """For which targets the wheel is; `cosmo` for the one of cosmocc's."""

    @property
    def choice(self) -> Choice:
        """What the makers of files are told."""
        systems = () if self.targets == ("cosmo",) else self.targets
        return Choice(systems=systems, toolchain=self.wishes.toolchain, launcher=self.wishes.launcher)

    @property
    def locked(self) -> bool:
        """A lock beside the recipe is kept to, unless that is not wished."""
        there = lock_path(self.project.recipe.path).is_file()
        return there if self.wishes.locked is None else self.wishes.locked

    @property
    def limit_bytes(self) -> int | None:
        """The largest wheel that is wanted."""
        return parse_size(self.wishes.limit) if self.wishes.limit else self.project.wheel.limit


def make_order(folder: Path, wishes: Wishes, *, settings: Settings, report: Report) -> Order:
    """Read the project, and decide for which targets it is built.

    Raises:
        RecipeError: the project, its recipe or the wishes cannot be carried out.
    """
    project = load_project(folder, recipe=wishes.recipe)
    _check_limit(wishes)
    recipe = retooled(project.recipe, wishes.toolchain)
    if recipe.toolchain.kind == "cosmocc" and not wishes.target:
        targets: tuple[str, ...] = ("cosmo",)
    else:
        host = host_target(settings)
        targets = wishes.target or _own_target(systems_of(recipe, host=host), settings)
        narrowed(recipe, targets, host=host)  # tells what is none of the recipe's
    return Order(project=project, wishes=wishes, settings=settings, report=report, targets=targets)


def dist_info(order: Order, *, editable: bool = False) -> DistInfo:
    """The metadata of the wheel."""
    project = order.project
    return DistInfo(
        metadata=project.metadata_bytes(),
        platforms=platforms(order.targets),
        licenses=project.license_files(),
        entry_points=script_entry_point(project.names) if editable else "",
    )


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
    package = editable_files(names, summary=project.summary, file=program, recipe=recipe)
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


def _own_target(systems: tuple[str, ...], settings: Settings) -> tuple[str, ...]:
    """A wheel is for this machine, unless another is named: as with every other wheel of programs."""
    own = settings.machine.target
    if own in systems:
        return (own,)
    if len(systems) == 1:
        return systems
    what = f"the recipe has {', '.join(systems)}, and this machine is {own}: which of them is the wheel for?"
    raise RecipeError("target", [Problem(where="target", key="", what=what)], hint=f"-C target={systems[0]}")


def _check_limit(wishes: Wishes) -> None:
    try:
        parse_size(wishes.limit or 0)
    except ValueError as error:
        raise RecipeError("limit", [Problem(where="config settings", key="limit", what=str(error))]) from error


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
