"""Holds default arguments against the flags that the engine understands, before anything is compiled."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lfbuild.errors import Problem
    from lfbuild.recipe import Recipe


def unknown_flags(recipe: Recipe, flags: frozenset[str]) -> Iterator[Problem]:
    """A problem for each argument that looks like a flag and is none of `flags`; nothing if no flags are known."""
    if not flags:
        return
    for key, tokens in _argument_lists(recipe):
        for token in tokens:
            name = token.partition("=")[0]
            if _looks_like_flag(name) and name not in flags:
                close = difflib.get_close_matches(name, sorted(flags), n=1)
                meant = f", did you mean '{close[0]}'?" if close else ""
                yield recipe.problem(key, f"llama.cpp {recipe.engine_version} has no flag '{name}'{meant}")


def _argument_lists(recipe: Recipe) -> Iterator[tuple[tuple[str | int, ...], tuple[str, ...]]]:
    from lfbuild.recipe.model import VERBS

    yield ("args", "common"), recipe.args.common
    for verb in VERBS:
        table = recipe.args.table(verb)
        if table is not None:
            yield ("args", verb, "arguments"), table.arguments


def _looks_like_flag(token: str) -> bool:
    """A dash and a letter: `-5` and `-` are values."""
    return token.startswith("-") and token.lstrip("-")[:1].isalpha()
