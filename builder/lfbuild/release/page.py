"""The page of a release, for people: what to download, its checksum, what changed. One file, without scripts."""

from __future__ import annotations

import shlex
from importlib import resources
from typing import TYPE_CHECKING, Final

from lfbuild.release.bom import BOM_SUFFIX
from lfbuild.release.changes import changes
from lfbuild.release.notes import NOTES_NAME, facts_of
from lfbuild.release.provenance import PROVENANCE_SUFFIX
from lfbuild.release.sums import SUMS_NAME
from lfbuild.report import size_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lfbuild.release.facts import ReleaseFacts

PAGE_NAME: Final = "index.html"


def page_text(release: ReleaseFacts, previous: Sequence[ReleaseFacts]) -> str:
    """The page; everything that a file says of itself is escaped."""
    import jinja2

    template = resources.files("lfbuild.release").joinpath("templates", "page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"size": size_words, "shell": shlex.quote}
    return environment.from_string(template).render(
        release=release,
        files=[
            {
                "file": file,
                "facts": list(facts_of(file)),
                "since": [
                    {"version": earlier.version or earlier.sha256[:12], "changes": changes(earlier, file)}
                    for it in previous
                    if (earlier := it.file(file.name))
                ],
            }
            for file in release.files
        ],
        bom_suffix=BOM_SUFFIX,
        provenance_suffix=PROVENANCE_SUFFIX,
        notes_name=NOTES_NAME,
        sums_name=SUMS_NAME,
    )
