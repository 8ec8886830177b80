"""From the `source` tables of a recipe to the origins that can be fetched: those two rooms do not know each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, assert_never

from lfbuild.recipe import (
    EngineGitSource,
    EnginePathSource,
    EnginePypiSource,
    EngineUrlSource,
    HfSource,
    PartsSource,
    PathSource,
    PypiSource,
    UrlSource,
    ZipSource,
)
from lfbuild.sources import (
    GitOrigin,
    HfOrigin,
    JoinedOrigin,
    MemberOrigin,
    PathOrigin,
    PypiOrigin,
    UrlOrigin,
)

if TYPE_CHECKING:
    from lfbuild.recipe import Recipe
    from lfbuild.recipe.places import EngineSource, PartSource, Source
    from lfbuild.sources import FileOrigin, Origin, TreeOrigin
    from lfbuild.sources.origins import ArchiveOrigin


def file_origin(source: Source, recipe: Recipe) -> Origin:
    """Where a model or another file comes from."""
    if isinstance(source, PartsSource):
        return JoinedOrigin(parts=tuple(_part_origin(part, recipe) for part in source.parts))
    return _part_origin(source, recipe)


def tree_origin(source: EngineSource, recipe: Recipe) -> TreeOrigin:
    """Where an engine's source tree comes from."""
    match source:
        case EngineGitSource():
            return GitOrigin(url=source.git, revision=source.revision)
        case EnginePypiSource():
            return _distribution(source, prefer="sdist")
        case EngineUrlSource():
            return UrlOrigin(url=source.url, sha256=source.sha256)
        case EnginePathSource():
            return PathOrigin(path=recipe.resolve(source.path).absolute(), sha256=source.sha256)
        case _:
            assert_never(source)


def _part_origin(source: PartSource, recipe: Recipe) -> FileOrigin:
    match source:
        case PypiSource():
            return MemberOrigin(archive=_distribution(source, prefer="wheel"), member=source.member)
        case ZipSource():
            return MemberOrigin(archive=_archive_origin(source.zip, recipe), member=source.member)
        case _:
            return _archive_origin(source, recipe)


def _archive_origin(source: PathSource | UrlSource | HfSource, recipe: Recipe) -> ArchiveOrigin:
    match source:
        case PathSource():
            return PathOrigin(path=recipe.resolve(source.path).absolute(), sha256=source.sha256)
        case UrlSource():
            return UrlOrigin(url=source.url, sha256=source.sha256)
        case HfSource():
            return HfOrigin(repo=source.hf, file=source.file, revision=source.revision, sha256=source.sha256)
        case _:
            assert_never(source)


def _distribution(source: PypiSource | EnginePypiSource, *, prefer: Literal["wheel", "sdist"]) -> PypiOrigin:
    return PypiOrigin(
        package=source.package,
        version=source.version,
        kind=source.kind,
        prefer=prefer,
        file=source.file,
        sha256=source.sha256,
    )
