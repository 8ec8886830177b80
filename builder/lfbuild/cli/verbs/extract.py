"""`lfbuild extract FILE [MEMBER…]`: members as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers

EXAMPLES = """\
  lfbuild extract chat.llamafile                       all members, into ./chat
  lfbuild extract chat.llamafile model.gguf -d models  one member, into ./models"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `extract`."""
    parser = subparsers.add(
        "extract",
        summary="write members of a file as files of their own",
        description="Writes members of a file as files of their own; each is checked while it is written.\n"
        "Where one of them fails, it is not written, and those before it stay.",
        examples=EXAMPLES,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a llamafile, or any other ZIP file")
    parser.add_argument(
        "members", nargs="*", metavar="MEMBER", help="names as `lfbuild list` shows them (default: all)"
    )
    parser.add_argument(
        "-d", "--directory", type=Path, metavar="FOLDER", help="where to write (default: a folder named after FILE)"
    )
    parser.add_argument("--force", action="store_true", help="replace files that are there already")
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Extract, and tell what was written."""
    from lfbuild.commands.extract import extract

    directory = arguments.directory or _folder_for(arguments.file)
    written = extract(
        context.settled(arguments.file),
        arguments.members,
        directory=directory,
        force=arguments.force,
        threads=context.cores(),
        report=context.report,
    )
    context.output.show(written, *(str(path) for path in written))
    return 0


def _folder_for(file: Path) -> Path:
    """Named after the file, and never as the file."""
    return Path(file.stem if file.suffix else f"{file.name}-members")
