"""`recover`: finishes or drops an edit in place that was interrupted; other verbs do so too where they may write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfbuild.host.files import real_path
from lfbuild.manifest.settle import settle, settle_for_reading

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.manifest.settle import Settled
    from lfbuild.report import Report

WORDS: dict[Settled, str] = {
    "finished": "an edit had been interrupted, and was finished",
    "undone": "an edit had been interrupted before it began, and was dropped",
    "cleared": "an edit had been interrupted, and what it left was cleared",
}


def recover(path: Path) -> Settled | None:
    """Bring a file to rest; None if there was nothing to do.

    Raises:
        FormatError: it cannot be finished, as the journal is damaged or of another file.
        HostError: it is in use, or the disk refuses.
    """
    return settle(real_path(path))


def settled(path: Path, *, report: Report, for_reading: bool = False) -> Path:
    """The path without links, once the file is at rest; one note tells if something had to be done.

    Raises:
        FormatError, HostError: as in `recover`; of readers only if the file cannot be read before.
    """
    path = real_path(path)
    outcome = settle_for_reading(path) if for_reading else settle(path)
    if outcome:
        report.note(f"{path.name}: {WORDS[outcome]}")
    return path
