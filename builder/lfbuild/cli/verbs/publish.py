"""`lfbuild publish FILE FOLDER`: a release where others find it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from lfbuild.cli.context import Context
    from lfbuild.cli.words import Parser, Subparsers

EXAMPLES = """\
  lfbuild publish chat.llamafile /srv/www/chat     into a folder that a web server serves
  lfbuild publish chat.llamafile s3://bucket/chat  into an S3-compatible store (pip install "lfbuild[s3]")"""


def add(subparsers: Subparsers) -> Parser:
    """Add the words of `publish`."""
    parser = subparsers.add(
        "publish",
        summary="put a release into a folder or a store, for `update` to find",
        description="Puts FILE and its control file where `lfbuild update` finds them, the control file last: at "
        "every\nmoment others see one whole release. Older ones stay, for updates that are under way.",
        examples=EXAMPLES,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a llamafile, a GGUF, or any other file")
    parser.add_argument("folder", metavar="FOLDER", help="a folder, or s3://BUCKET/PATH (AWS_ENDPOINT_URL: the store)")
    parser.add_argument(
        "--delta",
        action="append",
        type=Path,
        default=[],
        metavar="DELTA",
        help="a difference to FILE (`lfbuild diff`); may be said more than once",
    )
    return parser


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Publish, and tell the address."""
    from lfbuild.commands.publish import publish
    from lfbuild.fetch.remote import local_path

    published = publish(
        context.settled(arguments.file),
        arguments.folder,
        network=context.settings().network(),
        threads=context.cores(),
        report=context.report,
        deltas=arguments.delta,
    )
    where = "" if local_path(published.url) is not None else ", and `[update]` of a recipe names"
    context.output.show(published, f"{published.url}: is what `lfbuild update` takes{where}")
    return 0
