"""`lfbuild apply OLD DELTA…`: the new file from the old one and what changed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.cli import values

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers
    from lfbuild.commands.apply import Applied, DeltaSource

EXAMPLES = """\
  lfbuild apply chat-1.llamafile P.lfdelta                    chat-2.llamafile beside it, or what the delta calls it
  lfbuild apply chat-1.llamafile P.lfdelta -o chat.llamafile
  lfbuild apply chat-1.llamafile 1to2.lfdelta 2to3.lfdelta    one after the other
  curl -s URL | lfbuild apply chat-1.llamafile -              while it arrives
  lfbuild apply chat.llamafile P.lfdelta --in-place           writes only what differs, into the file itself"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `apply`."""
    parser = subparsers.add(
        "apply",
        summary="make a new file from an old one and a delta",
        description="Makes the file that a delta leads to. It is written whole or not at all, every block of it\n"
        "is checked, and the old file is left as it is. With --in-place the old file itself becomes the new one,\n"
        "under a journal that survives any interruption: for files whose weights have no room beside themselves. Of\n"
        "several deltas each is an edit of its own there: one that fails leaves FILE as the ones before it made it.",
        examples=EXAMPLES,
    )
    parser.add_argument("old", type=Path, metavar="FILE", help="the file that the delta was made for")
    parser.add_argument("deltas", nargs="+", metavar="DELTA", help="made by `lfbuild diff`; - reads standard input")
    parser.add_argument(
        "-o",
        "--output",
        type=values.output,
        metavar="OUT",
        help="where to write, over a file that is there too (default: the delta's name for it, beside FILE)",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="without -o: replace a file that has the delta's name already, but for FILE itself",
    )
    parser.add_argument(
        "--in-place", action="store_true", help="write what differs into FILE itself, which keeps its name"
    )
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Apply, and tell what was made."""
    from lfbuild.report import size_words

    if arguments.in_place:
        applied = _in_place(arguments, context)
        if applied.was_so:
            name = sources(arguments.deltas)[-1].name
            context.output.show(applied, f"{applied.path}: is already what {name} makes")
            return 0
        written = f"{size_words(applied.written_bytes or 0)} of it written anew"
        context.output.show(applied, f"{applied.path}: {size_words(applied.size_bytes)}, {written}")
        return 0
    from lfbuild.commands.apply import apply

    applied = apply(
        context.settled(arguments.old),
        sources(arguments.deltas),
        arguments.output,
        force=arguments.force,
        threads=context.cores(),
        report=context.report,
    )
    context.output.show(applied, f"{applied.path}: {size_words(applied.size_bytes)}, every block as promised")
    return 0


def _in_place(arguments: argparse.Namespace, context: Context) -> Applied:
    from lfbuild.cli.words import refused
    from lfbuild.commands.apply import apply_in_place_of

    if arguments.output is not None or arguments.force:
        other = "-o" if arguments.output is not None else "--force"
        raise refused("apply", f"--in-place and {other} contradict each other", hint="`lfbuild apply --help`")
    return apply_in_place_of(arguments.old, sources(arguments.deltas), threads=context.cores(), report=context.report)


def sources(words: list[str]) -> list[DeltaSource]:
    """The deltas that were named."""
    from lfbuild.commands.apply import DeltaSource

    return [
        DeltaSource(name="standard input", pipe=sys.stdin.buffer) if word == "-" else DeltaSource(name=word)
        for word in words
    ]
