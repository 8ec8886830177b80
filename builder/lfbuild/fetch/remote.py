"""One file elsewhere, of which parts can be had: the seam behind which servers, stores and folders look alike.

A `Remote` answers for one request: the bytes asked for, checked as far as an answer can be, or a refusal. Trying
again, working in parallel and judging the bytes are others' business.
"""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from urllib3 import exceptions

from lfbuild.errors import FetchError
from lfbuild.fetch.answers import (
    AskLater,
    ChangedError,
    NotThereError,
    Promised,
    TakePart,
    check_part,
    check_whole,
    is_other_copy,
)
from lfbuild.fetch.connection import Connections, PassingError, in_words, is_elsewhere
from lfbuild.fetch.network import without_secrets
from lfbuild.host.files import host_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from io import FileIO
    from pathlib import Path

    import urllib3

    from lfbuild.fetch.network import Network
    from lfbuild.fetch.pace import Clock
    from lfbuild.fetch.ranges import Span

READ_BYTES = 256 << 10


class BusyError(PassingError):
    """The server asks for fewer requests."""


class Body(Protocol):
    """The bytes of one answer, in order."""

    wait_s: float
    """How long the answer took to begin."""
    size_bytes: int | None
    """Of the whole file, as the answer says."""

    def read(self, most: int, /) -> bytes:
        """At most so many bytes; none at the end.

        Raises:
            PassingError: the connection broke off.
        """

    def abort(self) -> None:
        """Let a `read` that another thread waits in end now."""


class Remote(Protocol):
    """One file elsewhere."""

    where: str
    """Its address, as it may be shown."""
    has_copies: bool
    """Answers came from several copies, which may or may not be the same file."""

    def open(self, span: Span | None, /) -> AbstractContextManager[Body]:
        """Ask for a stretch, or for the whole file.

        Raises:
            PassingError: it may work when it is tried again.
            RangesRefusedError: only the whole file can be had.
            ChangedError: the file is not of the size that it was.
            FetchError: asking again would not help.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """How a server is asked that wants to know who asks. What it is told, no other server hears."""

    sign: Callable[[str], str] = lambda url: url
    """Makes the address that is asked for out of the one that is meant, anew for each request: stores that know their
    users by signed addresses let those expire."""
    headers: Callable[[], Mapping[str, str]] = dict
    """What else a request says."""
    sign_in: Callable[[Mapping[str, str], str], bool] = lambda _said, _challenge: False
    """Has other headers after a refusal (401) of what was said; False where there are none."""


class HttpRemote:
    """A file on a web server. Where an address is redirected to is remembered for the next request.

    With `is_fresh`, caches on the way ask the server first.
    """

    def __init__(
        self,
        url: str,
        connections: Connections,
        network: Network,
        *,
        clock: Clock,
        access: Access,
        size_bytes: int | None = None,
        is_fresh: bool = False,
    ) -> None:
        self.where, self.has_copies = without_secrets(url), False
        self._is_fresh = is_fresh
        self._url, self._access = url, access
        self._connections, self._network, self._clock = connections, network, clock
        self._lock = threading.Lock()
        self._promised = Promised(size_bytes=size_bytes)
        self._redirected: str | None = None

    @contextlib.contextmanager
    def open(self, span: Span | None, /) -> Iterator[Body]:
        """See `Remote`."""
        with self._lock:
            promised, redirected = self._promised, self._redirected
        began = self._clock.now()
        meant = self._access.sign(self._url)
        asked = redirected or meant
        said = {} if is_elsewhere(asked, meant) else self._access.headers()
        headers = {**_headers(span, promised, is_fresh=self._is_fresh), **said}
        response, answered = self._connections.get(asked, headers)
        try:
            if response.status == 401 and not is_elsewhere(answered, meant):
                self._sign_in(said, response.headers.get("WWW-Authenticate", ""))
            part = self._checked(response, span, promised, is_redirected=redirected is not None)
            with self._lock:
                # Requests are bound to one copy (If-Range) only as long as no other one has answered.
                tag = None if self.has_copies else promised.tag or part.tag
                self._promised = Promised(size_bytes=promised.size_bytes, tag=tag)
                self._redirected = None if answered == asked and redirected is None else answered
            yield _HttpBody(response, self, wait_s=self._clock.now() - began, size_bytes=part.size_bytes or None)
        finally:
            response.close()  # a connection whose answer was read to its end has gone back to the others before

    def trouble(self, error: exceptions.HTTPError) -> Exception:
        """What broke off a body, in words."""
        return in_words(error, where=self.where, network=self._network)

    def _sign_in(self, said: Mapping[str, str], challenge: str) -> None:
        if self._access.sign_in(said, challenge):
            raise PassingError("the server wants to know anew who asks (401)", wait_s=0)

    def _checked(
        self, response: urllib3.BaseHTTPResponse, span: Span | None, promised: Promised, *, is_redirected: bool
    ) -> TakePart:
        status, headers = response.status, response.headers
        if is_redirected and 400 <= status < 500 and status not in (408, 412, 416, 425, 429):
            with self._lock:
                self._redirected = None
            raise PassingError(f"the address that it was redirected to does not hold any more ({status})", wait_s=0)
        if status in (200, 206) and is_other_copy(headers, promised):
            with self._lock:
                self.has_copies, self._promised = True, Promised(size_bytes=promised.size_bytes)
        if span is None:
            decision = check_whole(status, headers, promised=promised, where=self.where)
        else:
            decision = check_part(
                status, headers, offset=span.offset, length=span.size_bytes, promised=promised, where=self.where
            )
        if isinstance(decision, AskLater):
            raise (BusyError if status in (429, 503) else PassingError)(decision.what, wait_s=decision.wait_s)
        return decision


class _HttpBody:
    def __init__(
        self, response: urllib3.BaseHTTPResponse, remote: HttpRemote, *, wait_s: float, size_bytes: int | None
    ) -> None:
        self._response, self._remote = response, remote
        self.wait_s, self.size_bytes = wait_s, size_bytes

    def read(self, most: int, /) -> bytes:
        try:
            return self._response.read1(min(most, READ_BYTES), decode_content=False)
        except exceptions.HTTPError as error:
            raise self._remote.trouble(error) from error

    def abort(self) -> None:
        with contextlib.suppress(RuntimeError, OSError):  # it may have ended by itself meanwhile
            self._response.shutdown()


class FileRemote:
    """A file in a folder that this machine sees: a disk, a stick, a share of the network."""

    def __init__(self, path: Path, *, size_bytes: int | None = None) -> None:
        self.where, self.has_copies = str(path), False
        self._path, self._size_bytes = path, size_bytes

    @contextlib.contextmanager
    def open(self, span: Span | None, /) -> Iterator[Body]:
        """See `Remote`."""
        try:
            with self._path.open("rb", buffering=0) as file:
                size_bytes = os.fstat(file.fileno()).st_size
                if self._size_bytes is not None and size_bytes != self._size_bytes:
                    what = f"has {size_bytes} bytes, but {self._size_bytes} were promised"
                    raise ChangedError(self.where, what)
                file.seek(0 if span is None else span.offset)
                yield _FileBody(file, size_bytes, size_bytes if span is None else span.size_bytes)
        except FileNotFoundError as error:
            raise NotThereError(self.where, "is not there", hint="check the address") from error
        except OSError as error:
            raise host_error(self._path, error) from error


class _FileBody:
    def __init__(self, file: FileIO, size_bytes: int, length: int) -> None:
        self._file, self._left = file, length
        self.wait_s = 0.0
        self.size_bytes: int | None = size_bytes

    def read(self, most: int, /) -> bytes:
        data = self._file.read(min(most, self._left)) or b""
        self._left -= len(data)
        return data

    def abort(self) -> None:
        """A file does not keep anyone waiting."""


def local_path(url: str) -> str | None:
    """The path that a file:// address or a plain path means; None for any other address.

    Raises:
        FetchError: no file has such a name.
    """
    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme not in ("", "file"):
        return None
    with contextlib.suppress(ValueError):  # an address that cannot be taken apart
        path = unquote(urlsplit(url).path) if scheme else url
        if "\0" not in path:
            return path
    raise FetchError(url.replace("\0", "%00"), "can be the name of no file", hint="check the address")


def _headers(span: Span | None, promised: Promised, *, is_fresh: bool) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity", **({"Cache-Control": "no-cache"} if is_fresh else {})}
    if span is not None:
        headers["Range"] = f"bytes={span.offset}-{span.end - 1}"
        if promised.tag is not None:
            headers["If-Range"] = promised.tag
    return headers
