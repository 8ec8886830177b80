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
    from lfbuild.commands.list import list_members

    members = list_members(arguments.file)
    context.output.show(members, *(member.name for member in members))
    return 0
