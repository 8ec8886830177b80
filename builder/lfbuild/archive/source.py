"""Where the bytes of a member come from. The writer asks for nothing but a size and the bytes."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from lfbuild.errors import HostError
from lfbuild.host.files import host_error, open_regular
from lfbuild.host.moving import read_into, share_range

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


class OpenSource(Protocol):
    """A source whose bytes can be had now."""

    def share(self, target: int, *, target_offset: int) -> bool:
        """Let a file descriptor refer to all of these bytes without a copy; False where that cannot be."""

    def read_into(self, buffer: memoryview, start: int) -> None:
        """Fill `buffer` with the bytes from `start` on; called from several threads."""


class Source(Protocol):
    """Bytes of a known size."""

    @property
    def size_bytes(self) -> int:
        """How many bytes there are."""

    def opened(self) -> AbstractContextManager[OpenSource]:
        """Have the bytes at hand for as long as the context lasts."""


def read_source(source: Source) -> bytes:
    """All bytes of a small source."""
    buffer = bytearray(source.size_bytes)
    with source.opened() as opened:
        opened.read_into(memoryview(buffer), 0)
    return bytes(buffer)


@dataclass(frozen=True, slots=True)
class BytesSource:
    """Bytes in memory: small members."""

    data: bytes

    @property
    def size_bytes(self) -> int:
        """How many bytes there are."""
        return len(self.data)

    @contextlib.contextmanager
    def opened(self) -> Iterator[OpenSource]:
        """Hand itself out."""
        yield self

    def share(self, target: int, *, target_offset: int) -> bool:
        """Memory cannot be shared with a file."""
        del target, target_offset
        return False

    def read_into(self, buffer: memoryview, start: int) -> None:
        """Copy the slice."""
        buffer[:] = memoryview(self.data)[start : start + len(buffer)]


@dataclass(frozen=True, kw_only=True, slots=True)
class FileSource:
    """A stretch of a file: a model on disk, or a member of another file."""

    path: Path
    size_bytes: int
    offset: int = 0

    @classmethod
    def whole(cls, path: Path) -> FileSource:
        """All of a file.

        Raises:
            HostError: it cannot be read.
            FormatError: it is no regular file.
        """
        descriptor = open_regular(path)
        try:
            return cls(path=path, size_bytes=os.fstat(descriptor).st_size)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def opened(self) -> Iterator[OpenSource]:
        """Open the file.

        Raises:
            HostError: it cannot be read, or became shorter since it was measured.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise host_error(self.path, error) from error
        try:
            if os.fstat(descriptor).st_size < self.offset + self.size_bytes:
                raise HostError(self.path, "became shorter since it was measured", hint="run the command again")
            yield _OpenFile(descriptor, self)
        finally:
            os.close(descriptor)


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenFileSource:
    """A stretch of a file that is open already, whatever its name leads to by now."""

    descriptor: int
    path: Path
    """For what is said."""
    size_bytes: int
    offset: int

    @contextlib.contextmanager
    def opened(self) -> Iterator[OpenSource]:
        """Hand out the stretch."""
        yield _OpenFile(self.descriptor, self)


@dataclass(frozen=True, slots=True)
class _OpenFile:
    descriptor: int
    source: FileSource | OpenFileSource

    def share(self, target: int, *, target_offset: int) -> bool:
        offset, length = self.source.offset, self.source.size_bytes
        return share_range(self.descriptor, target, source_offset=offset, target_offset=target_offset, length=length)

    def read_into(self, buffer: memoryview, start: int) -> None:
        if read_into(self.descriptor, buffer, self.source.offset + start) != len(buffer):
            raise HostError(self.source.path, "became shorter while it was read", hint="run the command again")
