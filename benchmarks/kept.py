"""Trials of other tools that are kept between runs: with the same two files and settings they come out the same.

A comparison of differences takes hours, and what is interrupted goes on with `--kept FILE`. lfbuild's own trials are
never kept, as its code is what is measured. The file has a line of JSON for each trial; the last one of a key counts,
and a last line that was cut short is none.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from blake3 import blake3

from benchmarks.measure import OutOfPatienceError, Sample
from benchmarks.peers import OURS, Trial

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.pairs import Pair
    from benchmarks.peers import Peer


class KeptTrials:
    """What tools did with pairs of files, known by the digests of the files."""

    def __init__(self, path: Path | None) -> None:
        """Read what was kept; without a path nothing is."""
        self._path = path
        self._digests: dict[Path, str] = {}
        lines = _whole_lines(path) if path and path.exists() else []
        self._known = {line["key"]: line["trial"] for line in map(json.loads, lines)}
        self.taken = 0
        """How many trials were not run anew."""

    def trial(self, peer: Peer, pair: Pair, folder: Path) -> Trial | str:
        """What the tool did with the pair, or why it could not: known, or run now and kept."""
        why = peer.lacking(pair)
        if why or peer is OURS or self._path is None:
            return why or _run(peer, pair, folder)
        key = " ".join((peer.name, self._digest(pair.old), self._digest(pair.new)))
        if key in self._known:
            self.taken += 1
            return _read(self._known[key])
        trial = _run(peer, pair, folder)
        self._known[key] = trial if isinstance(trial, str) else asdict(trial)
        with self._path.open("a") as file:
            file.write(json.dumps({"key": key, "trial": self._known[key]}) + "\n")
        return trial

    def _digest(self, path: Path) -> str:
        if path not in self._digests:
            self._digests[path] = blake3().update_mmap(path).hexdigest()
        return self._digests[path]


def _whole_lines(path: Path) -> list[str]:
    """The lines of the file, from which a torn last one is cut."""
    whole, end, torn = path.read_text().rpartition("\n")
    if torn:
        path.write_text(whole + end)
    return whole.splitlines()


def _run(peer: Peer, pair: Pair, folder: Path) -> Trial | str:
    try:
        return peer.trial(pair, folder)
    except OutOfPatienceError as enough:
        return str(enough)


def _read(kept: str | dict[str, object]) -> Trial | str:
    if isinstance(kept, str):
        return kept
    make, apply = kept["make"], kept["apply"]
    assert isinstance(make, dict)
    assert isinstance(apply, dict)
    return Trial(travels_bytes=int(str(kept["travels_bytes"])), make=Sample(**make), apply=Sample(**apply))
