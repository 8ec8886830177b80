"""Fills in the orders that the engine room and the packer accept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.archive.source import BytesSource, FileSource
from lfbuild.engine.job import EngineJob
from lfbuild.errors import FormatError, Problem, RecipeError
from lfbuild.formats.args import ARGS_NAME, args_to_bytes, verb_member
from lfbuild.formats.resources import WindowsFacts, resource_bytes
from lfbuild.manifest.model import RECIPE_NAME, EngineRecord, Release, ToolchainRecord
from lfbuild.manifest.order import LauncherHead, PackMember, PackOrder
from lfbuild.plan.files import WINDOWS_LIMIT_BYTES, content_bytes, plan_files, told
from lfbuild.plan.targets import choose_targets
from lfbuild.recipe import argument_verbs, default_arguments

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.engine.job import EngineFacts
    from lfbuild.engine.toolchain import Toolchain
    from lfbuild.formats.blocks import Cuts
    from lfbuild.formats.model import ModelFacts
    from lfbuild.manifest.model import Origin, Role
    from lfbuild.plan.files import PlannedFile
    from lfbuild.plan.targets import Target
    from lfbuild.recipe import Recipe
    from lfbuild.recipe.values import Room


@dataclass(frozen=True, kw_only=True, slots=True)
class SuppliedFile:
    """One file that a recipe asks for, as it lies on this machine."""

    name: str
    path: Path
    size_bytes: int
    origin: Origin
    cuts: Cuts
    facts: ModelFacts | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Supplies:
    """Everything that was found for a recipe."""

    source: Path
    """The unpacked source tree of the engine."""
    source_sha256: str
    folder: str
    """Of the archive that the tree was in; empty for the whole."""
    toolchain: Toolchain
    host: str
    """This machine's own Linux target."""
    models: tuple[tuple[SuppliedFile, ...], ...]
    """The files of each model of the recipe, in its order; none for an external one."""
    files: tuple[SuppliedFile, ...]
    icon: bytes = b""
    """The .ico file that the recipe names."""
    aliases: str | None = None
    """Other spellings of the engine's verbs, where they are known without its tree."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is going to be done."""

    files: tuple[PlannedFile, ...]
    """One, or two; the last one is finished last, as it may need the others."""
    engine_jobs: tuple[EngineJob, ...]
    """One a target."""
    release: Release
    windows: WindowsFacts
    """What a program for Windows says of itself."""
    sign_windows: str
    """A command with `{file}` in it, or nothing; the same for macOS."""
    sign_macos: str
    recipe_folder: Path
    """Where signing commands are run."""
    align_bytes: int
    room: Room
    epoch: int
    recipe_sha256: str
    update_url: str
    notes: tuple[str, ...]

    @property
    def output(self) -> Path:
        """The file with the weights."""
        return self.files[0].output

    @property
    def launcher_targets(self) -> tuple[str, ...]:
        """Targets that need a launcher."""
        return tuple(target for file in self.files if file.head != "engine" for target in file.targets)

    def order(self, file: PlannedFile, head: Path | LauncherHead, facts: EngineFacts) -> PackOrder:
        """The packer's order for one of the files, once its engines are there; `facts` are those of any of them.

        Raises:
            RecipeError: the engines turned out so large that Windows would not start the file.
        """
        if isinstance(head, LauncherHead):
            engine_bytes = sum(item.source.size_bytes for item in head.slices)
            head_bytes = len(head.data) + engine_bytes
        else:
            engine_bytes = head_bytes = head.stat().st_size
        room_bytes = self.room.beside(engine_bytes, started=file.head != "engine")
        if file.is_for_windows and head_bytes + room_bytes + file.content_bytes >= WINDOWS_LIMIT_BYTES:
            raise self._too_long(file)
        return PackOrder(
            release=self.release,
            head=head,
            engine=_engine_record(facts, file),
            members=file.members,
            align_bytes=self.align_bytes,
            room_bytes=room_bytes,
            epoch=self.epoch,
            recipe_sha256=self.recipe_sha256,
            update_url=self.update_url,
        )

    def _too_long(self, file: PlannedFile) -> RecipeError:
        what = "would be over 4 GiB with its engines, which Windows does not start"
        hint = "give [archive] engine-room less, or keep the weights outside with external = true"
        return RecipeError(file.output, [Problem(where=str(file.output), key="", what=what)], hint=hint)


def make_plan(
    recipe: Recipe, supplies: Supplies, *, text: bytes, output: Path, epoch: int, launcher: str | None
) -> Plan:
    """Decide everything; `text` is the recipe as it was written, which the file carries along.

    Raises:
        RecipeError: targets, levels, head, icon or signing do not fit together; every problem is in it.
    """
    toolchain = supplies.toolchain
    targets, head = choose_targets(recipe, toolchain, host=supplies.host)
    members = (*_models(recipe, supplies), *_files(recipe, supplies), *_arguments(recipe), _recipe_member(text))
    files = plan_files(recipe, targets, head, members, output)
    return Plan(
        files=files,
        engine_jobs=tuple(_job(recipe, supplies, target, launcher) for target in targets),
        release=_release(recipe),
        windows=_windows_facts(recipe, supplies.icon),
        sign_windows=recipe.sign.windows,
        sign_macos=recipe.sign.macos,
        recipe_folder=recipe.path.parent,
        align_bytes=recipe.archive.align,
        room=recipe.archive.engine_room,
        epoch=epoch,
        recipe_sha256=hashlib.sha256(text).hexdigest(),
        update_url=str(recipe.update.url) if recipe.update else "",
        notes=(*told(files), *_notes(supplies, members)),
    )


def _windows_facts(recipe: Recipe, icon: bytes) -> WindowsFacts:
    """Looked at now, so that an icon that is none is told before anything is compiled."""
    table = recipe.llamafile
    facts = WindowsFacts(
        product=table.name,
        description=table.description or table.name,
        version=table.version,
        filename=f"{table.name}.exe",
        icon=icon,
    )
    try:
        resource_bytes(facts, 0)
    except FormatError as error:
        key = ("llamafile", "icon") if error.where == "icon" else ("llamafile",)
        raise RecipeError(recipe.path, [recipe.problem(key, error.what)]) from error
    return facts


def _job(recipe: Recipe, supplies: Supplies, target: Target, launcher: str | None) -> EngineJob:
    return EngineJob(
        version=recipe.engine_version,
        source=supplies.source,
        source_sha256=supplies.source_sha256,
        folder=supplies.folder,
        target=target.name,
        cpus=target.cpus,
        toolchain=supplies.toolchain,
        options=tuple(sorted((name, _cmake_value(value)) for name, value in recipe.engine.options.items())),
        ui=recipe.engine.ui,
        aliases=supplies.aliases,
        launcher=launcher or recipe.toolchain.launcher,
    )


def _models(recipe: Recipe, supplies: Supplies) -> list[PackMember]:
    return [
        PackMember(
            name=file.name,
            role=model.role,
            place="aligned",
            source=FileSource(path=file.path, size_bytes=file.size_bytes),
            cuts=file.cuts,
            license=model.license,
            origin=file.origin,
            facts=file.facts,
        )
        for model, files in zip(recipe.models, supplies.models, strict=True)
        for file in files
    ]


def _files(recipe: Recipe, supplies: Supplies) -> list[PackMember]:
    return [
        PackMember(
            name=table.name,
            role="file",
            place="body",
            source=FileSource(path=file.path, size_bytes=file.size_bytes),
            cuts=file.cuts,
            mode=int(table.mode, 8),
            origin=file.origin,
        )
        for table, file in zip(recipe.files, supplies.files, strict=True)
    ]


def _arguments(recipe: Recipe) -> list[PackMember]:
    """`.args` has the default verb before its arguments, so that Mozilla's engines read it too."""
    default, *others = argument_verbs(recipe)
    tokens = {ARGS_NAME: (default, *default_arguments(recipe, default))}
    tokens |= {verb_member(verb): default_arguments(recipe, verb) for verb in others}
    return [_tail_member(name, args_to_bytes(words), role="args") for name, words in tokens.items()]


def _recipe_member(text: bytes) -> PackMember:
    return _tail_member(RECIPE_NAME, text, role="recipe")


def _tail_member(name: str, data: bytes, *, role: Role) -> PackMember:
    return PackMember(name=name, role=role, place="tail", source=BytesSource(data))


def _release(recipe: Recipe) -> Release:
    table = recipe.llamafile
    return Release(
        name=table.name,
        version=table.version,
        description=table.description,
        license=table.license,
        homepage=str(table.homepage or ""),
    )


def _engine_record(facts: EngineFacts, file: PlannedFile) -> EngineRecord | None:
    """What the manifest says of the engines; each slice of a launcher has key and levels of its own."""
    if not file.targets:
        return None
    alone = file.head == "engine"
    toolchain = facts.toolchain
    return EngineRecord(
        name=facts.name,
        version=facts.version,
        source_sha256=facts.source_sha256,
        key=facts.key if alone else "",
        toolchain=ToolchainRecord(kind=toolchain.kind, version=toolchain.version, sha256=toolchain.sha256),
        targets=file.targets,
        cpus=facts.cpus if alone else (),
        options=facts.options,
        ui=facts.ui,
    )


def _cmake_value(value: object) -> str:
    if isinstance(value, bool):
        return "ON" if value else "OFF"
    return str(value)


def _notes(supplies: Supplies, members: tuple[PackMember, ...]) -> list[str]:
    if supplies.toolchain.kind == "cosmocc" and content_bytes(members) >= WINDOWS_LIMIT_BYTES:
        return [
            "the file will be over 4 GiB, so Windows cannot start it; keep the weights outside with external = true"
        ]
    return []
