"""What has its final name in the store is complete; what a crash leaves does not count."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import multiprocessing
import os
import signal
import stat
import time
from typing import TYPE_CHECKING

import pytest

from lfbuild.errors import HostError
from lfbuild.store import Store

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event
    from pathlib import Path

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def add_blob(store: Store, content: bytes) -> Path:
    with store.adopting() as incoming:
        incoming.path.write_bytes(content)
        return incoming.commit(hashlib.sha256(content).hexdigest())


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_blob_is_found_by_its_sha256_and_nobody_may_write_it(store: Store) -> None:
    assert store.blob(SHA256) is None

    path = add_blob(store, CONTENT)

    assert store.blob(SHA256) == path == store.root / "blobs" / SHA256[:2] / SHA256
    assert path.read_bytes() == CONTENT
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o000])
def test_the_folder_is_its_owners_alone_and_those_above_it_are_as_any_new_ones(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        add_blob(Store(tmp_path / "home" / "cache"), CONTENT)
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "home" / "cache").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o777 & ~umask


def test_a_folder_that_is_there_already_keeps_its_mode(store: Store) -> None:
    store.root.mkdir()
    store.root.chmod(0o775)

    with store.lock("x"):
        pass

    assert stat.S_IMODE(store.root.stat().st_mode) == 0o775


def test_the_same_content_may_be_adopted_twice(store: Store) -> None:
    assert add_blob(store, CONTENT) == add_blob(store, CONTENT)


def test_what_is_not_committed_leaves_nothing(store: Store) -> None:
    with store.adopting() as incoming:
        incoming.path.write_bytes(CONTENT)

    assert files_below(store.root) == []


@pytest.mark.parametrize("name", ["", "abc", SHA256.upper(), "../" + SHA256[3:], SHA256 + "\n"])
def test_a_name_that_is_no_sha256_never_becomes_a_path(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="not a sha256 in lower-case hex"):
        store.blob(name)


@pytest.mark.parametrize("key", ["", ".", "..", "a/b", "-x", "k" * 129, "key\n"])
def test_a_key_that_could_leave_the_store_is_refused(store: Store, key: str) -> None:
    with pytest.raises(ValueError, match="not a key that can name a folder"):
        store.entry("engines", key)


def test_a_folder_appears_whole_when_it_is_made(store: Store) -> None:
    with store.making("engines", "k1") as folder:
        (folder / "head").write_bytes(b"ELF")
        assert store.entry("engines", "k1") is None

    entry = store.entry("engines", "k1")
    assert entry is not None
    assert files_below(entry) == ["head"]


def test_a_folder_whose_making_fails_is_not_there(store: Store) -> None:
    with contextlib.suppress(KeyboardInterrupt), store.making("trees", "t") as folder:
        (folder / "half").write_bytes(b"")
        raise KeyboardInterrupt

    assert store.entry("trees", "t") is None
    assert files_below(store.root) == []


def test_the_first_of_two_makers_wins_and_the_second_does_not_fail(store: Store) -> None:
    with store.making("engines", "k") as second:
        (second / "by").write_text("second")
        with store.making("engines", "k") as first:
            (first / "by").write_text("first")

    entry = store.entry("engines", "k")
    assert entry is not None
    assert (entry / "by").read_text() == "first"


def test_a_fact_is_recalled_as_it_was_remembered(store: Store) -> None:
    assert store.recall("url https://x.test/a") is None

    store.remember("url https://x.test/a", {"sha256": SHA256, "size_bytes": 7})
    store.remember("url https://x.test/a", {"sha256": SHA256, "size_bytes": 8})

    assert store.recall("url https://x.test/a") == {"sha256": SHA256, "size_bytes": 8}


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"name": "other", "fact": {}}', b"\xff\xfe", b'{"name": "n"}'])
def test_a_damaged_fact_counts_as_forgotten(store: Store, damage: bytes) -> None:
    store.remember("n", {"a": 1})
    (fact,) = (store.root / "facts").iterdir()
    fact.write_bytes(damage)

    assert store.recall("n") is None


def test_a_partial_file_is_found_again_under_its_name(store: Store) -> None:
    store.partial("url a").write_bytes(b"first half")

    assert Store(store.root).partial("url a").read_bytes() == b"first half"
    assert not store.partial("url b").exists()


def test_a_disk_that_fills_up_while_a_blob_is_flushed_is_told_and_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(HostError) as caught:
        add_blob(store, CONTENT)

    assert str(caught.value) == f"{store.blob_path(SHA256)}: the disk is full"
    assert files_below(store.root) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_is_told_with_the_way_out(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    with pytest.raises(HostError):
        Store(tmp_path / "cache").remember("n", {})


def test_a_cache_below_a_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"")

    with pytest.raises(HostError) as caught:
        Store(tmp_path / "cache").partial("n")

    assert str(caught.value) == f"{tmp_path / 'cache'}: the cache cannot be written (Not a directory)"
    assert caught.value.hint == "choose another with --cache-dir"


def _hold_a_half_written_folder(root: Path, started: Event) -> None:
    with Store(root).making("engines", "k") as folder:
        (folder / "half").write_bytes(bytes(1000))
        started.set()
        time.sleep(60)


def test_what_a_killed_process_leaves_does_not_count_and_is_swept_away(store: Store) -> None:
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=_hold_a_half_written_folder, args=(store.root, started))
    process.start()
    assert started.wait(30)

    assert store.drop_abandoned() == 0, "it is still being written"
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()

    assert store.entry("engines", "k") is None
    assert store.drop_abandoned() == 1000
    assert files_below(store.root) == []


def _make_once(root: Path, tally: Path) -> None:
    store = Store(root)
    with store.lock("engines/k"):
        if store.entry("engines", "k") is None:
            with tally.open("a") as file:
                file.write("made\n")
            with store.making("engines", "k") as folder:
                time.sleep(0.2)
                (folder / "head").write_bytes(b"ELF")


def test_two_processes_on_one_cache_make_a_thing_once(store: Store, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    tally = tmp_path / "tally"
    processes = [context.Process(target=_make_once, args=(store.root, tally)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert tally.read_text() == "made\n"


def _hold_lock(root: Path, name: str, held: Event, release: Event) -> None:
    with Store(root).lock(name):
        held.set()
        release.wait(30)


def test_who_has_to_wait_for_a_lock_is_told_once(store: Store) -> None:
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    process = context.Process(target=_hold_lock, args=(store.root, "n", held, release))
    process.start()
    assert held.wait(30)
    told: list[str] = []

    def waiting() -> None:
        told.append("waiting")
        release.set()

    assert store.is_busy("n")
    with store.lock("n", waiting=waiting):
        assert told == ["waiting"]
    process.join(30)
    assert not store.is_busy("n")
