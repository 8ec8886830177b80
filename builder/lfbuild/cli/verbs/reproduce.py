"""`lfbuild reproduce FILE`: does its recipe give the same bytes again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.cli import values

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.render import Block
    from lfbuild.cli.words import Parser, Subparsers
    from lfbuild.commands.reproduce import Reproduction

DIFFERENT_EXIT_CODE = 5
EXAMPLES = """\
  lfbuild reproduce chat.llamafile
  lfbuild reproduce chat.llamafile --folder ../chat    where the files are that its recipe names by path"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `reproduce`."""
    parser = subparsers.add(
        "reproduce",
        summary="build a file again from what is in it, and compare",
        description="Builds FILE again from the recipe and the provenance inside it, and compares the bytes.\n"
        "Exit code 0: they are the same. 5: they are not, and the members that differ are named.\n"
        "Nothing is signed. What is compiled runs its own build scripts: a stranger's FILE belongs into a container.",
        examples=EXAMPLES,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a llamafile of lfbuild's")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(),
        metavar="FOLDER",
        help="where the recipe's own paths begin (default: here)",
    )
    parser.add_argument("-j", "--jobs", type=values.count, metavar="N", help="compile N files at once")
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Build again, compare, and tell."""
    from lfbuild.commands.reproduce import reproduce

    settings = context.settings()
    outcome = reproduce(
        context.settled(arguments.file),
        folder=arguments.folder,
        jobs=arguments.jobs or settings.jobs,
        settings=settings,
        report=context.report,
    )
    context.output.show(outcome, *_blocks(outcome))
    return 0 if outcome.same else DIFFERENT_EXIT_CODE


def _blocks(outcome: Reproduction) -> list[Block]:
    from lfbuild.cli.render import Cell

    if outcome.same:
        but = ", all but those of its signature, which takes a key" if outcome.is_signed else ""
        return [Cell(f"{outcome.path}: its recipe gives the same bytes{but}", "good")]
    lines: list[Block] = [Cell(f"{outcome.path}: {it.subject}: {it.what}", "bad") for it in outcome.differences]
    lines += [f"reason: {reason}" for reason in outcome.reasons]
    return [*lines, Cell(f"{outcome.path}: its recipe gives other bytes", "bad")]
