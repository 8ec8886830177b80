"""What a store holds, how big it is and when it was last used; and making room in it.

Nothing that is being made or fetched is touched. A file that another process maps or reads stays readable for it.
Where a user's files are started, launchers put their engines into this folder too (docs/formats/launch.md).
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from lfbuild.store.cache import FOLDER_KINDS, FolderKind, Store, size_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

Kind = FolderKind | Literal["blobs", "logs", "partial", "placed"]
_PLACED: Final = re.compile(r"[0-9a-f]{64}|[0-9a-f]{32}(\.exe)?")
"""What a launcher, or the shell script before it, calls a program that it has placed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreEntry:
    """One thing in the store."""

    kind: Kind
    key: str
    path: Path
    size_bytes: int
    last_used: float
    """Seconds since 1970."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pruned:
    """What making room removed."""

    entries: tuple[StoreEntry, ...]
    abandoned_bytes: int
    """Half-written things of processes that crashed."""

    @property
    def freed_bytes(self) -> int:
        """All bytes that were removed."""
        return self.abandoned_bytes + sum(entry.size_bytes for entry in self.entries)


def list_store(store: Store) -> tuple[StoreEntry, ...]:
    """Everything complete or resumable in the store, and logs of what failed, the longest unused first."""
    return tuple(sorted(_entries(store), key=lambda entry: (entry.last_used, entry.kind, entry.key)))


def choose_removals(
    entries: Collection[StoreEntry], *, older_than: float | None, max_bytes: int | None
) -> tuple[StoreEntry, ...]:
    """Decide what goes: everything last used before `older_than`, then the longest unused until `max_bytes` remain.

    With neither limit everything goes.
    """
    free = sorted(entries, key=lambda entry: entry.last_used)
    if older_than is None and max_bytes is None:
        return tuple(free)
    removed = [entry for entry in free if older_than is not None and entry.last_used < older_than]
    remaining_bytes = sum(entry.size_bytes for entry in entries) - sum(entry.size_bytes for entry in removed)
    for entry in free:
        if max_bytes is None or remaining_bytes <= max_bytes:
            break
        if entry not in removed:
            removed.append(entry)
            remaining_bytes -= entry.size_bytes
    return tuple(removed)


def prune_store(store: Store, *, older_than: float | None = None, max_bytes: int | None = None) -> Pruned:
    """Remove what `choose_removals` names, and what crashes left behind."""
    removals = choose_removals(list_store(store), older_than=older_than, max_bytes=max_bytes)
    with store.lock("prune"):
        abandoned_bytes = store.drop_abandoned()
        removed = tuple(entry for entry in removals if _remove(store, entry))
    return Pruned(entries=removed, abandoned_bytes=abandoned_bytes)


def _entries(store: Store) -> Iterator[StoreEntry]:
    for path in store.root.glob("blobs/??/*"):
        yield from _entry("blobs", path)
    for kind in FOLDER_KINDS:
        for path in (store.root / kind).glob("*"):
            yield from _entry(kind, path)
    for path in (store.root / "logs").glob("*.log"):
        yield from _entry("logs", path)
    for path in (store.root / "partial").glob("*"):
        if not path.suffix:
            yield from _entry("partial", path)
    for path in store.root.glob("*"):
        if _PLACED.fullmatch(path.name) and path.is_file():
            yield from _entry("placed", path)


def _entry(kind: Kind, path: Path) -> Iterator[StoreEntry]:
    with contextlib.suppress(FileNotFoundError):  # another process may be pruning
        size_bytes, last_used = size_of(path), path.stat().st_mtime
        yield StoreEntry(kind=kind, key=path.name, path=path, size_bytes=size_bytes, last_used=last_used)


def _is_busy(store: Store, entry: StoreEntry) -> bool:
    if entry.kind == "partial":
        return store.is_partial_busy(entry.path)
    if entry.kind == "logs":
        return store.is_log_busy(entry.path)
    return entry.kind != "placed" and store.is_busy(f"{entry.kind}/{entry.key}")


def _remove(store: Store, entry: StoreEntry) -> bool:
    """Renamed away first, so that a folder is there whole or not at all even while it is being removed."""
    if _is_busy(store, entry):
        return False
    with store.incoming() as folder:
        try:
            entry.path.rename(folder / "removed")
        except OSError:
            return False
        if entry.kind == "partial":
            entry.path.with_suffix(".json").unlink(missing_ok=True)  # what the server said of it
    return True
