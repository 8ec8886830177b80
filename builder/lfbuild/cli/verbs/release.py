"""`lfbuild release RECIPE…`: files and all that goes with them, in one folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.cli import values

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers
    from lfbuild.commands.release import Released

EXAMPLES = """\
  lfbuild release chat.toml -o release
  lfbuild release chat.toml tiny.toml -o release --tag v1.2.0
  lfbuild release chat.toml -o release --previous ../v1.1.0 --previous ../v1.0.0   notes say what changed since
  lfbuild release chat.toml -o release --push oci://registry.example/acme/chat:1.2.0
  lfbuild release -o release --push oci://registry.example/acme/chat:1.2.0         one that is there already"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `release`."""
    parser = subparsers.add(
        "release",
        summary="make a folder of files, checksums, bills of materials, provenance and notes",
        description="Builds the files of recipes, by their locks where there are some, and writes what goes with a\n"
        "release beside them. The folder appears whole or not at all; the same recipes give the same bytes.\n"
        "Without a recipe, --push puts a folder that is there already into the registry.",
        examples=EXAMPLES,
    )
    parser.add_argument("recipes", type=Path, nargs="*", metavar="RECIPE", help="recipes, TOML files")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="the folder, not there yet")
    parser.add_argument(
        "--previous",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="an earlier release, the newest first: notes and page tell what changed since; may be said more than once",
    )
    parser.add_argument("--tag", default="", metavar="TAG", help="refuse recipes whose version is not that of the tag")
    parser.add_argument(
        "--push", default="", metavar="ADDRESS", help="put it into a registry too: oci://HOST/REPOSITORY:TAG"
    )
    parser.add_argument(
        "--builder", type=values.text, metavar="URI", help="who vouches for the build, in the provenance"
    )
    parser.add_argument(
        "--target",
        dest="targets",
        action="append",
        default=[],
        metavar="TARGET",
        help="only for this of the recipes' systems; may be said more than once",
    )
    parser.add_argument(
        "--launcher", metavar="PROGRAM", help="put ccache, sccache, distcc or icecc before the compiler"
    )
    parser.add_argument("-j", "--jobs", type=values.count, metavar="N", help="compile N files at once")
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Make the release, and tell what is in it."""
    from lfbuild.cli.render import Column, Table
    from lfbuild.report import size_words

    made = _made(arguments, context)
    rows = [[name, size_words((made.folder / name).stat().st_size)] for name in (*made.files, *made.documents)]
    columns = [Column(title=str(made.folder)), Column(title="size", right=True)]
    pushed = [f"{arguments.push} names {made.pushed} now"] if made.pushed else []
    context.output.show(made, Table(columns=columns, rows=rows), *pushed)
    return 0


def _made(arguments: argparse.Namespace, context: Context) -> Released:
    from lfbuild.cli.words import refused
    from lfbuild.commands.choice import Choice
    from lfbuild.commands.release import ReleaseOrder, push_made, release
    from lfbuild.release.provenance import LOCAL_BUILDER

    settings = context.settings()
    if not arguments.recipes:
        if not arguments.push:
            raise refused("release", "no recipe was named", hint="lfbuild release RECIPE… -o FOLDER")
        flags = {"previous": "--previous", "tag": "--tag", "builder": "--builder", "targets": "--target"}
        flags |= {"launcher": "--launcher", "jobs": "--jobs"}
        if others := [option for name, option in flags.items() if getattr(arguments, name)]:
            what = f"without a recipe nothing is made, so {others[0]} has no place beside --push"
            raise refused("release", what, hint="name a recipe, or leave it out")
        return push_made(arguments.output, arguments.push, settings=settings, report=context.report)
    return release(
        ReleaseOrder(
            recipes=tuple(arguments.recipes),
            folder=arguments.output,
            previous=tuple(arguments.previous),
            tag=arguments.tag,
            push=arguments.push,
            builder=arguments.builder or LOCAL_BUILDER,
            choice=Choice(systems=tuple(arguments.targets), launcher=arguments.launcher),
        ),
        jobs=arguments.jobs or settings.jobs,
        settings=settings,
        report=context.report,
    )
