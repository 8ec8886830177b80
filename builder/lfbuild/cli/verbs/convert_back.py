"""`lfbuild convert-back FILE -o OUT`: a llamafile as Mozilla's tools make it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.cli import values

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers

EXAMPLES = """\
  lfbuild convert-back chat.llamafile -o plain.llamafile                        with its own engine
  lfbuild convert-back chat.llamafile -o plain.llamafile --target linux-x86_64  of several, that one
  lfbuild convert-back chat.llamafile -o plain.llamafile --engine llamafile-0.10.6"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `convert-back`."""
    parser = subparsers.add(
        "convert-back",
        summary="write a llamafile as Mozilla's tools make it",
        description="Writes a llamafile in the layout of Mozilla's zipalign: an engine, and behind it everything that\n"
        "the file holds but what lfbuild keeps for itself.",
        examples=EXAMPLES,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a llamafile of lfbuild")
    parser.add_argument(
        "-o", "--output", type=values.output, metavar="OUT", required=True, help="the llamafile to write"
    )
    parser.add_argument(
        "--engine", metavar="ENGINE", default="", help="the engine it begins with, as in `lfbuild swap`"
    )
    parser.add_argument("--target", metavar="TARGET", default="", help="which of several engines it begins with")
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Convert back, and tell what was left out."""
    from lfbuild.cli.render import Cell
    from lfbuild.commands.convert_back import convert_back
    from lfbuild.formats.args import ARGS_NAME, VERB_ARGS_FOLDER

    converted = convert_back(
        arguments.file,
        output=arguments.output,
        engine=arguments.engine,
        target=arguments.target,
        settings=context.settings(),
        report=context.report,
    )
    told = f"{converted.path}: {len(converted.members)} members, and {converted.engine} engine"
    lost = [name for name in converted.dropped if name.startswith(VERB_ARGS_FOLDER)]
    if lost:
        context.report.note(f"left out are {', '.join(lost)}: Mozilla's engine reads {ARGS_NAME} alone")
    context.output.show(converted, Cell(told, "good"))
    return 0
