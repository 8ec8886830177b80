"""Files written whole or not at all, and names that are given and taken.

Every output of lfbuild goes through `replacing`. On Linux the new file has no name until it is complete, so even
`kill -9` leaves nothing behind; elsewhere it stands beside the target under a hidden name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from lfbuild.errors import FormatError, HostError
from lfbuild.host.moving import NOT_HERE, SHARED_BYTES, copy_range, share_range
from lfbuild.host.unnamed import claim, give_name, hidden_name, open_unnamed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_IDENTITY: Final = ("st_dev", "st_ino", "st_size", "st_mtime_ns")
"""What tells a file from another that has its name."""
_LOCK_TRIES: Final = 100
_LOCK_PAUSE_S: Final = 0.01


@contextlib.contextmanager
def replacing(
    target: Path,
    *,
    mode: int = 0o644,
    change: Callable[[Path], None] | None = None,
    expected: os.stat_result | None = None,
) -> Iterator[BinaryIO]:
    """Write a file beside `target` and give it that name once it is complete and flushed.

    A link is replaced, and what it leads to stays as it is. `mode` is subject to the umask, as for any new file.
    `change` is handed the complete file under a hidden name, for programs that need one; it may rewrite it, or replace
    it by another. `expected` is the file that has the name now: if it is another one in the end, it stays. On an
    exception the old file stays as it was.

    Raises:
        HostError: as `check_target`; the disk is full, or `target` is not the expected file any more.
    """
    check_target(target)
    folder = target.parent
    try:
        descriptor, hidden = open_unnamed(folder, target.name, mode & 0o777)
    except OSError as error:
        raise host_error(target, error) from error
    try:
        # Buffered, as a write to a raw file may take only a part of the bytes and say nothing of it.
        with open(descriptor, "w+b") as file:  # noqa: PTH123  # a descriptor, not a path
            claim(file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
            hidden = hidden or give_name(file.fileno(), folder, target.name)
            if change is not None:
                _change(hidden, change)
            if expected is None:
                hidden.replace(target)
            else:
                with _folder_had_alone(folder):
                    refuse_another(target, expected)
                    hidden.replace(target)
            hidden = None
    except OSError as error:
        raise host_error(target, error) from error
    finally:
        if hidden is not None:
            hidden.unlink(missing_ok=True)
    fsync_folder(folder)


@contextlib.contextmanager
def making_folder(target: Path) -> Iterator[Path]:
    """Hand out an empty folder beside `target`, which has that name once everything in it is there.

    Files in it are written by `replacing`, so they are flushed already. On an exception nothing is left.

    Raises:
        HostError: there is something at `target`, or its folder is missing, read-only or full.
    """
    if target.exists() or target.is_symlink():
        raise HostError(target, "is there already, and is never written over", hint="remove it, or name another folder")
    if not target.parent.is_dir():
        raise HostError(target.parent, "is no folder, so nothing can be written there", hint="make it")
    hidden = hidden_name(target.parent, target.name)
    try:
        hidden.mkdir()
        try:
            yield hidden
            fsync_folder(hidden)
            hidden.rename(target)
            fsync_folder(target.parent)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
    except OSError as error:
        raise host_error(target, error) from error


def check_target(target: Path) -> None:
    """Refuse what `replacing` would refuse at once: for who works long before there is something to write.

    Raises:
        HostError: the folder is missing or may not be written, or `target` is a folder, a device or a pipe.
    """
    folder = target.parent
    try:
        if target.is_dir():
            raise HostError(target, "is a folder, so no file can be written there", hint="name a file")
        if target.exists() and not target.is_file():
            raise HostError(target, "is a device or a pipe, and is never replaced by a file", hint="name a file")
        if not folder.is_dir():
            raise HostError(folder, "is no folder, so nothing can be written there", hint="make it, or name another")
        if not os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            is_readonly = os.name == "posix" and os.statvfs(folder).f_flag & os.ST_RDONLY
            raise host_error(target, OSError(errno.EROFS if is_readonly else errno.EACCES, ""))
    except OSError as error:
        raise host_error(target, error) from error


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two names mean one file, whether it is there yet or not."""
    with contextlib.suppress(OSError):
        if one.samefile(other):
            return True
    return os.path.realpath(one) == os.path.realpath(other)


def real_path(path: Path) -> Path:
    """Where a name leads, without links, whether there is something or not.

    Raises:
        HostError: it is a link that leads to itself.
    """
    found = Path(os.path.realpath(path))
    if os.path.islink(found):  # noqa: PTH114  # False where it may not be looked at: whoever opens it is told
        raise host_error(path, OSError(errno.ELOOP, os.strerror(errno.ELOOP)))
    return found


def expected_at(target: Path, path: Path, facts: os.stat_result) -> os.stat_result | None:
    """What `replacing` is to find at `target` in the end, where a new version of the file at `path` is written."""
    return facts if is_same_file(target, path) else None


def refuse_overwriting(target: Path, sources: Iterable[Path]) -> None:
    """Keep what is read from being written over.

    Raises:
        HostError: `target` is one of `sources`.
    """
    if any(is_same_file(target, source) for source in sources):
        raise HostError(target, "is one of the files that are read", hint="-o names another")


def refuse_another(target: Path, expected: os.stat_result | None) -> None:
    """Go on only if a name leads to the file that was looked at; None: to nothing.

    Raises:
        HostError: it leads elsewhere, or the file was written to.
    """
    found = find_facts(target)
    if [getattr(found, name, None) for name in _IDENTITY] != [getattr(expected, name, None) for name in _IDENTITY]:
        raise HostError(target, "was changed by another process meanwhile", hint="run the command again")


def find_facts(path: Path) -> os.stat_result | None:
    """What the system tells of a file; None if there is none.

    Raises:
        HostError: it does not tell.
    """
    try:
        return path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise host_error(path, error) from error


@contextlib.contextmanager
def _folder_had_alone(folder: Path) -> Iterator[None]:
    """Let no other edit give a name in `folder` between a look and a rename; where folders can be locked.

    Whoever holds the folder for longer than a rename takes is no edit of lfbuild's (`flock . make` is one), and is not
    waited for.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError:  # one that may be written but not read, and every folder on Windows
        yield
        return
    try:
        _lock_for_a_moment(descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock_for_a_moment(descriptor: int) -> None:
    import fcntl

    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_S)
        except OSError:  # a medium without locks: the last rename wins, as it always did there
            return
        else:
            return


def _change(path: Path, change: Callable[[Path], None]) -> None:
    """Let `change` at a file, keep its owner and mode, and flush it again."""
    before = path.stat()
    change(path)
    path.chmod(stat.S_IMODE(before.st_mode))  # a tool may have made it one that cannot be opened
    with path.open("rb") as file:
        own_as(file.fileno(), before, mode=stat.S_IMODE(before.st_mode))
        os.fsync(file.fileno())


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a regular file; with a pipe nobody waits for who writes into it.

    Raises:
        HostError: it cannot be opened, or is a folder.
        FormatError: it is a pipe or a device.
    """
    more = ("O_CLOEXEC", "O_BINARY", "O_NONBLOCK")
    try:
        descriptor = os.open(path, flags | sum(getattr(os, name, 0) for name in more))
    except OSError as error:
        raise host_error(path, error) from error
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise host_error(path, OSError(errno.EISDIR, os.strerror(errno.EISDIR)))
    raise FormatError(path, "is not a regular file")


def host_error(where: Path | str, error: OSError) -> HostError:
    """The sentence for what the operating system refused at `where`."""
    known = {
        errno.ENOSPC: ("the disk is full", "free some space or choose another folder"),
        errno.EDQUOT: ("the disk quota is used up", "free some space or choose another folder"),
        errno.EROFS: ("the file system is read-only", "choose another folder"),
        errno.EACCES: ("permission denied", "check the owner and mode of the file and its folder"),
        errno.EPERM: ("the operation is not permitted", "check the owner and mode of the file and its folder"),
        errno.ENOENT: ("does not exist", "check the path"),
        errno.EEXIST: ("there is a file of that name already", "remove it, or choose another name"),
        errno.ENOTDIR: ("a part of the path is not a folder", "check the path"),
        errno.EISDIR: ("is a folder, not a file", "name a file"),
        errno.ELOOP: ("is a link that leads to itself", "remove it, or name another file"),
        errno.ETXTBSY: ("is being run right now", "stop it first"),
        errno.EIO: ("the disk reported a read or write error", "check the disk"),
        errno.ENAMETOOLONG: ("the name is too long for this file system", "choose a shorter one"),
    }
    what, hint = known.get(error.errno or 0, (error.strerror or str(error), ""))
    return HostError(where, what, hint=hint)


def fsync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power loss, where folders can be flushed at all."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):  # a folder that may not be read, a network file system that cannot flush one
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def own_as(descriptor: int, old: os.stat_result | None, *, mode: int) -> None:
    """Give a new file its mode, and the owner of the one whose name it gets.

    A file that root edits stays its owner's; anybody else can only make files of their own. What belongs to another
    than the old one did, a copy too, gets no bit that has it run as its owner or group.

    Raises:
        OSError: what the system refuses.
    """
    if os.name != "posix":
        return
    if old is not None and os.geteuid() == 0:
        os.fchown(descriptor, old.st_uid, old.st_gid)
    if old is None or os.geteuid() not in {0, old.st_uid}:
        mode &= 0o777
    os.fchmod(descriptor, mode)  # last: another owner takes bits of it away


def runnable(mode: int) -> int:
    """A mode with which whoever may read a file may run it, too."""
    return mode | (mode & 0o444) >> 2


def mode_of_new(folder: Path, mode: int) -> int:
    """What `mode` becomes for a new file in `folder`, found by making one: to ask for the umask is to change it.

    Raises:
        HostError: no file can be made there.
    """
    try:
        descriptor, hidden = open_unnamed(folder, "mode", mode)
        try:
            return stat.S_IMODE(os.fstat(descriptor).st_mode)
        finally:
            os.close(descriptor)
            if hidden is not None:
                hidden.unlink(missing_ok=True)
    except OSError as error:
        raise host_error(folder, error) from error


def can_share(source: int, folder: Path) -> bool:
    """Whether files in `folder` can share blocks with an open file, found by doing so once; leaves nothing behind."""
    try:
        descriptor, hidden = open_unnamed(folder, "share", 0o600)
    except OSError:
        return False
    try:
        return share_range(source, descriptor, source_offset=0, target_offset=0, length=SHARED_BYTES)
    except OSError:
        return False
    finally:
        os.close(descriptor)
        if hidden is not None:
            hidden.unlink(missing_ok=True)


def take_place(new: Path, target: Path, *, expected: os.stat_result | None, kept_as: Path | None = None) -> None:
    """Give a complete and flushed file the name of an older one; that one keeps its bytes under `kept_as`, if named.

    `expected` is the file that has the name now, None if there is none: if it is another one in the end, it stays. At
    every moment `target` is one of the two, whole.

    Raises:
        HostError: what the system refuses, or another file has the name; then `target` is as it was.
    """
    hidden = new.with_name(f"{new.name}-old")
    kept = kept_as if expected is not None else None
    try:
        if kept is not None:
            _keep(target, hidden)
        with _folder_had_alone(target.parent):
            refuse_another(target, expected)
            if kept is not None:
                hidden.replace(kept)
            new.replace(target)
    except OSError as error:
        raise host_error(target, error) from error
    finally:
        hidden.unlink(missing_ok=True)  # a rename between two names of one file leaves both
    fsync_folder(target.parent)


def _keep(path: Path, other: Path) -> None:
    """Let a file have a second name, or a copy where the file system has no second names."""
    other.unlink(missing_ok=True)
    try:
        os.link(path, other)
    except OSError as error:
        if error.errno not in NOT_HERE | {errno.EMLINK, errno.EACCES}:
            raise
        facts = path.stat()
        with path.open("rb") as source, replacing(other, mode=stat.S_IMODE(facts.st_mode)) as copy:
            own_as(copy.fileno(), facts, mode=stat.S_IMODE(facts.st_mode))
            copy_range(source.fileno(), copy.fileno(), source_offset=0, target_offset=0, length=facts.st_size)
