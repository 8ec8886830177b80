"""`lfbuild build RECIPE`, or just `lfbuild RECIPE`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.cli import values

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers
    from lfbuild.commands.build import Built
    from lfbuild.commands.choice import Choice
    from lfbuild.host.machine import Machine

EXAMPLES = """\
  lfbuild chat.toml                      the short form
  lfbuild build chat.toml -o chat.llamafile
  lfbuild build chat.toml --locked       only with the hashes that `lfbuild lock` wrote down
  lfbuild build chat.toml --target linux-x86_64
  lfbuild build chat.toml --launcher ccache -j 8"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `build`."""
    parser = subparsers.add(
        "build",
        summary="make the file that a recipe describes",
        description="Makes the one runnable file that a recipe describes.\n"
        "What was fetched or compiled before is reused.",
        examples=EXAMPLES,
    )
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="the recipe, a TOML file")
    parser.add_argument(
        "-o", "--output", type=values.output, metavar="OUT", help="where to write (default: the recipe's `output`)"
    )
    add_build_options(parser)
    parser.add_argument(
        "-j", "--jobs", type=values.count, metavar="N", help="compile N files at once (default: the cores usable here)"
    )
    return parser


def add_build_options(parser: Parser) -> None:
    """Options that decide how a recipe is carried out; `plan` takes them too."""
    parser.add_argument("--locked", action="store_true", help="refuse whatever differs from the recipe's lock file")
    parser.add_argument(
        "--target",
        dest="targets",
        action="append",
        default=[],
        metavar="TARGET",
        help="only for this of the recipe's systems, such as linux-x86_64, or host; may be said more than once",
    )
    parser.add_argument(
        "--depfile",
        type=values.output,
        metavar="FILE",
        help="write there, for make and its like, what the file is made from",
    )
    parser.add_argument(
        "--launcher", metavar="PROGRAM", help="put ccache, sccache, distcc or icecc before the compiler"
    )


def choice_of(arguments: argparse.Namespace) -> Choice:
    """What these options choose."""
    from lfbuild.commands.choice import Choice

    return Choice(systems=tuple(arguments.targets), launcher=arguments.launcher)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Build, then tell where the file is and how to run it."""
    from lfbuild.cli.render import Facts
    from lfbuild.commands.build import build
    from lfbuild.report import size_words

    settings = context.settings()
    built = build(
        arguments.recipe,
        output=arguments.output,
        locked=arguments.locked,
        jobs=arguments.jobs or settings.jobs,
        choice=choice_of(arguments),
        depfile=arguments.depfile,
        epoch=settings.epoch,
        settings=settings,
        report=context.report,
    )
    size_bytes = built.path.stat().st_size
    document = {"path": built.path, "size_bytes": size_bytes, "beside": list(built.beside)}
    facts = [("made", str(built.path)), ("size", size_words(size_bytes)), _way_to_run(built, settings.machine)]
    facts += [("for Windows", str(path)) for path in built.beside]
    context.output.show(document, Facts(facts))
    return 0


def _way_to_run(built: Built, machine: Machine) -> tuple[str, str]:
    """The command that starts the file here, or where it has to be brought."""
    if machine.target in built.targets or "cosmo" in built.targets:
        return "run it", _runnable(built.path)
    is_lacking_its_name = built.path.suffix != ".exe" and any(name.startswith("windows-") for name in built.targets)
    named = f" (on Windows as {built.path.with_suffix('.exe').name})" if is_lacking_its_name else ""
    return "runs on", ", ".join(built.targets) + named


def _runnable(path: Path) -> str:
    """How a shell starts the file: a bare name would be looked for on PATH."""
    import shlex

    return shlex.quote(str(path) if len(path.parts) > 1 else f"./{path}")
