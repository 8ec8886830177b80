"""`lfbuild apply OLD DELTA…`: the new file from the old one and what changed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers
    from lfbuild.commands.apply import DeltaSource

EXAMPLES = """\
  lfbuild apply chat-1.llamafile P.lfdelta                    chat-2.llamafile beside it, or what the delta calls it
  lfbuild apply chat-1.llamafile P.lfdelta -o chat.llamafile
  lfbuild apply chat-1.llamafile 1to2.lfdelta 2to3.lfdelta    one after the other
  curl -s URL | lfbuild apply chat-1.llamafile -              while it arrives"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `apply`."""
    parser = subparsers.add(
        "apply",
        summary="make a new file from an old one and a delta",
        description="Makes the file that a delta leads to. It is written whole or not at all, every block of it\n"
        "is checked, and the old file is left as it is.",
        examples=EXAMPLES,
    )
    parser.add_argument("old", type=Path, metavar="FILE", help="the file that the delta was made for")
    parser.add_argument("deltas", nargs="+", metavar="DELTA", help="made by `lfbuild diff`; - reads standard input")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="where to write (default: the delta's name for it, beside FILE)",
    )
    parser.add_argument("--force", action="store_true", help="replace a file that has that name already")
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Apply, and tell what was made."""
    from lfbuild.cli.render import size_words
    from lfbuild.commands.apply import apply

    applied = apply(
        arguments.old,
        sources(arguments.deltas),
        arguments.output,
        force=arguments.force,
        threads=context.cores(),
        report=context.report,
    )
    context.output.show(applied, f"{applied.path}: {size_words(applied.size_bytes)}, every block as promised")
    return 0


def sources(words: list[str]) -> list[DeltaSource]:
    """The deltas that were named."""
    from lfbuild.commands.apply import DeltaSource

    return [
        DeltaSource(name="standard input", pipe=sys.stdin.buffer) if word == "-" else DeltaSource(name=word)
        for word in words
    ]
