"""Where the engines of a recipe come from: out of the cache, of an installed package, or of a compiler here.

An engine counts by its key, wherever it lies. What a compiler takes is asked for before an hour is spent on downloads,
but not where an installed package may have the engine: then it is asked for once the keys are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.engine.compile import load_engine
from lfbuild.engine.installed import differences, find_installed, read_source_facts
from lfbuild.engine.launcher import launcher_key, load_launcher
from lfbuild.engine.toolchains import find_toolchain, named_toolchain
from lfbuild.engine.workshop import find_tools
from lfbuild.errors import ToolError

if TYPE_CHECKING:
    from lfbuild.commands.settings import Settings
    from lfbuild.engine.installed import InstalledEngine, SourceFacts
    from lfbuild.engine.job import Engine, EngineJob
    from lfbuild.engine.toolchain import Toolchain
    from lfbuild.engine.zig import Zig
    from lfbuild.recipe import Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSupply:
    """What compiles a recipe's engines, and what is compiled already."""

    toolchain: Toolchain
    installed: tuple[InstalledEngine, ...]
    """Engines of packages that were made by this kind of toolchain."""
    lacking: ToolError | None = None
    """Why nothing can be compiled here; None: it can."""

    def known_source(self, sha256: str | None, folder: str) -> SourceFacts | None:
        """What a package tells of the very source that is asked for, so that it need not be fetched."""
        if sha256 is None:
            return None
        fit = (it.source for it in self.installed if it.facts.source_sha256 == sha256 and it.source.folder == folder)
        return next(fit, None)

    def check(self, job: EngineJob, *, settings: Settings) -> None:
        """Refuse an engine that is neither here nor can be compiled.

        Raises:
            ToolError: with what the installed one has that is not wanted, or with what a compile lacks.
        """
        if self.lacking is None or find_engine(job, settings=settings) is not None:
            return
        raise self._mismatch(job) or self.lacking

    def notes(self, job: EngineJob, *, settings: Settings) -> str:
        """What a user should know of an installed engine that is compiled anew all the same; empty: nothing."""
        mismatch = None if find_engine(job, settings=settings) else self._mismatch(job)
        return f"{mismatch}; so it is compiled here" if mismatch else ""

    def _mismatch(self, job: EngineJob) -> ToolError | None:
        others = [item for item in self.installed if item.facts.target == job.target]
        if not others:
            return None
        wanted = job.facts()
        told = "; or ".join(f"{item.package} has {differences(wanted, item.facts)}" for item in others)
        what = f"no installed engine for {job.target} is the one that is asked for: {told}"
        return ToolError("engine", what, hint="change the recipe, or compile: pip install 'lfbuild[zig]'")


def find_supply(recipe: Recipe, *, launcher: str | None, settings: Settings) -> EngineSupply:
    """Ask this machine for all that compiling the recipe takes, or for engines that make it unnecessary.

    Raises:
        ToolError: compiler, CMake, Ninja, the launcher or npm is missing, and no package has such engines.
        FormatError: a package of engines is damaged.
    """
    table = recipe.toolchain
    fit = [item for item in find_installed() if item.facts.toolchain.kind == table.kind]
    installed = tuple(item for item in fit if table.version in (None, item.facts.toolchain.version))
    try:
        toolchain = _toolchain_of(recipe, settings)
        find_tools(launcher=launcher or table.launcher, ui=recipe.engine.ui, machine=settings.machine)
    except ToolError as error:
        if not installed:
            raise
        named = named_toolchain(installed[0].facts.toolchain)
        return EngineSupply(toolchain=named, installed=installed, lacking=error)
    return EngineSupply(toolchain=toolchain, installed=installed)


def _toolchain_of(recipe: Recipe, settings: Settings) -> Toolchain:
    table = recipe.toolchain
    try:
        return find_toolchain(
            table.kind,
            version=table.version,
            machine=settings.machine,
            store=settings.store(),
            cosmocc_folder=settings.cosmocc,
        )
    except ToolError as error:
        # Whoever names no toolchain may not know that there is another one. A recipe inside of a file is not changed.
        if "kind" not in table.model_fields_set and recipe.path.is_file():
            way = f"[toolchain] kind = \"zig\" in {recipe.path}, and pip install 'lfbuild[zig]'"
            error.hint = f"{error.hint}; or have zig compile: {way}"
        raise


def find_engine(job: EngineJob, *, settings: Settings) -> Engine | None:
    """The engine of this order, if it is compiled already: in the cache, or in an installed package.

    Raises:
        ToolError, FormatError, IntegrityError: what is kept or installed is damaged.
    """
    return find_by_key(job.key(), settings=settings)


def find_by_key(key: str, *, settings: Settings) -> Engine | None:
    """The engine of this key, out of the cache or an installed package.

    Raises:
        ToolError, FormatError, IntegrityError: what is kept or installed is damaged.
    """
    kept = load_engine(settings.store(), key)
    if kept is not None:
        return kept
    return next((item.load() for item in find_installed() if item.facts.key == key), None)


def source_facts(job: EngineJob) -> SourceFacts:
    """What the engine's source tells: the tree itself, or the package whose word was taken for it.

    Raises:
        ToolError: neither is here any more.
    """
    if job.source.is_dir():
        return read_source_facts(job.source, folder=job.folder)
    for item in find_installed():
        if item.facts.source_sha256 == job.source_sha256 and item.source.folder == job.folder:
            return item.source
    raise ToolError(job.source, "is not here any more")


def find_launcher(target: str, zig: Zig, *, settings: Settings) -> bytes | None:
    """The launcher of this target, if it is compiled already.

    Raises:
        FormatError, IntegrityError: what is installed is damaged.
    """
    key = launcher_key(target, zig)
    kept = load_launcher(settings.store(), key)
    if kept is not None:
        return kept
    return next((item.launcher() for item in find_installed() if item.engine.launcher_key == key), None)
