"""`lfbuild index FILE`: the control file that lets others fetch only what changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.cli import values

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers

EXAMPLES = """\
  lfbuild index chat.llamafile --delta from-1.2.lfdelta   who has 1.2 takes that, if it is smaller
  lfbuild index chat.llamafile               write chat.llamafile.lfindex; put both on any web server
  lfbuild index model.gguf                   any file: what its blocks are stands in model.gguf.lfleaves
  lfbuild index chat.llamafile --file-url https://cdn.example.org/chat.llamafile   the file itself lies elsewhere"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `index`."""
    parser = subparsers.add(
        "index",
        summary="write the control file that `update` needs beside a release",
        description="Writes a small control file that tells what every byte of FILE is. Put it beside FILE on any "
        "server\nthat sends parts of files; `lfbuild update` finds it there.",
        examples=EXAMPLES,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a llamafile, a GGUF, or any other file")
    parser.add_argument(
        "--file-url",
        type=values.text,
        default="",
        metavar="URL",
        help="where FILE will lie, if not beside its control file",
    )
    parser.add_argument(
        "--delta",
        action="append",
        type=Path,
        default=[],
        metavar="DELTA",
        help="a difference to FILE (`lfbuild diff`), which will lie beside it; may be said more than once",
    )
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Write the control file, and tell of it."""
    from lfbuild.commands.index import index
    from lfbuild.report import size_words

    made = index(
        context.settled(arguments.file),
        file_url=arguments.file_url,
        threads=context.cores(),
        report=context.report,
        deltas=arguments.delta,
    )
    lines = [f"{made.index_path} ({size_words(made.index_bytes)}, {made.blocks} blocks)"]
    if made.leaves_path is not None:
        lines.append(f"{made.leaves_path} ({size_words(made.leaves_bytes)})")
    document = {
        "path": made.path,
        "index": made.index_path,
        "index_bytes": made.index_bytes,
        "leaves": made.leaves_path,
        "leaves_bytes": made.leaves_bytes,
        "root": made.root,
        "blocks": made.blocks,
    }
    context.output.show(document, *lines)
    return 0
