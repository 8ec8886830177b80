"""The command line: words in, values out.

This room alone reads the environment and the clock, prints and decides exit codes. It imports a verb's command
only when that verb runs, so that `lfbuild --help` and `lfbuild list` answer at once.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from lfbuild.cli import refusals, words
from lfbuild.cli.render import standard_output_named

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command line; every outcome, an interrupt or a bug too, is a sentence and an exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    words.fill_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        words.never_fail_on_a_letter(stream)
    try:
        with refusals.termination_raised():
            code = _carry_out(given)
            with standard_output_named():
                sys.stdout.flush()
            return code
    except SystemExit as leaving:  # argparse, after --help and --version
        return refusals.flushed(int(leaving.code or 0))
    except BaseException as error:
        return refusals.tell(error, words=given, environment=os.environ)


def _carry_out(given: list[str]) -> int:
    arguments = words.parse(given)
    from lfbuild.cli.context import make_context

    context = make_context(arguments, environment=os.environ, now=time.time())
    return words.verb_module(arguments.verb).run(arguments, context)
