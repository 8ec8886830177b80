"""A project as its pyproject.toml has it: the metadata of `[project]`, the recipe, and what `[tool.lfbuild]` says.

Dynamic metadata comes from the recipe: version, description and license. Nothing is fetched here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, BeforeValidator, TypeAdapter, ValidationError

import lfbuild
from lfbuild.backend.contents import Names
from lfbuild.backend.licenses import joined, parts_of, unmentioned
from lfbuild.errors import Problem, RecipeError
from lfbuild.recipe import Recipe, load_recipe
from lfbuild.recipe.inline import INLINE
from lfbuild.recipe.load import parse_toml, read_text, refusal
from lfbuild.recipe.locate import key_lines, line_of
from lfbuild.recipe.places import Table
from lfbuild.recipe.values import Filled, Flag, parse_size
from lfbuild.recipe.wording import did_you_mean, validation_faults

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyproject_metadata import StandardMetadata

    from lfbuild.recipe.locate import KeyPath

PYPROJECT: Final = "pyproject.toml"
_DYNAMIC: Final = ("version", "description", "license", "dependencies")
_RECIPE_KEYS: Final = frozenset(field.alias or name for name, field in Recipe.model_fields.items())


def _check_command(name: str) -> str:
    if not name.strip() or set(name) & set('/\\:*?"<>| \t') or name.startswith((".", "-")):
        raise ValueError("must be a name that a shell can call")
    return name


def _check_limit(value: object) -> int:
    return parse_size(value)


class WheelTable(Table):
    """`[tool.lfbuild.wheel]`: how the file goes into a wheel."""

    kind: Literal["file", "engine"] = "file"
    """`engine`: a wheel of compiled engines without a model, from which other files are made without a compiler."""
    command: Annotated[str, AfterValidator(_check_command)] | None = None
    """The program's name on PATH; the project's without it."""
    embed: Flag = True
    """Whether the weights are in the wheel."""
    limit: Annotated[int, BeforeValidator(_check_limit)] | None = None
    """The largest wheel that the index takes, such as "100 MiB"."""


class LfbuildTable(Table):
    """`[tool.lfbuild]`, as far as it is the backend's."""

    recipe: Filled | None = None
    """The recipe, by its file; without it `[tool.lfbuild]` is the recipe."""
    wheel: WheelTable = WheelTable()
    """How the file goes into a wheel."""

    def dependencies(self) -> list[Requirement]:
        """What the wheel needs: engines the very lfbuild that compiled them, a thin program one that can fetch."""
        if self.wheel.kind == "engine":
            return [Requirement(f"lfbuild[pack]=={lfbuild.__version__}")]
        return [] if self.wheel.embed else [Requirement(f"lfbuild>={lfbuild.__version__}")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """One project, ready to be built."""

    folder: Path
    metadata: StandardMetadata
    wheel: WheelTable
    recipe: Recipe
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> Names:
        """How this release is called."""
        name = self.metadata.name
        return Names(project=name, version=str(self.metadata.version), command=self.wheel.command or name)

    @property
    def summary(self) -> str:
        """One sentence about it."""
        return self.metadata.description or self.recipe.llamafile.description

    def metadata_bytes(self) -> bytes:
        """METADATA of a wheel, PKG-INFO of an sdist."""
        return bytes(self.metadata.as_rfc822())

    def license_files(self) -> tuple[tuple[str, bytes], ...]:
        """License files by their paths in the project."""
        paths = sorted(path.as_posix() for path in self.metadata.license_files or ())
        return tuple((path, (self.folder / path).read_bytes()) for path in paths)


def load_project(folder: Path, *, recipe: str | None = None, embed: bool | None = None) -> Project:
    """The project in a folder; `recipe` is another one than it names, `embed` another answer than it has.

    Raises:
        RecipeError: with what is wrong in pyproject.toml, or in the recipe.
    """
    pyproject = _Pyproject(folder)
    table = pyproject.table()
    if embed is not None:
        table = table.model_copy(update={"wheel": table.wheel.model_copy(update={"embed": embed})})
    path = pyproject.recipe_path(recipe or table.recipe)
    loaded = load_recipe(path)
    metadata = pyproject.metadata(loaded, table)
    notes = tuple(_license_notes(metadata, loaded))
    return Project(folder=folder, metadata=metadata, wheel=table.wheel, recipe=loaded, notes=notes)


class _Pyproject:
    """The document, and the lines of its keys."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / PYPROJECT
        text = read_text(self._path)
        self._document = parse_toml(self._path, text)
        self._lines = key_lines(text)

    def table(self) -> LfbuildTable:
        tools = self._document.get("tool", {})
        given = tools.get("lfbuild") if isinstance(tools, dict) else None
        if not isinstance(given, dict):
            hint = 'add: [tool.lfbuild] and in it recipe = "chat.toml"'
            what = "has no [tool.lfbuild], so there is no recipe to build"
            raise RecipeError(self._path, [Problem(where=str(self._path), key="", what=what)], hint=hint)
        own = {key: value for key, value in given.items() if key in LfbuildTable.model_fields}
        unknown = sorted(set(given) - set(own) - _RECIPE_KEYS)
        if unknown:
            known = _RECIPE_KEYS | set(LfbuildTable.model_fields)
            raise refusal(self._path, self._lines, [((*INLINE, key), did_you_mean(key, known)) for key in unknown])
        try:
            return TypeAdapter(LfbuildTable).validate_python(own)
        except ValidationError as error:
            faults = validation_faults(error, own, root=LfbuildTable)
            raise refusal(self._path, self._lines, [((*INLINE, *key), what) for key, what in faults]) from error

    def recipe_path(self, named: str | None) -> Path:
        if named is None:
            return self._path
        path = self._folder / named
        if not path.resolve().is_relative_to(self._folder.resolve()):
            what = f"{named} is outside of the project, so an sdist could not have it"
            raise RecipeError(self._path, [self._problem((*INLINE, "recipe"), what)])
        return path

    def metadata(self, recipe: Recipe, table: LfbuildTable) -> StandardMetadata:
        """What `[project]` says, and what it leaves to the recipe."""
        from pyproject_metadata import StandardMetadata

        try:
            metadata = StandardMetadata.from_pyproject(
                self._document, self._folder, allow_extra_keys=False, all_errors=True
            )
        except ExceptionGroup as group:
            raise RecipeError(self._path, [self._told(error) for error in group.exceptions]) from group
        problems = [
            self._problem(
                ("project", "dynamic"), f"'{name}' cannot be had from a recipe, only {', '.join(_DYNAMIC)} can"
            )
            for name in metadata.dynamic
            if name not in _DYNAMIC
        ]
        problems += _fill(metadata, recipe, self._problem)
        if "dependencies" in metadata.dynamic:
            metadata.dependencies = table.dependencies()
        metadata.dynamic = []
        problems += self._version_problems(metadata, recipe)
        problems += self._dependency_problems(metadata, table)
        if problems:
            raise RecipeError(self._path, problems)
        return metadata

    def _version_problems(self, metadata: StandardMetadata, recipe: Recipe) -> Iterator[Problem]:
        """The file inside says a version too; which of two is right, nobody could tell later."""
        if metadata.version is not None and str(metadata.version) != _canonical(recipe.llamafile.version):
            what = f"is {metadata.version}, but {recipe.path.name} makes version {recipe.llamafile.version}"
            yield self._problem(("project", "version"), f'{what}; write dynamic = ["version"] instead')

    def _dependency_problems(self, metadata: StandardMetadata, table: LfbuildTable) -> Iterator[Problem]:
        """What the wheel needs has to be said; where it is not left to us, by the project."""
        named = {requirement.name for requirement in metadata.dependencies}
        for needed in table.dependencies():
            if needed.name not in named:
                what = f'this wheel needs {needed}; add "dependencies" to dynamic'
                yield self._problem(("project", "dependencies"), what)

    def _told(self, error: Exception) -> Problem:
        """A problem of the metadata library's, on the line it speaks of."""
        key = getattr(error, "key", None) or "project"
        return Problem(where=self._where(tuple(key.split("."))), key="", what=_one_sentence(str(error)))

    def _problem(self, key: KeyPath, what: str) -> Problem:
        return Problem(where=self._where(key), key=".".join(map(str, key)), what=what)

    def _where(self, key: KeyPath) -> str:
        return f"{self._path}:{line_of(self._lines, key)}"


def _fill(metadata: StandardMetadata, recipe: Recipe, problem: Any) -> Iterator[Problem]:
    """Set what is dynamic from the recipe; what the recipe does not say either is a problem."""
    table, dynamic = recipe.llamafile, metadata.dynamic
    if "version" in dynamic:
        try:
            metadata.version = Version(table.version)
        except InvalidVersion:
            what = f"the recipe's version '{table.version}' is none that Python packages can have (PEP 440)"
            yield problem(("project", "dynamic"), what)
    if "description" in dynamic:
        metadata.description = table.description
        if not table.description:
            yield problem(("project", "dynamic"), "the recipe has no description either")
    if "license" in dynamic:
        metadata.license = joined([*parts_of(recipe).values(), table.license])


def _license_notes(metadata: StandardMetadata, recipe: Recipe) -> Iterator[str]:
    """What the metadata should say of licences and does not: it is the maker's word, so it is told, not changed."""
    parts = parts_of(recipe)
    said = metadata.license if isinstance(metadata.license, str) else ""
    lacking = unmentioned(said, parts)
    if lacking:
        named = "; ".join(f"{part} ({name})" for part, name in lacking.items())
        whole = joined([said, *parts.values()])
        yield f"project.license does not name the licence of {named}; write '{whole}', or make it dynamic"


def _canonical(version: str) -> str:
    try:
        return str(Version(version))
    except InvalidVersion:
        return version


def _one_sentence(text: str) -> str:
    return " ".join(text.replace('"project.', '"').split())
