"""Files on this machine: used where they are, hashed once, and hashed again as soon as anything about them changes.

A model of 20 GB is neither copied into the store nor read at every build: its hash is remembered with its size, date
and number on the disk.
"""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.errors import FetchError, HostError
from lfbuild.host.files import host_error

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from lfbuild.report import Report
    from lfbuild.store import Store

CHUNK_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class HashedFile:
    """A local file and its hash."""

    path: Path
    size_bytes: int
    sha256: str


def hash_local(path: Path, *, store: Store, report: Report) -> HashedFile:
    """The hash of a local file, from memory if the file is the same as when it was last read.

    Raises:
        FetchError: there is no such file.
        HostError: it cannot be read, or is being changed.
    """
    before = _look_at(path)
    name = f"file {path}"
    state = [before.st_size, before.st_mtime_ns, before.st_ino, before.st_dev]
    known = store.recall(name)
    if known is not None and known.get("state") == state and isinstance(known.get("sha256"), str):
        return HashedFile(path=path, size_bytes=before.st_size, sha256=known["sha256"])
    sha256 = _read(path, before.st_size, report)
    after = _look_at(path)
    if [after.st_size, after.st_mtime_ns, after.st_ino, after.st_dev] != state:
        raise HostError(path, "was changed while it was read", hint="run again once it is complete")
    store.remember(name, {"state": state, "sha256": sha256})
    return HashedFile(path=path, size_bytes=before.st_size, sha256=sha256)


def _look_at(path: Path) -> os.stat_result:
    try:
        facts = path.stat()
    except FileNotFoundError as error:
        raise FetchError(path, "does not exist", hint="check the path") from error
    except OSError as error:
        raise host_error(path, error) from error
    if not stat.S_ISREG(facts.st_mode):
        raise FetchError(path, "is not a file", hint="check the path")
    return facts


def _read(path: Path, size_bytes: int, report: Report) -> str:
    sha256 = hashlib.sha256()
    buffer = memoryview(bytearray(CHUNK_BYTES))
    try:
        with path.open("rb", buffering=0) as file, report.step(f"hash {path.name}", total=size_bytes) as step:
            while count := file.readinto(buffer):
                sha256.update(buffer[:count])
                step.advance(count)
    except OSError as error:
        raise host_error(path, error) from error
    return sha256.hexdigest()
