"""What a caller chooses of what a recipe leaves open: some of its systems, another toolchain, a compiler launcher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lfbuild.recipe import load_recipe, narrowed, retooled

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.commands.settings import Settings
    from lfbuild.recipe import Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What a caller chooses of what a recipe leaves open."""

    systems: tuple[str, ...] = ()
    """Some of the recipe's systems; all of them without a word."""
    toolchain: str | None = None
    """Another kind than the recipe's."""
    launcher: str | None = None
    """A compiler launcher, before the recipe's."""
    host: str = ""
    """What "host" stands for among the systems; this machine's own Linux without a word."""


EVERYTHING: Final = Choice()


def load_chosen(recipe_path: Path, choice: Choice, *, settings: Settings) -> Recipe:
    """The recipe, for what was chosen of it.

    Raises:
        RecipeError: it is wrong, or there is no such choice.
    """
    recipe = retooled(load_recipe(recipe_path), choice.toolchain)
    return narrowed(recipe, choice.systems, host=choice.host or host_target(settings))


def host_target(settings: Settings) -> str:
    """What "host" stands for: this machine's own Linux."""
    return f"linux-{settings.machine.architecture}"
