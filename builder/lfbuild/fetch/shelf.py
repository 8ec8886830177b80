"""Where a release can be put, so that others find it: a folder, or an S3-compatible store."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from lfbuild.errors import FetchError
from lfbuild.fetch.network import without_secrets
from lfbuild.fetch.remote import local_path
from lfbuild.host.files import host_error, replacing
from lfbuild.host.moving import copy_range
from lfbuild.host.room import refuse_full_disk_for_copy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lfbuild.fetch.network import Network


_PIECE_BYTES: Final = 64 << 20


class Shelf(Protocol):
    """Takes whole files under addresses."""

    def size_of(self, url: str, /) -> int | None:
        """How large what stands there is; None if nothing does."""

    def put(
        self,
        source: Path | bytes,
        url: str,
        /,
        *,
        cache: str,
        on_bytes: Callable[[int], None],
        confirm: Callable[[], None] = lambda: None,
    ) -> None:
        """Put a file there, whole or not at all; `cache` is what servers tell caches of it.

        `confirm` is asked once all of it was read, and raises if that was not what is meant: then nothing is there.
        """


def shelf_for(url: str, network: Network) -> Shelf:
    """Whoever takes files under this address.

    Raises:
        FetchError: nobody does.
    """
    if local_path(url) is not None:
        return FolderShelf()
    if url.lower().startswith("s3://"):
        if network.offline:
            raise FetchError(without_secrets(url), "--offline forbids to put it there", hint="run without --offline")
        from lfbuild.fetch.s3 import Bucket

        return Bucket.of(url, network)
    hint = "name a folder that the server serves, or an s3:// address"
    raise FetchError(without_secrets(url), "a web server takes no files", hint=hint)


@dataclass(frozen=True, slots=True)
class FolderShelf:
    """A folder that this machine sees; missing folders are made."""

    def size_of(self, url: str, /) -> int | None:
        """See `Shelf`."""
        path = _path(url)
        return path.stat().st_size if path.is_file() else None

    def put(
        self,
        source: Path | bytes,
        url: str,
        /,
        *,
        cache: str,
        on_bytes: Callable[[int], None],
        confirm: Callable[[], None] = lambda: None,
    ) -> None:
        """See `Shelf`."""
        del cache
        path = _path(url)
        if isinstance(source, bytes):
            with _replacing(path) as target:
                target.write(source)
            on_bytes(len(source))
            return
        with source.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            refuse_full_disk_for_copy(path.parent, file.fileno(), copied_bytes=size, new_bytes=0)
            with _replacing(path) as target:
                for start in range(0, size, _PIECE_BYTES):
                    piece = min(_PIECE_BYTES, size - start)
                    copy_range(file.fileno(), target.fileno(), source_offset=start, target_offset=start, length=piece)
                    on_bytes(piece)
                confirm()


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    with _made(path.parent), replacing(path) as file:
        yield file


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Have a folder there, and folders that were missing only as long as something comes into them."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise host_error(folder, error) from error
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for path in missing:
                path.rmdir()
        raise


def _path(url: str) -> Path:
    return Path(local_path(url) or url)
