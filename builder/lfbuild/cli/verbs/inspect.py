"""`lfbuild inspect FILE`: what a file is and holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers

EXAMPLES = """\
  lfbuild inspect chat.llamafile
  lfbuild inspect model.gguf             a model by itself
  lfbuild inspect chat.llamafile --json | jq .models"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `inspect`."""
    parser = subparsers.add(
        "inspect",
        summary="tell what a file is: engine, models, how it was made",
        description="Tells what a file is and holds, without running it: a file of ours, Mozilla's llamafile,\n"
        "a plain GGUF, or a bare APE.",
        examples=EXAMPLES,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a llamafile, a GGUF or an APE")
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Inspect, and show what was found."""
    from lfbuild.commands.inspect import inspect

    inspection = inspect(arguments.file)
    context.output.show(inspection.as_json(), *inspection.lines)
    return 0
