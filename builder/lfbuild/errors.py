"""The refusals of lfbuild: what went wrong, where, and what to do about it.

Raised anywhere, put into words and an exit code at a front door only. Three things are kept apart because a
user acts on them differently: *malformed* (`FormatError`), *untrue* (`IntegrityError`), *not allowed* (`TrustError`).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import PurePath


KEPT: Final = "what came is kept"
FROM_THE_BEGINNING: Final = "the server sends only whole files, so it comes from its beginning again"
"""Notes on an interrupt on its way up: what a front door may say of it."""


class LfbuildError(Exception):
    """A refusal with its place (`where`), its sentence (`what`) and perhaps the way out (`hint`)."""

    exit_code: ClassVar[int] = 1

    def __init__(self, where: str | PurePath, what: str, *, hint: str = "") -> None:
        super().__init__(where, what)
        self.where = str(where)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def command(verb: str, *words: str | PurePath) -> str:
    """What a hint tells the user to type, quoted for a shell where it has to be."""
    return shlex.join(["lfbuild", verb, *map(str, words)])


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that is wrong in a recipe: `where` is `file:line`, `key` the path inside it."""

    where: str
    key: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.what}" if self.key else f"{self.where}: {self.what}"


def problems_of(where: str, key: str, value: str, check: Callable[[str], object]) -> Iterator[Problem]:
    """What `check` says in a `ValueError` that is wrong with the value of `key`."""
    try:
        check(value)
    except ValueError as error:
        yield Problem(where=where, key=key, what=str(error))


class RecipeError(LfbuildError):
    """The recipe, its lock, or the words on the command line cannot be carried out; all problems are told at once."""

    exit_code = 2

    def __init__(self, where: str | PurePath, problems: Sequence[Problem], *, hint: str = "") -> None:
        super().__init__(where, "; ".join(str(problem) for problem in problems), hint=hint)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class ToolError(LfbuildError):
    """A tool that is called (compiler, CMake, npm, git) is absent, is the wrong one, or failed."""

    exit_code = 3


class FormatError(LfbuildError):
    """The bytes do not follow their format: truncated, out of range, overlapping, of an unknown version."""

    exit_code = 4


class IntegrityError(LfbuildError):
    """The bytes follow their format but are not the ones that were promised."""

    exit_code = 5


class TrustError(LfbuildError):
    """The bytes are as promised, but whoever promises is not allowed to, or not any more."""

    exit_code = 6


class FetchError(LfbuildError):
    """Something could not be fetched: no network, a server's refusal, an interrupted transfer."""

    exit_code = 7


class HostError(LfbuildError):
    """The machine refuses: disk full, read-only, no permission, in use by another process."""

    exit_code = 8
