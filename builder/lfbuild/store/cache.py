"""Keeps what was fetched or made, under its content's name, whole or not at all.

    blobs/ab/<sha256>         a file, read-only, named by its own sha256
    trees|engines|launchers|toolchains/<key>   a folder, named by the key of what made it
    facts/<digest of name>.json      what was learnt about a name, as a small JSON table
    logs/<kind>-<key>.log     what making that folder said; it stays where the making failed
    partial/<digest of name>  the first bytes of a download that was interrupted
    incoming/<token>          what is being written; renamed into place when it is complete and flushed
    locks/                    one file a lock, see `host.locks`

Whatever has its final name is complete. It does not know what a blob or a folder is for, and never asks the time: last
use is told to it. Renames stand here and not in `host`, as the final name of a blob is known only after its last byte.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lfbuild.errors import HostError
from lfbuild.host.files import fsync_folder, host_error, replacing
from lfbuild.host.locks import is_locked, locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FolderKind = Literal["trees", "engines", "launchers", "toolchains"]
FOLDER_KINDS: tuple[FolderKind, ...] = ("trees", "engines", "launchers", "toolchains")

_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")


class Incoming:
    """A file on its way into the store; its bytes go to `path`."""

    def __init__(self, path: Path, store: Store) -> None:
        self.path = path
        self._store = store

    def commit(self, sha256: str) -> Path:
        """Take the file in under the name of its content; the caller has hashed what it wrote.

        Raises:
            HostError: the bytes cannot be flushed (disk full).
        """
        return self._store.take(self.path, sha256)


class Store:
    """One cache folder. Making a `Store` touches nothing on disk; folders appear as they are needed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def blob(self, sha256: str) -> Path | None:
        """The complete file with this content, if it is here."""
        path = self.blob_path(sha256)
        return path if path.is_file() else None

    def blob_path(self, sha256: str) -> Path:
        """Where the file with this content is, or would be."""
        if not _SHA256.fullmatch(sha256):
            raise ValueError(f"not a sha256 in lower-case hex: {sha256!r}")
        return self.root / "blobs" / sha256[:2] / sha256

    @contextlib.contextmanager
    def adopting(self) -> Iterator[Incoming]:
        """Hand out a place to write a file whose name, its sha256, is known only at its end."""
        with self.incoming() as folder:
            yield Incoming(folder / "file", self)

    def take(self, path: Path, sha256: str) -> Path:
        """Move `path`, complete and on the store's own file system, to the name of its content.

        Raises:
            HostError: the cache cannot be written.
        """
        target = self.blob_path(sha256)
        try:
            _flush_file(path)
            path.chmod(0o444)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
            fsync_folder(target.parent)
        except OSError as error:
            raise host_error(target, error) from error
        return target

    def entry(self, kind: FolderKind, key: str) -> Path | None:
        """The complete folder of this kind and key, if it is here."""
        path = self.entry_path(kind, key)
        return path if path.is_dir() else None

    def entry_path(self, kind: FolderKind, key: str) -> Path:
        """Where the folder of this kind and key is, or would be."""
        if not _KEY.fullmatch(key):
            raise ValueError(f"not a key that can name a folder: {key!r}")
        return self.root / kind / key

    def log(self, kind: FolderKind, key: str) -> Path:
        """Where what is said while the folder of this kind and key is made goes; its maker removes it at the end."""
        path = self.root / "logs" / f"{kind}-{self.entry_path(kind, key).name}.log"
        self._make_folder(path.parent)
        return path

    @contextlib.contextmanager
    def making(self, kind: FolderKind, key: str) -> Iterator[Path]:
        """Hand out an empty folder; on a clean exit it is flushed and becomes `entry(kind, key)`.

        Whoever makes holds `lock(f"{kind}/{key}")`, so that no other process does the same work. If the entry is
        there already, the first one stays.

        Raises:
            HostError: the cache cannot be written.
        """
        target = self.entry_path(kind, key)
        with self.incoming() as parent:
            folder = parent / "folder"
            folder.mkdir()
            yield folder
            try:
                _flush_tree(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                if not target.is_dir():
                    folder.rename(target)
                fsync_folder(target.parent)
            except OSError as error:
                raise host_error(target, error) from error

    def is_busy(self, name: str) -> bool:
        """Whether another process holds `lock(name)` now."""
        return is_locked(self._lock_path(_digest(name)))

    def is_log_busy(self, path: Path) -> bool:
        """Whether what the log at `path` tells of is being made now."""
        return self.is_busy(path.stem.replace("-", "/", 1))

    def is_partial_busy(self, path: Path) -> bool:
        """Whether the download that keeps its bytes at `path` runs now; it holds the lock of the same name."""
        return is_locked(self._lock_path(path.stem))

    @contextlib.contextmanager
    def lock(self, name: str, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold `name` alone among all processes that use this store."""
        path = self._lock_path(_digest(name))
        self._make_folder(path.parent)
        with locked(path, waiting=waiting):
            yield

    def recall(self, name: str) -> dict[str, Any] | None:
        """What was remembered under `name`; a damaged fact counts as forgotten."""
        try:
            fact = json.loads(self._fact_path(name).read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(fact, dict) or fact.get("name") != name or not isinstance(fact.get("fact"), dict):
            return None
        value: dict[str, Any] = fact["fact"]
        return value

    def remember(self, name: str, fact: dict[str, Any]) -> None:
        """Keep a small JSON table under `name`, in place of the one before."""
        path = self._fact_path(name)
        self._make_folder(path.parent)
        with replacing(path) as file:
            file.write(json.dumps({"name": name, "fact": fact}, sort_keys=True, indent=1).encode() + b"\n")

    def partial(self, name: str) -> Path:
        """Where a download keeps its bytes until it is complete; the same name finds them again.

        The download holds `lock(name)` meanwhile.
        """
        path = self.root / "partial" / _digest(name)
        self._make_folder(path.parent)
        return path

    def used(self, path: Path, *, now: float) -> None:
        """Note that the blob or folder at `path` was used at `now` (seconds since 1970)."""
        with contextlib.suppress(OSError):  # a cache shared read-only keeps working
            os.utime(path, (now, now))

    def drop_abandoned(self) -> int:
        """Remove what crashed processes left half-written; returns the bytes freed."""
        freed_bytes = 0
        for folder in sorted((self.root / "incoming").glob("*")):
            lock = self._lock_path(f"incoming-{folder.name}")
            if not is_locked(lock):
                freed_bytes += size_of(folder)
                shutil.rmtree(folder, ignore_errors=True)
                lock.unlink(missing_ok=True)
        return freed_bytes

    @contextlib.contextmanager
    def incoming(self) -> Iterator[Path]:
        """A folder of this process alone; its lock, taken first, tells the living from the abandoned."""
        token = secrets.token_hex(8)
        lock = self._lock_path(f"incoming-{token}")
        self._make_folder(lock.parent)
        with locked(lock):
            folder = self.root / "incoming" / token
            self._make_folder(folder)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                lock.unlink(missing_ok=True)  # nobody else ever waits for this one

    def _lock_path(self, name: str) -> Path:
        return self.root / "locks" / f"{name}.lock"

    def _fact_path(self, name: str) -> Path:
        return self.root / "facts" / f"{_digest(name)}.json"

    def _make_folder(self, folder: Path) -> None:
        try:
            # The launchers of files place engines in the same folder, and pass over one that others may write to.
            if not self.root.exists():
                self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HostError(
                self.root, f"the cache cannot be written ({error.strerror})", hint="choose another with --cache-dir"
            ) from error


def size_of(path: Path) -> int:
    """The bytes of a file, or of all files below a folder; links are not followed."""
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    return sum((Path(folder) / name).lstat().st_size for folder, _, names in os.walk(path) for name in names)


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:40]


def _flush_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _flush_tree(folder: Path) -> None:
    """One flush for all files: thousands of single ones, as a source tree has, take seconds."""
    if hasattr(os, "sync"):
        os.sync()
        return
    for parent, _, names in os.walk(folder):
        for name in names:
            _flush_file(Path(parent) / name)
