"""Everything before the first compile: recipe, lock, toolchain, sources, models and arguments checked, a plan made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lfbuild.archive.reader import opened
from lfbuild.commands.choice import host_target, load_chosen
from lfbuild.commands.engines import find_engine, find_supply
from lfbuild.commands.models import check_architecture, confirm_header, load_header
from lfbuild.commands.origins import file_origin, tree_origin
from lfbuild.engine.source import read_architectures, read_flags
from lfbuild.errors import FetchError, LfbuildError, Problem, RecipeError, command
from lfbuild.formats.blocks import Cuts
from lfbuild.formats.gguf import cut_gguf
from lfbuild.formats.model import model_facts
from lfbuild.host.files import check_target, is_same_file
from lfbuild.manifest.model import Origin
from lfbuild.plan import SuppliedFile, Supplies, make_plan, unknown_flags
from lfbuild.recipe import PathSource, check_lock, load_lock, lock_path, named_paths
from lfbuild.sources import fetch_file, fetch_tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from lfbuild.commands.choice import Choice
    from lfbuild.commands.engines import EngineSupply
    from lfbuild.commands.settings import Settings
    from lfbuild.plan import Plan
    from lfbuild.recipe import LockFile, Piece, Recipe
    from lfbuild.recipe.model import FileTable, ModelTable
    from lfbuild.recipe.places import EngineSource, Source
    from lfbuild.report import Report
    from lfbuild.sources import Fetched, FetchedTree

_MOST_ICON_BYTES: Final = 256 << 10
"""An icon with a picture of every size has some tens of KiB, and a head has 1 MiB for everything."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """A source of the recipe, as it was found: what a lock file keeps."""

    identity: str
    sha256: str
    size_bytes: int
    resolved: str = ""


def prepare(
    recipe_path: Path,
    *,
    output: Path | None,
    locked: bool,
    choice: Choice,
    epoch: int,
    settings: Settings,
    report: Report,
) -> Plan:
    """Recipe in, plan out; sources are fetched on the way, and models checked.

    Raises:
        RecipeError: recipe, lock or arguments cannot be carried out; every problem is in it.
        ToolError, FormatError, IntegrityError, FetchError, HostError: as the steps find.
    """
    recipe = load_chosen(recipe_path, choice, settings=settings)
    lock = load_checked_lock(recipe) if locked else None
    return prepare_recipe(
        recipe, lock, output=output, launcher=choice.launcher, epoch=epoch, settings=settings, report=report
    )


def prepare_recipe(
    recipe: Recipe,
    lock: LockFile | None,
    *,
    output: Path | None,
    launcher: str | None,
    epoch: int,
    settings: Settings,
    report: Report,
) -> Plan:
    """The same for a recipe that is loaded.

    Raises:
        RecipeError, ToolError, FormatError, IntegrityError, FetchError, HostError: as above.
    """
    supply = find_supply(recipe, launcher=launcher, settings=settings)
    preparation = Preparation(recipe, lock, supply=supply, settings=settings, report=report)
    return preparation.plan(output=output, launcher=launcher, epoch=epoch)


def load_checked_lock(recipe: Recipe) -> LockFile:
    """The lock of a recipe, which has to fit it.

    Raises:
        RecipeError: there is none, it is damaged, or the recipe has changed since.
    """
    path = lock_path(recipe.path)
    lock = load_lock(path)
    problems = check_lock(recipe, lock)
    if problems:
        raise RecipeError(path, problems, hint=command("lock", recipe.path))
    return lock


def checked_output(recipe: Recipe, output: Path | None) -> Path:
    """Where the file goes; told before anything is fetched or compiled if it cannot go there.

    Raises:
        RecipeError: it would be written over something that it is made of.
        HostError: there is no such folder, or a folder has that name.
    """
    target = output or Path(recipe.output_name)
    refuse_overwriting_sources(recipe, target, option="-o")
    check_target(target)
    return target


def refuse_overwriting_sources(recipe: Recipe, target: Path, *, option: str) -> None:
    """Keep what a build reads from being written over; `option` names another file than `target`.

    Raises:
        RecipeError: `target` is the recipe, its lock, or a file that the recipe names.
    """
    problems = [
        recipe.problem(key, f"is the file that would be written, {target}")
        for key, name in named_paths(recipe)
        if is_same_file(recipe.resolve(name), target)
    ]
    problems += [
        Problem(where=str(path), key="", what="is the file that would be written")
        for path in (recipe.path, lock_path(recipe.path))
        if is_same_file(path, target)
    ]
    if problems:
        raise RecipeError(recipe.path, problems, hint=f"name another file with {option}")


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceState:
    """Whether a source has to be fetched."""

    identity: str
    here: bool
    size_bytes: int = 0
    sha256: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineTree:
    """The engine's source: where it is, or would be, and what it tells."""

    path: Path
    sha256: str
    architectures: frozenset[str]
    flags: frozenset[str]
    aliases: str | None
    """Other spellings of verbs, where the tree itself is not here."""


class Preparation:
    """Finds and fetches what one recipe needs; keeps what each source turned out to be."""

    def __init__(
        self, recipe: Recipe, lock: LockFile | None, *, supply: EngineSupply, settings: Settings, report: Report
    ) -> None:
        self._recipe, self._lock, self._settings, self._report = recipe, lock, settings, report
        self._supply = supply
        self._store, self._network = settings.store(), settings.network()
        self._known: frozenset[str] = frozenset()
        self.resolved: list[Resolved] = []

    def plan(self, *, output: Path | None, launcher: str | None, epoch: int) -> Plan:
        """Fetch, check and decide."""
        recipe = self._recipe
        target = checked_output(recipe, output)
        known = self._known_source()
        plan = self._decide(known or self._fetched_source(), output=target, launcher=launcher, epoch=epoch)
        jobs = plan.engine_jobs
        for job in jobs:
            self._supply.check(job, settings=self._settings)
        if known and not all(find_engine(job, settings=self._settings) for job in jobs):
            plan = self._decide(self._fetched_source(), output=target, launcher=launcher, epoch=epoch)
        for file in plan.files[1:]:  # decided only now
            checked_output(recipe, file.output)
        told = tuple(note for job in jobs if (note := self._supply.notes(job, settings=self._settings)))
        return replace(plan, notes=(*plan.notes, *told))

    def _decide(self, source: EngineTree, *, output: Path, launcher: str | None, epoch: int) -> Plan:
        recipe = self._recipe
        supplies = self._supplies(source)
        problems = list(unknown_flags(recipe, source.flags))
        if problems:
            raise RecipeError(recipe.path, problems)
        return make_plan(recipe, supplies, text=recipe.text, output=output, epoch=epoch, launcher=launcher)

    def survey(self) -> tuple[SourceState, ...]:
        """Which sources are here already; asked of a preparation that is offline, it fetches nothing."""
        recipe = self._recipe
        engine = recipe.engine.source
        files = [(piece.source, piece.sha256) for model in recipe.models for piece in model.pieces]
        files += [(table.source, table.sha256) for table in recipe.files]
        known = self._known_source()
        if known:
            states = [SourceState(identity=engine.identity, here=True, sha256=known.sha256)]
        else:
            states = [self._state(engine, self._tree)]
        return tuple(states + [self._state(source, partial(self._fetch, source, sha256)) for source, sha256 in files])

    def supplies(self) -> Supplies:
        """Everything that the plan is made from, all of it fetched."""
        return self._supplies(self._fetched_source())

    def _supplies(self, source: EngineTree) -> Supplies:
        recipe = self._recipe
        self._known = source.architectures
        return Supplies(
            source=source.path,
            source_sha256=source.sha256,
            folder=recipe.engine.source.folder or "",
            toolchain=self._supply.toolchain,
            host=host_target(self._settings),
            models=tuple(self._model(model) for model in recipe.models),
            files=tuple(self._file(table) for table in recipe.files),
            icon=_read_icon(recipe),
            aliases=source.aliases,
        )

    def _known_source(self) -> EngineTree | None:
        """What an installed package tells of the engine's source; None where it has to be looked at."""
        source = self._recipe.engine.source
        sha256 = self._locked(source.identity) or getattr(source, "sha256", None)
        facts = self._supply.known_source(sha256, source.folder or "")
        if facts is None or sha256 is None:
            return None
        return EngineTree(
            path=Path(f"source of {source.identity}"),
            sha256=sha256,
            architectures=frozenset(facts.architectures),
            flags=frozenset(facts.flags),
            aliases=facts.aliases,
        )

    def _fetched_source(self) -> EngineTree:
        tree = self._tree()
        return EngineTree(
            path=tree.path,
            sha256=tree.sha256,
            architectures=read_architectures(tree.path),
            flags=read_flags(tree.path),
            aliases=None,
        )

    def _state(self, source: EngineSource | Source, look: Callable[[], object]) -> SourceState:
        try:
            look()
        except FetchError:
            if isinstance(source, PathSource):
                raise  # what should be on this machine is not fetched from anywhere
            return SourceState(identity=source.identity, here=False)
        found = self.resolved[-1]
        return SourceState(identity=source.identity, here=True, size_bytes=found.size_bytes, sha256=found.sha256)

    def _tree(self) -> FetchedTree:
        engine = self._recipe.engine.source
        tree = fetch_tree(
            tree_origin(engine, self._recipe),
            folder=engine.folder,
            sha256=self._locked(engine.identity),
            store=self._store,
            network=self._network,
            report=self._report,
            now=self._settings.now,
        )
        self._remember(engine.identity, tree.sha256, tree.size_bytes, tree.resolved)
        return tree

    def _model(self, model: ModelTable) -> tuple[SuppliedFile, ...]:
        return tuple(self._piece(piece, model) for piece in model.pieces)

    def _piece(self, piece: Piece, model: ModelTable) -> SuppliedFile:
        fetched = self._fetch(piece.source, piece.sha256)
        where = f"{self._recipe.path}: {piece.name}"
        header = load_header(fetched.path, where=where)
        if model.role in {"weights", "draft"}:
            check_architecture(header, self._known, where=where, engine=f"llama.cpp {self._recipe.engine_version}")
        confirm_header(header, fetched.path, fetched.sha256, store=self._store, where=where, report=self._report)
        block_bytes = self._recipe.archive.block_size
        return SuppliedFile(
            name=piece.name,
            path=fetched.path,
            size_bytes=fetched.size_bytes,
            origin=_manifest_origin(fetched),
            cuts=cut_gguf(header, block_bytes=block_bytes),
            facts=model_facts(header),
        )

    def _file(self, table: FileTable) -> SuppliedFile:
        fetched = self._fetch(table.source, table.sha256)
        return SuppliedFile(
            name=table.name,
            path=fetched.path,
            size_bytes=fetched.size_bytes,
            origin=_manifest_origin(fetched),
            cuts=Cuts.plain(fetched.size_bytes, block_bytes=self._recipe.archive.block_size),
        )

    def _fetch(self, source: Source, sha256: str | None) -> Fetched:
        fetched = fetch_file(
            file_origin(source, self._recipe),
            sha256=sha256 or self._locked(source.identity),
            store=self._store,
            network=self._network,
            report=self._report,
            now=self._settings.now,
        )
        self._remember(source.identity, fetched.sha256, fetched.size_bytes, fetched.resolved)
        return fetched

    def _locked(self, identity: str) -> str | None:
        locked = self._lock.find(identity) if self._lock else None
        return locked.sha256 if locked else None

    def _remember(self, identity: str, sha256: str, size_bytes: int, resolved: str) -> None:
        self.resolved.append(Resolved(identity=identity, sha256=sha256, size_bytes=size_bytes, resolved=resolved))


def _read_icon(recipe: Recipe) -> bytes:
    """The icon that the recipe names, looked at no further: whoever puts it into a program knows what it has to be."""
    if recipe.llamafile.icon is None:
        return b""
    path, key = recipe.resolve(recipe.llamafile.icon), ("llamafile", "icon")
    try:
        with opened(path) as file:
            data = file.read(_MOST_ICON_BYTES + 1)
    except LfbuildError as error:
        raise RecipeError(recipe.path, [recipe.problem(key, f"{path} {error.what}")]) from error
    if len(data) > _MOST_ICON_BYTES:
        raise RecipeError(recipe.path, [recipe.problem(key, f"{path} is too big to be an icon (over 256 KiB)")])
    return data


def _manifest_origin(fetched: Fetched) -> Origin:
    return Origin(kind=fetched.kind, location=fetched.location, sha256=fetched.sha256)
