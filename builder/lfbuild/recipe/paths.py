"""What a recipe takes from the machine that it lies on: files and folders that it names by path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfbuild.recipe.places import EnginePathSource, PartsSource, PathSource, ZipSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lfbuild.recipe.locate import KeyPath
    from lfbuild.recipe.model import Recipe
    from lfbuild.recipe.places import EngineSource, Source


def named_paths(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Paths as the recipe has them, each with its key: sources of every kind, and the icon."""
    sources: list[tuple[KeyPath, EngineSource | Source]] = [(("engine", "source"), recipe.engine.source)]
    for index, model in enumerate(recipe.models):
        sources += [(("model", index, "source"), piece.source) for piece in model.pieces]
    sources += [(("file", index, "source"), table.source) for index, table in enumerate(recipe.files)]
    for key, source in sources:
        yield from ((key, name) for name in _paths_in(source))
    if recipe.llamafile.icon:
        yield ("llamafile", "icon"), recipe.llamafile.icon


def _paths_in(source: EngineSource | Source) -> Iterator[str]:
    match source:
        case PathSource() | EnginePathSource():
            yield source.path
        case ZipSource():
            yield from _paths_in(source.zip)
        case PartsSource():
            for part in source.parts:
                yield from _paths_in(part)
        case _:
            return


def files_at(path: Path) -> Iterator[Path]:
    """The file, or all files of the folder, in order; what git keeps of itself is none of them."""
    if not path.is_dir():
        yield path
        return
    yield from sorted(inner for inner in path.rglob("*") if inner.is_file() and ".git" not in inner.parts)
