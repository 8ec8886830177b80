"""`lfbuild doctor`: what this machine can build."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.render import Block
    from lfbuild.cli.words import Parser, Subparsers
    from lfbuild.commands.doctor import Diagnosis

EXAMPLES = """\
  lfbuild doctor
  lfbuild doctor --json | jq .can_build"""

NOTHING_CAN_BE_BUILT_EXIT_CODE = 3
"""The code of a `ToolError`: a tool is lacking that nothing can be built without."""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `doctor`."""
    return subparsers.add(
        "doctor",
        summary="tell what this machine can build, and what to install",
        description="Looks at this machine and tells what it can build, what is lacking and how to get it.\n"
        "Nothing is changed. Exit code 3: nothing can be built here as it is.",
        examples=EXAMPLES,
    )


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Look, and tell."""
    del arguments
    from lfbuild.commands.doctor import diagnose

    diagnosis = diagnose(context.settings())
    context.output.show(diagnosis.as_json(), *_blocks(diagnosis))
    return 0 if diagnosis.can_build else NOTHING_CAN_BE_BUILT_EXIT_CODE


def _blocks(diagnosis: Diagnosis) -> list[Block]:
    from lfbuild.cli.render import Cell, Column, Facts, Table

    marks = {"here": Cell("ok", "good"), "lacking": Cell("lacking", "bad"), "optional": Cell("-", "quiet")}
    rows = [(marks[check.state], check.name, check.finding) for check in diagnosis.checks]
    table = Table(columns=[Column(title=""), Column(title="what"), Column(title="found")], rows=rows)
    advice = [Cell(f"to do: {sentence}", "warn") for sentence in diagnosis.advice]
    able = [Cell(f"can build with {', '.join(diagnosis.can_build)}", "good")] if diagnosis.can_build else []
    unable = [] if diagnosis.can_build else [Cell("nothing can be built here yet", "bad")]
    return [Facts(diagnosis.machine_facts), "", table, "", *able, *unable, *advice]
