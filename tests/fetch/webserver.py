"""A web server on loopback that can get everything wrong that servers and caches get wrong."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class Page:
    """One file of the server, and how it is served. What is in a list happens once, in order."""

    data: bytes = b""
    etag: str | None = '"v1"'
    content_type: str = "application/octet-stream"
    headers: dict[str, str] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)
    cut_after: list[int] = field(default_factory=list)
    stall_after: list[int] = field(default_factory=list)
    redirect: str | None = None
    ignores_ranges: bool = False
    ignores_if_range: bool = False
    range_shift: int = 0
    content_range: str | None = None
    length_shift: int = 0
    without_length: bool = False
    is_chunked: bool = False
    is_silent: bool = False
    is_endless: bool = False
    """Bytes come for as long as somebody takes them."""
    resets_after: list[int] = field(default_factory=list)
    """The connection is reset in the middle of a body."""
    part_status: int = 206
    before: list[Callable[[], None]] = field(default_factory=list)


@dataclass
class Asked:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    sent_bytes: int = 0
    """Of the body."""

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


class WebServer(ThreadingHTTPServer):
    """Serves `pages`, and remembers what it was `asked`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: dict[str, Page] = {}
        self.asked: list[Asked] = []
        self.finish = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of the game."""


@contextlib.contextmanager
def web_server() -> Iterator[WebServer]:
    server = WebServer()
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
    thread.start()
    try:
        yield server
    finally:
        server.finish.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes, and the second would wait for an answer
    server: WebServer
    asked: Asked

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name that http.server gives it
        """Tests look at `asked` instead."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.asked = Asked(method=self.command, path=self.path, headers=headers)
        self.server.asked.append(self.asked)
        page = self.server.pages.get(self.path)
        if page is None:
            self._answer(404, b"", {})
            return
        while page.before:
            page.before.pop(0)()
        if page.is_silent:
            self.server.finish.wait(30)
            self.close_connection = True
        elif page.statuses:
            self._answer(page.statuses.pop(0), b"", page.headers)
        elif page.redirect is not None:
            self._answer(302, b"", {"Location": page.redirect, **page.headers}, page)
        else:
            self._serve(page, headers)

    def _serve(self, page: Page, asked: dict[str, str]) -> None:
        headers = {"Content-Type": page.content_type, **({"ETag": page.etag} if page.etag else {}), **page.headers}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.get("range", ""))
        same = page.ignores_if_range or asked.get("if-range") in (None, page.etag)
        if wanted is None or page.ignores_ranges or not same:
            self._answer(200, page.data, headers, page)
            return
        start = int(wanted[1]) + page.range_shift
        if start >= len(page.data):
            self._answer(416, b"", {"Content-Range": f"bytes */{len(page.data)}"})
            return
        end = min(int(wanted[2]) + page.range_shift + 1, len(page.data)) if wanted[2] else len(page.data)
        told = page.content_range or f"bytes {start}-{end - 1}/{len(page.data)}"
        self._answer(page.part_status, page.data[start:end], {**headers, "Content-Range": told}, page)

    def _answer(self, status: int, body: bytes, headers: dict[str, str], page: Page | None = None) -> None:
        page = page or Page()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if page.is_chunked and status < 300:
            self.send_header("Transfer-Encoding", "chunked")
        elif page.without_length or page.is_endless:
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(body) + page.length_shift))
        self.end_headers()
        if self.command == "HEAD":
            return
        if page.stall_after:
            self.wfile.write(body[: page.stall_after.pop(0)])
            self.server.finish.wait(30)
            self.close_connection = True
            return
        if page.is_endless or page.resets_after:
            self._misbehave(body, page)
            return
        cut = page.cut_after.pop(0) if page.cut_after else None
        sent = body if cut is None else body[:cut]
        self._send(_chunks(sent, is_complete=cut is None) if page.is_chunked and status < 300 else sent)
        if cut is not None or page.length_shift:
            self.close_connection = True

    def _misbehave(self, body: bytes, page: Page) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            if page.resets_after:
                self._send(body[: page.resets_after.pop(0)])
                self.wfile.flush()
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            else:
                self._send(body)
                while not self.server.finish.is_set():
                    self._send(bytes(50_000))

    def _send(self, data: bytes) -> None:
        """In pieces, so that what was sent is known however it ends."""
        for at in range(0, len(data), 50_000):
            piece = data[at : at + 50_000]
            self.wfile.write(piece)
            self.asked.sent_bytes += len(piece)


def _chunks(data: bytes, *, is_complete: bool) -> bytes:
    pieces = [data[at : at + 50_000] for at in range(0, len(data), 50_000)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + (b"0\r\n\r\n" if is_complete else b"")
