"""`lfbuild lock RECIPE`: every hash and size, written down."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers

EXAMPLES = """\
  lfbuild lock chat.toml                 write chat.lock beside it; commit both
  lfbuild build chat.toml --locked       build exactly that, or nothing"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `lock`."""
    parser = subparsers.add(
        "lock",
        summary="write down the hash and size of every source",
        description="Resolves a recipe to a lock file with the hash and size of every source,\n"
        "so that `lfbuild build --locked` takes exactly these, today and later.",
        examples=EXAMPLES,
    )
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="the recipe, a TOML file")
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Resolve, and tell where the lock file is."""
    from lfbuild.commands.lock import lock

    path = lock(arguments.recipe, settings=context.settings(), report=context.report)
    context.output.show({"path": path}, str(path))
    return 0
