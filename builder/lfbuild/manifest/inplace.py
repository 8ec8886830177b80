"""What is never written over where it stands: a launcher, and a signed file.

An engine that finds its file torn says so in a sentence. A launcher that is torn itself says nothing, or anything. What
a signature fills is no part of any block, and stands behind the end records, by which an edit is known to be finished.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfbuild.errors import FormatError, HostError, IntegrityError
from lfbuild.manifest.mapping import find_reader
from lfbuild.manifest.verify import load_manifest

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from lfbuild.manifest.filemap import FileMap


def launcher_refusal(where: str) -> HostError:
    """Why a launcher is not replaced."""
    what = "a launcher is not replaced in place: the file would not start if that was interrupted"
    return HostError(where, what, hint="without --in-place a new file is written")


def refuse_changed_launcher(path: Path, file: BinaryIO, old: FileMap, new: FileMap) -> None:
    """Refuse a new version that begins with another launcher than `file`, which `path` names.

    Raises:
        HostError: it does.
    """
    reader = find_reader(path, file)
    try:
        ours = load_manifest(reader) if reader else None
    except (FormatError, IntegrityError):
        return  # no launcher starts it as it is
    if ours is None or ours[0].head.kind != "launcher":
        return
    size = ours[0].head.size_bytes
    if _begins(old, size) != _begins(new, size):
        raise launcher_refusal(str(path))


def refuse_signed(where: str, *maps: FileMap) -> None:
    """Refuse to change a signed file, or to make one, in place.

    Raises:
        FormatError: one of these has something where a signature stands.
    """
    if any(any(hole.data) for found in maps for hole in found.holes):
        raise FormatError(where, "is signed, so it is not changed in place", hint="leave --in-place out")


def _begins(found: FileMap, size: int) -> tuple[object, ...]:
    """Everything before `size`."""
    return tuple(part for part in (*found.parts, *found.holes) if part.offset < size)
