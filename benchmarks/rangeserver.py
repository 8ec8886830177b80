"""A web server that answers ranges, several at once too, and counts the bytes it sent: what zsync needs."""

from __future__ import annotations

import contextlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BOUNDARY = "lfbuild-benchmark"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RangeServer

    def do_GET(self) -> None:
        """Answer a range, or several, or the whole file."""
        path = self.server.folder / self.path.lstrip("/")
        size = path.stat().st_size
        ranges = re.findall(r"(\d+)-(\d+)", self.headers.get("Range", ""))
        with path.open("rb") as file:
            if not ranges:
                self._answer(200, {"Content-Type": "application/octet-stream"}, [file.read()])
                return
            pieces = []
            for first, last in ranges:
                file.seek(int(first))
                pieces.append((f"bytes {first}-{last}/{size}", file.read(int(last) - int(first) + 1)))
        if len(pieces) == 1:
            self._answer(206, {"Content-Range": pieces[0][0]}, [pieces[0][1]])
            return
        parts = []
        for words, data in pieces:
            parts += [f"\r\n--{_BOUNDARY}\r\nContent-Range: {words}\r\n\r\n".encode(), data]
        parts.append(f"\r\n--{_BOUNDARY}--\r\n".encode())
        self._answer(206, {"Content-Type": f"multipart/byteranges; boundary={_BOUNDARY}"}, parts)

    def _answer(self, code: int, headers: dict[str, str], parts: list[bytes]) -> None:
        length = sum(len(part) for part in parts)
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        for part in parts:
            self.wfile.write(part)
        with self.server.lock:
            self.server.sent_bytes += length

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class RangeServer(ThreadingHTTPServer):
    """Serves a folder on loopback."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.sent_bytes, self.lock = folder, 0, threading.Lock()

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_port}"


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[RangeServer]:
    """A server for as long as the context lasts."""
    with RangeServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
