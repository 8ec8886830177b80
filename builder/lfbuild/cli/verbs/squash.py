"""`lfbuild squash OLD DELTA…`: a chain of deltas as one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.cli import values

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers

EXAMPLES = """\
  lfbuild squash chat-1.llamafile 1to2.lfdelta 2to3.lfdelta -o 1to3.lfdelta"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `squash`."""
    parser = subparsers.add(
        "squash",
        summary="make one delta of a chain of them",
        description="Makes one delta that does what a chain of them does. It needs the file that the first one is for.",
        examples=EXAMPLES,
    )
    parser.add_argument("old", type=Path, metavar="FILE", help="the file that the first delta was made for")
    parser.add_argument("deltas", nargs="+", metavar="DELTA", help="in their order; - reads standard input")
    parser.add_argument("-o", "--output", type=values.output, metavar="OUT", required=True, help="where to write")
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Squash, and tell what travels."""
    from lfbuild.cli.verbs.apply import sources
    from lfbuild.cli.verbs.diff import tell
    from lfbuild.commands.apply import squash

    diffed = squash(
        context.settled(arguments.old),
        sources(arguments.deltas),
        arguments.output,
        threads=context.cores(),
        report=context.report,
    )
    tell(diffed, context)
    return 0
