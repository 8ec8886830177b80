"""What the store holds is told with its size and last use, and room is made from the longest unused on."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from lfbuild.store import Store, StoreEntry
from lfbuild.store.listing import choose_removals, list_store, prune_store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A blob of 10 bytes used at 100, an engine of 20 used at 200, a partial of 30 used at 300, a log of 5 at 400."""
    store = Store(tmp_path / "cache")
    with store.adopting() as incoming:
        incoming.path.write_bytes(bytes(10))
        blob = incoming.commit(hashlib.sha256(bytes(10)).hexdigest())
    with store.making("engines", "k") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "head").write_bytes(bytes(20))
    partial = store.partial("p")
    partial.write_bytes(bytes(30))
    partial.with_suffix(".json").write_bytes(b"{}")
    log = store.log("engines", "failed")
    log.write_bytes(bytes(5))
    store.used(log, now=400)
    store.used(blob, now=100)
    store.used(store.entry_path("engines", "k"), now=200)
    store.used(partial, now=300)
    return store


def told(entries: tuple[StoreEntry, ...]) -> list[tuple[str, int, float]]:
    return [(entry.kind, entry.size_bytes, entry.last_used) for entry in entries]


def test_everything_is_listed_the_longest_unused_first(store: Store) -> None:
    assert told(list_store(store)) == [
        ("blobs", 10, 100),
        ("engines", 20, 200),
        ("partial", 30, 300),
        ("logs", 5, 400),
    ]


def test_an_empty_cache_that_does_not_exist_lists_nothing(tmp_path: Path) -> None:
    assert list_store(Store(tmp_path / "none")) == ()


def test_without_limits_everything_goes(store: Store) -> None:
    pruned = prune_store(store)

    assert pruned.freed_bytes == 65
    assert list_store(store) == ()


def test_what_was_used_before_a_moment_goes(store: Store) -> None:
    assert told(prune_store(store, older_than=201).entries) == [("blobs", 10, 100), ("engines", 20, 200)]
    assert told(list_store(store)) == [("partial", 30, 300), ("logs", 5, 400)]


def test_the_longest_unused_go_until_a_size_is_reached(store: Store) -> None:
    assert told(prune_store(store, max_bytes=60).entries) == [("blobs", 10, 100)]
    assert prune_store(store, max_bytes=60).entries == ()


def test_both_limits_hold_together(store: Store) -> None:
    entries = list_store(store)

    assert told(choose_removals(entries, older_than=150, max_bytes=65)) == [("blobs", 10, 100)]
    assert told(choose_removals(entries, older_than=150, max_bytes=35)) == [
        ("blobs", 10, 100),
        ("engines", 20, 200),
    ]


def test_what_is_being_made_or_fetched_is_left_alone(store: Store) -> None:
    with store.lock("engines/k"), store.lock("engines/failed"), store.lock("p"):
        assert told(prune_store(store).entries) == [("blobs", 10, 100)]


def test_nothing_but_lock_files_is_left_when_everything_goes(store: Store) -> None:
    prune_store(store)

    assert not [path for path in store.root.rglob("*") if path.is_file() and path.parent.name != "locks"]


def test_programs_that_launchers_placed_are_listed_and_go_and_nothing_else_at_the_root_does(store: Store) -> None:
    placed = [store.root / name for name in ("0123456789abcdef" * 2, "0123456789abcdef" * 2 + ".exe", "a" * 64)]
    others = [store.root / name for name in ("notes.txt", "0" * 31, ".new-Xy12Ab")]
    for path in (*placed, *others):
        path.write_bytes(b"program")

    pruned = prune_store(store)

    assert {entry.path for entry in pruned.entries if entry.kind == "placed"} == set(placed)
    assert not any(path.exists() for path in placed)
    assert all(path.exists() for path in others)
