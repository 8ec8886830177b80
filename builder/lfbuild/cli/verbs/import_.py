"""`lfbuild import FILE`: a manifest for somebody else's llamafile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.cli import values

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers

EXAMPLES = """\
  lfbuild import old.llamafile                    so that it can be verified, edited and updated
  lfbuild import old.llamafile --align -o new.llamafile   weights moved to where every system maps them"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `import`."""
    parser = subparsers.add(
        "import",
        summary="give somebody else's llamafile a manifest",
        description="Writes somebody else's llamafile anew, with everything that it holds and a manifest with digests\n"
        "of it. All of it is read once; weights are shared with the old file where the file system can.",
        examples=EXAMPLES,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a llamafile without a manifest")
    parser.add_argument(
        "-o", "--output", type=values.output, metavar="OUT", help="write there, and leave FILE as it is"
    )
    parser.add_argument("--align", action="store_true", help="move weights to a multiple of 64 KiB")
    parser.add_argument(
        "--name", type=values.text, metavar="NAME", default="", help="what it is called (default: as FILE)"
    )
    parser.add_argument("--version", type=values.text, metavar="VERSION", default="", help="its version")
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Import, and tell what the file is now."""
    from lfbuild.cli.render import Cell
    from lfbuild.commands.import_ import import_file

    settings = context.settings()
    imported = import_file(
        arguments.file,
        output=arguments.output,
        name=arguments.name,
        version=arguments.version,
        align=arguments.align,
        epoch=settings.epoch,
        threads=settings.machine.cores,
        report=context.report,
    )
    for note in imported.notes:
        context.report.note(note)
    count = len(imported.manifest.members)
    document = {"path": imported.path, "members": count, "notes": imported.notes}
    context.output.show(document, Cell(f"{imported.path}: has a manifest of {count} members now", "good"))
    return 0
