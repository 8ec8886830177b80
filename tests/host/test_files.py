"""Files written whole or not at all, with and without names for what is not complete yet."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lfbuild.errors import HostError
from lfbuild.host import files
from lfbuild.host.files import check_target, fsync_folder, host_error, own_as, replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOBODY = 65534
NEW = b"new " * 5000


@pytest.fixture(params=["unnamed", "hidden"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways in which a new file is made: without a name, and beside the target under a hidden one."""
    if request.param == "hidden":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif not hasattr(os, "O_TMPFILE"):
        pytest.skip("this system has no files without a name")
    return str(request.param)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(target: Path, data: bytes = NEW) -> None:
    with replacing(target) as file:
        file.write(data)


@contextlib.contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def refused() -> Iterator[Path]:
    """A folder in which this process may not write, whoever runs it."""
    folder = Path(tempfile.mkdtemp(prefix="lfbuild-test-"))
    (folder / "target").write_bytes(b"old")
    folder.chmod(0o555)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(NOBODY)
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_new_file_appears_whole(way: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    with replacing(target) as file:
        file.write(b"new ")
        assert not target.exists()
        assert len(names(tmp_path)) == (0 if way == "unnamed" else 1)
        file.write(b"content")

    assert target.read_bytes() == b"new content"
    assert names(tmp_path) == ["target"]


def test_the_old_file_is_there_until_the_new_one_is_complete(way: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    with replacing(target) as file:
        file.write(b"new")
        assert target.read_bytes() == b"old"

    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["target"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(1)])
def test_on_an_exception_the_old_file_stays_and_nothing_else(way: str, error: BaseException, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    with pytest.raises(type(error)), replacing(target):
        raise error

    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["target"]


def test_an_error_of_the_disk_is_told_with_the_target(way: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    with pytest.raises(HostError) as caught, replacing(target):
        raise OSError(errno.EIO, "Input/output error")

    assert str(caught.value) == f"{target}: the disk reported a read or write error"
    assert names(tmp_path) == []


def test_the_file_may_be_read_while_it_is_written(way: str, tmp_path: Path) -> None:
    with replacing(tmp_path / "target") as file:
        os.pwrite(file.fileno(), b"0123456789", 0)
        assert os.pread(file.fileno(), 3, 4) == b"456"


@pytest.mark.parametrize(
    ("mask", "mode", "expected"),
    [(0o022, 0o755, 0o755), (0o027, 0o755, 0o750), (0o077, 0o644, 0o600), (0, 0o666, 0o666)],
)
def test_the_umask_is_respected(way: str, mask: int, mode: int, expected: int, tmp_path: Path) -> None:
    with umask(mask), replacing(tmp_path / "target", mode=mode) as file:
        file.write(b"x")

    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == expected


def test_a_new_file_never_runs_as_its_owner_by_its_mode_alone(way: str, tmp_path: Path) -> None:
    with replacing(tmp_path / "target", mode=0o6755) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o7000 == 0


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can be somebody else for a while")
@pytest.mark.parametrize(("owner", "mode"), [(NOBODY, 0o4755), (0, 0o755)])
def test_a_file_runs_as_its_owner_only_if_it_did_before(owner: int, mode: int, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for path in (old, new):
        path.write_bytes(b"x")
    os.chown(old, owner, owner)
    os.chown(new, NOBODY, NOBODY)
    facts = old.stat()
    with new.open("rb") as file:
        os.seteuid(NOBODY)
        try:
            own_as(file.fileno(), facts, mode=0o4755)
        finally:
            os.seteuid(0)

    assert stat.S_IMODE(new.stat().st_mode) == mode


def test_names_may_be_as_long_as_the_file_system_allows(way: str, tmp_path: Path) -> None:
    target = tmp_path / ("模" * 85)
    write(target)

    assert names(tmp_path) == [target.name]


def test_a_name_that_is_too_long_is_refused(way: str, tmp_path: Path) -> None:
    target = tmp_path / ("a" * 256)
    with pytest.raises(HostError) as caught:
        write(target)

    assert str(caught.value) == f"{target}: the name is too long for this file system"
    assert names(tmp_path) == []


def test_a_folder_in_the_place_of_the_target_is_refused(way: str, tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        write(tmp_path)

    assert str(caught.value) == f"{tmp_path}: is a folder, so no file can be written there"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_in_the_place_of_the_target_is_refused(way: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")

    for name in ("pipe", "link"):
        with pytest.raises(HostError) as caught:
            write(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: is a device or a pipe, and is never replaced by a file"

    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()


def test_a_link_in_the_place_of_the_target_is_replaced_and_what_it_leads_to_stays(way: str, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"old")
    (tmp_path / "link").symlink_to("other")

    write(tmp_path / "link")

    assert not (tmp_path / "link").is_symlink()
    assert ((tmp_path / "link").read_bytes(), (tmp_path / "other").read_bytes()) == (NEW, b"old")
    assert names(tmp_path) == ["link", "other"]


def test_a_folder_that_may_not_be_written_is_told_before_there_is_work_for_it() -> None:
    with refused() as folder:
        with pytest.raises(HostError) as caught:
            check_target(folder / "target")
        assert str(caught.value) == f"{folder / 'target'}: permission denied"


def test_a_folder_that_is_absent_is_named(way: str, tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        write(tmp_path / "none" / "target")

    assert str(caught.value) == f"{tmp_path / 'none'}: is no folder, so nothing can be written there"


def test_a_folder_that_may_not_be_written_is_told(way: str) -> None:
    with refused() as folder:
        with pytest.raises(HostError) as caught:
            write(folder / "target")
        assert str(caught.value) == f"{folder / 'target'}: permission denied"
        assert (folder / "target").read_bytes() == b"old"
        assert names(folder) == ["target"]


def test_a_folder_that_may_be_written_but_not_read_will_do(way: str, tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="lfbuild-test-"))
    folder.chmod(0o333)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(NOBODY)
        write(folder / "target")
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
    assert names(folder) == ["target"]
    shutil.rmtree(folder)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a file system that fills up needs the right to mount one")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_fills_up_keeps_the_old_file_and_nothing_else(way: str, tiny_disk: Path) -> None:
    target = tiny_disk / "target"
    target.write_bytes(b"old")
    with pytest.raises(HostError) as caught:
        write(target, bytes(2 << 20))

    assert str(caught.value) == f"{target}: the disk is full"
    assert caught.value.hint == "free some space or choose another folder"
    assert target.read_bytes() == b"old"
    assert names(tiny_disk) == ["target"]
    write(target, bytes(500_000))


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL])
def test_a_file_system_without_unnamed_files_gets_a_hidden_one(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refuse(path: object, flags: int, *rest: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(code, os.strerror(code))
        return real(path, flags, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    with replacing(tmp_path / "target") as file:
        file.write(b"x")
        (hidden,) = names(tmp_path)
        assert hidden.startswith(".target.")
        assert hidden.endswith(".lfbuild-part")

    assert names(tmp_path) == ["target"]


def test_a_file_that_cannot_be_given_its_name_leaves_nothing(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(HostError) as caught:
        write(tmp_path / "target")

    assert str(caught.value) == f"{tmp_path / 'target'}: the file system is read-only"
    assert names(tmp_path) == []


OLD_AND_NEW = (b"A" * 200_000, b"B" * 300_000)


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a copy of this process; returns its number."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    finally:
        os._exit(0)


def write_forever(target: Path) -> None:
    while True:
        for data in OLD_AND_NEW:
            write(target, data)


def test_a_writer_that_is_killed_at_any_moment_leaves_a_whole_file(way: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    moments = random.Random(way)  # noqa: S311  # nothing secret
    for _ in range(25):
        child = in_child(lambda: write_forever(target))
        while not target.exists():
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

        assert target.read_bytes() in OLD_AND_NEW
        for left in names(tmp_path):
            # Without a name until it is complete: what a kill between link and rename leaves is a whole file.
            assert left == "target" or way == "hidden" or (tmp_path / left).read_bytes() in OLD_AND_NEW
            assert left == "target" or left.endswith(".lfbuild-part")
        write(target, b"the next run works")
        assert target.read_bytes() == b"the next run works"
        target.unlink()


def test_writers_at_the_same_time_never_mix(way: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    contents = [bytes([65 + number]) * 100_000 for number in range(4)]
    write(target, contents[0])

    def write_often(data: bytes) -> None:
        for _ in range(15):
            write(target, data)

    children = [in_child(lambda data=data: write_often(data)) for data in contents]  # type: ignore[misc]
    left = set(children)
    while left:
        assert target.read_bytes() in contents
        left -= {child for child in left if os.waitpid(child, os.WNOHANG)[0]}

    assert names(tmp_path) == ["target"]


def test_what_is_not_known_is_told_in_the_systems_own_words() -> None:
    assert str(host_error("x", OSError(errno.ENXIO, "No such device"))) == "x: No such device"
    assert str(host_error("x", OSError("odd"))) == "x: odd"


def test_a_folder_that_is_gone_is_not_flushed(tmp_path: Path) -> None:
    fsync_folder(tmp_path / "none")


def test_a_system_without_posix_flushes_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(files.os, "name", "nt")

    fsync_folder(tmp_path / "none")
