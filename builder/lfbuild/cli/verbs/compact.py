"""`lfbuild compact FILE`: a file without what edits in place left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.cli import values

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers

EXAMPLES = """\
  lfbuild compact chat.llamafile          in the order of a fresh file, without gaps
  lfbuild compact chat.llamafile -o small.llamafile"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `compact`."""
    parser = subparsers.add(
        "compact",
        summary="write a file anew without what edits in place left behind",
        description="Writes a file anew, in the order of a fresh one: edits in place leave gaps, and engines behind\n"
        "the weights. The new file takes the old one's name when it is complete.",
        examples=EXAMPLES,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a llamafile of lfbuild")
    parser.add_argument(
        "-o", "--output", type=values.output, metavar="OUT", help="write there, and leave FILE as it is"
    )
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Compact, and tell what was saved."""
    from lfbuild.cli.render import Cell
    from lfbuild.commands.compact import compact
    from lfbuild.report import size_words

    compacted = compact(arguments.file, output=arguments.output, threads=context.cores(), report=context.report)
    told = f"{compacted.path}: {size_words(compacted.old_bytes)} before, {size_words(compacted.new_bytes)} now"
    context.output.show(compacted, Cell(told, "good"))
    return 0
