"""A recipe that stands in a pyproject.toml, under `[tool.lfbuild]`: where it begins, and what `[project]` says for it.

A document with that table is no recipe file, and the tables of a recipe never have its name; so which of the two a text
is, its content tells, wherever it lies. What else stands in that table is the backend's, and is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lfbuild.recipe.arguments import Fault
    from lfbuild.recipe.locate import KeyPath

INLINE: KeyPath = ("tool", "lfbuild")
BACKEND_KEYS = frozenset({"recipe", "wheel"})
"""Keys of `[tool.lfbuild]` that are no tables of a recipe."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Root:
    """The tables of a recipe inside a document."""

    document: dict[str, Any]
    at: KeyPath = ()
    """Where they stand in the document."""
    faults: tuple[Fault, ...] = ()
    """Why there are none: keys from the document's beginning."""

    def lines(self, lines: dict[KeyPath, int]) -> dict[KeyPath, int]:
        """The lines of the document's keys, by the keys of the recipe."""
        depth = len(self.at)
        return {key[depth:]: line for key, line in lines.items() if key[:depth] == self.at}


def find_root(document: dict[str, Any]) -> Root:
    """The recipe's tables: the document itself, or those of its `[tool.lfbuild]`."""
    tools = document.get("tool")
    table = tools.get("lfbuild") if isinstance(tools, dict) else None
    if not isinstance(table, dict):
        return Root(document=document)
    recipe = {key: value for key, value in table.items() if key not in BACKEND_KEYS}
    if "recipe" in table and not recipe:
        what = f"names the recipe {table['recipe']}, which is a file of its own"
        return Root(document={}, at=INLINE, faults=(((*INLINE, "recipe"), what),))
    if "recipe" in table:
        others = ", ".join(sorted(recipe))
        what = f"names a recipe, but there is one here too ({others}): one of the two must go"
        return Root(document={}, at=INLINE, faults=(((*INLINE, "recipe"), what),))
    return Root(document=_filled(recipe, document.get("project")), at=INLINE)


def _filled(recipe: dict[str, Any], project: object) -> dict[str, Any]:
    """What `[project]` says in the same words need not be said again."""
    own = recipe.get("llamafile", {})
    if not isinstance(project, dict) or not isinstance(own, dict):
        return recipe
    said = {key: value for key in _SHARED if isinstance(value := project.get(key), str)}
    return recipe | {"llamafile": said | own}


_SHARED = ("name", "version", "description", "license")
