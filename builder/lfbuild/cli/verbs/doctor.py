"""`lfbuild doctor`: what this machine can build."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.render import Block, Facts
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
    context.output.show(diagnosis, *_blocks(diagnosis))
    return 0 if diagnosis.can_build else NOTHING_CAN_BE_BUILT_EXIT_CODE


def _blocks(diagnosis: Diagnosis) -> list[Block]:
    from lfbuild.cli.render import Cell, Column, Table

    marks = {"here": Cell("ok", "good"), "lacking": Cell("lacking", "bad"), "optional": Cell("-", "quiet")}
    rows = [(marks[check.state], check.name, check.finding) for check in diagnosis.checks]
    table = Table(columns=[Column(title=""), Column(title="tool"), Column(title="found")], rows=rows)
    if diagnosis.can_build:
        verdict = Cell(f"this machine can build, with {' and '.join(diagnosis.can_build)}", "good")
    else:
        verdict = Cell("this machine cannot build anything yet", "bad")
    return [_facts(diagnosis), "", table, "", verdict, *(Cell(f"to do: {it}", "warn") for it in diagnosis.advice)]


def _facts(diagnosis: Diagnosis) -> Facts:
    from lfbuild.cli.render import Facts
    from lfbuild.report import size_words

    cache = diagnosis.cache
    cloning = "which clones: a copy there costs nothing" if cache.clones else "which does not clone: bytes are copied"
    return Facts(
        [
            ("machine", f"{diagnosis.target}, {diagnosis.cores} cores usable"),
            ("processor", diagnosis.cpu_name),
            ("CPU level", diagnosis.cpu_level or "below every level that lfbuild can compile for"),
            ("python", diagnosis.python),
            ("cache", f"{cache.path}: {size_words(cache.size_bytes)} kept, {size_words(cache.free_bytes)} free"),
            ("file system", f"{cache.file_system}, {cloning}" if cache.file_system else ""),
            ("network", diagnosis.network),
        ]
    )
