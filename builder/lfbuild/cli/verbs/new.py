"""`lfbuild new MODEL.gguf`: a recipe to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers

EXAMPLES = """\
  lfbuild new SmolLM2-135M-Instruct.Q4_1.gguf        writes SmolLM2-135M-Instruct.Q4_1.toml here
  lfbuild new model.gguf -o chat.toml && lfbuild chat.toml"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `new`."""
    parser = subparsers.add(
        "new",
        summary="write a recipe for a model",
        description="Reads a model's metadata and writes a recipe with sensible defaults,\n"
        "and comments that explain them.",
        examples=EXAMPLES,
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a GGUF file; of a split one, its first part")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="OUT", help="the recipe to write (default: the model's name with .toml)"
    )
    parser.add_argument(
        "--toolchain",
        choices=("zig", "cosmocc"),
        default="zig",
        metavar="KIND",
        help="zig (default) or cosmocc, which makes one file for several systems",
    )
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Write the recipe, and tell what comes next."""
    import shlex

    from lfbuild.cli.render import Facts
    from lfbuild.commands.new import facts_words, new_recipe

    written = new_recipe(arguments.model, output=arguments.output, toolchain=arguments.toolchain)
    facts = [
        ("recipe", str(written.path)),
        ("model", facts_words(written.facts)),
        ("verb", written.verb),
        ("next", f"lfbuild {shlex.quote(str(written.path))}"),
    ]
    context.output.show(written, Facts(facts))
    return 0
