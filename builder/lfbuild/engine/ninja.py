"""Reads what Ninja writes: how far a build is, and which command failed with which words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lfbuild.report import Step

STATUS = "[%f/%t] "
"""What NINJA_STATUS is set to: finished and total."""

SHOWN_LINES = 20

_STATUS_LINE = re.compile(r"\[(\d+)/(\d+)\] (.*)")
_OBJECT = re.compile(r"([^/\s]+)\.(?:o|obj)$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """The first command of a build that failed."""

    output: str
    """What it should have made, or the first of it."""
    command: str
    lines: tuple[str, ...]
    """The last lines it wrote."""


class Progress:
    """Hears Ninja's lines and moves a step by its counts."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._done = 0

    def __call__(self, line: str) -> None:
        """Move the step if the line is a count; anything else is a compiler's words."""
        found = _STATUS_LINE.match(line)
        if not found:
            return
        done, total = int(found[1]), int(found[2])
        self._step.expect(total)
        self._step.advance(done - self._done, detail=file_of(found[3]))
        self._done = done


def file_of(description: str) -> str:
    """The source or product that a step is about: `llama.cpp` of `Building CXX object src/…/llama.cpp.o`."""
    last = description.rpartition(" ")[2]
    found = _OBJECT.search(last)
    return found[1] if found else last.rpartition("/")[2]


def read_failure(lines: Sequence[str]) -> Failure | None:
    """The first failed command among a build's last lines; Ninja writes it after `FAILED:`, then its output."""
    for number, line in enumerate(lines):
        if line.startswith("FAILED:"):
            outputs = re.sub(r"^FAILED: (\[code=\d+\] )?", "", line).split()
            command, *output = [*lines[number + 1 :], ""]
            return Failure(
                output=outputs[0] if outputs else "", command=command.strip(), lines=_until_next_step(output)
            )
    return None


def _until_next_step(lines: Sequence[str]) -> tuple[str, ...]:
    """A command's own output: Ninja goes on with commands that run already, and ends with words of its own."""
    own = []
    for line in lines:
        if _STATUS_LINE.match(line) or line.startswith(("ninja: ", "FAILED:")):
            break
        if line.strip():
            own.append(line)
    return tuple(own[-SHOWN_LINES:])
