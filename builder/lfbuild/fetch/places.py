"""Opens addresses of every kind that a release may have: http(s)://, s3://, oci://, file://, or a path.

The one place that knows which kinds there are; whoever reads is handed a `Remote` and need not know.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.errors import FetchError
from lfbuild.fetch.connection import Connections, PassingError
from lfbuild.fetch.network import without_secrets
from lfbuild.fetch.oci import Registries
from lfbuild.fetch.parallel import MOST_TRIES
from lfbuild.fetch.ranges import MOST_CONNECTIONS
from lfbuild.fetch.remote import Access, FileRemote, HttpRemote, local_path
from lfbuild.report import part_words, size_words

if TYPE_CHECKING:
    from lfbuild.fetch.network import Network
    from lfbuild.fetch.pace import Clock
    from lfbuild.fetch.remote import Remote

_HINT = "check the network, and HTTPS_PROXY if there is a proxy"


@dataclass(frozen=True, kw_only=True, slots=True)
class SmallFile:
    """A file that was read whole into memory."""

    data: bytes
    wait_s: float
    """How long the answer took to begin."""


class Places:
    """Everything that can be asked for bytes. Connections are shared by all that it opens."""

    def __init__(self, network: Network, *, clock: Clock) -> None:
        self._network, self._clock = network, clock
        self._connections = Connections(network, kept=MOST_CONNECTIONS)
        self._registries = Registries(self._connections, network)

    def remote(self, url: str, *, size_bytes: int | None = None, is_fresh: bool = False) -> Remote:
        """The file at an address; nothing is asked for yet. `is_fresh`: no cache may have an older one.

        Raises:
            FetchError: it is no address, or --offline forbids it.
        """
        if (path := local_path(url)) is not None:
            return FileRemote(Path(path), size_bytes=size_bytes)
        if self._network.offline:
            raise FetchError(without_secrets(url), "--offline forbids to fetch it", hint="run without --offline")
        scheme = url.partition("://")[0].lower()
        if scheme == "s3":
            from lfbuild.fetch.s3 import Bucket

            access = Access(sign=Bucket.of(url, self._network).sign)
        elif scheme == "oci":
            access = self._registries.access(url)
        elif scheme not in ("http", "https"):
            what = "is not an http://, https://, s3:// or oci:// address"
            raise FetchError(without_secrets(url), what, hint="check the address")
        else:
            self._network.refuse_unreadable(url)
            access = Access(headers=partial(self._network.hub_login, url))
        return HttpRemote(
            url,
            self._connections,
            self._network,
            size_bytes=size_bytes,
            access=access,
            clock=self._clock,
            is_fresh=is_fresh,
        )

    def read(self, url: str, *, limit_bytes: int) -> SmallFile:
        """A small file, whole, as it is now.

        Raises:
            FetchError: it could not be had, or is bigger than `limit_bytes`.
        """
        remote = self.remote(url, is_fresh=True)
        for tries in range(1, MOST_TRIES + 1):
            try:
                return _read_once(remote, limit_bytes)
            except PassingError as trouble:
                if tries == MOST_TRIES:
                    what = f"{trouble.what}; tried {tries} times"
                    raise FetchError(remote.where, what, hint=_HINT) from trouble
                wait_s = random.uniform(0.5, 1.0) * tries if trouble.wait_s is None else trouble.wait_s  # noqa: S311
                self._clock.pause(wait_s)
        raise AssertionError("unreachable")  # the last try returns or raises


def _read_once(remote: Remote, limit_bytes: int) -> SmallFile:
    data = bytearray()
    with remote.open(None) as body:
        while piece := body.read(limit_bytes + 1 - len(data)):
            data += piece
            if len(data) > limit_bytes:
                what = f"is bigger than the {size_words(limit_bytes)} that such a file may have"
                raise FetchError(remote.where, what)
        if body.size_bytes is not None and body.size_bytes != len(data):
            raise PassingError(f"the connection broke off after {part_words(len(data), body.size_bytes)}")
        return SmallFile(data=bytes(data), wait_s=body.wait_s)
