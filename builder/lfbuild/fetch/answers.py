"""Decides what an HTTP answer means for a download: take it from here, begin again, wait, or give up.

Pure: a status, headers and what is held come in, a decision goes out. Whatever a server says about ranges is checked
against what was asked for, as servers and caches on the way get it wrong in many ways.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.errors import FetchError

if TYPE_CHECKING:
    from collections.abc import Mapping


class NotThereError(FetchError):
    """The server has nothing under this address."""


MAX_WAIT_S = 60
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_REFUSALS = {
    401: ("the server wants to know who asks (401)", "it may need a token or a password"),
    403: ("the server does not allow it (403)", "it may need a token, or a licence to be accepted on its web page"),
    404: ("is not there (404)", "check the address; the file may have been moved or renamed"),
    407: ("the proxy wants a user and a password (407)", "put them into HTTPS_PROXY: http://user:password@host:port"),
    410: ("is not there any more (410)", "check the address; the file may have been moved or renamed"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeBody:
    """Write the body from `offset` on, which is 0 or where the held bytes end."""

    offset: int
    total_bytes: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AlreadyComplete:
    """All bytes are here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BeginAgain:
    """What is held cannot be continued; ask for the whole."""

    what: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AskLater:
    """A trouble that may pass."""

    what: str
    wait_s: float | None


Decision = TakeBody | AlreadyComplete | BeginAgain | AskLater


def decide(status: int, headers: Mapping[str, str], *, held_bytes: int, where: str) -> Decision:
    """What to do with this answer to a request that asked for everything from `held_bytes` on.

    Raises:
        FetchError: asking again would not help.
    """
    if status == 200:
        return TakeBody(offset=0, total_bytes=_length(headers))
    if status == 206:
        return _partial_content(headers, held_bytes)
    if status == 416 and held_bytes:
        total = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        if total and total[3] == str(held_bytes):
            return AlreadyComplete()
        return BeginAgain(what="the server has no bytes after those that were kept")
    if status in (408, 425, 429) or status >= 500:
        return AskLater(what=_trouble(status), wait_s=_wait(headers))
    what, hint = _REFUSALS.get(status, (f"the server answered {status}", "check the address"))
    raise (NotThereError if status in (404, 410) else FetchError)(where, what, hint=hint)


def strong_validator(headers: Mapping[str, str]) -> str | None:
    """What If-Range may carry: a strong ETag, else the date of the last change."""
    tag = headers.get("ETag", "")
    if tag.startswith('"'):
        return tag
    return headers.get("Last-Modified") or None


def _partial_content(headers: Mapping[str, str], held_bytes: int) -> Decision:
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if match is None or match[1] is None:
        return BeginAgain(what="the server sends a part without saying which")
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    if first != held_bytes or last < first or (total is not None and last >= total):
        return BeginAgain(
            what=f"the server sends bytes {first}-{last}, though those from {held_bytes} on were asked for"
        )
    length = _length(headers)
    if length is not None and length != last - first + 1:
        return BeginAgain(what=f"the server says {length} bytes, and {last - first + 1} in the same answer")
    return TakeBody(offset=first, total_bytes=total)


def _length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _wait(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "")  # the other form, a date, would need a clock
    return min(float(text), MAX_WAIT_S) if text.isascii() and text.isdigit() else None


def _trouble(status: int) -> str:
    if status == 429:
        return "the server asks to slow down (429)"
    return f"the server is in trouble ({status})" if status >= 500 else f"the server gave up waiting ({status})"
