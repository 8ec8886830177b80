"""`cache`: what is kept on this machine, how big it is and when it was last used; and making room.

Everything in the cache can be fetched or made again, so nothing here asks twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.store.listing import choose_removals, list_store, prune_store

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lfbuild.commands.settings import Settings
    from lfbuild.store import StoreEntry

KINDS = {
    "blobs": "download",
    "partial": "unfinished download",
    "trees": "source tree",
    "engines": "engine",
    "toolchains": "toolchain",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """One thing in the cache."""

    kind: str
    name: str
    size_bytes: int
    last_used: float
    """Seconds since 1970."""
    path: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheListing:
    """Everything in the cache, the longest unused first."""

    folder: Path
    kept: tuple[Kept, ...]
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Pruning:
    """What was removed, or would be."""

    folder: Path
    dry_run: bool
    removed: tuple[Kept, ...]
    freed_bytes: int
    """More than the sum of `removed` where a crash had left something half-written."""
    left_bytes: int


def list_cache(settings: Settings) -> CacheListing:
    """What is kept on this machine."""
    entries = list_store(settings.store())
    kept = tuple(_kept(entry) for entry in entries)
    return CacheListing(folder=settings.cache_folder, kept=kept, size_bytes=_sum(kept))


def prune_cache(
    settings: Settings, *, older_than_s: float | None, max_bytes: int | None, dry_run: bool = False
) -> Pruning:
    """Remove what was not used for `older_than_s`, then the longest unused until `max_bytes` are left; without either
    limit, everything. What another lfbuild is making or fetching stays."""
    older_than = None if older_than_s is None else settings.now - older_than_s
    store = settings.store()
    before = list_store(store)
    if dry_run:
        chosen, abandoned_bytes = choose_removals(before, keep=(), older_than=older_than, max_bytes=max_bytes), 0
    else:
        pruned = prune_store(store, older_than=older_than, max_bytes=max_bytes)
        chosen, abandoned_bytes = pruned.entries, pruned.abandoned_bytes
    removed = tuple(_kept(entry) for entry in chosen)
    return Pruning(
        folder=settings.cache_folder,
        dry_run=dry_run,
        removed=removed,
        freed_bytes=_sum(removed) + abandoned_bytes,
        left_bytes=sum(entry.size_bytes for entry in before) - _sum(removed),
    )


def _kept(entry: StoreEntry) -> Kept:
    return Kept(
        kind=KINDS[entry.kind],
        name=entry.key,
        size_bytes=entry.size_bytes,
        last_used=entry.last_used,
        path=entry.path,
    )


def _sum(kept: Iterable[Kept]) -> int:
    return sum(it.size_bytes for it in kept)
