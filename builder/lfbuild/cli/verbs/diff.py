"""`lfbuild diff OLD NEW`: what changed between two files, as one small file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.cli import values

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.render import Block
    from lfbuild.cli.words import Parser, Subparsers
    from lfbuild.commands.diff import Diffed

EXAMPLES = """\
  lfbuild diff chat-1.llamafile chat-2.llamafile               chat-2.llamafile.lfdelta
  lfbuild diff chat-1.llamafile chat-2.llamafile -o P.lfdelta
  lfbuild apply chat-1.llamafile P.lfdelta                     makes chat-2.llamafile again"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `diff`."""
    parser = subparsers.add(
        "diff",
        summary="write what changed between two files as one small file",
        description="Writes what NEW has and OLD has not, so that whoever has OLD can make NEW of it.\n"
        "Works for files of lfbuild, Mozilla's llamafiles, plain GGUFs and any other file.",
        examples=EXAMPLES,
    )
    parser.add_argument("old", type=Path, metavar="OLD", help="the file that others have")
    parser.add_argument("new", type=Path, metavar="NEW", help="the file that they are to have")
    parser.add_argument(
        "-o",
        "--output",
        type=values.output,
        metavar="OUT",
        help="where to write (default: NEW with .lfdelta behind it)",
    )
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Compare, write, and tell what travels."""
    from lfbuild.commands.diff import diff

    old, new = context.settled(arguments.old), context.settled(arguments.new)
    diffed = diff(old, new, arguments.output, threads=context.cores(), report=context.report)
    tell(diffed, context)
    return 0


def tell(diffed: Diffed, context: Context) -> None:
    """Show what travels, and note what else there is to say."""
    context.output.show(diffed, *_blocks(diffed))
    for note in (*diffed.notes, *_advice(diffed)):
        context.report.note(note)


def _blocks(diffed: Diffed) -> list[Block]:
    """The regions that are not copied whole, and the sum."""
    from lfbuild.cli.render import Cell, Column, Table
    from lfbuild.report import size_words

    columns = [
        Column(title="in the delta", right=True),
        Column(title="of", right=True),
        Column(title="copied", right=True),
        Column(title="what"),
        Column(title="as"),
    ]
    rows = [
        [
            size_words(region.delta_bytes),
            size_words(region.size_bytes),
            size_words(region.copied_bytes),
            region.name or "the head",
            ", ".join(way for way, _ in region.ways),
        ]
        for region in diffed.regions
        if region.delta_bytes
    ]
    rows.append([size_words(diffed.rest_bytes), "", "", "the plan, and what is between", ""])
    share = 100 * diffed.size_bytes / max(diffed.new_bytes, 1)
    told = f"{diffed.path}: {size_words(diffed.size_bytes)}, {share:.2f} % of {size_words(diffed.new_bytes)}"
    return [Table(columns=columns, rows=rows), Cell(told, "good")]


def _advice(diffed: Diffed) -> list[str]:
    from lfbuild.report import size_words

    if diffed.worth_it:
        return []
    why = ""
    if diffed.requantized_bytes:
        why = f", as {size_words(diffed.requantized_bytes)} of its tensors are quantized otherwise"
    return [
        f"the delta saves little{why}: `lfbuild update` fetches what changed plainly, {size_words(diffed.plain_bytes)}"
    ]
