"""Makes a wheel of compiled engines without a model: what `lfbuild.engine.installed` reads."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, cast

from lfbuild.archive.source import BytesSource, FileSource
from lfbuild.backend.contents import engine_files, small_files
from lfbuild.backend.limit import refuse_over_limit
from lfbuild.backend.order import dist_info
from lfbuild.backend.wheel import WheelFile, write_wheel
from lfbuild.commands.choice import load_chosen
from lfbuild.commands.engines import source_facts
from lfbuild.commands.prepare import load_checked_lock, prepare_recipe
from lfbuild.commands.programs import make_engines, make_launchers
from lfbuild.engine.installed import ENGINE_NAME, LAUNCHER_NAME, ShelfEngine, make_shelf
from lfbuild.engine.launcher import launcher_key
from lfbuild.recipe.model import ArgsTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lfbuild.backend.contents import Names
    from lfbuild.backend.order import Order
    from lfbuild.engine.job import Engine, EngineJob
    from lfbuild.engine.zig import Zig
    from lfbuild.plan import Plan


def make_engine_wheel(order: Order, folder: Path) -> Path:
    """Compile the recipe's engines, and write the wheel that has nothing else.

    Raises:
        RecipeError: the wheel would be over the limit.
        ToolError, FormatError, IntegrityError, FetchError, HostError: as the steps find.
    """
    names, info = order.project.names, dist_info(order)
    plan = _engine_plan(order, folder / names.stem)
    engines = make_engines(plan, jobs=order.jobs, settings=order.settings, report=order.report)
    launchers = make_launchers(plan, settings=order.settings, report=order.report)
    facts = source_facts(plan.engine_jobs[0])
    shelf = make_shelf(facts, tuple(_on_shelf(job, engines[job.target], launchers) for job in plan.engine_jobs))
    # Beyond this point nothing is decided any more.
    programs = [*_engine_files(names, engines), *_launcher_files(names, launchers)]
    refuse_over_limit(order, sum(file.source.size_bytes for file in programs))
    package = engine_files(names, summary=order.project.summary, shelf=shelf.to_bytes(), engine_license=facts.license)
    files = [*small_files(package), *programs, *small_files(info.files(), folder=f"{names.dist_info}/")]
    target = folder / names.wheel(info.platforms)
    write_wheel(target, files, record=names.record, epoch=order.settings.epoch)
    return target


def _engine_plan(order: Order, output: Path) -> Plan:
    """The plan of the recipe without what is no engine; to `output` nothing is written."""
    recipe = load_chosen(order.project.recipe.path, order.choice, settings=order.settings)
    lock = load_checked_lock(recipe) if order.locked else None
    return prepare_recipe(
        recipe.model_copy(update={"models": (), "files": (), "args": ArgsTable()}),
        lock,
        output=output,
        launcher=order.choice.launcher,
        epoch=order.settings.epoch,
        settings=order.settings,
        report=order.report,
    )


def _on_shelf(job: EngineJob, engine: Engine, launchers: Mapping[str, bytes]) -> ShelfEngine:
    """One engine as its package tells of it."""
    launcher = launchers.get(job.target)
    return ShelfEngine(
        facts=engine.facts,
        sha256=hashlib.sha256(engine.path.read_bytes()).hexdigest(),
        launcher_key=launcher_key(job.target, cast("Zig", job.toolchain)) if launcher else "",
        launcher_sha256=hashlib.sha256(launcher).hexdigest() if launcher else "",
    )


def _engine_files(names: Names, engines: Mapping[str, Engine]) -> Iterator[WheelFile]:
    for target, engine in engines.items():
        name = f"{names.package}/{target}/{ENGINE_NAME}"
        yield WheelFile(name=name, source=FileSource.whole(engine.path))


def _launcher_files(names: Names, launchers: Mapping[str, bytes]) -> Iterator[WheelFile]:
    for target, data in launchers.items():
        yield WheelFile(name=f"{names.package}/{target}/{LAUNCHER_NAME}", source=BytesSource(data))
