"""The bytes of a download that is not complete yet, their hash so far, and what proves that they may be continued.

Beside the bytes stands a small JSON file with what the server said of them. Nothing is flushed here: bytes that a
power cut took are found by the sha256 of the whole.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

READ_BYTES = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """Which version of a file the server is sending."""

    url: str
    validator: str | None = None
    """A strong ETag, or a date of change: what If-Range takes."""
    total_bytes: int | None = None


class PartialFile:
    """An open file that grows at its end, hashed as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes = 0
        self._note = path.with_suffix(".json")
        self._hash = hashlib.sha256()
        self._file: BinaryIO = path.open("a+b", buffering=0)

    def __enter__(self) -> Self:
        self._file.seek(0)
        while data := self._file.read(READ_BYTES):
            self._hash.update(data)
            self.size_bytes += len(data)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def sha256(self) -> str:
        """The hash of all bytes so far."""
        return self._hash.hexdigest()

    def recall(self) -> Version | None:
        """What the server said of these bytes when they came."""
        try:
            note = json.loads(self._note.read_bytes())
            return Version(url=str(note["url"]), validator=note["validator"], total_bytes=note["total_bytes"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remember(self, version: Version) -> None:
        """Keep what the server says, before the first byte."""
        note = {"url": version.url, "validator": version.validator, "total_bytes": version.total_bytes}
        self._note.write_text(json.dumps(note))

    def append(self, data: bytes) -> None:
        """Add bytes at the end.

        Raises:
            OSError: the disk is full, or fails; what was written before stays.
        """
        view = memoryview(data)
        while view:
            count = self._file.write(view)
            self._hash.update(view[:count])
            self.size_bytes += count
            view = view[count:]

    def restart(self) -> None:
        """Throw all bytes away."""
        self._file.truncate(0)
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def forget(self) -> None:
        """Remove what the server said; the bytes are complete, or of no use."""
        self._note.unlink(missing_ok=True)
