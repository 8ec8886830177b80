"""`lfbuild recover FILE`: finishes or drops an edit in place that was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers

EXAMPLES = """\
  lfbuild recover chat.llamafile   after a crash; other verbs do it by themselves where they may write"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `recover`."""
    parser = subparsers.add(
        "recover",
        summary="finish or drop an edit in place that was interrupted",
        description="Brings a file to rest whose edit in place was interrupted: finishes it if its journal is "
        "complete,\nelse leaves the file as it was before; nothing of the interrupted edit stays behind. So do other "
        "verbs, but for\n`swap --dry-run` and `update --check`, which write nothing.",
        examples=EXAMPLES,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a llamafile of lfbuild")
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Recover, and tell what had to be done."""
    from lfbuild.commands.recover import WORDS, recover

    outcome = recover(arguments.file)
    words = WORDS[outcome] if outcome else "is at rest, there was nothing to do"
    context.output.show({"path": arguments.file, "outcome": outcome or "nothing"}, f"{arguments.file}: {words}")
    return 0
