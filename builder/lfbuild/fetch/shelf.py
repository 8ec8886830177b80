"""Where a release can be put, so that others find it: a folder, or an S3-compatible store."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lfbuild.errors import FetchError
from lfbuild.fetch.network import without_secrets
from lfbuild.fetch.remote import local_path
from lfbuild.host.files import host_error, replacing
from lfbuild.host.moving import copy_range

if TYPE_CHECKING:
    from collections.abc import Callable

    from lfbuild.fetch.network import Network


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
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise host_error(path.parent, error) from error
        with replacing(path) as target:
            if isinstance(source, bytes):
                target.write(source)
                on_bytes(len(source))
                return
            with source.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                copy_range(file.fileno(), target.fileno(), source_offset=0, target_offset=0, length=size)
            confirm()
            on_bytes(size)


def _path(url: str) -> Path:
    return Path(local_path(url) or url)
