"""The tools that make differences, each with its usual best settings: what travels, and what making and applying cost.

Every one must make NEW again, byte for byte, or the benchmark ends. zsync has no difference: what travels is its
control file and what its client fetched from a server on loopback; casync's is its index and the chunks that OLD's
store lacks.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from benchmarks.measure import Sample, run_child, run_program
from benchmarks.rangeserver import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmarks.pairs import Pair

_MOST_BSDIFF_BYTES = 150 << 20
"""bsdiff takes seventeen times the memory of the old file."""
_MOST_CPU_S = 20 * 60
"""A tool that needs more for one difference is of no use to a publisher."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What one tool did with one pair."""

    travels_bytes: int
    make: Sample
    apply: Sample
    in_place: Sample | None = None
    """Of applying it into the old file itself, where that can be done."""


class Peer(Protocol):
    """A tool that brings OLD to NEW."""

    @property
    def name(self) -> str:
        """For tables."""

    def lacking(self, pair: Pair) -> str:
        """Why it cannot be tried here; empty if it can."""

    def trial(self, pair: Pair, folder: Path) -> Trial:
        """Make what travels, apply it, and hold the result against NEW.

        Raises:
            OutOfPatienceError: making it takes too long.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchTool:
    """A tool that writes a patch and applies it."""

    name: str
    program: str
    """A program on PATH, or a Python package."""
    make: Callable[[Path, Path, Path], Sequence[str | Path]]
    """From OLD, NEW and the patch to the command line."""
    apply: Callable[[Path, Path, Path], Sequence[str | Path]]
    """From OLD, the patch and where to write."""
    most_bytes: int = 1 << 62

    def lacking(self, pair: Pair) -> str:
        """Why it cannot be tried."""
        if shutil.which(self.program) is None and find_spec(self.program) is None:
            return f"no {self.program} here"
        return "too large for its memory" if pair.old.stat().st_size > self.most_bytes else ""

    def trial(self, pair: Pair, folder: Path) -> Trial:
        """Make, apply, compare."""
        patch, made = folder / "patch", folder / "made"
        making = run_program(self.make(pair.old, pair.new, patch), most_cpu_s=_MOST_CPU_S)
        applying = run_program(self.apply(pair.old, patch, made))
        check_same(pair.new, made)
        travels = patch.stat().st_size
        patch.unlink()
        made.unlink()
        return Trial(travels_bytes=travels, make=making, apply=applying)


@dataclass(frozen=True, kw_only=True, slots=True)
class Zsync:
    """Blocks that the client has not, in ranges from a server."""

    name: str = "zsync"

    def lacking(self, pair: Pair) -> str:
        """Why it cannot be tried."""
        del pair
        return "" if shutil.which("zsync") and shutil.which("zsyncmake") else "no zsync here"

    def trial(self, pair: Pair, folder: Path) -> Trial:
        """Make the control file, fetch, compare."""
        site, made = folder / "site", folder / "made"
        site.mkdir()
        os.link(pair.new, site / "new")
        making = run_program(["zsyncmake", "-o", site / "new.zsync", "-u", "new", site / "new"])
        with serving(site) as server:
            applying = run_program(
                ["zsync", "-q", "-i", pair.old, "-o", made, f"{server.address}/new.zsync"], folder=folder
            )
            travels = server.sent_bytes
        check_same(pair.new, made)
        shutil.rmtree(site)
        made.unlink()
        return Trial(travels_bytes=travels, make=making, apply=applying)


@dataclass(frozen=True, kw_only=True, slots=True)
class Casync:
    """Chunks cut by content, each a compressed file."""

    name: str = "casync"

    def lacking(self, pair: Pair) -> str:
        """Why it cannot be tried."""
        del pair
        return "" if shutil.which("casync") else "no casync here"

    def trial(self, pair: Pair, folder: Path) -> Trial:
        """Chunk both, count what OLD's store lacks, extract with OLD as the seed."""
        stores = {path: folder / f"{name}.castr" for name, path in (("old", pair.old), ("new", pair.new))}
        run_program(["casync", "make", f"--store={stores[pair.old]}", folder / "old.caibx", pair.old])
        making = run_program(["casync", "make", f"--store={stores[pair.new]}", folder / "new.caibx", pair.new])
        have = {chunk.name for chunk in stores[pair.old].glob("*/*")}
        lacking = [chunk for chunk in stores[pair.new].glob("*/*") if chunk.name not in have]
        made = folder / "made"
        applying = run_program(
            ["casync", "extract", f"--store={stores[pair.new]}", f"--seed={pair.old}", folder / "new.caibx", made]
        )
        check_same(pair.new, made)
        travels = (folder / "new.caibx").stat().st_size + sum(chunk.stat().st_size for chunk in lacking)
        for store in stores.values():
            shutil.rmtree(store)
        made.unlink()
        return Trial(travels_bytes=travels, make=making, apply=applying)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lfbuild:
    """What all this is about, in children that tell their own memory."""

    name: str = "lfbuild"

    def lacking(self, pair: Pair) -> str:
        """Nothing is."""
        del pair
        return ""

    def trial(self, pair: Pair, folder: Path) -> Trial:
        """Make, apply into a new file and, if it is one of ours, into the old one; compare."""
        patch, made = folder / "patch", folder / "made"
        making = run_child("diff", pair.old, pair.new, patch)
        applying, in_place = run_child("apply", pair.old, patch, made), None
        check_same(pair.new, made)
        if pair.is_ours:
            shutil.copyfile(pair.old, made)
            in_place = run_child("apply-in-place", made, patch)
            check_same(pair.new, made)
        travels = patch.stat().st_size
        patch.unlink()
        made.unlink()
        return Trial(travels_bytes=travels, make=making, apply=applying, in_place=in_place)


def check_same(new: Path, made: Path) -> None:
    """End the benchmark if a tool made something else."""
    if not filecmp.cmp(new, made, shallow=False):
        raise SystemExit(f"{made} is not {new}")


def _python(code: str, *words: str | Path) -> list[str | Path]:
    return [sys.executable, "-c", code, *words]


OURS = Lfbuild()
HDIFFPATCH = PatchTool(
    name="HDiffPatch, LZMA2",
    program="hdiffpatch",
    make=lambda old, new, patch: _python(
        "import sys, hdiffpatch as h; o, n, p = sys.argv[1:]; "
        "open(p, 'wb').write(h.diff(open(o, 'rb').read(), open(n, 'rb').read(), h.COMPRESSION_LZMA2, validate=False))",
        old,
        new,
        patch,
    ),
    apply=lambda old, patch, made: _python(
        "import sys, hdiffpatch as h; o, p, m = sys.argv[1:]; "
        "open(m, 'wb').write(h.apply(open(o, 'rb').read(), open(p, 'rb').read()))",
        old,
        patch,
        made,
    ),
)
BSDIFF = PatchTool(
    name="bsdiff4",
    program="bsdiff4",
    make=lambda old, new, patch: _python("import sys, bsdiff4; bsdiff4.file_diff(*sys.argv[1:])", old, new, patch),
    apply=lambda old, patch, made: _python(
        "import sys, bsdiff4; o, p, m = sys.argv[1:]; bsdiff4.file_patch(o, m, p)", old, patch, made
    ),
    most_bytes=_MOST_BSDIFF_BYTES,
)
XDELTA = PatchTool(
    name="xdelta3 -9",
    program="xdelta3",
    make=lambda old, new, patch: ["xdelta3", "-9", "-e", "-f", "-B", str(_buffer(old)), "-s", old, new, patch],
    apply=lambda old, patch, made: ["xdelta3", "-d", "-f", "-B", str(_buffer(old)), "-s", old, patch, made],
)


def _buffer(old: Path) -> int:
    """All of OLD, in the power of two that xdelta3 asks for, between its limits."""
    return min(max(1 << (old.stat().st_size - 1).bit_length(), 1 << 20), 1 << 30)


def _zstd(level: int) -> PatchTool:
    return PatchTool(
        name=f"zstd -{level} --patch-from",
        program="zstd",
        make=lambda old, new, patch: [
            "zstd",
            f"-{level}",
            "--long=31",
            f"--patch-from={old}",
            new,
            "-f",
            "-q",
            "-o",
            patch,
        ],
        apply=lambda old, patch, made: [
            "zstd",
            "-d",
            "--long=31",
            f"--patch-from={old}",
            patch,
            "-f",
            "-q",
            "-o",
            made,
        ],
    )


ALL: tuple[Peer, ...] = (OURS, HDIFFPATCH, BSDIFF, XDELTA, _zstd(3), _zstd(19), Zsync(), Casync())
