"""The settings that a frontend hands over (`-C NAME=VALUE`): a closed set, every mistake told at once.

Frontends give texts, or lists of texts for what was said several times; what leaves here has types.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lfbuild.errors import Problem, RecipeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

WHERE: Final = "config settings"
_YES, _NO = frozenset({"", "yes", "true", "on", "1"}), frozenset({"no", "false", "off", "0"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What the frontend's caller wishes; None and () stand for what the project says."""

    target: tuple[str, ...] = ()
    """For which of the recipe's systems; without it this machine's own, where that is one of them."""
    toolchain: str | None = None
    recipe: str | None = None
    """Another recipe of the project, by its file."""
    embed: bool | None = None
    """Whether the weights are in the wheel."""
    locked: bool | None = None
    """Whether the recipe's lock is kept to; without it, if there is one."""
    limit: str | None = None
    """The largest wheel that the index takes: "100 MiB"."""
    launcher: str | None = None
    jobs: int | None = None
    offline: bool | None = None
    cache_dir: Path | None = None


def read_wishes(given: Mapping[str, str | Sequence[str]] | None) -> Wishes:
    """The settings as values.

    Raises:
        RecipeError: with every setting that is unknown or has a value that it cannot have.
    """
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, value in (given or {}).items():
        name = key.replace("-", "_")
        if name not in _READERS:
            problems.append(_problem(key, _unknown(key)))
            continue
        try:
            values[name] = _READERS[name](_texts(value))
        except ValueError as error:
            problems.append(_problem(key, str(error)))
    if problems:
        raise RecipeError(WHERE, problems)
    return Wishes(**values)


def _texts(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(map(str, value))


def _one(texts: tuple[str, ...]) -> str:
    if len(set(texts)) != 1 or not texts[0]:
        raise ValueError("must have one value")
    return texts[0]


def _names(texts: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(name.strip() for text in texts for name in text.split(",") if name.strip())
    if not names:
        raise ValueError("must name a system, such as linux-x86_64")
    return tuple(dict.fromkeys(names))


def _answer(texts: tuple[str, ...]) -> bool:
    text = texts[-1].lower() if texts else ""
    if text not in _YES | _NO:
        raise ValueError(f"must be yes or no, not '{text}'")
    return text in _YES


def _count(texts: tuple[str, ...]) -> int:
    text = _one(texts)
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(f"must be a whole number from 1 up, not '{text}'")
    return int(text)


def _path(texts: tuple[str, ...]) -> Path:
    return Path(_one(texts))


_READERS: dict[str, Callable[[tuple[str, ...]], object]] = {
    "target": _names,
    "toolchain": _one,
    "recipe": _one,
    "embed": _answer,
    "locked": _answer,
    "limit": _one,
    "launcher": _one,
    "jobs": _count,
    "offline": _answer,
    "cache_dir": _path,
}
assert set(_READERS) == {field.name for field in fields(Wishes)}  # noqa: S101  # two lists of the same names


def _unknown(key: str) -> str:
    known = [name.replace("_", "-") for name in _READERS]
    close = difflib.get_close_matches(key.lower().lstrip("-"), known, n=1)
    return f"unknown setting, did you mean '{close[0]}'?" if close else f"unknown setting; known are {', '.join(known)}"


def _problem(key: str, what: str) -> Problem:
    return Problem(where=WHERE, key=key, what=what)
