"""`lfbuild verify FILE`: is every byte what it was promised to be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers

EXAMPLES = """\
  lfbuild verify chat.llamafile          every byte
  lfbuild verify chat.llamafile --quick  structure only, at once"""

NOT_AS_PROMISED_EXIT_CODE = 5
"""The code of an `IntegrityError`: the file was read in full, and its findings were told."""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `verify`."""
    parser = subparsers.add(
        "verify",
        summary="check that every byte of a file is as it was made",
        description="Checks every byte of a file against its manifest and tells every finding.\n"
        "Exit code 0: all is well. 4: not a file of this format. 5: something differs from what was promised.",
        examples=EXAMPLES,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a llamafile")
    parser.add_argument("--quick", action="store_true", help="check the structure only, and read no weights")
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Verify, and tell every finding."""
    from lfbuild.commands.verify import verify

    findings = verify(arguments.file, quick=arguments.quick, report=context.report)
    context.output.show(findings.as_json(), *findings.lines)
    return 0 if findings.ok else NOT_AS_PROMISED_EXIT_CODE
