"""`lfbuild schema`: the recipe's grammar, for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfbuild.cli import values

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers

EXAMPLES = """\
  lfbuild schema -o recipe.schema.json   then begin a recipe with: #:schema ./recipe.schema.json"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `schema`."""
    parser = subparsers.add(
        "schema",
        summary="print the JSON Schema of a recipe, for editors",
        description="Prints the JSON Schema of a recipe. Editors with TOML support complete and check with it.",
        examples=EXAMPLES,
    )
    parser.add_argument("-o", "--output", type=values.output, metavar="OUT", help="write it there instead of to stdout")
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Print the schema, or write it."""
    from lfbuild.commands.schema import schema_text, write_schema

    if arguments.output:
        write_schema(arguments.output)
        context.output.show({"path": arguments.output}, str(arguments.output))
    else:
        context.output.write(schema_text())
    return 0
