"""`lfbuild swap FILE …`: another engine, model, argument, file or name."""

from __future__ import annotations

import re
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.cli import values

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from lfbuild.cli.context import Context
    from lfbuild.cli.render import Block
    from lfbuild.cli.words import Parser, Subparsers
    from lfbuild.commands.swap import Swapped

EXAMPLES = """\
  lfbuild swap chat.llamafile --engine chat.toml               the engine that a recipe compiles
  lfbuild swap chat.llamafile --engine newer.llamafile         the one of another file, ours or Mozilla's
  lfbuild swap chat.llamafile --model other.gguf               another model; arguments that name it follow
  lfbuild swap chat.llamafile --args serve='-c 8192 --port 80' arguments of a verb
  lfbuild swap chat.llamafile --file LICENSE=license.txt --remove notes.txt --version 1.1
  lfbuild swap chat.llamafile --engine newer.llamafile --dry-run   what would be written, and how
  lfbuild swap chat.llamafile --engine newer.llamafile --in-place  without a second copy of the weights"""

_VERB_AND_WORDS = re.compile(r"([a-z][a-z-]*)=(.*)", re.DOTALL)


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `swap`."""
    from lfbuild.cli.words import Once

    parser = subparsers.add(
        "swap",
        summary="change engine, model, arguments, files or names of a finished file",
        description="Changes a finished file, all of it or nothing; what is not named is kept. By default a new file "
        "takes the old one's name,\nand shares the weights with it where the file system can; --in-place writes what "
        "changes into the file itself, safe against a crash.",
        examples=EXAMPLES,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a llamafile, of lfbuild or of Mozilla's tools")
    changes = parser.add_argument_group("what becomes another")
    changes.add_argument(
        "--engine",
        metavar="ENGINE",
        action=Once,
        default="",
        help="a recipe, a key of an engine in the cache, another file, Mozilla's llamafile, or a program",
    )
    changes.add_argument(
        "--model",
        metavar="[NAME=]PATH",
        action="append",
        default=[],
        help="a GGUF in the place of the present one; may be said more than once",
    )
    changes.add_argument(
        "--args",
        type=values.text,
        metavar="[VERB=]WORDS",
        action="append",
        default=[],
        help="default arguments, of the default verb or another; may be said more than once",
    )
    changes.add_argument(
        "--file",
        metavar="NAME=PATH",
        dest="files",
        action="append",
        default=[],
        help="a file, new or another; may be said more than once",
    )
    changes.add_argument(
        "--remove", metavar="NAME", action="append", default=[], help="a file or model less; may be said more than once"
    )
    changes.add_argument(
        "--name", type=values.text, action=Once, metavar="NAME", help="what the file is called, in its manifest"
    )
    changes.add_argument("--version", type=values.text, action=Once, metavar="VERSION", help="its version")
    changes.add_argument(
        "--description", type=values.text, action=Once, metavar="TEXT", help="what it is, in a sentence"
    )
    changes.add_argument(
        "--license", type=values.text, action=Once, metavar="LICENSE", help="licence of the whole, as SPDX has it"
    )
    changes.add_argument(
        "--update-url",
        type=values.text,
        action=Once,
        metavar="URL",
        help="where newer versions of it are; empty: nowhere",
    )
    parser.add_argument(
        "-o", "--output", type=values.output, metavar="OUT", help="write there, and leave FILE as it is"
    )
    parser.add_argument("--in-place", action="store_true", help="write what changes into FILE itself")
    parser.add_argument(
        "-n", "--dry-run", "--plan", action="store_true", help="tell what would be done, and write nothing"
    )
    parser.add_argument("--sign", metavar="COMMAND", help="sign the new file for Windows; {file} is its path")
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Swap, and tell what was done."""
    from lfbuild.commands.swap import SwapOptions, swap
    from lfbuild.commands.swap_words import SwapWords

    words = SwapWords(
        engine=arguments.engine,
        models=tuple(_model(word) for word in arguments.model),
        args=tuple(_verb_and_words(word) for word in arguments.args),
        files=tuple(_name_and_path(word) for word in arguments.files),
        remove=tuple(arguments.remove),
        name=arguments.name,
        version=arguments.version,
        description=arguments.description,
        license=arguments.license,
        update_url=arguments.update_url,
    )
    options = SwapOptions(
        output=arguments.output,
        in_place=arguments.in_place,
        dry_run=arguments.dry_run,
        sign=_signing(arguments.sign, context),
    )
    swapped = swap(arguments.file, words, options=options, settings=context.settings(), report=context.report)
    context.output.show(swapped, *_blocks(swapped, quiet=arguments.quiet))
    return 0


def _signing(command: str | None, context: Context) -> Callable[[Path], None] | None:
    if not command:
        return None
    from lfbuild.cli.words import refused
    from lfbuild.commands.sign import sign_finished

    try:
        said = shlex.split(command)
    except ValueError as error:
        what = f"argument --sign: '{command}' has a quote that is never closed"
        raise refused("swap", what, hint="as in --sign 'signtool sign {file}'") from error
    if "{file}" not in said:
        raise refused("swap", "--sign needs {file} as one of its words", hint="as in --sign 'signtool sign {file}'")
    return partial(sign_finished, command, folder=Path.cwd(), settings=context.settings())


def _model(word: str) -> tuple[str, Path]:
    """`NAME=PATH`, or a path, which may have a `=` in it."""
    name, equals, path = word.partition("=")
    return ("", Path(word)) if not equals or Path(word).exists() else (name, Path(path))


def _name_and_path(word: str) -> tuple[str, Path]:
    from lfbuild.cli.words import refused

    name, equals, path = word.partition("=")
    if not equals or not name or not path:
        raise refused("swap", f"'{word}' is no NAME=PATH", hint="as in --file LICENSE=license.txt")
    return name, Path(path)


def _verb_and_words(word: str) -> tuple[str, str]:
    match = _VERB_AND_WORDS.fullmatch(word)
    return (match[1], match[2]) if match else ("", word)


def _blocks(swapped: Swapped, *, quiet: bool) -> list[Block]:
    """Each change and where its bytes go, then what was written; notes of what was done are told while it is done."""
    from lfbuild.cli.render import Cell, Column, Table
    from lfbuild.report import size_words

    columns = [Column(title="change"), Column(title="how"), Column(title="size", right=True)]
    rows = [[item.what, item.how, size_words(item.bytes) if item.bytes else ""] for item in swapped.changes]
    notes = [] if quiet or swapped.done else [Cell(f"note: {note}", "warn") for note in swapped.notes]
    if swapped.way == "nothing":
        return [*notes, Cell(f"{swapped.output}: is so already, nothing is written", "good")]
    written = f"{size_words(swapped.written_bytes)} {'written' if swapped.done else 'would be written'}"
    shared = f", {size_words(swapped.shared_bytes)} shared with the old file" if swapped.shared_bytes else ""
    verdict = f"{swapped.output}: generation {swapped.generation}, {swapped.way}: {written}{shared}"
    return [Table(columns=columns, rows=rows), "", *notes, Cell(verdict, "good") if swapped.done else verdict]
