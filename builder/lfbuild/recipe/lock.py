"""The lock file: what each source of a recipe was, by hash and size, when it was locked.

It is TOML, written in one way only (sorted, no dates), so that equal locks are equal files. Resolving a recipe into a
lock is done elsewhere; here it is read, written and compared.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError

from lfbuild.recipe.load import parse_toml, read_text, refusal
from lfbuild.recipe.locate import key_lines
from lfbuild.recipe.places import Table
from lfbuild.recipe.values import Filled, Sha256, Text  # noqa: TC001  # pydantic evaluates annotations
from lfbuild.recipe.wording import validation_faults

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lfbuild.errors import Problem
    from lfbuild.recipe.locate import KeyPath
    from lfbuild.recipe.model import Recipe

_HEADING = "# Written by `lfbuild lock`; `lfbuild build --locked` refuses anything else.\n"


class LockedOrigin(Table):
    """What one source was."""

    identity: Filled
    """The source as the recipe has it, in one line; or `toolchain KIND VERSION`."""
    sha256: Sha256
    """Hash of the file, or of the tree for a folder and for git."""
    size: Annotated[int, Field(ge=0, strict=True)]
    """Bytes of the file, or of all files of the tree."""
    resolved: Text = ""
    """What a moving name meant: a commit, or the file that the index gave."""


class LockFile(Table):
    """A whole lock."""

    format: Literal[1] = 1
    """Version of this format."""
    recipe: Sha256
    """Digest of the recipe's tables that decide what is fetched; see `sources_digest`."""
    origins: Annotated[tuple[LockedOrigin, ...], Field(alias="origin")] = ()
    """One for each source, sorted by identity."""

    def find(self, identity: str) -> LockedOrigin | None:
        """What is locked for a source."""
        return next((origin for origin in self.origins if origin.identity == identity), None)

    def to_bytes(self) -> bytes:
        """The one text for this lock."""
        parts = [_HEADING, f"format = {self.format}\n", f"recipe = {_text(self.recipe)}\n"]
        for origin in sorted(self.origins, key=lambda origin: origin.identity):
            parts += ["\n[[origin]]\n", f"identity = {_text(origin.identity)}\n", f"sha256 = {_text(origin.sha256)}\n"]
            parts.append(f"size = {origin.size}\n")
            parts += [f"resolved = {_text(origin.resolved)}\n"] if origin.resolved else []
        return "".join(parts).encode()


def lock_path(recipe_path: Path) -> Path:
    """The lock file that belongs to a recipe: `chat.lock` beside `chat.toml`."""
    return recipe_path.with_suffix(".lock")


def make_lock(recipe: Recipe, origins: tuple[LockedOrigin, ...]) -> LockFile:
    """The lock of a recipe whose sources were found to be `origins`."""
    return LockFile.model_validate(
        {"recipe": sources_digest(recipe), "origin": sorted(origins, key=lambda o: o.identity)}
    )


def load_lock(path: Path) -> LockFile:
    """The lock in the file at `path`.

    Raises:
        RecipeError: with everything that is wrong in it.
    """
    text = read_text(path)
    document = parse_toml(path, text)
    try:
        return LockFile.model_validate(document)
    except ValidationError as error:
        raise refusal(path, key_lines(text), validation_faults(error, document, root=LockFile)) from error


def check_lock(recipe: Recipe, lock: LockFile) -> tuple[Problem, ...]:
    """Why `recipe` is not what `lock` was made from; empty if it is."""
    needed = dict(_needed(recipe))
    problems = [
        recipe.problem(key, "is not in the lock file")
        for identity, (key, _) in needed.items()
        if lock.find(identity) is None
    ]
    problems += [
        recipe.problem(key, f"wants sha256 {sha256}, but {locked.sha256} is locked")
        for identity, (key, sha256) in needed.items()
        if sha256 and (locked := lock.find(identity)) and locked.sha256 != sha256
    ]
    problems += [
        recipe.problem((), f"the lock file has '{origin.identity}', which the recipe does not name")
        for origin in lock.origins
        if origin.identity not in needed and not origin.identity.startswith("toolchain ")
    ]
    if not problems and lock.recipe != sources_digest(recipe):
        problems.append(recipe.problem((), "has changed since it was locked"))
    return tuple(problems)


def sources_digest(recipe: Recipe) -> str:
    """Changes with the tables that decide what is fetched and compiled; not with comments, names or arguments."""
    return _digest(recipe.model_dump(mode="json", by_alias=True, include={"engine", "toolchain", "models", "files"}))


def recipe_digest(recipe: Recipe) -> str:
    """Changes with anything that a recipe says; not with comments, order or layout of its text."""
    return _digest(recipe.model_dump(mode="json", by_alias=True))


def _needed(recipe: Recipe) -> Iterator[tuple[str, tuple[KeyPath, str | None]]]:
    """The identity of each source, with its key path and the hash of the result that the recipe insists on."""
    engine = recipe.engine.source
    yield engine.identity, (("engine", "source"), getattr(engine, "sha256", None))
    for index, model in enumerate(recipe.models):
        for piece in model.pieces:
            yield piece.source.identity, (("model", index, "source"), piece.sha256)
    for index, file in enumerate(recipe.files):
        yield file.source.identity, (("file", index, "source"), file.sha256)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
