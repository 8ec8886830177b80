"""Deltas between small files, made and applied by the code that does it for the large ones."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO

from lfbuild.delta.apply import DeltaStream, apply_delta, prepare
from lfbuild.delta.make import make_delta
from lfbuild.delta.side import Side
from lfbuild.report import SilentReport

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.delta.make import Difference


class Pipe:
    """A stream that gives few bytes at a time and cannot go back."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, 1000))


def written(folder: Path, name: str, data: bytes) -> Path:
    """A file of these bytes."""
    path = folder / name
    path.write_bytes(data)
    return path


def difference(old: Path, new: Path) -> tuple[bytes, Difference]:
    """The delta between two files, and what was said of it."""
    file = io.BytesIO()
    with (
        Side.open(old, threads=1, report=SilentReport()) as old_side,
        Side.open(new, threads=1, report=SilentReport()) as new_side,
    ):
        made = make_delta(old_side, new_side, file, folder=new.parent, executable=False)
    return file.getvalue(), made


def delta_of(old: Path, new: Path) -> bytes:
    """The delta between two files."""
    return difference(old, new)[0]


def applied(old: Path, delta: bytes, *, folder: Path) -> bytes:
    """What a delta makes of a file, through a pipe."""
    target = folder / "applied"
    with target.open("w+b") as file:
        apply_to(old, delta, file)
    return target.read_bytes()


def apply_to(old: Path, delta: bytes, file: BinaryIO) -> None:
    """Apply a delta and write into a file that is open."""
    with Side.open(old, threads=1, report=SilentReport()) as side:
        stream = DeltaStream(Pipe(delta), "x.lfdelta")  # type: ignore[arg-type]  # all that is asked of a pipe
        _, resolved = prepare(side, stream)
        apply_delta(side, stream, resolved, file, threads=1)
