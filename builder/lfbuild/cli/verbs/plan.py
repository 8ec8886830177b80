"""`lfbuild plan RECIPE`: what a build would do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.cli.verbs.build import add_build_options

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers

EXAMPLES = """\
  lfbuild plan chat.toml
  lfbuild plan chat.toml --json | jq .engine.key"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `plan`."""
    parser = subparsers.add(
        "plan",
        summary="tell what a build would do, with sizes",
        description="Tells what `lfbuild build` would fetch, compile and pack, with sizes, and writes no file.",
        examples=EXAMPLES,
    )
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="the recipe, a TOML file")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where the build would write")
    add_build_options(parser)
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Make the plan and show it."""
    from lfbuild.commands.plan import make_plan

    settings = context.settings()
    plan = make_plan(
        arguments.recipe,
        output=arguments.output,
        locked=arguments.locked,
        jobs=arguments.jobs or settings.jobs,
        launcher=arguments.launcher,
        epoch=settings.epoch,
        settings=settings,
        report=context.report,
    )
    context.output.show(plan.as_json(), *plan.lines)
    return 0
