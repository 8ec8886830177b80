from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from lfbuild.commands.cache import list_cache, prune_cache
from lfbuild.commands.settings import Settings
from lfbuild.host.machine import Machine

if TYPE_CHECKING:
    from pathlib import Path

NOON = 1_800_000_000.0
DAY = 86_400.0
MACHINE = Machine(system="linux", architecture="x86_64", cpu_name="", cpu_features=frozenset(), cores=1, search_path="")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_folder=tmp_path / "cache", machine=MACHINE, jobs=1, now=NOON)


def _keep(settings: Settings, data: bytes, *, days_ago: float) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    with settings.store().adopting() as incoming:
        incoming.path.write_bytes(data)
        path = incoming.commit(sha256)
    settings.store().used(path, now=NOON - days_ago * DAY)
    return sha256


def test_a_cache_that_was_never_used_is_empty_and_is_not_made_by_looking(settings: Settings) -> None:
    listing = list_cache(settings)

    assert (listing.kept, listing.size_bytes) == ((), 0)
    assert not settings.cache_folder.exists()


def test_the_longest_unused_is_listed_first(settings: Settings) -> None:
    new = _keep(settings, b"new", days_ago=1)
    old = _keep(settings, b"older", days_ago=40)

    listing = list_cache(settings)

    assert [(it.kind, it.name, it.size_bytes) for it in listing.kept] == [("download", old, 5), ("download", new, 3)]
    assert listing.kept[0].last_used == NOON - 40 * DAY
    assert listing.size_bytes == 8


def test_a_download_is_called_what_it_was_asked_for_by(settings: Settings) -> None:
    sha256 = _keep(settings, b"model", days_ago=0)
    settings.store().remember("pypi tiny==1.0", {"sha256": sha256, "size_bytes": 5})
    settings.store().remember("something else", {"tensors": 3})
    (settings.cache_folder / "facts" / "damaged.json").write_text("{")

    (kept,) = list_cache(settings).kept

    assert (kept.name, kept.about) == (sha256, "pypi tiny==1.0")


def test_an_engine_that_is_damaged_is_listed_as_that(settings: Settings) -> None:
    with settings.store().making("engines", "abc") as folder:
        (folder / "engine.json").write_text("{")

    (kept,) = list_cache(settings).kept

    assert (kept.kind, kept.name, kept.about) == ("engine", "abc", "damaged")


def test_the_log_of_a_failed_build_is_listed_and_goes_with_the_rest(settings: Settings) -> None:
    settings.store().log("engines", "abc").write_bytes(b"error: 42")

    assert [(it.kind, it.name, it.size_bytes) for it in list_cache(settings).kept] == [
        ("log of a failed build", "engines-abc.log", 9)
    ]
    assert prune_cache(settings, older_than_s=None, max_bytes=None).freed_bytes == 9
    assert list_cache(settings).kept == ()


def test_pruning_by_age_keeps_what_was_used_since(settings: Settings) -> None:
    new = _keep(settings, b"new", days_ago=1)
    old = _keep(settings, b"older", days_ago=40)

    pruning = prune_cache(settings, older_than_s=30 * DAY, max_bytes=None)

    assert [it.name for it in pruning.removed] == [old]
    assert (pruning.freed_bytes, pruning.left_bytes) == (5, 3)
    assert [it.name for it in list_cache(settings).kept] == [new]


def test_pruning_by_size_removes_the_longest_unused_first(settings: Settings) -> None:
    _keep(settings, b"old", days_ago=3)
    new = _keep(settings, b"new", days_ago=1)

    pruning = prune_cache(settings, older_than_s=None, max_bytes=3)

    assert (pruning.freed_bytes, pruning.left_bytes) == (3, 3)
    assert [it.name for it in list_cache(settings).kept] == [new]


def test_without_a_limit_everything_goes(settings: Settings) -> None:
    _keep(settings, b"old", days_ago=3)
    _keep(settings, b"new", days_ago=0)

    assert prune_cache(settings, older_than_s=None, max_bytes=None).left_bytes == 0
    assert list_cache(settings).kept == ()


def test_a_dry_run_tells_the_same_and_removes_nothing(settings: Settings) -> None:
    _keep(settings, b"older", days_ago=40)

    pruning = prune_cache(settings, older_than_s=30 * DAY, max_bytes=None, dry_run=True)

    assert (pruning.dry_run, pruning.freed_bytes, pruning.left_bytes) == (True, 5, 0)
    assert len(list_cache(settings).kept) == 1
