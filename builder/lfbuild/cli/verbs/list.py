"""`lfbuild list FILE`: the members of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers
    from lfbuild.commands.list import Listed

EXAMPLES = """\
  lfbuild list chat.llamafile
  lfbuild list chat.llamafile --json | jq -r '.[].name'"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `list`."""
    parser = subparsers.add("list", summary="list the members of a file", examples=EXAMPLES)
    parser.add_argument("file", type=Path, metavar="FILE", help="a llamafile, or any other ZIP file")
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """List the members."""
    from lfbuild.cli.render import Column, Table
    from lfbuild.commands.list import list_members
    from lfbuild.report import size_words

    members = list_members(context.settled(arguments.file))
    columns = [
        Column(title="bytes", right=True),
        Column(title="offset", right=True),
        Column(title="kept"),
        Column(title="member"),
    ]
    rows = [(str(it.size_bytes), str(it.data_offset), _kept(it), it.name) for it in members]
    total = f"{len(members)} members, {size_words(sum(it.size_bytes for it in members))}"
    context.output.show(members, Table(columns=columns, rows=rows), total)
    return 0


def _kept(member: Listed) -> str:
    """`stored`, or how much of it a compression left."""
    from lfbuild.cli.render import method_words

    words = method_words(member.method)
    return words if member.method == 0 else f"{words} {100 * member.stored_bytes // max(member.size_bytes, 1)} %"
