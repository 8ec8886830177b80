"""Where the bytes of NEW go: a seam with two sides, a new file and (`inplace`) the old one itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lfbuild.host.moving import write_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from lfbuild.archive.hashing import HashPool
    from lfbuild.delta.side import FileRange
    from lfbuild.formats.blocks import Cuts


class Target(Protocol):
    """Takes the bytes of NEW, in any order."""

    def copy(self, source: FileRange, offset: int, cuts: Cuts) -> bytes:
        """Have bytes of OLD stand at `offset`; returns the leaves of what stands there then."""

    def write(self, offset: int, data: bytes) -> None:
        """Have these bytes stand at `offset`."""


class NewFile:
    """An empty file that is open for reading and writing, and will have its name when all of it is right."""

    def __init__(self, descriptor: int, pool: HashPool, on_bytes: Callable[[int], None]) -> None:
        self._descriptor, self._pool, self._on_bytes = descriptor, pool, on_bytes

    def copy(self, source: FileRange, offset: int, cuts: Cuts) -> bytes:
        """By reference where the file system can; what is digested is what stands in the new file."""
        return self._pool.copy(source, self._descriptor, offset, cuts).finish(self._on_bytes).index.leaves

    def write(self, offset: int, data: bytes) -> None:
        """At once."""
        write_all(self._descriptor, data, offset)
