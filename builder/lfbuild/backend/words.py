"""What a hook says while it works, and how it refuses: a sentence on stderr and an exit code, as the command line does.

A frontend starts each hook in a process of its own and shows what it wrote. An exception would show as a traceback of
ours; so a refusal ends that process by `Refused`, which is a `SystemExit`, and callers in Python can catch it.
"""

from __future__ import annotations

import functools
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from lfbuild.errors import LfbuildError, RecipeError, ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lfbuild.report import Step, Unit

Words = ParamSpec("Words")
Value = TypeVar("Value")


class Refused(SystemExit):
    """A hook that could not be carried out; `error` says why, `code` is the exit code of its kind."""

    def __init__(self, error: LfbuildError) -> None:
        super().__init__(error.exit_code)
        self.error = error


def hook(function: Callable[Words, Value]) -> Callable[Words, Value]:
    """Tell an error of this hook in one sentence."""

    @functools.wraps(function)
    def carried_out(*args: Words.args, **kwargs: Words.kwargs) -> Value:
        try:
            return function(*args, **kwargs)
        except LfbuildError as error:
            raise _told(error) from error
        except ModuleNotFoundError as error:
            if not error.name or error.name.partition(".")[0] == "lfbuild":
                raise
            what = "this Python package is needed here and is not installed"
            raise _told(ToolError(error.name, what, hint='pip install "lfbuild[wheel,zig]"')) from error
        except OSError as error:
            from lfbuild.host.files import host_error

            raise _told(host_error(str(error.filename or "this machine"), error)) from error

    return carried_out


def _told(error: LfbuildError) -> Refused:
    sentences = [str(problem) for problem in error.problems] if isinstance(error, RecipeError) else [str(error)]
    lines = [f"lfbuild: {sentence}" for sentence in sentences]
    lines += [f"lfbuild: hint: {error.hint}"] if error.hint else []
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    return Refused(error)


class LineReport:
    """A line when a step begins: frontends show it late or not at all, so it says no more."""

    @contextmanager
    def step(self, title: str, /, *, total: int | None = None, unit: Unit = "bytes") -> Iterator[Step]:
        """Tell that the step begins."""
        del total, unit
        self._tell(title)
        yield _UncountedStep()

    def note(self, text: str, /) -> None:
        """Tell a note."""
        self._tell(f"note: {text}")

    def _tell(self, line: str) -> None:
        sys.stderr.write(f"lfbuild: {line}\n")
        sys.stderr.flush()


class _UncountedStep:
    def advance(self, amount: int, /, *, detail: str = "") -> None:
        del amount, detail

    def expect(self, total: int, /) -> None:
        del total
