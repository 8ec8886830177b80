"""`lfbuild plan RECIPE`: what a build would do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.cli import values
from lfbuild.cli.verbs.build import add_build_options, choice_of

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.render import Block, Cell
    from lfbuild.cli.words import Parser, Subparsers
    from lfbuild.commands.plan import Planned, PlannedEngine

EXAMPLES = """\
  lfbuild plan chat.toml
  lfbuild plan chat.toml --json | jq .engines[].key
  lfbuild plan chat.toml --depfile chat.d        for make: which files of this machine it is made from"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `plan`."""
    parser = subparsers.add(
        "plan",
        summary="tell what a build would do, with sizes",
        description="Tells what `lfbuild build` would fetch, compile and pack, with sizes, and writes no file.",
        examples=EXAMPLES,
    )
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="the recipe, a TOML file")
    parser.add_argument("-o", "--output", type=values.output, metavar="OUT", help="where the build would write")
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
        choice=choice_of(arguments),
        depfile=arguments.depfile,
        epoch=settings.epoch,
        settings=settings,
        report=context.report,
    )
    context.output.show(planned, *_blocks(planned))
    return 0


def _blocks(planned: Planned) -> list[Block]:
    """Sources, engines, each file and its members, and the whole."""
    from lfbuild.cli.render import Cell, Column, Facts, Table
    from lfbuild.report import size_words

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
        Facts([("would write", name) for name in _names(planned)]),
        "",
        Table(columns=[Column(title="source"), Column(title=""), size], rows=sources),
    ]
    if planned.engines:
        columns = [Column(title="engine"), Column(title="runs on"), Column(title=""), size]
        columns += [Column(title="key"), Column(title="levels")]
        blocks += ["", Table(columns=columns, rows=[_engine(it) for it in planned.engines])]
    for file in planned.files:
        members = [[member.name, member.role, size_words(member.size_bytes)] for member in file.members]
        title = "member" if len(planned.files) == 1 else f"member of {file.path}"
        blocks += ["", Table(columns=[Column(title=title), Column(title="role"), size], rows=members)]
    if planned.total_bytes:
        blocks += ["", f"{size_words(planned.total_bytes)} in all, with the room for the next engine"]
    return [*blocks, *(Cell(f"note: {note}", "warn") for note in planned.notes)]


def _names(planned: Planned) -> list[str]:
    """The files, each with what it begins with."""
    words = {"engine": "an engine", "elf": "a Linux program", "script": "a shell script", "note": "nothing to start"}
    words |= {"polyglot": "a Windows program that is a shell script too"}
    return [f"{file.path} ({words[file.head]})" for file in planned.files] or [planned.output]


def _engine(engine: PlannedEngine) -> list[str | Cell]:
    from lfbuild.cli.render import Cell
    from lfbuild.report import size_words

    state = "in the cache" if engine.compiled else Cell("to compile", "warn")
    size = size_words(engine.size_bytes) if engine.compiled else ""
    name = f"{engine.name} by {engine.toolchain}"
    return [name, engine.target, state, size, engine.key[:12], ", ".join(engine.cpus)]
