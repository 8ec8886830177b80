"""`release`: files by their recipes, and all that goes with them, in a folder that appears whole or not at all.

FILE …                  what the recipes make
FILE.cdx.json           what it is made of, and under which licences
FILE.intoto.json        how it came to be
RELEASE.md, index.html  for people: downloads, checksums, what changed
SHA256SUMS              over everything else
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lfbuild.commands.build import carry_out
from lfbuild.commands.choice import EVERYTHING, load_chosen
from lfbuild.commands.facts import load_facts, load_release, sha256_of
from lfbuild.commands.increments import write_increments
from lfbuild.commands.prepare import load_checked_lock, prepare_recipe
from lfbuild.errors import IntegrityError, LfbuildError, Problem, RecipeError, command
from lfbuild.fetch.oci import push, push_target
from lfbuild.host.files import making_folder, replacing
from lfbuild.recipe import lock_path
from lfbuild.release.bom import BOM_SUFFIX, bom_text
from lfbuild.release.facts import ReleaseFacts
from lfbuild.release.notes import NOTES_NAME, notes_text
from lfbuild.release.page import PAGE_NAME, page_text
from lfbuild.release.provenance import LOCAL_BUILDER, PROVENANCE_SUFFIX, provenance_text
from lfbuild.release.sums import SUMS_NAME, sums_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lfbuild.commands.choice import Choice
    from lfbuild.commands.settings import Settings
    from lfbuild.fetch.oci import OciAddress
    from lfbuild.plan import Plan
    from lfbuild.recipe import Recipe
    from lfbuild.release.facts import FileFacts
    from lfbuild.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseOrder:
    """What is to be released, and how."""

    recipes: tuple[Path, ...]
    folder: Path
    """Where the release will be; nothing is there yet."""
    previous: tuple[Path, ...] = ()
    """Folders of earlier releases, newest first."""
    tag: str = ""
    """The tag that the release is made for: a version, perhaps behind a `v` or a path."""
    builder: str = LOCAL_BUILDER
    """Who vouches for it, as a URI."""
    push: str = ""
    """An oci:// address that the release is put under."""
    choice: Choice = EVERYTHING


@dataclass(frozen=True, kw_only=True, slots=True)
class Released:
    """What is in the folder."""

    folder: Path
    files: tuple[str, ...]
    """What the recipes made."""
    documents: tuple[str, ...]
    pushed: str = ""
    """The digest of what the tag in a registry names now."""


def release(order: ReleaseOrder, *, jobs: int, settings: Settings, report: Report) -> Released:
    """Make a release; a recipe with a lock beside it is built by it.

    Raises:
        RecipeError: a recipe, its lock or the tag does not fit.
        ToolError, FormatError, IntegrityError, FetchError, HostError: as the steps find. Nothing is left then.
    """
    target = push_target(order.push, settings.network()) if order.push else None
    recipes = [load_chosen(path, order.choice, settings=settings) for path in order.recipes]
    _check(recipes, order)
    previous = [load_release(folder, report=report) for folder in order.previous]
    with making_folder(order.folder) as folder:
        plans = [_plan(recipe, folder, order, settings=settings, report=report) for recipe in recipes]
        _check_outputs(plans)
        # Beyond this point nothing is decided any more: files are made, and told of.
        files = [carry_out(plan, jobs=jobs, settings=settings, report=report) for plan in plans]
        paths = [path for built in files for path in (built.path, *built.beside)]
        facts = ReleaseFacts(files=tuple(load_facts(path, report=report) for path in paths))
        texts = dict(_documents(facts, previous, builder=order.builder))
        for name, text in texts.items():
            _write(folder / name, text)
        earlier = list(zip(order.previous, previous, strict=True))
        for_updates = [
            name
            for path, file in zip(paths, facts.files, strict=True)
            for name in write_increments(path, _older(file, earlier), threads=settings.machine.cores, report=report)
        ]
        documents = (*texts, *for_updates)
        _write(folder / SUMS_NAME, _sums(folder, facts, documents, report=report))
    made = Released(
        folder=order.folder, files=tuple(file.name for file in facts.files), documents=(*documents, SUMS_NAME)
    )
    if target is None:
        return made
    return replace(made, pushed=_push(made, target, facts, settings=settings, report=report))


def push_made(folder: Path, address: str, *, settings: Settings, report: Report) -> Released:
    """Put a release that is there already into a registry: what is left to do once a push has failed.

    Raises:
        IntegrityError: it is not as it was made.
        ToolError, FormatError, FetchError, HostError: as `release`.
    """
    target = push_target(address, settings.network())
    facts = load_release(folder, report=report)
    files = tuple(file.name for file in facts.files)
    there = sorted(folder.iterdir())
    documents = tuple(path.name for path in there if path.name not in {*files, SUMS_NAME})
    if not all(path.is_file() for path in there) or not _is_as_made(folder, facts, documents, report=report):
        hint = f"it holds what was released, and nothing else: sha256sum -c {SUMS_NAME}"
        raise IntegrityError(folder, f"is not the release that its {SUMS_NAME} tells of", hint=hint)
    made = Released(folder=folder, files=files, documents=(*documents, SUMS_NAME))
    return replace(made, pushed=_push(made, target, facts, settings=settings, report=report))


def _is_as_made(folder: Path, facts: ReleaseFacts, documents: Sequence[str], *, report: Report) -> bool:
    try:
        return (folder / SUMS_NAME).read_text(encoding="utf-8") == _sums(folder, facts, documents, report=report)
    except (OSError, UnicodeDecodeError):
        return False


def _push(made: Released, target: OciAddress, facts: ReleaseFacts, *, settings: Settings, report: Report) -> str:
    """The folder is there already, and stays if the registry refuses; what is pushed again is the same artifact."""
    paths = [made.folder / name for name in sorted((*made.files, *made.documents))]
    by_name = ReleaseFacts(files=tuple(sorted(facts.files, key=lambda file: file.name)))
    annotations = {"org.opencontainers.image.title": by_name.title}
    with report.step(f"pushing to {target}", total=sum(path.stat().st_size for path in paths)) as step:
        try:
            return push(
                paths,
                target,
                annotations=annotations,
                network=settings.network(),
                on_bytes=lambda size, name: step.advance(size, detail=name),
            )
        except LfbuildError as error:
            way = f"{made.folder} is whole: {command('release', '-o', made.folder, '--push', str(target))} goes on"
            error.hint = f"{error.hint}; {way}" if error.hint else way
            raise


def _older(file: FileFacts, earlier: Sequence[tuple[Path, ReleaseFacts]]) -> list[Path]:
    """Earlier releases of a file, but for those that are the same."""
    return [
        folder / file.name
        for folder, release in earlier
        if (it := release.file(file.name)) and it.sha256 != file.sha256
    ]


def _plan(recipe: Recipe, folder: Path, order: ReleaseOrder, *, settings: Settings, report: Report) -> Plan:
    lock = load_checked_lock(recipe) if lock_path(recipe.path).is_file() else None
    return prepare_recipe(
        recipe,
        lock,
        output=folder / recipe.output_name,
        launcher=order.choice.launcher,
        epoch=settings.epoch,
        settings=settings,
        report=report,
    )


def _documents(facts: ReleaseFacts, previous: Sequence[ReleaseFacts], *, builder: str) -> Iterator[tuple[str, str]]:
    for file in facts.files:
        yield f"{file.name}{BOM_SUFFIX}", bom_text(file)
        yield f"{file.name}{PROVENANCE_SUFFIX}", provenance_text(file, builder=builder)
    yield NOTES_NAME, notes_text(facts, previous)
    yield PAGE_NAME, page_text(facts, previous)


def _sums(folder: Path, facts: ReleaseFacts, documents: Sequence[str], *, report: Report) -> str:
    digests = {file.name: file.sha256 for file in facts.files}
    return sums_text(digests | {name: sha256_of(folder / name, report=report) for name in documents})


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())


def _check(recipes: Sequence[Recipe], order: ReleaseOrder) -> None:
    """The tag names the version of every recipe."""
    version = order.tag.rpartition("/")[2].removeprefix("v")
    problems = [
        recipe.problem(("llamafile", "version"), f"is {recipe.llamafile.version}, but the tag is {order.tag}")
        for recipe in recipes
        if order.tag and recipe.llamafile.version != version
    ]
    if problems:
        raise RecipeError(order.tag, problems)


def _check_outputs(plans: Sequence[Plan]) -> None:
    names = [file.output.name for plan in plans for file in plan.files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        what = f"two of the recipes make {twice[0]}"
        raise RecipeError("release", [Problem(where="release", key="", what=what)], hint="give one another 'output'")
