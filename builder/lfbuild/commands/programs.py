"""Compiles what a plan asks for, signs what has to be signed before it is packed, and makes heads of it."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.commands.engines import find_engine, find_launcher
from lfbuild.commands.sign import sign
from lfbuild.commands.slices import make_slice
from lfbuild.engine.compile import compile_engine
from lfbuild.engine.launcher import compile_launcher, launcher_key
from lfbuild.engine.zig import Zig
from lfbuild.formats.head import make_head
from lfbuild.manifest.order import LauncherHead

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lfbuild.commands.settings import Settings
    from lfbuild.engine.job import Engine, EngineFacts
    from lfbuild.manifest.order import EngineSlice
    from lfbuild.plan import Plan, PlannedFile
    from lfbuild.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Programs:
    """Engines and launchers by target, as they go into files."""

    engines: Mapping[str, Path]
    facts: Mapping[str, EngineFacts]
    launchers: Mapping[str, bytes]


def make_programs(plan: Plan, *, scratch: Path, jobs: int, settings: Settings, report: Report) -> Programs:
    """Compile engines and launchers, and sign those for macOS; signed copies stand in `scratch`.

    Raises:
        ToolError, HostError: as compiling and signing find.
    """
    engines = make_engines(plan, jobs=jobs, settings=settings, report=report)
    launchers = make_launchers(plan, settings=settings, report=report)
    signing = _MacosSigning(plan, scratch, settings)
    return Programs(
        engines={target: signing.engine(target, engine.path) for target, engine in engines.items()},
        facts={target: engine.facts for target, engine in engines.items()},
        launchers={target: signing.launcher(target, data) for target, data in launchers.items()},
    )


def make_engines(plan: Plan, *, jobs: int, settings: Settings, report: Report) -> dict[str, Engine]:
    """The engines by target, as they are compiled: those that are not there yet, now.

    Raises:
        ToolError, HostError: as compiling finds. FormatError, IntegrityError: an installed one is damaged.
    """
    store, machine, passed = settings.store(), settings.machine, settings.environment
    engines = {
        job.target: find_engine(job, settings=settings)
        or compile_engine(job, store=store, machine=machine, jobs=jobs, report=report, passed=passed)
        for job in plan.engine_jobs
    }
    for job in plan.engine_jobs:
        store.used(store.entry_path("engines", job.key()), now=settings.now)
    return engines


def make_launchers(plan: Plan, *, settings: Settings, report: Report) -> dict[str, bytes]:
    """The launchers by target, as they are compiled.

    Raises:
        ToolError, HostError: as compiling finds. FormatError, IntegrityError: an installed one is damaged.
    """
    zig = plan.engine_jobs[0].toolchain
    if not isinstance(zig, Zig):
        return {}  # what cosmocc makes is the head itself
    store, passed = settings.store(), settings.environment
    launchers = {
        target: find_launcher(target, zig, settings=settings)
        or compile_launcher(target, zig, store=store, report=report, passed=passed)
        for target in plan.launcher_targets
    }
    for target in plan.launcher_targets:
        store.used(store.entry_path("launchers", launcher_key(target, zig)), now=settings.now)
    return launchers


def make_head_of(
    file: PlannedFile, plan: Plan, programs: Programs, *, settings: Settings, report: Report
) -> Path | LauncherHead:
    """What the file begins with, and the engines that it starts."""
    if file.head == "engine":
        (target,) = file.targets
        return programs.engines[target]
    if file.head == "note":
        return LauncherHead(program="script", data=file.note_bytes(), slices=())
    launchers = {target: programs.launchers[target] for target in file.targets}
    data = make_head(file.head, launchers, facts=plan.windows if file.is_for_windows else None)
    return LauncherHead(program=file.head, data=data, slices=_slices(file, programs, settings, report))


def _slices(file: PlannedFile, programs: Programs, settings: Settings, report: Report) -> tuple[EngineSlice, ...]:
    store = settings.store()
    total = sum(programs.engines[target].stat().st_size for target in file.targets)
    with report.step("compressing engines", total=total) as step:

        def make(target: str) -> EngineSlice:
            program = programs.engines[target].read_bytes()
            made = make_slice(program, programs.facts[target], store=store)
            step.advance(len(program), detail=target)
            return made

        # Each engine in memory is some tens of MB, so no more of them at once than there are cores.
        with ThreadPoolExecutor(max_workers=settings.machine.cores) as pool:
            return tuple(pool.map(make, file.targets))


class _MacosSigning:
    """Signs Mach-O programs, if the recipe says how: neither a script nor a ZIP could carry a signature for them."""

    def __init__(self, plan: Plan, scratch: Path, settings: Settings) -> None:
        self._plan, self._scratch, self._settings = plan, scratch, settings

    def engine(self, target: str, path: Path) -> Path:
        if not self._is_due(target):
            return path
        copy = self._scratch / f"engine-{target}"
        shutil.copyfile(path, copy)
        return self._signed(copy)

    def launcher(self, target: str, data: bytes) -> bytes:
        if not self._is_due(target):
            return data
        copy = self._scratch / f"launcher-{target}"
        copy.write_bytes(data)
        return self._signed(copy).read_bytes()

    def _is_due(self, target: str) -> bool:
        return bool(self._plan.sign_macos) and target.startswith("macos-")

    def _signed(self, path: Path) -> Path:
        path.chmod(0o755)
        sign(self._plan.sign_macos, path, folder=self._plan.recipe_folder, settings=self._settings)
        return path
