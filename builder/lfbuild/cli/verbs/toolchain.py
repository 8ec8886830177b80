"""`lfbuild toolchain list|install|where`: the compilers that engines are made with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers

EXAMPLES = """\
  lfbuild toolchain list
  lfbuild toolchain install cosmocc      download, check its sha256 and keep it in the cache
  lfbuild toolchain install cosmocc --from cosmocc-4.0.2.zip
  lfbuild toolchain where zig"""

KINDS = ("zig", "cosmocc")


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `toolchain`."""
    parser = subparsers.add(
        "toolchain",
        summary="list, install or find the compilers",
        description="Lists the compilers that engines are made with, installs one, or tells where it is.",
        examples=EXAMPLES,
    )
    parser.add_argument("action", choices=("list", "install", "where"), metavar="list|install|where", help="what to do")
    parser.add_argument("kind", nargs="?", choices=KINDS, metavar="KIND", help="zig or cosmocc, for install and where")
    parser.add_argument(
        "--from", dest="archive", type=Path, metavar="FILE", help="install: cosmocc's ZIP file, downloaded before"
    )
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """List, install or find."""
    from lfbuild.cli.render import Cell, Column, Table
    from lfbuild.cli.words import refused
    from lfbuild.commands import toolchain

    if arguments.action == "list":
        found = toolchain.list_toolchains(context.settings())
        columns = [Column(title="kind"), Column(title="version"), Column(title=""), Column(title="where")]
        rows = [
            (
                it.kind,
                it.version,
                Cell("ok", "good") if it.path else Cell("lacking", "bad"),
                str(it.path) if it.path else f"{it.problem}; {it.hint}",
            )
            for it in found
        ]
        context.output.show(found, Table(columns=columns, rows=rows))
        return 0
    if arguments.kind is None:
        raise refused(f"toolchain {arguments.action}", "the kind is missing", hint="add zig or cosmocc")
    if arguments.action == "install":
        installed = toolchain.install_toolchain(
            arguments.kind, archive=arguments.archive, settings=context.settings(), report=context.report
        )
        context.output.show(installed, f"{installed.kind} {installed.version} is in {installed.path}")
        return 0
    there = toolchain.where_toolchain(arguments.kind, settings=context.settings())
    context.output.show(there, str(there.path))
    return 0
