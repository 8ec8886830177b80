"""Decides what an HTTP answer means for a download: take it from here, begin again, wait, or give up.

Pure: a status, headers and what is held come in, a decision goes out. Whatever a server says about ranges is checked
against what was asked for, as servers and caches on the way get it wrong in many ways.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lfbuild.errors import FetchError

if TYPE_CHECKING:
    from collections.abc import Mapping


class NotThereError(FetchError):
    """The server has nothing under this address."""


class RangesRefusedError(FetchError):
    """The server serves the whole file or nothing."""


class ChangedError(FetchError):
    """What stands under this address is not what stood there before, or not what was promised."""


MAX_WAIT_S = 60
_NUMBER: Final = "[0-9]{1,18}"
"""No file is larger, and longer texts of digits are for no `int`."""
_CONTENT_RANGE = re.compile(rf"bytes (?:({_NUMBER})-({_NUMBER})|\*)/({_NUMBER}|\*)")
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Promised:
    """What is known of a file before a part of it is asked for."""

    size_bytes: int | None = None
    tag: str | None = None
    """The strong ETag that an earlier answer had."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TakePart:
    """The body is the part that was asked for."""

    size_bytes: int
    """Of the whole file."""
    tag: str | None
    length: int | None
    """Bytes of the body; None where the server does not say."""


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


def check_part(
    status: int, headers: Mapping[str, str], *, offset: int, length: int, promised: Promised, where: str
) -> TakePart | AskLater:
    """What to do with this answer to a request for `length` bytes (at least one) from `offset` on.

    Raises:
        RangesRefusedError: the server sends the whole file, whatever is asked for.
        ChangedError: it has a file of another size than promised.
        FetchError: asking again would not help.
    """
    _refuse_compressed(headers, where)
    # rclone's S3 server sends the part, says which it is, and calls that 200.
    if status == 206 or (status == 200 and "Content-Range" in headers):
        return _asked_part(headers, offset, length, promised, where)
    if status == 200:
        if is_other_copy(headers, promised):
            return AskLater(what="another copy of the file answers, under another ETag", wait_s=0)
        raise RangesRefusedError(where, "the server sends only whole files (200 instead of 206)")
    if status == 501:
        raise RangesRefusedError(where, "the server sends only whole files (501)")
    if status in (412, 416):
        raise ChangedError(where, f"the server has no bytes {offset}-{offset + length - 1} of this file ({status})")
    decision = decide(status, headers, held_bytes=0, where=where)
    if isinstance(decision, AskLater):
        return decision
    raise FetchError(where, f"the server answered {status}", hint="check the address")


def check_whole(status: int, headers: Mapping[str, str], *, promised: Promised, where: str) -> TakePart | AskLater:
    """What to do with this answer to a request for the whole file.

    Raises:
        ChangedError: it has a file of another size than promised.
        FetchError: asking again would not help.
    """
    _refuse_compressed(headers, where)
    decision = decide(status, headers, held_bytes=0, where=where)
    if isinstance(decision, AskLater):
        return decision
    length = _length(headers)
    if status != 200:
        raise ChangedError(where, "the file was changed on the server meanwhile")
    if promised.size_bytes is not None and length not in (None, promised.size_bytes):
        raise ChangedError(where, f"has {length} bytes, but {promised.size_bytes} were promised")
    return TakePart(size_bytes=length or promised.size_bytes or 0, tag=_strong_tag(headers), length=length)


def is_other_copy(headers: Mapping[str, str], promised: Promised) -> bool:
    """Whether this comes from another copy than earlier answers: a mirror's, or that of a file which was changed.

    Whether it is another file only its bytes tell: mirrors that have the same one call it by tags of their own.
    """
    tag = _strong_tag(headers)
    return tag is not None and promised.tag is not None and tag != promised.tag


def strong_validator(headers: Mapping[str, str]) -> str | None:
    """What If-Range may carry: a strong ETag, else the date of the last change."""
    tag = headers.get("ETag", "")
    if tag.startswith('"'):
        return tag
    return headers.get("Last-Modified") or None


def _asked_part(
    headers: Mapping[str, str], offset: int, length: int, promised: Promised, where: str
) -> TakePart | AskLater:
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if match is None or match[1] is None:
        kind = headers.get("Content-Type", "").partition(";")[0]
        more = " but several in one body" if kind == "multipart/byteranges" else ""
        return AskLater(what=f"the server sends a part without saying which{more}", wait_s=None)
    first, last = int(match[1]), int(match[2])
    total = promised.size_bytes if match[3] == "*" else int(match[3])
    if promised.size_bytes is not None and total != promised.size_bytes:
        raise ChangedError(where, f"has {total} bytes, but {promised.size_bytes} were promised")
    body = _length(headers)
    if first != offset or last != offset + length - 1 or body not in (None, length):
        told = f" in {body} bytes" if body is not None and body != last - first + 1 else ""
        what = f"the server sends bytes {first}-{last}{told}, though {offset}-{offset + length - 1} were asked for"
        return AskLater(what=what, wait_s=None)
    return TakePart(size_bytes=last + 1 if total is None else total, tag=_strong_tag(headers), length=body)


def _strong_tag(headers: Mapping[str, str]) -> str | None:
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else None


def _refuse_compressed(headers: Mapping[str, str], where: str) -> None:
    """Compressed bytes have other offsets; a range of them cannot even be decoded."""
    coding = headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        hint = "the server, or a cache on the way, must send this file as it is (Cache-Control: no-transform)"
        raise FetchError(where, f"the server compresses it on the way ({coding}), though that was declined", hint=hint)


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
    return int(text) if re.fullmatch(_NUMBER, text) else None


def _wait(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "")  # the other form, a date, would need a clock
    return min(float(text), MAX_WAIT_S) if text.isascii() and text.isdigit() else None


def _trouble(status: int) -> str:
    if status == 429:
        return "the server asks to slow down (429)"
    return f"the server is in trouble ({status})" if status >= 500 else f"the server gave up waiting ({status})"
