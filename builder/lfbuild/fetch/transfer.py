"""One attempt to bring the missing bytes of a file: what is asked for, and what of the answer is taken.

Whether and when to try again is decided elsewhere; this raises `PassingError` where it may help.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from urllib3 import exceptions

from lfbuild.errors import FetchError
from lfbuild.fetch.answers import AskLater, BeginAgain, TakeBody, decide, strong_validator
from lfbuild.fetch.connection import Connections, PassingError, in_words
from lfbuild.fetch.network import Network, without_secrets
from lfbuild.fetch.partial import PartialFile, Version
from lfbuild.report import part_words, size_words

if TYPE_CHECKING:
    import urllib3

    from lfbuild.report import Step

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """What is to be brought."""

    url: str
    headers: dict[str, str]
    size_bytes: int | None
    is_hashed: bool
    """The whole is checked by a hash in the end, so bytes may be continued without the server's word for them."""


class Attempt:
    """One request for the bytes that are missing."""

    def __init__(
        self, connections: Connections, work: Transfer, held: PartialFile, step: Step, network: Network
    ) -> None:
        self._connections = connections
        self._work = work
        self._held = held
        self._step = step
        self._network = network
        self._where = without_secrets(work.url)

    def run(self) -> None:
        """Bring what is missing, or raise."""
        version = self._continuable()
        response, _ = self._connections.get(self._work.url, self._headers(version))
        try:
            decision = decide(response.status, response.headers, held_bytes=self._held.size_bytes, where=self._where)
            if isinstance(decision, TakeBody):
                self._take(response, decision, version)
            elif isinstance(decision, BeginAgain):
                self._restart()
                raise PassingError(decision.what, wait_s=0)
            elif isinstance(decision, AskLater):
                raise PassingError(decision.what, wait_s=decision.wait_s)
        finally:
            response.close()

    def _continuable(self) -> Version | None:
        """What the held bytes are a part of; if nothing vouches for them, they are thrown away."""
        version = self._held.recall()
        if version is not None and version.url != self._where:
            version = None
        is_vouched_for = self._work.is_hashed or (version is not None and version.validator is not None)
        is_too_long = self._work.size_bytes is not None and self._held.size_bytes > self._work.size_bytes
        if self._held.size_bytes and (not is_vouched_for or is_too_long):
            self._restart()
        return version if self._held.size_bytes else None

    def _headers(self, version: Version | None) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity", **self._work.headers}
        if self._held.size_bytes:
            headers["Range"] = f"bytes={self._held.size_bytes}-"
            if version is not None and version.validator is not None:
                headers["If-Range"] = version.validator
        return headers

    def _take(self, response: urllib3.BaseHTTPResponse, body: TakeBody, version: Version | None) -> None:
        total = self._agreed_total(body, version)
        validator = strong_validator(response.headers)
        if body.offset and version and version.validator and validator and validator != version.validator:
            self._restart()
            raise PassingError("the file was changed on the server meanwhile", wait_s=0)
        if body.offset == 0:
            self._restart()
            self._held.remember(Version(url=self._where, validator=validator, total_bytes=total))
        if total is not None:
            self._step.expect(total)
        self._copy(response, total)
        if total is not None and self._held.size_bytes < total:
            raise PassingError(f"the connection broke off after {part_words(self._held.size_bytes, total)}")

    def _agreed_total(self, body: TakeBody, version: Version | None) -> int | None:
        promised, told = self._work.size_bytes, body.total_bytes
        if promised is not None and told is not None and promised != told:
            hint = "the file was changed at its source, or the address is another file's"
            raise FetchError(self._where, f"has {told} bytes, but {promised} were promised", hint=hint)
        if body.offset and version and version.total_bytes is not None and told not in (None, version.total_bytes):
            self._restart()
            raise PassingError("the file was changed on the server meanwhile", wait_s=0)
        return promised if promised is not None else told

    def _copy(self, response: urllib3.BaseHTTPResponse, total: int | None) -> None:
        while True:
            try:
                data = response.read1(CHUNK_BYTES, decode_content=False)
            except exceptions.HTTPError as error:
                trouble = in_words(error, where=self._where, network=self._network)
                raise self._with_place(trouble, total) from error
            if not data:
                return
            if total is not None and self._held.size_bytes + len(data) > total:
                self._restart()
                hint = "the server, or a cache on the way, is broken"
                raise FetchError(
                    self._where, f"the server sends more than the {size_words(total)} that the file has", hint=hint
                )
            self._held.append(data)
            self._step.advance(len(data))

    def _with_place(self, trouble: Exception, total: int | None) -> Exception:
        if not isinstance(trouble, PassingError):
            return trouble
        return PassingError(f"{trouble.what} after {part_words(self._held.size_bytes, total or 0)}")

    def _restart(self) -> None:
        self._step.advance(-self._held.size_bytes)
        self._held.restart()
