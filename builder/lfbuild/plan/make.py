"""Fills in the orders that the engine room and the packer accept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lfbuild.archive.source import BytesSource, FileSource
from lfbuild.engine.cpu import parse_cpu
from lfbuild.engine.job import EngineJob
from lfbuild.errors import Problem, RecipeError
from lfbuild.formats.args import ARGS_NAME, args_to_bytes, verb_member
from lfbuild.manifest.model import RECIPE_NAME, EngineRecord, Release, ToolchainRecord
from lfbuild.manifest.pack import PackMember, PackOrder
from lfbuild.recipe import argument_verbs, default_arguments

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.engine.job import Engine
    from lfbuild.engine.toolchain import Toolchain
    from lfbuild.formats.blocks import Cuts
    from lfbuild.formats.model import ModelFacts
    from lfbuild.manifest.model import Origin, Role
    from lfbuild.recipe import Recipe

WINDOWS_LIMIT_BYTES: Final = 4 << 30
"""Windows starts no program whose file is longer (llamafile's issue 66)."""


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
    target: str
    models: tuple[tuple[SuppliedFile, ...], ...]
    """The files of each model of the recipe, in its order; none for an external one."""
    files: tuple[SuppliedFile, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is going to be done."""

    output: Path
    engine_job: EngineJob
    release: Release
    members: tuple[PackMember, ...]
    align_bytes: int
    room_percent: int
    room_bytes: int
    epoch: int
    recipe_sha256: str
    update_url: str
    notes: tuple[str, ...]

    @property
    def content_bytes(self) -> int:
        """Bytes of all members that the plan knows."""
        return sum(member.source.size_bytes for member in self.members)

    def order(self, engine: Engine) -> PackOrder:
        """The packer's order, once the engine is there."""
        size = engine.path.stat().st_size
        return PackOrder(
            release=self.release,
            head=engine.path,
            engine=_engine_record(engine),
            members=self.members,
            align_bytes=self.align_bytes,
            room_bytes=size * self.room_percent // 100 + self.room_bytes,
            epoch=self.epoch,
            recipe_sha256=self.recipe_sha256,
            update_url=self.update_url,
        )


def make_plan(
    recipe: Recipe, supplies: Supplies, *, text: bytes, output: Path, epoch: int, launcher: str | None
) -> Plan:
    """Decide everything; `text` is the recipe as it was written, which the file carries along.

    Raises:
        RecipeError: the toolchain makes nothing for the processors that the recipe names.
    """
    job = EngineJob(
        version=recipe.engine_version,
        source=supplies.source,
        source_sha256=supplies.source_sha256,
        folder=supplies.folder,
        target=supplies.target,
        cpus=targeted_cpus(recipe, supplies.toolchain, supplies.target),
        toolchain=supplies.toolchain,
        options=tuple(sorted((name, _cmake_value(value)) for name, value in recipe.engine.options.items())),
        ui=recipe.engine.ui,
        launcher=launcher or recipe.toolchain.launcher,
    )
    members = (*_models(recipe, supplies), *_files(recipe, supplies), *_arguments(recipe), _recipe_member(text))
    room = recipe.archive.engine_room
    return Plan(
        output=output,
        engine_job=job,
        release=_release(recipe),
        members=members,
        align_bytes=recipe.archive.align,
        room_percent=room.percent,
        room_bytes=room.size_bytes,
        epoch=epoch,
        recipe_sha256=hashlib.sha256(text).hexdigest(),
        update_url=str(recipe.update.url) if recipe.update else "",
        notes=tuple(_notes(supplies, members)),
    )


def targeted_cpus(recipe: Recipe, toolchain: Toolchain, target: str) -> tuple[str, ...]:
    """The levels, of those in the recipe, that this target has a use for.

    Raises:
        RecipeError: the recipe names none for an architecture of the target.
    """
    levels = {parse_cpu(cpu).architecture: cpu for cpu in recipe.targets.cpus}
    architectures = toolchain.targets.get(target, ())
    missing = [name for name in architectures if name not in levels]
    if missing or not architectures:
        named = ", ".join(recipe.targets.cpus)
        what = f"names {named}, but {toolchain.kind} compiles for {', '.join(missing) or target} here"
        raise _refusal(recipe, ("targets", "cpus"), what)
    return tuple(levels[name] for name in architectures)


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


def _engine_record(engine: Engine) -> EngineRecord:
    facts = engine.facts
    toolchain = facts.toolchain
    return EngineRecord(
        name=facts.name,
        version=facts.version,
        source_sha256=facts.source_sha256,
        key=facts.key,
        toolchain=ToolchainRecord(kind=toolchain.kind, version=toolchain.version, sha256=toolchain.sha256),
        targets=(facts.target,),
        cpus=facts.cpus,
        options=facts.options,
        ui=facts.ui,
    )


def _cmake_value(value: object) -> str:
    if isinstance(value, bool):
        return "ON" if value else "OFF"
    return str(value)


def _notes(supplies: Supplies, members: tuple[PackMember, ...]) -> list[str]:
    total = sum(member.source.size_bytes for member in members)
    if supplies.toolchain.kind == "cosmocc" and total >= WINDOWS_LIMIT_BYTES:
        return [
            "the file will be over 4 GiB, so Windows cannot start it; keep the weights outside with external = true"
        ]
    return []


def _refusal(recipe: Recipe, key: tuple[str | int, ...], what: str) -> RecipeError:
    problem: Problem = recipe.problem(key, what)
    return RecipeError(recipe.path, [problem])
