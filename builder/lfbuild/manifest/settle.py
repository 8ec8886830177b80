"""Brings a file to rest that was being changed in place when something stopped it: finished, or as it was before.

A complete journal is carried out, one that was never completed is dropped. What then belongs to nothing (a tail without
end records, an engine that was written into the room, what an edit had not cleared yet) becomes zero, or is cut off. A
file with any other fault is left as it is: that is for `verify` to tell.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO, Literal

from lfbuild.archive.journal import finish_journal, is_journal_complete
from lfbuild.archive.reader import Reader
from lfbuild.errors import HostError
from lfbuild.host.files import host_error
from lfbuild.host.inplace import clear_range, flush, had_alone, has_journal
from lfbuild.host.unnamed import drop_abandoned
from lfbuild.manifest.verify import gaps, load_manifest, verify_structure

if TYPE_CHECKING:
    from pathlib import Path

Settled = Literal["finished", "undone", "cleared"]
"""An edit was finished; one that had not begun was dropped; leftovers of one were cleared."""


def settle(path: Path) -> Settled | None:
    """Bring `path` to rest, whoever stopped in the middle; None if there was nothing to do.

    Raises:
        HostError: it is in use, or the disk refuses.
        FormatError: it is no file of this kind, or cannot be finished.
    """
    try:
        drop_abandoned(path)
    except OSError as error:
        raise host_error(path.parent, error) from error
    journal = has_journal(path)
    if not journal and not _has_leftovers(path):
        return None
    with had_alone(path) as file:
        outcome = finish_journal(path, file) if journal else None
        cleared = _clear_leftovers(path, file)
    return outcome or ("cleared" if cleared else None)


def settle_for_reading(path: Path) -> Settled | None:
    """Finish what has to be finished before anybody may read `path`; what can wait is left for the next edit.

    Raises:
        HostError: the journal cannot be carried out, and the file is no whole one without it.
        FormatError: likewise.
    """
    if not has_journal(path):
        return None
    try:
        return settle(path) if is_journal_complete(path) else None
    except HostError:
        if is_under_way(path):
            raise
        return None  # somebody who may not write can still read the version that counts


def is_under_way(path: Path) -> bool:
    """Whether the end of the file says that it may not be used before a journal was carried out."""
    with Reader.open(path) as reader:
        return reader.seal is not None and reader.seal.state == "redo"


def _has_leftovers(path: Path) -> bool:
    with Reader.open(path) as reader:
        return _only_leftovers(reader)


def _only_leftovers(reader: Reader) -> bool:
    """Whether bytes that belong to nothing are all that is wrong with the structure of a file of ours."""
    ours = load_manifest(reader)
    if ours is None:
        return False
    findings = list(verify_structure(reader, *ours))
    return bool(findings) and all(finding.leftover for finding in findings)


def _clear_leftovers(path: Path, file: BinaryIO) -> bool:
    reader = Reader(path, file)
    ours = load_manifest(reader)
    if ours is None or not _only_leftovers(reader):
        return False
    end = reader.directory.end_offset + reader.directory.end_size_bytes
    try:
        for start, stop in gaps(reader, ours[0]):
            if any(reader.read_at(start, stop - start)):
                clear_range(reader.descriptor, start, stop - start)
        os.ftruncate(reader.descriptor, end)
        flush(reader.descriptor)
    except OSError as error:
        raise host_error(path, error) from error
    return True
