"""Whatever ends an update, wherever: the old file is whole or the new one is, and the next run goes on from there."""

from __future__ import annotations

import multiprocessing
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.commands.test_update import beside, body_bytes, serve, updated
from tests.commands.test_update_by_delta import difference, write_noise
from tests.faults.walk import Versions, look
from tests.fetch.conftest import server
from tests.world.failing_machine import failing
from tests.world.files import verified
from tests.world.releases import write_new, write_old

from lfbuild.channel.partial import Record
from lfbuild.commands.index import index
from lfbuild.commands.recover import recover
from lfbuild.commands.update import check_for_update
from lfbuild.errors import FetchError, HostError
from lfbuild.report import SilentReport

if TYPE_CHECKING:
    from collections import Counter

    from tests.fetch.webserver import WebServer
    from tests.world.failing_machine import Fault

__all__ = ["server"]

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.faults.test_update", "lfbuild.commands.update"])
_MOST_CHANGES = 300


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return write_old(tmp_path / "old")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return write_new(tmp_path / "new")


def _update_until(path: Path, url: str, fault: Fault, at: int, how: dict[str, bool]) -> None:
    with failing(fault, at):
        updated(path, url, **how)


def ended(path: Path, url: str, fault: Fault, at: int, **how: bool) -> bool:
    """Update in a process of its own; whether it came to its end."""
    process = PROCESSES.Process(target=_update_until, args=(path, url, fault, at, how))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode == 0


def copied(old: Path, folder: Path) -> Path:
    """The old file in a folder of its own."""
    folder.mkdir()
    return Path(shutil.copy(old, folder / "tiny.llamafile"))


@pytest.mark.parametrize("fault", ["kill", "torn"])
def test_a_kill_at_any_change_loses_nothing_and_the_next_run_fetches_no_block_twice(
    server: WebServer, tmp_path: Path, old: Path, new: Path, tried: Counter[str], fault: Fault
) -> None:
    url, was, will_be = serve(server, new.parent), old.read_bytes(), new.read_bytes()
    for at in range(1, _MOST_CHANGES):
        path = copied(old, tmp_path / f"at{at}")
        if ended(path, url, fault, at, keep_old=True):
            break
        server.asked.clear()
        held = _blocks_held(path)
        kept = path.with_name("tiny.llamafile.old")
        is_kept = kept.exists() or path.read_bytes() == will_be
        assert path.read_bytes() in (was, will_be), f"change {at}"
        tried["old" if path.read_bytes() == was else "new"] += 1
        updated(path, url)

        assert path.read_bytes() == will_be, f"change {at}"
        assert [name for name in beside(path) if not name.endswith(".old")] == [], f"change {at}"
        assert not is_kept or kept.read_bytes() == was, f"change {at}"
        assert not held & _bytes_asked_for(server), f"change {at}"
        shutil.rmtree(path.parent)
    else:
        pytest.fail("the update never ended")
    assert at > 20


def _blocks_held(path: Path) -> set[int]:
    """Every byte of the blocks that a journal tells of."""
    held: set[int] = set()
    for journal in path.parent.glob(".*-journal"):
        data = journal.read_bytes()
        for at in range(64, len(data), 64):
            record = Record.parse(data[at : at + 64])
            if record is not None and record.kind == b"B":
                held.update(range(record.offset, record.offset + record.size_bytes))
    return held


def _bytes_asked_for(server: WebServer) -> set[int]:
    asked: set[int] = set()
    for request in server.asked:
        if request.path == "/tiny.llamafile" and request.range is not None:
            first, _, last = request.range.removeprefix("bytes=").partition("-")
            asked.update(range(int(first), int(last) + 1))
    return asked


@pytest.mark.parametrize(("fault", "then"), [("kill", "recover"), ("torn", "update")])
def test_a_kill_at_any_change_in_place_leaves_one_version_or_a_journal_that_makes_the_new_one(
    server: WebServer, tmp_path: Path, old: Path, new: Path, tried: Counter[str], fault: Fault, then: str
) -> None:
    url, both = serve(server, new.parent), Versions(old=old.read_bytes(), new=new.read_bytes())
    for at in range(1, _MOST_CHANGES):
        path = copied(old, tmp_path / f"at{at}")
        if ended(path, url, fault, at, in_place=True):
            break
        tried[look(path, both, f"change {at}")] += 1
        if then == "recover":
            recover(path)
            assert path.read_bytes() in (both.old, both.new), f"change {at}"
        updated(path, url, in_place=True)
        assert path.read_bytes() == both.new, f"change {at}"
        assert beside(path) == [], f"change {at}"
        shutil.rmtree(path.parent)
    else:
        pytest.fail("the update never ended")
    assert at > 30


def test_a_kill_at_any_change_loses_neither_file_nor_difference(
    server: WebServer, tmp_path: Path, tried: Counter[str]
) -> None:
    old, new = write_noise(tmp_path / "old", change=0), write_noise(tmp_path / "new", change=1)
    delta = difference(old, new, new.parent / "from-1.lfdelta")
    index(new, file_url="", threads=1, report=SilentReport(), deltas=(delta,))
    url, was, will_be = serve(server, new.parent), old.read_bytes(), new.read_bytes()
    for at in range(1, _MOST_CHANGES):
        path = copied(old, tmp_path / f"at{at}")
        if ended(path, url, "kill", at):
            break
        assert path.read_bytes() in (was, will_be), f"change {at}"
        tried["old" if path.read_bytes() == was else "new"] += 1
        updated(path, url)
        assert path.read_bytes() == will_be, f"change {at}"
        assert beside(path) == [], f"change {at}"
        shutil.rmtree(path.parent)
    else:
        pytest.fail("the update never ended")
    assert at > 10


@dataclass(frozen=True, kw_only=True)
class Way:
    """An update, by one of the ways that there are."""

    url: str
    path: Path
    """The older file; each try has a copy of it."""
    both: Versions
    how: dict[str, bool]

    def refusal(self, path: Path) -> str:
        """What keeps the update from coming to its end; empty if nothing does."""
        try:
            updated(path, self.url, **self.how)
        except HostError as error:
            return error.what
        return ""


@pytest.fixture(params=["new file", "in place", "difference"])
def way(request: pytest.FixtureRequest, server: WebServer, tmp_path: Path) -> Way:
    """Each of the ways, in a world of its own."""
    if request.param == "difference":
        old, new = write_noise(tmp_path / "old", change=0), write_noise(tmp_path / "new", change=1)
        delta = difference(old, new, new.parent / "from-1.lfdelta")
        index(new, file_url="", threads=1, report=SilentReport(), deltas=(delta,))
    else:
        old, new = write_old(tmp_path / "old"), write_new(tmp_path / "new")
    how = {"in_place": True} if request.param == "in place" else {"keep_old": True}
    both = Versions(old=old.read_bytes(), new=new.read_bytes())
    return Way(url=serve(server, new.parent), path=old, both=both, how=how)


@pytest.mark.parametrize(
    ("fault", "what"), [("full", "the disk is full"), ("broken", "the disk reported a read or write error")]
)
def test_a_disk_that_refuses_any_change_is_told_and_the_next_run_goes_on(
    tmp_path: Path, way: Way, tried: Counter[str], fault: Fault, what: str
) -> None:
    told = 0
    for at in range(1, _MOST_CHANGES):
        path = copied(way.path, tmp_path / f"at{at}")
        with failing(fault, at) as machine:
            refused = way.refusal(path)
        assert refused in ("", what), f"{fault} at change {at}, {machine.failed}"
        told += bool(refused)
        if not machine.failed:
            break
        tried[look(path, way.both, f"{fault} at change {at}, {machine.failed}")] += 1
        updated(path, way.url, **way.how)
        assert path.read_bytes() == way.both.new, f"change {at}"
        assert [name for name in beside(path) if not name.endswith(".old")] == [], f"change {at}"
        shutil.rmtree(path.parent)
    else:
        pytest.fail("the update never ended")
    assert told > 10


def test_writes_that_take_only_a_part_are_gone_on_with(way: Way, tried: Counter[str]) -> None:
    with failing("short") as machine:
        updated(way.path, way.url, **way.how)

    assert way.path.read_bytes() == way.both.new
    assert verified(way.path) == []
    tried["new"] += 1
    assert machine.names.count("pwrite") > 40


def test_a_journal_that_is_torn_anywhere_costs_only_what_it_does_not_tell(
    server: WebServer, tmp_path: Path, old: Path, new: Path
) -> None:
    url = serve(server, new.parent)
    started = tmp_path / "started" / "tiny.llamafile"
    started.parent.mkdir()
    shutil.copy(old, started)
    server.pages["/tiny.llamafile"].cut_after = [10**9, 3500, *[0] * 9]
    with pytest.raises(Exception, match="the connection broke off"):
        updated(started, url)
    server.pages["/tiny.llamafile"].cut_after = []
    (journal,) = started.parent.glob(".*-journal")
    data = journal.read_bytes()
    for size in range(0, len(data), 7):
        path = tmp_path / f"torn{size}" / "tiny.llamafile"
        shutil.copytree(started.parent, path.parent)
        path.with_name(journal.name).write_bytes(data[:size])

        updated(path, url)

        assert path.read_bytes() == new.read_bytes(), f"journal of {size} bytes"
        shutil.rmtree(path.parent)


@pytest.mark.parametrize("in_place", [False, True])
def test_what_a_loss_of_power_took_is_copied_again_and_only_what_no_file_at_hand_has_is_fetched_again(
    server: WebServer, old: Path, new: Path, in_place: bool
) -> None:
    url = serve(server, new.parent)
    wanted_bytes = updated(old, url, how=check_for_update).wanted_bytes
    server.pages["/tiny.llamafile"].cut_after = [10**9, 3500, *[0] * 9]
    with pytest.raises(FetchError, match="the connection broke off"):
        updated(old, url, in_place=in_place)
    server.pages["/tiny.llamafile"].cut_after = []
    (partial,) = (path for path in old.parent.glob(".*.lfbuild-update"))
    partial.write_bytes(bytes(partial.stat().st_size))
    server.asked.clear()

    updated(old, url, in_place=in_place)

    assert old.read_bytes() == new.read_bytes()
    leaves_bytes = 32 * 5
    assert body_bytes(server) == leaves_bytes + wanted_bytes
