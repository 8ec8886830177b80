"""A disk that fails: every write, flush, cut and rename of a piece of code is counted, and one of them goes wrong.

It stands under the `os` functions that lfbuild calls, so nothing that writes goes past it. A process that was killed
does nothing any more: every later call ends the same way, clean-up included. After a power loss, whatever was written
and not flushed is there or not, in any mixture of sectors; names that were not flushed are lost from some moment on.
"""

from __future__ import annotations

import contextlib
import os
import random
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from unittest import mock

from lfbuild.host import inplace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECTOR_BYTES: Final = 512
FaultKind = Literal["none", "kill", "torn", "short", "error", "read", "power"]
"""`torn`: killed in mid-write. `short`: the system takes a part only, and goes on. `power`: as `kill`, and then the
disk forgets. `read`: as `error`, of a read."""


class Killed(BaseException):
    """The process ends here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What goes wrong at which of the counted calls (from 0); a `number` past the last one: nothing."""

    kind: FaultKind
    number: int
    error: int = 0
    """For `error` and `read`."""
    seed: int = 0
    """For `power`: which mixture."""


@dataclass(slots=True)
class _Inode:
    """A file and what of it is not on the disk yet."""

    keeper: int
    """A descriptor that keeps it, whatever happens to its names."""
    durable: bytearray
    writes: list[tuple[int, bytes]] = field(default_factory=list)
    """Since the last flush; a cut is told by its offset and no bytes."""


@dataclass(slots=True)
class _Name:
    """A change of names that may be lost."""

    undo: Callable[[], None]


class Disk:
    """Counts and fails; used as a context around what is tested."""

    def __init__(self, fault: Fault, stash: Path) -> None:
        self.fault, self.calls, self.reads = fault, 0, 0
        self.told: list[str] = []
        """What each counted call was."""
        self._dead = False
        self._stash = stash
        self._inodes: dict[int, _Inode] = {}
        self._names: list[_Name] = []
        self._real = {name: getattr(os, name) for name in (*_FAILING, "open", "preadv")}

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """Within this context the disk is this one; a kill ends it silently."""
        with contextlib.ExitStack() as stack:
            for name in _FAILING:
                stack.enter_context(mock.patch.object(os, name, getattr(self, f"_{name}")))
            stack.enter_context(mock.patch.object(os, "open", self._open))
            stack.enter_context(mock.patch.object(os, "preadv", self._preadv))
            stack.enter_context(mock.patch.object(inplace, "_fallocate", self._fallocate))
            with contextlib.suppress(Killed):
                yield
        if self._dead and self.fault.kind == "power":
            self._lose_power()
        for inode in self._inodes.values():
            self._real_close(inode.keeper)

    @property
    def happened(self) -> bool:
        """Whether the fault's number was reached."""
        return (self.reads if self.fault.kind == "read" else self.calls) > self.fault.number

    @staticmethod
    def _real_close(descriptor: int) -> None:
        os.close(descriptor)

    def _call(self, what: str) -> bool:
        """Count a call; True if it is to be done by half only."""
        if self._dead:
            raise Killed
        number, fault = self.calls, self.fault
        self.calls += 1
        self.told.append(what)
        if number != fault.number or fault.kind in {"none", "read"}:
            return False
        if fault.kind == "error":
            raise OSError(fault.error, os.strerror(fault.error))
        if fault.kind in {"torn", "short"} and what == "write":
            self._dead = fault.kind == "torn"
            return True
        if fault.kind == "short":
            return False
        self._dead = True
        raise Killed

    def _pwrite(self, descriptor: int, data: Any, offset: int) -> int:
        half = self._call("write")
        view = memoryview(data).cast("B")
        part = view[: max(1, len(view) // 2)] if half else view
        self._inode(descriptor).writes.append((offset, bytes(part)))
        count: int = self._real["pwrite"](descriptor, part, offset)
        if self._dead:
            raise Killed
        return count

    def _pwritev(self, descriptor: int, pieces: Any, offset: int) -> int:
        return self._pwrite(descriptor, b"".join(pieces), offset)

    def _ftruncate(self, descriptor: int, size: int) -> None:
        self._call("cut")
        self._inode(descriptor).writes.append((size, b""))
        self._real["ftruncate"](descriptor, size)

    def _fsync(self, descriptor: int) -> None:
        self._call("flush")  # what the true disk does meanwhile is of no interest, and slow
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            self._names.clear()
            return
        inode = self._inode(descriptor)
        inode.writes.clear()
        inode.durable = bytearray(_content(inode.keeper))

    def _fdatasync(self, descriptor: int) -> None:
        self._fsync(descriptor)

    def _replace(self, source: Any, target: Any, **_: Any) -> None:
        self._call("rename")
        kept = self._keep(target)
        self._real["replace"](source, target)

        def undo() -> None:
            os.link(target, source)
            Path(target).unlink()
            if kept:
                os.link(kept, target)

        self._names.append(_Name(undo))

    def _link(self, source: Any, target: Any, **settings: Any) -> None:
        self._call("link")
        self._real["link"](source, target, **settings)
        self._names.append(_Name(lambda: Path(target).unlink()))

    def _unlink(self, path: Any, **_: Any) -> None:
        self._call("unlink")
        kept = self._keep(path)
        self._real["unlink"](path)
        self._names.append(_Name(lambda: os.link(kept, path) if kept else None))

    def _open(self, path: Any, flags: int, *mode: Any, **settings: Any) -> int:
        makes = bool(flags & os.O_CREAT)
        if makes:
            self._call("create")
        elif self._dead:
            raise Killed
        descriptor: int = self._real["open"](path, flags, *mode, **settings)
        if makes:
            self._names.append(_Name(lambda: Path(path).unlink()))
        return descriptor

    def _preadv(self, descriptor: int, buffers: Any, offset: int) -> int:
        if self._dead:
            raise Killed
        number = self.reads
        self.reads += 1
        if self.fault.kind == "read" and number == self.fault.number:
            raise OSError(self.fault.error, os.strerror(self.fault.error))
        count: int = self._real["preadv"](descriptor, buffers, offset)
        return count

    def _fallocate(self, descriptor: int, mode: int, offset: int, size: int) -> bool:
        """A room that is reserved changes no byte; holes are not punched, so zeros are written and counted."""
        del descriptor, offset, size
        if mode == inplace._KEEP_SIZE:
            self._call("reserve")
            return True
        return False

    def _inode(self, descriptor: int) -> _Inode:
        number = os.fstat(descriptor).st_ino
        if number not in self._inodes:
            keeper = self._real["open"](f"/proc/self/fd/{descriptor}", os.O_RDWR)
            self._inodes[number] = _Inode(keeper=keeper, durable=bytearray(_content(keeper)))
        return self._inodes[number]

    def _keep(self, path: Any) -> Path | None:
        """Another name of a file, from which it can be had again."""
        if not Path(path).exists():
            return None
        kept = self._stash / f"{len(list(self._stash.iterdir()))}"
        self._real["link"](path, kept)
        return kept

    def _lose_power(self) -> None:
        chance = random.Random(self.fault.seed)  # noqa: S311  # the same mixture for the same seed
        for inode in self._inodes.values():
            _settle(inode, chance)
        # Names are journalled by file systems: from some moment on they are lost.
        for name in reversed(self._names[chance.randint(0, len(self._names)) :]):
            name.undo()


_FAILING: Final = ("pwrite", "pwritev", "ftruncate", "fsync", "fdatasync", "replace", "link", "unlink")


def _content(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def _settle(inode: _Inode, chance: random.Random) -> None:
    """What is on the disk in the end: each sector as it was flushed, or as it was written since."""
    content = bytearray(inode.durable)
    size = len(content)
    sizes_kept = chance.randint(0, len(inode.writes))
    for number, (offset, data) in enumerate(inode.writes):
        if number < sizes_kept:
            size = max(size, offset + len(data)) if data else offset
        content.extend(bytes(max(0, offset + len(data) - len(content))))
        start = offset
        while start < offset + len(data):
            end = min((start // SECTOR_BYTES + 1) * SECTOR_BYTES, offset + len(data))
            if chance.random() < 0.5:
                content[start:end] = data[start - offset : end - offset]
            start = end
    content.extend(bytes(max(0, size - len(content))))
    os.ftruncate(inode.keeper, 0)
    os.pwrite(inode.keeper, bytes(content[:size]), 0)
