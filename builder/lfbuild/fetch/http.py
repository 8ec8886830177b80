"""Downloads over HTTP that survive bad networks: retried with growing pauses, resumed, hashed while they arrive.

Where the bytes are kept and what they are for is the caller's business. Every way to fail is one sentence.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from urllib3 import exceptions

from lfbuild.errors import FetchError, HostError, IntegrityError
from lfbuild.fetch.answers import AskLater, decide
from lfbuild.fetch.connection import Connections, PassingError, in_words
from lfbuild.fetch.network import Network, without_secrets
from lfbuild.fetch.partial import PartialFile
from lfbuild.fetch.transfer import Attempt, Transfer
from lfbuild.host.files import host_error
from lfbuild.report import size_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from lfbuild.report import Report

GAIN_BYTES = 1024 * 1024
"""An attempt that brought this much is not held against a server that broke off."""
MAX_PAUSE_S = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Downloaded:
    """A file that arrived whole."""

    path: Path
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A small answer, kept in memory."""

    url: str
    """The address that gave it, after redirects."""
    content_type: str
    data: bytes


class Fetcher(Protocol):
    """Whoever can bring bytes from an address; HTTP today."""

    def download(
        self,
        url: str,
        partial: Path,
        *,
        size_bytes: int | None = None,
        sha256: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Downloaded:
        """Bring a whole file to `partial`, going on from the bytes that are there."""

    def read(self, url: str, *, limit_bytes: int, headers: Mapping[str, str] | None = None) -> Document:
        """Bring a small document."""


_Result = TypeVar("_Result")
_NETWORK_HINT = "check the network, and HTTPS_PROXY if there is a proxy"


def _pause_s(failures: int) -> float:
    """Twice as long after each failure, and never in step with the others who wait for the same server."""
    longest = min(MAX_PAUSE_S, 0.5 * 2**failures)
    return random.uniform(longest / 2, longest)  # noqa: S311  # no secret hangs on it


class HttpFetcher:
    """A `Fetcher` for http:// and https:// addresses."""

    def __init__(self, network: Network, report: Report, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._network = network
        self._report = report
        self._pause = pause
        self._connections = Connections(network)

    def download(
        self,
        url: str,
        partial: Path,
        *,
        size_bytes: int | None = None,
        sha256: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Downloaded:
        """Bring a whole file to `partial`, going on from the bytes that are there.

        Raises:
            FetchError: it could not be brought; what came is kept for the next time.
            IntegrityError: all of it came, and it is not what `sha256` promised.
            HostError: the disk is full.
        """
        self._refuse(url)
        try:
            with PartialFile(partial) as held:
                return self._download(url, held, size_bytes, sha256, dict(headers or {}))
        except OSError as error:
            raise host_error(partial, error) from error

    def read(self, url: str, *, limit_bytes: int, headers: Mapping[str, str] | None = None) -> Document:
        """Bring a small document.

        Raises:
            FetchError: it could not be brought, or is bigger than `limit_bytes`.
        """
        self._refuse(url)
        return self._with_patience(url, lambda: 0, lambda: self._read_once(url, limit_bytes, headers or {}))

    def _download(
        self, url: str, held: PartialFile, size_bytes: int | None, sha256: str | None, headers: dict[str, str]
    ) -> Downloaded:
        where = without_secrets(url)
        resumed_bytes = held.size_bytes
        work = Transfer(url=url, headers=headers, size_bytes=size_bytes, is_hashed=sha256 is not None)
        self._transfer(work, held)
        if sha256 and held.sha256 != sha256 and resumed_bytes:
            self._report.note(f"{where}: the bytes kept from before do not fit; it is fetched from the beginning")
            held.restart()
            self._transfer(work, held)
        held.forget()
        if sha256 and held.sha256 != sha256:
            actual = held.sha256
            held.restart()
            hint = "the file was changed at its source, or the promised hash is wrong"
            raise IntegrityError(where, f"has sha256 {actual}, but {sha256} was promised", hint=hint)
        return Downloaded(path=held.path, size_bytes=held.size_bytes, sha256=held.sha256)

    def _read_once(self, url: str, limit_bytes: int, headers: Mapping[str, str]) -> Document:
        where = without_secrets(url)
        response, final_url = self._connections.get(url, headers)
        try:
            decision = decide(response.status, response.headers, held_bytes=0, where=where)
            if isinstance(decision, AskLater):
                raise PassingError(decision.what, wait_s=decision.wait_s)
            data = response.read(limit_bytes + 1, decode_content=True)
        except exceptions.HTTPError as error:
            raise in_words(error, where=where, network=self._network) from error
        finally:
            response.close()
        if len(data) > limit_bytes:
            raise FetchError(where, f"is bigger than the {size_words(limit_bytes)} that such a document may have")
        return Document(url=final_url, content_type=response.headers.get("Content-Type", ""), data=data)

    def _transfer(self, work: Transfer, held: PartialFile) -> None:
        where = without_secrets(work.url)
        with self._report.step(f"fetch {where.rpartition('/')[2] or where}", total=work.size_bytes) as step:
            step.advance(held.size_bytes)
            try:
                self._with_patience(
                    work.url,
                    lambda: held.size_bytes,
                    lambda: Attempt(self._connections, work, held, step, self._network).run(),
                )
            except OSError as error:
                what = f"{host_error(held.path, error).what}, after {size_words(held.size_bytes)} of {where}"
                hint = "free some space and run again: it goes on from there"
                raise HostError(held.path, what, hint=hint) from error

    def _with_patience(self, url: str, progress: Callable[[], int], attempt: Callable[[], _Result]) -> _Result:
        """Try until it works, or fails `attempts` times in a row without getting on."""
        failures = 0
        while True:
            before = progress()
            try:
                return attempt()
            except PassingError as trouble:
                failures = 1 if progress() - before >= GAIN_BYTES else failures + 1
                if failures >= self._network.attempts:
                    kept = progress()
                    hint = (
                        f"run again: {size_words(kept)} are kept, and it goes on from there" if kept else _NETWORK_HINT
                    )
                    times = "once" if failures == 1 else f"{failures} times"
                    raise FetchError(without_secrets(url), f"{trouble.what}; tried {times}", hint=hint) from trouble
                self._pause(trouble.wait_s if trouble.wait_s is not None else _pause_s(failures))

    def _refuse(self, url: str) -> None:
        self._network.refuse_unreadable(url)
        if self._network.offline:
            hint = "run once without --offline"
            raise FetchError(without_secrets(url), "is not in the cache, and --offline forbids to fetch it", hint=hint)
