"""What a file is made from on this machine, as make, Ninja and CMake read it: so they know when to build it again.

    chat.llamafile: chat.toml chat.lock model.gguf
    chat.toml:
    …

Each input is a target without a rule, too: if one is gone, make does not stop at that, and lfbuild says what is
missing.
What is fetched is not among them: a recipe names it, and a recipe that changes is an input.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lfbuild.commands.prepare import refuse_overwriting_sources
from lfbuild.errors import Problem, RecipeError
from lfbuild.host.files import check_target, is_same_file, replacing
from lfbuild.recipe import files_at, lock_path, named_paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from lfbuild.recipe import Recipe


def write_depfile(target: Path, recipe: Recipe, outputs: Sequence[Path]) -> None:
    """Write the rule for `outputs`.

    Raises:
        RecipeError: it would be written over one of the files that it tells of.
        HostError: it cannot be written.
    """
    check_depfile(target, recipe, outputs)
    with replacing(target) as file:
        file.write(rule(outputs, inputs_of(recipe)).encode())


def check_depfile(target: Path, recipe: Recipe, outputs: Iterable[Path]) -> None:
    """Refuse what `write_depfile` would refuse, before anything is made.

    Raises:
        RecipeError: it would be written over one of the files that it tells of.
        HostError: it could not be written.
    """
    refuse_overwriting_sources(recipe, target, option="--depfile")
    if any(is_same_file(target, output) for output in outputs):
        problem = Problem(where=str(target), key="", what="is the file that would be written")
        raise RecipeError(recipe.path, [problem], hint="name another file with --depfile")
    check_target(target)


def inputs_of(recipe: Recipe) -> tuple[Path, ...]:
    """Every file on this machine that the recipe is made of."""
    lock = lock_path(recipe.path)
    named = [recipe.resolve(name) for _, name in named_paths(recipe)]
    files = [recipe.path, *([lock] if lock.is_file() else []), *(file for path in named for file in files_at(path))]
    return tuple(dict.fromkeys(files))


def rule(outputs: Iterable[Path], inputs: Sequence[Path]) -> str:
    """One rule for all outputs, and one without a recipe for each input."""
    names = [_escaped(path) for path in inputs]
    first = f"{' '.join(map(_escaped, outputs))}: {' '.join(names)}\n"
    return first + "".join(f"{name}:\n" for name in names)


def _escaped(path: Path) -> str:
    """A name as make reads it: blanks and `#` behind a backslash, `$` twice."""
    return re.sub(r"([ \t#])", r"\\\1", str(path)).replace("$", "$$")
