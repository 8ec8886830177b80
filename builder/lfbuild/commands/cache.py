"""`cache`: what is kept on this machine, how big it is and when it was last used; and making room.

Everything in the cache can be fetched or made again, so nothing here asks twice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.engine.compile import load_engine
from lfbuild.errors import ToolError
from lfbuild.store.listing import choose_removals, list_store, prune_store

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lfbuild.commands.settings import Settings
    from lfbuild.store import Store, StoreEntry

KINDS = {
    "blobs": "download",
    "partial": "unfinished download",
    "trees": "source tree",
    "engines": "engine",
    "launchers": "launcher",
    "toolchains": "toolchain",
    "logs": "log of a failed build",
    "placed": "program of a started file",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """One thing in the cache."""

    kind: str
    name: str
    """The content's sha256, or the key of what made it."""
    about: str
    """What it is, as far as the cache remembers; else empty."""
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
    store = settings.store()
    kept = _described(list_store(store), store)
    return CacheListing(folder=settings.cache_folder, kept=kept, size_bytes=_sum(kept))


def prune_cache(
    settings: Settings, *, older_than_s: float | None, max_bytes: int | None, dry_run: bool = False
) -> Pruning:
    """Remove what was not used for `older_than_s`, then the longest unused until `max_bytes` are left; without either
    limit, everything. What another lfbuild is making or fetching stays."""
    older_than = None if older_than_s is None else settings.now - older_than_s
    store = settings.store()
    before = list_store(store)
    described = {kept.path: kept for kept in _described(before, store)}
    if dry_run:
        chosen, abandoned_bytes = choose_removals(before, older_than=older_than, max_bytes=max_bytes), 0
    else:
        pruned = prune_store(store, older_than=older_than, max_bytes=max_bytes)
        chosen, abandoned_bytes = pruned.entries, pruned.abandoned_bytes
    removed = tuple(described[entry.path] for entry in chosen if entry.path in described)
    return Pruning(
        folder=settings.cache_folder,
        dry_run=dry_run,
        removed=removed,
        freed_bytes=_sum(removed) + abandoned_bytes,
        left_bytes=sum(entry.size_bytes for entry in before) - _sum(removed),
    )


def _described(entries: Iterable[StoreEntry], store: Store) -> tuple[Kept, ...]:
    remembered = _remembered_names(store)
    return tuple(
        Kept(
            kind=KINDS[entry.kind],
            name=entry.key,
            about=_about_engine(store, entry.key) if entry.kind == "engines" else remembered.get(entry.key, ""),
            size_bytes=entry.size_bytes,
            last_used=entry.last_used,
            path=entry.path,
        )
        for entry in entries
    )


def _about_engine(store: Store, key: str) -> str:
    try:
        engine = load_engine(store, key)
    except ToolError:
        return "damaged"
    if engine is None:
        return ""
    facts = engine.facts
    return (
        f"{facts.name} {facts.version} by {facts.toolchain.kind} {facts.toolchain.version} for {', '.join(facts.cpus)}"
    )


def _remembered_names(store: Store) -> dict[str, str]:
    """By sha256, what the store's facts (see `store.cache`) call a download; a damaged one counts as forgotten."""
    names: dict[str, str] = {}
    for path in sorted((store.root / "facts").glob("*.json")):
        try:
            table = json.loads(path.read_bytes())
            fact = table["fact"]
            names.setdefault(str(fact.get("sha256") or fact["archive"]), str(table["name"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return names


def _sum(kept: Iterable[Kept]) -> int:
    return sum(it.size_bytes for it in kept)
