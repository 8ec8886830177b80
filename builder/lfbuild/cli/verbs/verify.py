"""`lfbuild verify FILE`: is every byte what it was promised to be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.render import Block
    from lfbuild.cli.words import Parser, Subparsers
    from lfbuild.commands.verify import Verification

EXAMPLES = """\
  lfbuild verify chat.llamafile          every byte
  lfbuild verify chat.llamafile --quick  structure only, at once"""

GOOD_WORDS = {
    "manifest": "every byte is as its manifest promises",
    "manifest (structure)": "the structure is sound; the bytes of its members were not read",
    "checksums": "every member agrees with its checksum (there is no manifest of ours that promises more)",
    "structure": "the structure is sound; the bytes of its members were not read",
    "header": "the header of this GGUF is sound, and every tensor lies within the file",
}


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `verify`."""
    parser = subparsers.add(
        "verify",
        summary="check that every byte of a file is as it was made",
        description="Checks every byte of a file against its manifest and tells every finding.\n"
        "Exit code 0: all is well. 4: not a file of this format. 5: something differs from what was promised.\n"
        "An edit in place that was interrupted and counts already is finished first, and nothing else is written.",
        examples=EXAMPLES,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a llamafile")
    parser.add_argument("--quick", action="store_true", help="check the structure only, and read no weights")
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Verify, and tell every finding."""
    from lfbuild.commands.verify import verify

    path = context.settled(arguments.file)
    verification = verify(path, quick=arguments.quick, threads=context.cores(), report=context.report)
    document = {
        "path": verification.path,
        "ok": verification.ok,
        "checked": verification.checked,
        "findings": list(verification.findings),
    }
    context.output.show(document, *_blocks(verification))
    return verification.exit_code


def _blocks(verification: Verification) -> list[Block]:
    """Each finding a line, then the verdict."""
    from lfbuild.cli.render import Cell
    from lfbuild.errors import command

    lines: list[Block] = [
        Cell(f"{verification.path}: {finding.subject}: {finding.what}", "bad") for finding in verification.findings
    ]
    if verification.ok:
        return [Cell(f"{verification.path}: {GOOD_WORDS[verification.checked]}", "good")]
    count = len(verification.findings)
    lines.append(f"{count} finding{'s' if count > 1 else ''}")
    if all(finding.leftover for finding in verification.findings):
        lines.append(f"an edit that was interrupted leaves such bytes: {command('recover', verification.path)}")
    return lines
