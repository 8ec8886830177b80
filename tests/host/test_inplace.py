"""Locks, flushes and zeros of a file that is changed where it stands."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lfbuild.errors import HostError
from lfbuild.host import inplace
from lfbuild.host.files import can_share, replacing
from lfbuild.host.inplace import clear_range, had_alone, has_journal, journal_path, reserve, used
from lfbuild.host.unnamed import drop_abandoned

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = bytes(range(1, 251)) * 100


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(CONTENT)
    return tmp_path / "file"


@pytest.mark.parametrize(("offset", "size"), [(0, 10), (100, 20_000), (4096, 8192), (4095, 2), (24_990, 10), (7, 0)])
@pytest.mark.parametrize("holes", [True, False])
def test_a_range_becomes_zero_and_nothing_else(
    path: Path, offset: int, size: int, holes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not holes:
        monkeypatch.setattr(inplace, "_fallocate", lambda *_: False)
    with path.open("r+b") as file:
        clear_range(file.fileno(), offset, size)

    assert path.read_bytes() == CONTENT[:offset] + bytes(size) + CONTENT[offset + size :]


def test_room_is_reserved_without_a_change(path: Path) -> None:
    with path.open("r+b") as file:
        reserve(file.fileno(), len(CONTENT), 1 << 20)
        reserve(file.fileno(), 0, 0)

    assert path.read_bytes() == CONTENT


def test_a_full_disk_is_told_when_room_is_reserved(path: Path) -> None:
    with path.open("r+b") as file, pytest.raises(OSError, match=r"File too large|No space left"):
        reserve(file.fileno(), 0, 1 << 60)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells who has a file mapped")
def test_an_engine_that_takes_no_lock_is_seen_by_what_it_has_mapped(path: Path) -> None:
    """llamafile's own engines map their file and lock nothing."""
    words = "import mmap, sys; f = open(sys.argv[1], 'rb'); m = mmap.mmap(f.fileno(), 0, prot=1); f.close(); input(1)"
    with subprocess.Popen([sys.executable, "-c", words, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as engine:
        assert engine.stdout is not None
        engine.stdout.read(1)

        with pytest.raises(HostError, match=f"is in use by process {engine.pid}"), had_alone(path):
            pass

        with used(path) as file:  # a copy may be made of it
            assert file.read(3) == CONTENT[:3]
        engine.communicate(b"\n")
    with had_alone(path):
        pass


def test_several_may_use_a_file_at_once(path: Path) -> None:
    with used(path) as one, used(path) as other:
        assert one.read(3) == other.read(3) == CONTENT[:3]


def test_another_process_holds_the_lock_as_engines_do(path: Path) -> None:
    script = (
        "import fcntl, sys; f = open(sys.argv[1], 'rb'); fcntl.flock(f, fcntl.LOCK_SH); print(1, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(HostError) as caught, had_alone(path):
            pass
        process.communicate(b"\n")
    assert (caught.value.what, caught.value.hint) == (
        "is in use, or another lfbuild is changing it",
        "stop it, and try again",
    )
    with had_alone(path) as file:
        assert file.read(3) == CONTENT[:3]


def test_a_file_that_lost_its_name_before_it_was_locked_is_not_written_to(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer, lock = path.with_name("newer"), fcntl.flock
    newer.write_bytes(b"newer")

    def rename_first(descriptor: int, how: int) -> None:
        newer.replace(path)
        lock(descriptor, how)

    monkeypatch.setattr("fcntl.flock", rename_first)
    with pytest.raises(HostError) as caught, had_alone(path):
        pytest.fail("a file without a name is changed")

    assert str(caught.value) == f"{path}: was changed by another process meanwhile"
    assert path.read_bytes() == b"newer"


def test_a_medium_without_locks_is_no_reason_to_fail(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_order: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)

    with had_alone(path) as file:
        assert file.read(3) == CONTENT[:3]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught, used(tmp_path / "nothing"):
        pass

    assert str(caught.value) == f"{tmp_path / 'nothing'}: does not exist"


def test_a_journal_stands_beside_its_file(path: Path) -> None:
    assert journal_path(path) == path.parent / ".file.lfbuild-redo"
    assert not has_journal(path)


def test_a_name_too_long_for_a_journal_has_none(path: Path) -> None:
    long = path.rename(path.with_name("n" * 250))

    assert not has_journal(long)
    with used(long):
        pass


def test_what_cannot_be_opened_under_a_writers_name_is_left(path: Path) -> None:
    link = path.parent / ".file.0123abcd.lfbuild-part"
    link.symlink_to(path)

    assert drop_abandoned(path) == 0

    assert link.is_symlink()


def test_what_killed_writers_left_is_removed_and_what_living_ones_write_is_not(path: Path) -> None:
    dead = path.parent / ".file.0123abcd.lfbuild-part"
    dead.write_bytes(b"half")
    others = [path.parent / name for name in (".file.0123abcd.lfbuild-party", ".other.0123abcd.lfbuild-part")]
    for other in others:
        other.write_bytes(b"")

    with replacing(path, change=lambda hidden: _expect(drop_abandoned(path), hidden)) as file:
        file.write(b"new")

    assert not dead.exists()
    assert all(other.exists() for other in others)
    assert path.read_bytes() == b"new"


def _expect(dropped: int, hidden: Path) -> None:
    assert dropped == 1
    assert hidden.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_tool_that_replaces_the_file_does_not_take_it_from_its_owner(path: Path) -> None:
    def replaced(hidden: Path) -> None:
        hidden.unlink()
        hidden.write_bytes(b"signed")

    with replacing(path, change=replaced) as file:
        file.write(b"new")
        os.fchown(file.fileno(), 1001, 1002)
        os.fchmod(file.fileno(), 0o640)

    facts = path.stat()
    assert path.read_bytes() == b"signed"
    assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o7777) == (1001, 1002, 0o640)


def test_only_the_expected_file_is_replaced(path: Path, tmp_path: Path) -> None:
    expected = path.stat()
    (tmp_path / "other").write_bytes(b"somebody else's")

    with pytest.raises(HostError) as caught, replacing(path, expected=expected):
        (tmp_path / "other").replace(path)

    assert str(caught.value) == f"{path}: was changed by another process meanwhile"
    assert path.read_bytes() == b"somebody else's"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_whether_blocks_are_shared_is_found_without_a_trace(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with path.open("rb") as file:
        for answer in (True, False):
            monkeypatch.setattr("lfbuild.host.files.share_range", lambda *_a, answer=answer, **_k: answer)
            assert can_share(file.fileno(), path.parent) is answer
        assert not can_share(file.fileno(), path.parent / "nothing")

    assert [item.name for item in path.parent.iterdir()] == ["file"]
