"""`reproduce`: builds a file again from the recipe and the provenance inside it, and compares the bytes.

What differs is told by its member; and what was not the same from the beginning, such as a source or the compiler, too,
as that is the usual reason. The file, and so the recipe in it, may be a stranger's: its signing commands are not run; a
signature that closes the file is left out of the comparison.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.archive.reader import Reader, opened
from lfbuild.commands.build import carry_out
from lfbuild.commands.prepare import prepare_recipe
from lfbuild.errors import FormatError, IntegrityError
from lfbuild.manifest.model import BESIDE_NAME, MANIFEST_NAME, RECIPE_NAME
from lfbuild.manifest.verify import load_manifest, verify_content, verify_structure
from lfbuild.recipe import narrowed, parse_recipe, retooled, uncommanded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lfbuild.commands.settings import Settings
    from lfbuild.manifest.model import Manifest
    from lfbuild.plan import Plan
    from lfbuild.recipe import Recipe
    from lfbuild.report import Report

_PIECE_BYTES = 4 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A part of the file that a new build does not give."""

    subject: str
    """A member, `head`, or a table of the file."""
    what: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reproduction:
    """How a file compares with what its recipe makes now."""

    path: Path
    same: bool
    is_signed: bool = False
    """The same but for a signature that closes the file, which takes a key."""
    differences: tuple[Difference, ...] = ()
    reasons: tuple[str, ...] = ()
    """What was not the same before anything was compiled."""


def reproduce(path: Path, *, folder: Path, jobs: int, settings: Settings, report: Report) -> Reproduction:
    """Build the file again; paths that its recipe names are looked up from `folder`.

    Raises:
        FormatError: the file is not ours, or has no recipe.
        IntegrityError: its recipe is not the one that its manifest names.
        RecipeError, ToolError, FetchError, HostError: as building finds.
    """
    manifest, text = _load(path)
    recipe = _chosen(parse_recipe(text, folder / f"{path.name} (recipe)"), manifest)
    with settings.store().incoming() as scratch:
        plan = prepare_recipe(
            uncommanded(recipe),
            None,
            output=scratch / path.name,
            launcher=None,
            epoch=manifest.epoch,
            settings=settings,
            report=report,
        )
        reasons = (*_reasons(plan, manifest), *_signed_reasons(recipe, manifest))
        built = carry_out(plan, jobs=jobs, settings=settings, report=report)
        if _same_bytes(path, built.path):
            return Reproduction(path=path, same=True, reasons=reasons)
        differences = tuple(_differences(path, built.path, threads=settings.machine.cores))
    # A seal vouches for every byte of a file but for a signature around all of it.
    same = not differences
    return Reproduction(path=path, same=same, is_signed=same, differences=differences, reasons=reasons)


def _load(path: Path) -> tuple[Manifest, bytes]:
    with Reader.open(path) as reader:
        ours = load_manifest(reader)
        if ours is None or RECIPE_NAME not in reader.records:
            hint = "the file with its weights has it" if BESIDE_NAME in reader.records else ""
            raise FormatError(path, "has no recipe of lfbuild in it, so it cannot be built again", hint=hint)
        manifest, text = ours[0], reader.read(RECIPE_NAME)
    if hashlib.sha256(text).hexdigest() != manifest.recipe_sha256:
        raise IntegrityError(f"{path}: {RECIPE_NAME}", "is not the recipe that the file was built from")
    return manifest, text


def _chosen(recipe: Recipe, manifest: Manifest) -> Recipe:
    """The recipe, for what was chosen of it then."""
    engine = manifest.engine
    if engine is None:
        return recipe
    recipe = retooled(recipe, engine.toolchain.kind)
    if engine.toolchain.kind == "cosmocc":
        return recipe
    own = [target for target in engine.targets if target.startswith("linux-")]
    return narrowed(recipe, engine.targets, host=own[0] if own else "")


def _reasons(plan: Plan, manifest: Manifest) -> Iterator[str]:
    """What differs already: what was done to the file since, sources and the compiler."""
    engine, job = manifest.engine, plan.engine_jobs[0]
    generation = manifest.generation
    if generation > 1:
        yield f"it was edited since it was built, and is of generation {generation}: its recipe does not know that"
    if engine and engine.source_sha256 != job.source_sha256:
        yield f"the engine's source was {engine.source_sha256[:16]}, and is {job.source_sha256[:16]} now"
    toolchain = job.toolchain
    if engine and (engine.toolchain.version, engine.toolchain.sha256) != (toolchain.version, toolchain.sha256):
        yield f"it was compiled by {engine.toolchain.kind} {engine.toolchain.version}, and here is {toolchain.version}"
    keys = {item.target: item.key for item in engine.slices} if engine else {}
    for it in plan.engine_jobs:
        key = keys.get(it.target, engine.key if engine else "")
        if key and key != it.key():
            edit = "by an edit of the file, or " if generation > 1 else ""
            yield f"the engine for {it.target} is made otherwise now: {edit}by another lfbuild, compiler or source"
    for member in plan.files[0].members:
        recorded = manifest.member(member.name)
        old, new = recorded and recorded.origin, member.origin
        if old and new and old.sha256 != new.sha256:
            yield f"the source of {member.name} was {old.sha256[:16]}, and is {new.sha256[:16]} now"


def _signed_reasons(recipe: Recipe, manifest: Manifest) -> Iterator[str]:
    """Signatures inside of the file, which nobody without the key can make or take off again."""
    engine = manifest.engine
    if recipe.sign.macos and engine and any(target.startswith("macos-") for target in engine.targets):
        yield (
            "its programs for macOS were signed before they were packed, which takes the key: "
            "they, the head and all that tells of their bytes cannot be made again"
        )


def _same_bytes(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with opened(one) as left, opened(other) as right:
        while piece := left.read(_PIECE_BYTES):
            if piece != right.read(_PIECE_BYTES):
                return False
    return True


def _differences(path: Path, again: Path, *, threads: int) -> Iterator[Difference]:
    """First what the file itself is not as its manifest says; then where that manifest is another."""
    with Reader.open(path) as reader, Reader.open(again) as rebuilt:
        ours, theirs = load_manifest(reader), load_manifest(rebuilt)
        if ours is None or theirs is None:
            raise FormatError(path, "has lost its manifest while it was compared")
        manifest, seal = ours
        findings = [*verify_structure(reader, manifest, seal), *verify_content(reader, manifest, threads=threads)]
    yield from (Difference(subject=it.subject, what=it.what) for it in findings)
    told = tuple(_told(manifest, theirs[0]))
    yield from told
    if not told and seal != theirs[1]:
        yield Difference(subject=MANIFEST_NAME, what="says something else than a new build does")


def _told(manifest: Manifest, rebuilt: Manifest) -> Iterator[Difference]:
    if manifest.head.root != rebuilt.head.root:
        yield Difference(subject="head", what="is another than a new build gives")
    for name in dict.fromkeys(member.name for member in (*manifest.members, *rebuilt.members)):
        old, new = manifest.member(name), rebuilt.member(name)
        if old is None or new is None:
            yield Difference(subject=name, what="is only in the " + ("new build" if old is None else "file"))
        elif old.root != new.root:
            yield Difference(subject=name, what="is another than a new build gives")
        elif old != new:
            yield Difference(subject=MANIFEST_NAME, what=f"says something else of {name} than a new build does")
    rest = (manifest.release, manifest.epoch, manifest.update_url, manifest.generation)
    if rest != (rebuilt.release, rebuilt.epoch, rebuilt.update_url, rebuilt.generation):
        yield Difference(subject=MANIFEST_NAME, what="says something else of the release than a new build does")
