"""Files that have no name of their own yet: how they are opened, shown to be alive, and found when their writer died.

On Linux a file can be without any name until it is complete (`O_TMPFILE`); elsewhere it stands beside its target under
a hidden one, `.NAME.XXXXXXXX.lfbuild-part`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path


def open_unnamed(folder: Path, name: str, mode: int) -> tuple[int, Path | None]:
    """A writable descriptor in `folder`: without a name where the system can, else with a hidden one.

    Raises:
        OSError: no file can be made there.
    """
    if hasattr(os, "O_TMPFILE") and Path("/proc/self/fd").is_dir():
        try:
            return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode), None
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT} or not folder.is_dir():
                raise
    hidden = hidden_name(folder, name)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    return os.open(hidden, flags, mode), hidden


def give_name(descriptor: int, folder: Path, name: str) -> Path:
    """Link an unnamed file under a hidden name, from which it can be renamed over the target.

    Raises:
        OSError: what the system refuses.
    """
    hidden = hidden_name(folder, name)
    # A `src_dir_fd`, though the path is absolute, makes Python call linkat with AT_SYMLINK_FOLLOW; without it the link
    # in /proc would be linked.
    os.link(f"/proc/self/fd/{descriptor}", hidden, src_dir_fd=descriptor)
    return hidden


def claim(descriptor: int) -> None:
    """Show others that whoever writes this file lives; the system forgets it when the process ends."""
    if os.name == "posix":
        import fcntl

        with contextlib.suppress(OSError):  # a medium without locks
            fcntl.flock(descriptor, fcntl.LOCK_SH)


def drop_abandoned(target: Path) -> int:
    """Remove what writers of `target` left under hidden names when they were killed; returns how many files.

    Raises:
        OSError: the folder cannot be read or written.
    """
    pattern = re.compile(rf"\.{re.escape(_short(target.name))}\.[0-9a-f]{{8}}\.lfbuild-part")
    dropped = 0
    for path in sorted(target.parent.iterdir()):
        if pattern.fullmatch(path.name) and path.is_file() and not _is_claimed(path):
            with contextlib.suppress(PermissionError):  # somebody else's, in a folder that all may write to
                path.unlink(missing_ok=True)
                dropped += 1
    return dropped


def _is_claimed(path: Path) -> bool:
    if os.name != "posix":
        return True
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:  # a link, or somebody else's
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def hidden_name(folder: Path, name: str) -> Path:
    """A name beside `name` that nobody else takes, by which `drop_abandoned` knows it again."""
    return folder / f".{_short(name)}.{os.urandom(4).hex()}.lfbuild-part"


def _short(name: str) -> str:
    """As much of a name as leaves room for more: a name has 255 bytes at most."""
    return name.encode("utf-8", "surrogateescape")[:200].decode("utf-8", "ignore")
