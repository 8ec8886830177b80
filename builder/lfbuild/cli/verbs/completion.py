"""`lfbuild completion SHELL`: a script that teaches a shell our words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers

EXAMPLES = """\
  lfbuild completion bash > ~/.local/share/bash-completion/completions/lfbuild
  lfbuild completion zsh > ~/.zfunc/_lfbuild    with ~/.zfunc on fpath
  lfbuild completion tcsh > ~/.lfbuild.tcsh     and `source ~/.lfbuild.tcsh` in ~/.cshrc"""

SHELLS = ("bash", "zsh", "tcsh")


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `completion`."""
    parser = subparsers.add(
        "completion",
        summary="print a completion script for bash, zsh or tcsh",
        description="Prints a script that lets a shell complete verbs, options, recipes and files.",
        examples=EXAMPLES,
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help="bash, zsh or tcsh")
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Print the script."""
    import shtab

    from lfbuild.cli.words import make_parser

    parser, subparsers = make_parser()
    completing = completers()
    for action in _actions(parser, *subparsers.parsers.values()):
        if isinstance(action.metavar, str) and action.metavar in completing:
            action.complete = completing[action.metavar]  # type: ignore[attr-defined]  # shtab reads it there
    for name, verb in subparsers.parsers.items():
        verb.description = subparsers.summaries[name]  # zsh shows it beside the verb, and has room for a line
    script = shtab.complete(parser, shell=arguments.shell)
    # `lfbuild chat.toml` needs no verb: where no word of ours fits, bash offers files.
    context.output.write(script.replace("complete -o bashdefault -F", "complete -o bashdefault -o default -F") + "\n")
    return 0


def completers() -> dict[str, dict[str, str | dict[str, str]]]:
    """What completes a word, by its metavar: a verb need not import shtab to say it."""
    import shtab

    return {
        "RECIPE": shtab.glob("*.toml"),
        "MODEL": shtab.glob("*.gguf"),
        "DELTA": shtab.glob("*.lfdelta"),
        "FILE": shtab.FILE,
        "OLD": shtab.FILE,
        "NEW": shtab.FILE,
        "OUT": shtab.FILE,
        "PATH": shtab.FILE,
        "ENGINE": shtab.FILE,
        "FOLDER": shtab.DIRECTORY,
    }


def _actions(*parsers: Parser) -> Iterator[argparse.Action]:
    for parser in parsers:
        yield from parser._actions
