"""A recipe for some of its systems only, or by another toolchain: one wheel, or one job of a build matrix, has one.

What belongs to the systems that are left out goes with them; the rest of the recipe, and its text, stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from lfbuild.errors import Problem, RecipeError
from lfbuild.recipe.load import refusal
from lfbuild.recipe.model import SignTable, ToolchainTable
from lfbuild.recipe.rules import GoodTables, all_faults
from lfbuild.recipe.targets import HOST, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lfbuild.recipe.model import Recipe

KNOWN: tuple[str, ...] = get_args(Target)


def narrowed(recipe: Recipe, systems: Sequence[str], *, host: str) -> Recipe:
    """The recipe for `systems`, which are some of its own; `host` is what "host" means, in the recipe and among them.

    Raises:
        RecipeError: one of them is not among the recipe's, or the toolchain makes no single ones.
    """
    if not systems:
        return recipe
    if recipe.toolchain.kind == "cosmocc":
        raise _refusal(recipe, "cosmocc makes one file for all of its systems, so there is none to choose")
    here = systems_of(recipe, host=host)
    systems = tuple(host if name == HOST else name for name in systems)
    strange = [name for name in systems if name not in here]
    if strange:
        raise _refusal(recipe, f"{strange[0]} is none of its systems, which are {', '.join(here)}")
    chosen = tuple(name for name in here if name in systems)
    return recipe.model_copy(update={"targets": _targets(recipe, chosen), **_without_unused(recipe, chosen)})


def retooled(recipe: Recipe, kind: str | None) -> Recipe:
    """The recipe with a toolchain of another kind; what that one cannot do is told.

    Raises:
        RecipeError: the recipe asks for what only its own toolchain makes, or there is no such kind.
    """
    if kind is None or kind == recipe.toolchain.kind:
        return recipe
    if kind not in get_args(ToolchainTable.model_fields["kind"].annotation):
        raise _refusal(recipe, f"there is no toolchain '{kind}', only zig and cosmocc")
    toolchain = ToolchainTable.model_validate({"kind": kind, "launcher": recipe.toolchain.launcher})
    other = recipe.model_copy(update={"toolchain": toolchain})
    faults = tuple(all_faults(_tables(other)))
    if faults:
        raise refusal(recipe.path, recipe.lines, faults)
    return other


def uncommanded(recipe: Recipe) -> Recipe:
    """The recipe without the programs that it would have run for something else than a byte: signing needs a key, and
    a compiler launcher only saves time."""
    toolchain = recipe.toolchain.model_copy(update={"launcher": None})
    return recipe.model_copy(update={"sign": SignTable(), "toolchain": toolchain})


def systems_of(recipe: Recipe, *, host: str) -> tuple[str, ...]:
    """The systems of a zig recipe; all there are if it names none."""
    return tuple(host if name == HOST else name for name in recipe.targets.systems) or KNOWN


def _tables(recipe: Recipe) -> GoodTables:
    return GoodTables(
        llamafile=recipe.llamafile,
        engine=recipe.engine,
        toolchain=recipe.toolchain,
        targets=recipe.targets,
        sign=recipe.sign,
        models=tuple(enumerate(recipe.models)),
        files=tuple(enumerate(recipe.files)),
        args=recipe.args,
        are_members_complete=True,
    )


def _targets(recipe: Recipe, chosen: tuple[str, ...]) -> object:
    table, cpus = recipe.targets, recipe.targets.cpus
    if isinstance(cpus, dict):
        cpus = {name: levels for name, levels in cpus.items() if name in chosen} or ()
    head = table.head if table.head == "engine" else "auto"
    return table.model_copy(update={"systems": chosen, "cpus": cpus, "head": head})


def _without_unused(recipe: Recipe, chosen: tuple[str, ...]) -> dict[str, object]:
    """An icon is for Windows, and so are signing commands for one system."""
    windows = any(name.startswith("windows-") for name in chosen)
    macos = any(name.startswith("macos-") for name in chosen)
    sign = recipe.sign.model_copy(
        update={"windows": recipe.sign.windows if windows else "", "macos": recipe.sign.macos if macos else ""}
    )
    llamafile = recipe.llamafile.model_copy(update={"icon": recipe.llamafile.icon if windows else None})
    return {"sign": sign, "llamafile": llamafile}


def _refusal(recipe: Recipe, what: str) -> RecipeError:
    return RecipeError(recipe.path, [Problem(where=str(recipe.path), key="", what=what)])
