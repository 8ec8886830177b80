"""The source distribution: all that the same wheel can be built from again, elsewhere.

That is pyproject.toml, the recipe and its lock, what the metadata names, and files of the project that the recipe takes
by path. What the recipe fetches is not in it: a lock pins it.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING, Final

from lfbuild.backend.project import PYPROJECT
from lfbuild.errors import Problem, RecipeError
from lfbuild.host.files import replacing
from lfbuild.recipe import files_at, lock_path, named_paths

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lfbuild.backend.project import Project

_LEVEL: Final = 6


def write_sdist(project: Project, folder: Path, *, epoch: int) -> Path:
    """Write the sdist into `folder`, whole or not at all; the same project gives the same bytes.

    Raises:
        RecipeError: the recipe takes a file from outside of the project.
        HostError: what the disk refuses.
    """
    stem = project.names.stem
    files = {path.as_posix(): project.folder / path for path in _paths(project)}
    target = folder / f"{stem}.tar.gz"
    with (
        replacing(target) as out,
        gzip.GzipFile(filename="", fileobj=out, mode="wb", compresslevel=_LEVEL, mtime=epoch) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, path in sorted(files.items()):
            with path.open("rb") as file:
                archive.addfile(_entry(f"{stem}/{name}", path.stat().st_size, path, epoch), file)
        metadata = project.metadata_bytes()
        archive.addfile(_entry(f"{stem}/PKG-INFO", len(metadata), None, epoch), io.BytesIO(metadata))
    return target


def _entry(name: str, size_bytes: int, path: Path | None, epoch: int) -> tarfile.TarInfo:
    """An entry without owner and group; of the mode only whether it is a program."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime = size_bytes, epoch
    entry.mode = 0o755 if path is not None and path.stat().st_mode & 0o100 else 0o644
    return entry


def _paths(project: Project) -> tuple[Path, ...]:
    """Files of the project, relative to its folder."""
    recipe, metadata = project.recipe, project.metadata
    paths = [project.folder / PYPROJECT, recipe.path]
    paths += [lock_path(recipe.path)] if lock_path(recipe.path).is_file() else []
    paths += [project.folder / path for path in metadata.license_files or ()]
    if metadata.readme is not None and metadata.readme.file is not None:
        paths.append(project.folder / metadata.readme.file)
    paths += _own_files(project)
    return tuple(sorted({path.resolve().relative_to(project.folder.resolve()) for path in paths}))


def _own_files(project: Project) -> Iterator[Path]:
    """What the recipe takes by path, folders by their files."""
    outside: list[Problem] = []
    for key, name in named_paths(project.recipe):
        path = project.recipe.resolve(name)
        if not path.resolve().is_relative_to(project.folder.resolve()):
            what = f"{name} is outside of the project, so an sdist could not rebuild the wheel"
            outside.append(project.recipe.problem(key, what))
        else:
            yield from files_at(path)
    if outside:
        hint = "move it into the project, or name a url, hf or pypi source"
        raise RecipeError(project.recipe.path, outside, hint=hint)
