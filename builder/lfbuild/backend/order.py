"""What is to be built of a project, and for which systems: decided before anything is fetched or compiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.backend.contents import ANY, DistInfo, engine_entry_point, script_entry_point
from lfbuild.backend.project import load_project
from lfbuild.backend.tags import platforms
from lfbuild.commands.choice import Choice, host_target
from lfbuild.errors import Problem, RecipeError
from lfbuild.recipe import lock_path, narrowed, retooled, systems_of
from lfbuild.recipe.values import parse_size

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.backend.project import Project
    from lfbuild.backend.wishes import Wishes
    from lfbuild.commands.settings import Settings
    from lfbuild.report import Report


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
    def is_of_engines(self) -> bool:
        """Whether the wheel has engines alone."""
        return self.project.wheel.kind == "engine"

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
    def jobs(self) -> int:
        """How many compilers may run at once."""
        return self.wishes.jobs or self.settings.jobs

    @property
    def limit_bytes(self) -> int | None:
        """The largest wheel that is wanted."""
        return parse_size(self.wishes.limit) if self.wishes.limit else self.project.wheel.limit


def make_order(folder: Path, wishes: Wishes, *, settings: Settings, report: Report) -> Order:
    """Read the project, and decide for which targets it is built.

    Raises:
        RecipeError: the project, its recipe or the wishes cannot be carried out.
    """
    project = load_project(folder, recipe=wishes.recipe, embed=wishes.embed)
    _check_limit(wishes)
    recipe = retooled(project.recipe, wishes.toolchain)
    if recipe.toolchain.kind == "cosmocc" and not wishes.target:
        targets: tuple[str, ...] = ("cosmo",)
    else:
        host = host_target(settings)
        systems = systems_of(recipe, host=host)
        # Engines are data to whoever installs them, so they are for every machine, and all go into one wheel.
        targets = wishes.target or (systems if project.wheel.kind == "engine" else _own_target(systems, settings))
        narrowed(recipe, targets, host=host)  # tells what is none of the recipe's
    return Order(project=project, wishes=wishes, settings=settings, report=report, targets=targets)


def dist_info(order: Order, *, editable: bool = False) -> DistInfo:
    """The metadata of the wheel."""
    project = order.project
    entry_points = script_entry_point(project.names) if editable or not project.wheel.embed else ""
    return DistInfo(
        metadata=project.metadata_bytes(),
        platforms=ANY if order.is_of_engines else platforms(order.targets),
        licenses=project.license_files(),
        entry_points=engine_entry_point(project.names) if order.is_of_engines else entry_points,
    )


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
