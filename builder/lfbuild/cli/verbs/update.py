"""`lfbuild update FILE [URL]`: the newer release, and only what changed comes over the line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.cli import values

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.render import Block
    from lfbuild.cli.words import Parser, Subparsers
    from lfbuild.commands.update_words import Update

EXAMPLES = """\
  lfbuild update chat.llamafile                              from the address that the file names
  lfbuild update chat.llamafile --check                      is there a newer one, and what would move
  lfbuild update chat.llamafile https://example.org/chat/    from a folder of a server
  lfbuild update chat.llamafile s3://bucket/chat.llamafile   from a store (pip install "lfbuild[s3]")
  lfbuild update chat.llamafile --seed ~/models --limit 2M   blocks of other files serve too; 2 MiB a second
  lfbuild update chat.llamafile --repair                     read all of it, and fetch what is damaged anew
  lfbuild update chat.llamafile --give-up                    remove what an interrupted update keeps for going on"""

_WAYS = {"ranges": "ranges of what is missing", "delta": "published difference", "whole": "whole file"}


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `update`."""
    parser = subparsers.add(
        "update",
        summary="make a file the newer release; only what changed is fetched",
        description="Looks at the control file of a release (`lfbuild index` makes it), copies what is here, fetches "
        "the rest,\nchecks every block as it comes and the whole at the end, and replaces FILE last. Interrupted, it "
        "goes on where it\nstopped. What FILE is, it tells itself; with --repair every byte of it is read. With "
        "--check, exit code 0: FILE\nis what the release is; 10: it is something else, or with --repair, damaged.",
        examples=EXAMPLES,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the file to update; it may be absent if URL is given")
    parser.add_argument(
        "url",
        nargs="?",
        default="",
        metavar="URL",
        help="the release, its .lfindex, or a folder/ (default: FILE knows)",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--check", action="store_true", help="only tell what would move; change nothing")
    instead.add_argument(
        "--give-up", action="store_true", help="only remove what an interrupted update of FILE keeps for going on"
    )
    parser.add_argument(
        "--seed",
        action="append",
        type=Path,
        default=[],
        metavar="PATH",
        help="a file, or a folder of files, whose blocks may serve; may be said more than once",
    )
    parser.add_argument(
        "--repair", action="store_true", help="read all of FILE first, so that what is damaged is fetched anew"
    )
    parser.add_argument(
        "--another",
        action="store_true",
        help="let FILE become a release that has another name than FILE gives itself, or none",
    )
    parser.add_argument("--keep-old", action="store_true", help="keep the old file as FILE.old")
    parser.add_argument(
        "--in-place",
        action="store_true",
        help="write only what differs into FILE itself, under a journal; nobody may use it meanwhile",
    )
    parser.add_argument(
        "--limit", metavar="RATE", type=values.some_bytes, help="fetch at most so many bytes a second: 500k, 2M"
    )
    parser.add_argument(
        "--at-most", metavar="SIZE", type=values.some_bytes, help="refuse to fetch more than this: 100M, 2G"
    )
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Update, or only look."""
    from lfbuild.commands.update import NEWER_EXIT_CODE, UpdateOrder, check_for_update, update
    from lfbuild.fetch.pace import Clock
    from lfbuild.fetch.parallel import Manners

    if arguments.give_up:
        return _give_up(arguments, context)
    order = UpdateOrder(
        path=arguments.file,
        url=arguments.url,
        seeds=tuple(arguments.seed),
        keep_old=arguments.keep_old,
        in_place=arguments.in_place,
        repair=arguments.repair,
        another=arguments.another,
        at_most_bytes=arguments.at_most,
    )
    outcome = (check_for_update if arguments.check else update)(
        order,
        network=context.settings().network(),
        manners=Manners(clock=Clock(now=time.monotonic), limit_bytes_per_s=arguments.limit),
        threads=context.cores(),
        report=context.report,
    )
    context.output.show(_document(outcome), *_blocks(outcome))
    return NEWER_EXIT_CODE if arguments.check and not outcome.is_current else 0


def _give_up(arguments: argparse.Namespace, context: Context) -> int:
    from dataclasses import asdict

    from lfbuild.cli.render import Cell
    from lfbuild.cli.words import refused
    from lfbuild.commands.update import give_up
    from lfbuild.fetch.network import without_secrets
    from lfbuild.report import size_words

    flags = ("seed", "repair", "another", "keep_old", "in_place", "limit", "at_most")
    url = without_secrets(arguments.url) if "://" in arguments.url else arguments.url
    words = (url, *(f"--{flag.replace('_', '-')}" for flag in flags if getattr(arguments, flag)))
    if others := [word for word in words if word]:
        what = f"--give-up updates nothing, so {others[0]} has no place beside it"
        raise refused("update", what, hint="leave one of them out")
    outcome = give_up(arguments.file)
    told = f"{size_words(outcome.freed_bytes)} were freed" if outcome.freed_bytes else "no update had left anything"
    context.output.show(asdict(outcome), Cell(f"{outcome.path}: {told}", "good"))
    return 0


def _document(outcome: Update) -> dict[str, object]:
    from dataclasses import fields

    document = {field.name: getattr(outcome, field.name) for field in fields(outcome)}
    document["routes"] = [
        {"kind": route.kind, "bytes": route.body_bytes, "requests": route.requests, "seconds": round(route.seconds, 2)}
        for route in outcome.routes
    ]
    return document


def _blocks(outcome: Update) -> list[Block]:
    from lfbuild.cli.render import Cell, Column, Table, time_words
    from lfbuild.report import size_words

    what = " ".join(word for word in (outcome.name, outcome.version) if word) or "the release"
    if outcome.is_current:
        read = "every byte of it was read" if outcome.is_read else "whether it is whole, `lfbuild verify` tells"
        return [Cell(f"{outcome.path}: is {what}, the newest there is; {read}", "good")]
    if outcome.is_done:
        saved = size_words(max(outcome.size_bytes - outcome.body_bytes, 0))
        fetched = f"{size_words(outcome.body_bytes)} were fetched, {saved} were not"
        before = f", and was {outcome.here}" if outcome.here_name and outcome.here != outcome.there else ""
        return [Cell(f"{outcome.path}: is now {what}{before}; {fetched}", "good")]
    rows = [
        (_WAYS[route.kind], size_words(route.body_bytes), str(route.requests), time_words(route.seconds))
        for route in outcome.routes
    ]
    columns = (Column(title="way"), Column(title="bytes", right=True), Column(title="requests", right=True))
    speed = f"{size_words(int(outcome.assumed_bytes_per_s))}/s"
    here = size_words(outcome.copied_bytes + outcome.kept_bytes)
    return [
        f"{outcome.path}: {outcome.comparison}; {here} of it are here",
        Table(columns=(*columns, Column(title=f"at an assumed {speed}", right=True)), rows=rows),
    ]
