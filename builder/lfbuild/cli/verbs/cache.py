"""`lfbuild cache list|prune`: what is kept on this machine, and less of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfbuild.cli import values

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.render import Table
    from lfbuild.cli.words import Parser, Subparsers
    from lfbuild.commands.cache import Kept

_KEY_DIGITS = 12
EXAMPLES = """\
  lfbuild cache list
  lfbuild cache prune --older-than 30d --dry-run   tell what was not used for 30 days
  lfbuild cache prune --max-size 20G               drop the longest unused until 20 GiB are left
  lfbuild cache prune --all"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `cache`."""
    parser = subparsers.add(
        "cache",
        summary="list what is kept on this machine, or make it less",
        description="Lists the downloads, source trees, engines, toolchains and logs that are kept, or removes some.\n"
        "Everything in the cache can be made or fetched again.",
        examples=EXAMPLES,
    )
    parser.add_argument("action", choices=("list", "prune"), metavar="list|prune", help="what to do with the cache")
    parser.add_argument(
        "--older-than", type=values.age_seconds, metavar="AGE", help="prune: what was not used for AGE (12h, 30d, 8w)"
    )
    parser.add_argument(
        "--max-size", type=values.size_bytes, metavar="SIZE", help="prune: the longest unused, until SIZE is left (20G)"
    )
    parser.add_argument("--all", action="store_true", help="prune: everything")
    parser.add_argument("-n", "--dry-run", action="store_true", help="prune: tell what would go, and remove nothing")
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """List or prune."""
    return _list(context) if arguments.action == "list" else _prune(arguments, context)


def _list(context: Context) -> int:
    from lfbuild.cli.render import Cell
    from lfbuild.commands.cache import list_cache
    from lfbuild.report import size_words

    listing = list_cache(context.settings())
    if not listing.kept:
        context.output.show(listing, Cell(f"{listing.folder} is empty: nothing was fetched or compiled yet", "quiet"))
        return 0
    total = f"{size_words(listing.size_bytes)} in {_entries(len(listing.kept))} in {listing.folder}"
    context.output.show(listing, _table(listing.kept, now=context.now), total)
    return 0


def _prune(arguments: argparse.Namespace, context: Context) -> int:
    from lfbuild.cli.words import refused
    from lfbuild.commands.cache import prune_cache
    from lfbuild.report import size_words

    if not (arguments.all or arguments.older_than or arguments.max_size is not None):
        raise refused(
            "cache prune",
            "what may go is missing",
            hint="add --older-than AGE, --max-size SIZE or --all (and --dry-run)",
        )
    pruned = prune_cache(
        context.settings(),
        older_than_s=0.0 if arguments.all else arguments.older_than,
        max_bytes=0 if arguments.all else arguments.max_size,
        dry_run=arguments.dry_run,
    )
    verb = "would free" if arguments.dry_run else "freed"
    left = f"{size_words(pruned.left_bytes)} left"
    told = f"{verb} {size_words(pruned.freed_bytes)} of {_entries(len(pruned.removed))}; {left}"
    blocks = [_table(pruned.removed, now=context.now)] if pruned.removed else []
    context.output.show(pruned, *blocks, told)
    return 0


def _table(kept: tuple[Kept, ...], *, now: float) -> Table:
    from lfbuild.cli.render import Column, Table, age_words
    from lfbuild.report import size_words

    columns = [
        Column(title="kind"),
        Column(title="size", right=True),
        Column(title="last used"),
        Column(title="key"),
        Column(title="what"),
    ]
    rows = [
        (it.kind, size_words(it.size_bytes), age_words(now - it.last_used), _key(it), it.about or it.name)
        for it in kept
    ]
    return Table(columns=columns, rows=rows)


def _key(kept: Kept) -> str:
    """As much of an engine's key as `swap --engine` needs; of other things nothing takes one."""
    return kept.name[:_KEY_DIGITS] if kept.kind == "engine" else ""


def _entries(number: int) -> str:
    return f"{number} {'entry' if number == 1 else 'entries'}"
