"""The words a user may type: verbs, the options that hold everywhere, and what was meant by a word that is neither.

Each verb adds its own arguments (`verbs/NAME.py`). A refusal here is a `RecipeError`, as a recipe's is: exit code 2.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from importlib import import_module
from itertools import islice
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TextIO, cast

from lfbuild import __version__
from lfbuild.errors import Problem, RecipeError, command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lfbuild.cli.context import Context

VERBS = (
    "new",
    "build",
    "plan",
    "lock",
    "inspect",
    "list",
    "extract",
    "verify",
    "swap",
    "import",
    "compact",
    "convert-back",
    "recover",
    "diff",
    "apply",
    "squash",
    "index",
    "publish",
    "update",
    "release",
    "reproduce",
    "toolchain",
    "cache",
    "doctor",
    "schema",
    "completion",
)

VALUE_OPTIONS = frozenset({"--cache-dir", "-o", "--output", "-j", "--jobs", "--launcher", "--target", "--depfile"})
"""Options of `build` whose next word is their value, so that it is not taken for a recipe."""

EXAMPLES = """\
examples:
  lfbuild new model.gguf          write a recipe for a model: model.toml
  lfbuild model.toml              build the file it describes: model.llamafile
  ./model.llamafile               talk to it
  lfbuild verify model.llamafile  check every byte of it
  lfbuild swap model.llamafile --engine newer.llamafile
                                  give it another engine, and keep everything else
  lfbuild doctor                  see what this machine can build

`lfbuild VERB --help` tells a verb's own options and examples."""


COMMAND_LINE = "command line"
"""Where a refusal happened that belongs to no verb."""


_NO_VALUE = re.compile(r"argument (?:-[a-z]/)?(--[a-z-]+): expected one argument")


class Verb(Protocol):
    """What every module in `verbs/` offers."""

    def add(self, subparsers: Subparsers, /) -> Parser:
        """Add the verb's own arguments."""

    def run(self, arguments: argparse.Namespace, context: Context, /) -> int:
        """Carry the verb out and return the exit code."""


class Parser(argparse.ArgumentParser):
    """An argparse parser that refuses as the rest of lfbuild does, and shows examples as they were written."""

    def __init__(self, **settings: Any) -> None:  # newer Pythons hand more of them to a verb's parser
        super().__init__(
            **settings,
            allow_abbrev=False,  # an abbreviation that works today is ambiguous tomorrow
            formatter_class=_HelpFormatter,
            add_help=False,
        )

    def error(self, message: str) -> NoReturn:
        """Refuse with argparse's sentence, and say where the right words stand."""
        hint = _help_of(self.prog)
        if found := _NO_VALUE.fullmatch(message):
            hint = f"a value that begins with a dash follows an equals sign, as in {found[1]}='-…'; {hint}"
        raise refused(self.prog.removeprefix("lfbuild ").replace("lfbuild", COMMAND_LINE), message, hint=hint)


class Once(argparse.Action):
    """Keeps a value, and refuses a second one: of two that contradict each other none is taken in silence."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        """Keep the value."""
        if getattr(namespace, self.dest, self.default) is not self.default:
            parser.error(f"{option} is given more than once")
        setattr(namespace, self.dest, values)


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Shows examples as they were written, and finds the width without importing shutil and its compressors."""

    def __init__(self, prog: str) -> None:
        try:
            columns = os.get_terminal_size(sys.stdout.fileno()).columns
        except (OSError, ValueError):
            columns = 100
        super().__init__(prog, width=max(min(columns, 100) - 2, 40), max_help_position=28)


class Subparsers:
    """Where a verb adds itself; it gets the options that hold everywhere without asking."""

    def __init__(self, parser: Parser) -> None:
        self._action = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs", parser_class=Parser)
        self.parsers: dict[str, Parser] = {}
        self.summaries: dict[str, str] = {}

    def add(self, name: str, *, summary: str, description: str = "", examples: str) -> Parser:
        """Add one verb: `summary` is its line in `lfbuild --help`; description and examples stand in its own help."""
        epilog = f"examples:\n{examples}"
        parser = self._action.add_parser(name, help=summary, description=description or summary, epilog=epilog)
        self.parsers[name], self.summaries[name] = parser, summary
        return parser


def parse(given: Sequence[str]) -> argparse.Namespace:
    """The command line as a namespace; its `verb` is always one of `VERBS`."""
    parser, subparsers = make_parser()
    arguments, left_over = parser.parse_known_args(_options_first(_with_verb(given), subparsers.parsers))
    if arguments.verb is None:
        raise refused(COMMAND_LINE, "a verb or a recipe is missing", hint=_help_of("lfbuild"))
    if left_over:
        raise _refuse_left_over(arguments.verb, left_over, subparsers.parsers[arguments.verb])
    return arguments


def make_parser() -> tuple[Parser, Subparsers]:
    """The whole grammar; shell completion reads it too."""
    parser = Parser(
        prog="lfbuild",
        description="Turns a language model into one file that runs anywhere, and keeps that file alive.\n"
        "`lfbuild RECIPE.toml` is short for `lfbuild build RECIPE.toml`.",
        epilog=EXAMPLES,
    )
    subparsers = Subparsers(parser)
    for name in VERBS:
        _add_options_everywhere(verb_module(name).add(subparsers), default=argparse.SUPPRESS)
    group = _add_options_everywhere(parser, default=None)
    group.add_argument("--version", action="version", version=f"lfbuild {__version__}", help="show the version")
    return parser, subparsers


def verb_module(name: str) -> Verb:
    """The module that knows the verb; importing it imports no command."""
    module = name.replace("-", "_") + ("_" if iskeyword(name) else "")
    return cast("Verb", import_module(f"lfbuild.cli.verbs.{module}"))


def refused(where: str, what: str, *, hint: str = "") -> RecipeError:
    """A refusal of the words on the command line."""
    return RecipeError(where, [Problem(where=where, key="", what=what)], hint=hint)


def fill_closed_streams() -> None:
    """Have something behind descriptors 0 to 2: who starts programs by cron or as a daemon may have closed them.

    The next file that is opened would else stand there, and what a compiler prints would be written into it.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "w" if descriptor else "r", closefd=False))


def never_fail_on_a_letter(stream: TextIO) -> None:
    """A name that the terminal's encoding cannot write is shown with escapes, instead of ending the program."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def _add_options_everywhere(parser: Parser, *, default: str | None) -> argparse._ArgumentGroup:
    # A verb's copy is suppressed when it is not given: it would else overwrite `lfbuild --json VERB` with its default.
    flag = False if default is None else default
    group = parser.add_argument_group("options that hold everywhere")
    group.add_argument("-h", "--help", action="help", help="show this help")
    group.add_argument(
        "--json", action="store_true", default=flag, help="results as JSON on stdout, progress as JSON lines on stderr"
    )
    group.add_argument("-q", "--quiet", action="store_true", default=flag, help="no progress and no notes, only errors")
    group.add_argument("-v", "--verbose", action="store_true", default=flag, help="a traceback with an error")
    group.add_argument(
        "--cache-dir", type=Path, metavar="FOLDER", default=default, help="where downloads and engines are kept"
    )
    group.add_argument("--offline", action="store_true", default=flag, help="take nothing from the network")
    return group


def _with_verb(given: Sequence[str]) -> list[str]:
    """`lfbuild RECIPE` becomes `lfbuild build RECIPE`; a first word that is nothing we know is refused."""
    first = first_word(given)
    if first is None or first in VERBS:
        return list(given)
    path = Path(first)
    if first.endswith(".gguf"):
        raise refused(
            first,
            "this is a model, and lfbuild builds from a recipe",
            hint=f"`{command('new', first)}` writes one for it",
        )
    if path.suffix == ".toml" or path.is_file():
        return ["build", *given]
    if path.is_dir():
        raise refused(first, "this is a folder, and lfbuild builds from a recipe", hint="name the .toml file in it")
    what = f"'{first}' is neither a verb nor a recipe{_meant(first, VERBS)}"
    raise refused(COMMAND_LINE, what, hint=_help_of("lfbuild"))


def first_word(given: Sequence[str]) -> str | None:
    """The word that is no option and no option's value: a verb, or a recipe."""
    is_value = False
    for word in given:
        if not is_value and not word.startswith("-"):
            return word
        is_value = not is_value and word in VALUE_OPTIONS
    return None


def _options_first(given: Sequence[str], parsers: Mapping[str, Parser]) -> list[str]:
    """A verb's options before its other words, as older Pythons find none of these behind an option.

    They give a word that may be absent up at the first option, so `extract FILE -d FOLDER MEMBER` has one too many.
    """
    verb = next((at for at, word in enumerate(given) if word in parsers), None)
    if verb is None:
        return list(given)
    table = parsers[given[verb]]._option_string_actions
    options, others, left = list[str](), list[str](), iter(given[verb + 1 :])
    for word in left:
        if word == "--":
            others += [word, *left]
        elif _is_option(word, table):
            options += [word, *(islice(left, 1) if _takes_next_word(word, table) else ())]
        else:
            others.append(word)
    return [*given[: verb + 1], *options, *others]


def _is_option(word: str, table: Mapping[str, argparse.Action]) -> bool:
    """As argparse sees it: a text with spaces is none unless a known option is in front."""
    return word.startswith("-") and word != "-" and (" " not in word or word.partition("=")[0] in table)


def _takes_next_word(option: str, table: Mapping[str, argparse.Action]) -> bool:
    """Whether the value of an option is the next word: `-o OUT` and `-qo OUT`, but not `-oOUT` or `--output=OUT`."""
    if option in table:
        return table[option].nargs is None
    if option.startswith("--"):
        return False
    for at, letter in enumerate(option[1:], start=2):
        action = table.get(f"-{letter}")
        if action is None or action.nargs is None:
            return action is not None and at == len(option)
    return False


def _refuse_left_over(verb: str, left_over: Sequence[str], parser: Parser) -> RecipeError:
    word = left_over[0]
    options = [option for action in parser._actions for option in action.option_strings]
    meant = _meant(word.partition("=")[0], options) if word.startswith("-") else ""
    what = f"unknown option '{word}'{meant}" if word.startswith("-") else f"'{word}' is one word too many"
    return refused(verb, what, hint=_help_of(f"lfbuild {verb}"))


def _help_of(program: str) -> str:
    return f"`{program} --help` shows what can stand here"


def _meant(word: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1)
    return f", did you mean '{close[0]}'?" if close else ""
