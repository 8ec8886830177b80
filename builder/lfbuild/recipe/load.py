"""Reads a recipe, or a lock file, and tells every problem of it at once, with file, line and key.

The file is parsed here and nowhere else; what leaves is frozen.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from lfbuild.errors import Problem, RecipeError
from lfbuild.recipe.inline import find_root
from lfbuild.recipe.locate import KeyPath, key_lines, key_text, line_of
from lfbuild.recipe.model import (
    ArgsTable,
    EngineTable,
    FileTable,
    LlamafileTable,
    ModelTable,
    Recipe,
    SignTable,
    ToolchainTable,
)
from lfbuild.recipe.places import Table
from lfbuild.recipe.rules import GoodTables, all_faults
from lfbuild.recipe.targets import TargetsTable
from lfbuild.recipe.wording import one_line, validation_faults

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lfbuild.recipe.arguments import Fault

MAX_TEXT_BYTES = 1024 * 1024
"""No recipe of a person is bigger; a model given by mistake is."""

AnyTable = TypeVar("AnyTable", bound=Table)


def load_recipe(path: Path) -> Recipe:
    """The recipe in the file at `path`: a recipe file, or a pyproject.toml that has one under `[tool.lfbuild]`.

    Raises:
        RecipeError: with everything that is wrong in it.
    """
    return parse_recipe(read_bytes(path), path)


def parse_recipe(data: bytes, path: Path) -> Recipe:
    """The recipe in a text that lies, or once lay, at `path`: from there it looks up what it names.

    Raises:
        RecipeError: with everything that is wrong in it.
    """
    text = decode(data, path)
    root = find_root(parse_toml(path, text))
    lines = key_lines(text)
    if root.faults:
        raise refusal(path, lines, root.faults)
    lines = root.lines(lines)
    recipe, faults = _check(root.document)
    if recipe is None or faults:
        raise refusal(path, lines, faults)
    recipe._path, recipe._text, recipe._lines = path, data, lines  # the one place that sets them
    return recipe


def read_text(path: Path) -> str:
    """The text of a small TOML file.

    Raises:
        RecipeError: it is absent, unreadable, too big or not text.
    """
    return decode(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """The bytes of a small file.

    Raises:
        RecipeError: it is absent, unreadable or too big.
    """
    if path.is_fifo():  # opening it would wait for who writes into it
        raise RecipeError(path, [Problem(where=str(path), key="", what="is a pipe, and has to be a file")])
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        what = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise RecipeError(path, [Problem(where=str(path), key="", what=what)]) from error
    if len(data) > MAX_TEXT_BYTES:
        raise RecipeError(path, [Problem(where=str(path), key="", what="is too big to be a recipe (over 1 MiB)")])
    return data


def decode(data: bytes, path: Path) -> str:
    """Those bytes as text.

    Raises:
        RecipeError: they are none.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"is not UTF-8 text (byte {error.start} is 0x{data[error.start]:02x})"
        raise RecipeError(path, [Problem(where=f"{path}:{line}", key="", what=what)]) from error


def parse_toml(path: Path, text: str) -> dict[str, Any]:
    """The document of a TOML text.

    Raises:
        RecipeError: its first syntax error, with its line.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = re.search(r" \(at line (\d+), column (\d+)\)$", message)
        line = int(place[1]) if place else text.count("\n") + (not text.endswith("\n"))
        what = message[: place.start()] if place else message.removesuffix(" (at end of document)")
        where = f"column {place[2]}" if place else "at the end"
        sentence = f"is not TOML: {what[:1].lower()}{what[1:]} ({where})"
    except RecursionError:
        line, sentence = 1, "is not TOML that can be read: tables or lists are nested too deep"
    raise RecipeError(path, [Problem(where=f"{path}:{max(line, 1)}", key="", what=sentence)])


def refusal(path: Path, lines: dict[KeyPath, int], faults: Iterable[Fault]) -> RecipeError:
    """All problems, in the order of their lines."""
    placed = sorted(((line_of(lines, key), key, what) for key, what in faults), key=lambda fault: fault[0])
    problems = [Problem(where=f"{path}:{line}", key=key_text(key), what=what) for line, key, what in placed]
    return RecipeError(path, problems)


def _check(document: dict[str, Any]) -> tuple[Recipe | None, list[Fault]]:
    recipe: Recipe | None = None
    faults: list[Fault] = []
    try:
        recipe = Recipe.model_validate(document)
    except ValidationError as error:
        faults += validation_faults(error, document, root=Recipe)
    faults += ((key, one_line(what)) for key, what in all_faults(_good_tables(document)))
    return recipe, faults


def _good_tables(document: dict[str, Any]) -> GoodTables:
    models, files = _items(document.get("model"), ModelTable), _items(document.get("file"), FileTable)
    written = sum(len(items) if isinstance(items := document.get(key, []), list) else 1 for key in ("model", "file"))
    return GoodTables(
        llamafile=_table(document.get("llamafile"), LlamafileTable),
        engine=_table(document.get("engine"), EngineTable),
        toolchain=_table(document.get("toolchain", {}), ToolchainTable),
        targets=_table(document.get("targets", {}), TargetsTable),
        sign=_table(document.get("sign", {}), SignTable),
        models=models,
        files=files,
        args=_table(document.get("args", {}), ArgsTable),
        are_members_complete=written == len(models) + len(files),
    )


def _items(value: object, kind: type[AnyTable]) -> tuple[tuple[int, AnyTable], ...]:
    tables = [_table(item, kind) for item in value] if isinstance(value, list) else []
    return tuple((index, table) for index, table in enumerate(tables) if table is not None)


def _table(value: object, kind: type[AnyTable]) -> AnyTable | None:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return None
