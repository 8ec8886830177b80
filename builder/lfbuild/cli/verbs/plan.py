"""`lfbuild plan RECIPE`: what a build would do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.cli.verbs.build import add_build_options

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.render import Block
    from lfbuild.cli.words import Parser, Subparsers
    from lfbuild.commands.plan import Planned

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
    from lfbuild.commands.plan import plan_build

    settings = context.settings()
    planned = plan_build(
        arguments.recipe,
        output=arguments.output,
        locked=arguments.locked,
        launcher=arguments.launcher,
        epoch=settings.epoch,
        settings=settings,
        report=context.report,
    )
    context.output.show(planned, *_blocks(planned))
    return 0


def _blocks(planned: Planned) -> list[Block]:
    """Sources, engine, members, and the whole."""
    from lfbuild.cli.render import Cell, Column, Facts, Table, size_words

    size = Column(title="size", right=True)
    sources = [
        [
            state.identity,
            "here" if state.here else Cell("to fetch", "warn"),
            size_words(state.size_bytes) if state.here else "",
        ]
        for state in planned.sources
    ]
    blocks: list[Block] = [
        Facts([("would write", planned.output), *_engine_facts(planned)]),
        "",
        Table(columns=[Column(title="source"), Column(title=""), size], rows=sources),
    ]
    if planned.members:
        members = [[member.name, member.role, size_words(member.size_bytes)] for member in planned.members]
        blocks += ["", Table(columns=[Column(title="member"), Column(title="role"), size], rows=members)]
    if planned.total_bytes:
        blocks += ["", f"{size_words(planned.total_bytes)} in all, with the room for the next engine"]
    return [*blocks, *(Cell(f"note: {note}", "warn") for note in planned.notes)]


def _engine_facts(planned: Planned) -> list[tuple[str, str]]:
    engine = planned.engine
    if engine is None:
        return []
    state = "in the cache" if engine.compiled else "to compile"
    return [
        ("engine", f"{engine.name} by {engine.toolchain}, {state}"),
        ("runs on", f"{engine.target} ({', '.join(engine.cpus)})"),
        ("key", engine.key),
    ]
