"""`lock`: every source fetched once, its hash and size written down beside the recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfbuild.commands.engines import find_supply
from lfbuild.commands.prepare import Preparation
from lfbuild.host.files import replacing
from lfbuild.host.moving import write_all
from lfbuild.recipe import LockedOrigin, load_recipe, lock_path, make_lock

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.commands.settings import Settings
    from lfbuild.report import Report


def lock(recipe_path: Path, *, settings: Settings, report: Report) -> Path:
    """Write the lock file of a recipe; returns where it is.

    Raises:
        RecipeError: the recipe cannot be read. ToolError, FormatError, IntegrityError, FetchError, HostError: a
        source cannot be had, or is not what it should be.
    """
    recipe = load_recipe(recipe_path)
    supply = find_supply(recipe, launcher=None, settings=settings)
    preparation = Preparation(recipe, None, supply=supply, settings=settings, report=report)
    preparation.supplies()
    origins = tuple(
        LockedOrigin(identity=found.identity, sha256=found.sha256, size=found.size_bytes, resolved=found.resolved)
        for found in {found.identity: found for found in preparation.resolved}.values()
    )
    path = lock_path(recipe_path)
    with replacing(path) as file:
        write_all(file.fileno(), make_lock(recipe, origins).to_bytes(), 0)
    return path
