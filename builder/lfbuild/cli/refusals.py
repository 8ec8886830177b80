"""Puts an error into words and an exit code. The only place where lfbuild decides how a failure reads.

    lfbuild: chat.toml:3: llamafile.nmae: unknown key, did you mean 'name'?
    lfbuild: hint: …

On stderr, one line a problem; with `--json` one object `{"event": "error", "error": {…}}` instead.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lfbuild.cli.render import printable
from lfbuild.cli.words import VERBS, first_word
from lfbuild.errors import FROM_THE_BEGINNING, KEPT, HostError, LfbuildError, RecipeError, ToolError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType

INTERRUPTED_EXIT_CODE = 130
BROKEN_PIPE_EXIT_CODE = 141
TERMINATED_EXIT_CODE = 143

EXTRAS = {
    "boto3": "s3",
    "cyclonedx": "release",
    "gguf": "zig",
    "hdiffpatch": "delta",
    "huggingface_hub": "zig",
    "jinja2": "zig",
    "oras": "oci",
    "pydantic": "zig",
    "pypi_simple": "zig",
    "pyproject_metadata": "wheel",
    "zipfile_deflate64": "zig",
}
"""Which extra brings the package that is imported by this name. Who builds is told of the one with a compiler."""


_FETCHING = {"build", "lock", "release", "reproduce", "toolchain"}
"""Verbs that bring sources or tools into the cache, where a download that broke off is gone on with; `swap` does so for
an engine that a recipe compiles."""


class Terminated(BaseException):
    """The process was asked to end (SIGTERM): work unwinds as at Ctrl-C, so nothing half-made stays behind."""


@contextmanager
def termination_raised() -> Iterator[None]:
    """Within this context SIGTERM raises `Terminated`, where the system and the calling thread allow it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def raise_it(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise Terminated

    previous = signal.signal(signal.SIGTERM, raise_it)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def tell(error: BaseException, *, words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Tell `error` on stderr and return the exit code."""
    if isinstance(error, BrokenPipeError):
        return _leave_the_broken_pipe()
    # The words are looked at as they were typed: they may be what could not be parsed.
    wants_traceback = bool({"-v", "--verbose"} & set(words)) or environment.get("LFBUILD_DEBUG", "") not in ("", "0")
    if wants_traceback and not isinstance(error, (KeyboardInterrupt, Terminated)):
        _write_traceback(error)
    refusal = as_refusal(error, words)
    lines = _one_object(refusal) if "--json" in words else _in_words(refusal)
    _write("".join(f"{line}\n" for line in lines))
    return exit_code_of(error)


def exit_code_of(error: BaseException) -> int:
    """The exit code that stands for `error`."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED_EXIT_CODE
    if isinstance(error, Terminated):
        return TERMINATED_EXIT_CODE
    return as_refusal(error).exit_code


def as_refusal(error: BaseException, words: Sequence[str] = ()) -> LfbuildError:
    """`error` as a sentence with its place, whatever it was; an interrupt tells what the verb in `words` keeps."""
    match error:
        case LfbuildError():
            return error
        case KeyboardInterrupt():
            return _stopped("interrupted", words, error)
        case Terminated():
            return _stopped("terminated", words, error)
        case ModuleNotFoundError() if error.name and error.name.partition(".")[0] != "lfbuild":
            return _missing_package(error.name.partition(".")[0])
        case OSError():
            return _host_refusal(error)
        case MemoryError():
            return HostError("this machine", "there is not enough memory", hint="close other programs, or use --jobs 1")
        case _:
            return LfbuildError(
                "a mistake in lfbuild",
                f"{type(error).__name__}: {error}" if str(error) else type(error).__name__,
                hint="please report it, with what this shows when --verbose is added",
            )


def flushed(code: int) -> int:
    """`code`, once stdout has been written out; a reader that went away is told by its own exit code."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _leave_the_broken_pipe()
    return code


def _stopped(where: str, words: Sequence[str], stopped: BaseException) -> LfbuildError:
    verb, notes = first_word(words), getattr(stopped, "__notes__", ())
    if KEPT in notes:
        how = f": {FROM_THE_BEGINNING}" if FROM_THE_BEGINNING in notes else ", and it goes on from there"
        hint = f"run it again{how}; or give it up: lfbuild update FILE --give-up"
        return LfbuildError(where, f"the work was stopped, and {KEPT}", hint=hint)
    if "--in-place" in words:
        hint = "lfbuild recover FILE finishes an edit that counts already"
        return LfbuildError(where, "the work was stopped, and an edit that did not count yet is dropped", hint=hint)
    brings_engine = verb == "swap" and any(word.partition("=")[0] == "--engine" for word in words)
    if verb in _FETCHING or brings_engine or verb not in VERBS:  # a recipe alone is built
        what = "the work was stopped, and what was unfinished is removed, but for what was fetched"
        return LfbuildError(where, what, hint="run it again, and it goes on from there")
    return LfbuildError(where, "the work was stopped, and what was unfinished is removed")


def _missing_package(name: str) -> ToolError:
    extra = EXTRAS.get(name)
    command = f'pip install "lfbuild[{extra}]"' if extra else "pip install lfbuild"
    what = "this Python package is needed here and is not installed"
    return ToolError(name, what, hint=f"{command} installs it and what is needed beside it")


def _host_refusal(error: OSError) -> HostError:
    from lfbuild.host.files import host_error

    name = error.filename2 or error.filename
    return host_error(os.fsdecode(name) if isinstance(name, (str, bytes)) else "this machine", error)


def _in_words(refusal: LfbuildError) -> list[str]:
    sentences = [str(problem) for problem in refusal.problems] if isinstance(refusal, RecipeError) else [str(refusal)]
    told: list[str] = []
    for sentence in sentences:
        # A sentence may go on with the last lines of a compiler's output.
        first, *more = sentence.split("\n")
        told += [f"lfbuild: {printable(first)}", *(f"  {printable(line)}" for line in more)]
    return [*told, f"lfbuild: hint: {printable(refusal.hint)}"] if refusal.hint else told


def _one_object(refusal: LfbuildError) -> list[str]:
    import json

    told: dict[str, object] = {
        "kind": type(refusal).__name__,
        "where": refusal.where,
        "what": refusal.what,
        "hint": refusal.hint,
        "exit_code": refusal.exit_code,
    }
    if isinstance(refusal, RecipeError):
        told["problems"] = [{"where": it.where, "key": it.key, "what": it.what} for it in refusal.problems]
    return [json.dumps({"event": "error", "error": told})]


def _write_traceback(error: BaseException) -> None:
    import traceback

    _write("".join(traceback.format_exception(error)))


def _write(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        return  # nobody can be told any more; the exit code still does


def _leave_the_broken_pipe() -> int:
    # Python would flush stdout once more when it ends and complain about the pipe: give it somewhere to write.
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return BROKEN_PIPE_EXIT_CODE
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
    return BROKEN_PIPE_EXIT_CODE
