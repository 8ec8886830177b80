"""`lfbuild list FILE`: the members of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers

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
    from lfbuild.cli.render import Column, Table, size_words
    from lfbuild.commands.list import list_members

    members = list_members(arguments.file)
    rows = [
        [member.name, size_words(member.size_bytes), _method(member.method), str(member.data_offset)]
        for member in members
    ]
    columns = [
        Column(title="name"),
        Column(title="size", right=True),
        Column(title="kept"),
        Column(title="at", right=True),
    ]
    context.output.show(members, Table(columns=columns, rows=rows))
    return 0


def _method(number: int) -> str:
    """How a member is kept, in words."""
    return {0: "as it is", 8: "deflated", 9: "deflate64", 93: "zstd"}.get(number, f"method {number}")
