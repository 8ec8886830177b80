"""`plan`: what a build would fetch, compile and pack, with sizes. Nothing is fetched, and no file is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lfbuild.commands.choice import EVERYTHING, load_chosen
from lfbuild.commands.depfile import write_depfile
from lfbuild.commands.engines import find_engine, find_supply
from lfbuild.commands.prepare import Preparation, checked_output, load_checked_lock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lfbuild.commands.choice import Choice
    from lfbuild.commands.prepare import SourceState
    from lfbuild.commands.settings import Settings
    from lfbuild.engine.job import EngineJob
    from lfbuild.plan import Plan, PlannedFile
    from lfbuild.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedMember:
    """A member that would be packed."""

    name: str
    role: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedOutput:
    """A file that would be written."""

    path: str
    head: str
    """What it begins with: `engine`, `elf`, `script`, `polyglot`, or `note`, which starts nothing."""
    targets: tuple[str, ...]
    members: tuple[PlannedMember, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedEngine:
    """The engine of one target."""

    name: str
    target: str
    cpus: tuple[str, ...]
    toolchain: str
    key: str
    compiled: bool
    """Whether it is there already: in the cache, or installed as a package."""
    size_bytes: int
    """0 until it is compiled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """What would be done; files and engines are known once all sources are here."""

    output: str
    sources: tuple[SourceState, ...]
    files: tuple[PlannedOutput, ...]
    engines: tuple[PlannedEngine, ...]
    total_bytes: int
    """Engines as they are compiled, room and members of all files; 0 while it is not known. Packed they are smaller."""
    notes: tuple[str, ...]


def plan_build(
    recipe_path: Path,
    *,
    output: Path | None,
    locked: bool,
    choice: Choice = EVERYTHING,
    epoch: int,
    settings: Settings,
    report: Report,
    depfile: Path | None = None,
) -> Planned:
    """Tell what `build` would do, and to `depfile`, if one is named, from which files of this machine.

    Raises:
        RecipeError: recipe, lock or arguments cannot be carried out.
        ToolError: the toolchain, or a tool that it is used with, is not here.
        FormatError, IntegrityError: a source that is here is not what it should be.
        HostError: the file could not be written.
    """
    recipe = load_chosen(recipe_path, choice, settings=settings)
    target = checked_output(recipe, output)
    lock = load_checked_lock(recipe) if locked else None
    supply = find_supply(recipe, launcher=choice.launcher, settings=settings)
    preparation = Preparation(recipe, lock, supply=supply, settings=replace(settings, offline=True), report=report)
    if depfile is not None:
        write_depfile(depfile, recipe, (target,))
    states = preparation.survey()
    if not all(state.here for state in states):
        note = "sizes and members are known once all sources are here"
        return Planned(output=str(target), sources=states, files=(), engines=(), total_bytes=0, notes=(note,))
    return _planned(preparation.plan(output=output, launcher=choice.launcher, epoch=epoch), states, settings)


def _planned(plan: Plan, states: tuple[SourceState, ...], settings: Settings) -> Planned:
    engines = tuple(_planned_engine(job, settings) for job in plan.engine_jobs)
    sizes = {engine.target: engine.size_bytes for engine in engines}
    return Planned(
        output=str(plan.output),
        sources=states,
        files=tuple(_planned_output(file) for file in plan.files),
        engines=engines,
        total_bytes=sum(_bytes(plan, file, sizes) for file in plan.files) if all(sizes.values()) else 0,
        notes=plan.notes,
    )


def _bytes(plan: Plan, file: PlannedFile, sizes: Mapping[str, int]) -> int:
    engines = sum(sizes[target] for target in file.targets)
    return engines + plan.room.beside(engines, started=file.head != "engine") + file.content_bytes


def _planned_output(file: PlannedFile) -> PlannedOutput:
    members = tuple(
        PlannedMember(name=member.name, role=member.role, size_bytes=member.source.size_bytes)
        for member in file.members
    )
    return PlannedOutput(path=str(file.output), head=file.head, targets=file.targets, members=members)


def _planned_engine(job: EngineJob, settings: Settings) -> PlannedEngine:
    kept = find_engine(job, settings=settings)
    return PlannedEngine(
        name=f"{job.name} {job.version}",
        target=job.target,
        cpus=job.cpus,
        toolchain=f"{job.toolchain.kind} {job.toolchain.version}",
        key=job.key(),
        compiled=kept is not None,
        size_bytes=kept.path.stat().st_size if kept else 0,
    )
