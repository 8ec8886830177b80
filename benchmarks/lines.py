"""Scattered blocks over a slow line, against the floor: bytes / bandwidth + 2 round trips.

The line is `benchmarks.link`, a proxy of our own, as the kernel here has no netem; behind it stands nginx. Blocks lie
apart as those of a release in which many tensors changed a little, by gaps of 256 KiB on average.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.front import main
from benchmarks.inputs import random_file
from benchmarks.measure import CHECKOUT, Contender, interleaved, median, run_child
from benchmarks.tables import Goal, Table, mebibytes, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.front import Setting

_GAP_BYTES = 256 << 10
_NGINX = """\
daemon off; master_process off; pid {home}/pid; error_log {home}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; tcp_nodelay on;
  client_body_temp_path {home}/a; proxy_temp_path {home}/b; fastcgi_temp_path {home}/c;
  uwsgi_temp_path {home}/d; scgi_temp_path {home}/e;
  server {{ listen 127.0.0.1:{port}; root {home}; }}
}}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A line, and what is fetched over it."""

    name: str
    round_trip_ms: int
    megabits: int
    blocks: int
    block_bytes: int
    limit: float
    """How much longer than the floor ranges may take."""

    @property
    def wanted_bytes(self) -> int:
        """Of all blocks."""
        return self.blocks * self.block_bytes

    @property
    def floor_s(self) -> float:
        """No client can be faster."""
        return self.wanted_bytes / (self.megabits * 125_000) + 2 * self.round_trip_ms / 1000

    def spans(self, *, apart: bool) -> list[tuple[int, int]]:
        """Offset and size of each block; the same in every run."""
        chance = random.Random(7)  # noqa: S311  # nothing secret
        position, spans = 0, []
        for _ in range(self.blocks):
            position += int(chance.expovariate(1 / _GAP_BYTES)) if apart else 0
            spans.append((position, self.block_bytes))
            position += self.block_bytes
        return spans


CASES = (
    Case(name="50 ms, 100 Mbit/s", round_trip_ms=50, megabits=100, blocks=200, block_bytes=64 << 10, limit=1.2),
    Case(name="150 ms, 1 Gbit/s", round_trip_ms=150, megabits=1000, blocks=400, block_bytes=256 << 10, limit=1.6),
)
_DELTA_LIMIT = 1.2


def measure(setting: Setting) -> Iterator[Table]:
    """The one table of lines."""
    rows, goals = [], []
    origin = setting.folder / "origin"
    origin.mkdir()
    size = max(offset + size for case in CASES for offset, size in case.spans(apart=True))
    random_file(origin / "file.bin", size)
    with _nginx(origin) as origin_port:
        for case in CASES:
            with _link(origin_port, case) as port:
                url = f"http://127.0.0.1:{port}/file.bin"
                contenders = [
                    _contender("ranges", case, url, setting.folder, apart=True, most=32),
                    _contender("ranges, 8 connections", case, url, setting.folder, apart=True, most=8),
                    _contender("one object (published difference)", case, url, setting.folder, apart=False, most=32),
                ]
                samples = interleaved(contenders, rounds=setting.rounds, warmups=0 if setting.quick else 1)
            for name in samples:
                wall_s = median(samples, name, "act")
                rows.append(
                    (
                        f"{case.name}: {name}",
                        seconds(wall_s),
                        f"{wall_s / case.floor_s:.2f} ×",
                        f"{median(samples, name, 'requests'):.0f}",
                        mebibytes(median(samples, name, "body")),
                    )
                )
            ranges, one = median(samples, "ranges", "act"), median(samples, contenders[-1].name, "act")
            goals.append(
                Goal(what=f"{case.name}: ranges", limit=case.limit, found=ranges / case.floor_s, unit=" × the floor")
            )
            goals.append(
                Goal(what=f"{case.name}: one object", limit=_DELTA_LIMIT, found=one / case.floor_s, unit=" × the floor")
            )
    yield Table(
        title="Scattered blocks over HTTP",
        columns=("line and way", "time", "of the floor", "requests", "came over the line"),
        rows=rows,
        goals=goals,
        notes=(
            "Floor: wanted bytes / bandwidth + 2 round trips. "
            + "; ".join(
                f"{case.name}: {case.blocks} blocks of {case.block_bytes >> 10} KiB, {seconds(case.floor_s)}"
                for case in CASES
            )
            + ". The line is a proxy of our own (benchmarks/link.py): delay, handshake and one shared rate; no slow "
            "start, no loss. Behind it nginx. Every block is held against its digest; connections are new in each run.",
        ),
    )


def _contender(name: str, case: Case, url: str, folder: Path, *, apart: bool, most: int) -> Contender:
    spans = folder / f"{case.megabits}-{apart}.json"
    if not spans.exists():
        spans.write_text(json.dumps(_with_digests(folder / "origin" / "file.bin", case.spans(apart=apart))))
    return Contender(name=name, run=lambda: run_child("fetch", url, spans, most))


def _with_digests(path: Path, spans: list[tuple[int, int]]) -> list[tuple[int, int, str]]:
    from blake3 import blake3

    found = []
    with path.open("rb") as file:
        for offset, size in spans:
            file.seek(offset)
            found.append((offset, size, blake3(file.read(size)).hexdigest()))
    return found


@contextlib.contextmanager
def _nginx(home: Path) -> Iterator[int]:
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        raise SystemExit("nginx is not installed: ci/packages")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    config = home.parent / "nginx.conf"
    config.write_text(_NGINX.format(home=home, port=port))
    home.chmod(0o755)
    process = subprocess.Popen([program, "-p", home, "-c", config], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def _link(origin_port: int, case: Case) -> Iterator[int]:
    words = [str(origin_port), str(case.round_trip_ms), str(case.megabits)]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.link", *words], stdout=subprocess.PIPE, text=True, cwd=CHECKOUT
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.communicate()


def _wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit("nginx does not answer")


if __name__ == "__main__":
    sys.exit(main("lines", measure))
