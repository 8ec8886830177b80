"""Packing one large member, against cp, zip and zipalign; and where the file system shares blocks."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from benchmarks import caches, inputs
from benchmarks.front import MIB, main
from benchmarks.measure import Contender, Sample, interleaved, median, run_and_flush, run_child
from benchmarks.tables import Goal, Table, mebibytes, seconds
from benchmarks.volumes import Volume, cloning_volume, lacking
from lfbuild.host.machine import usable_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from benchmarks.front import Setting
    from benchmarks.measure import Samples

OURS = "lfbuild"
WHEEL = "lfbuild, as a wheel"
REJECTED = "copy_file_range, then digest the copy"


def measure(setting: Setting) -> Iterator[Table]:
    """All tables of packing."""
    folder = setting.folder
    source = inputs.random_file(folder / "source.bin", setting.size_bytes)
    head = inputs.head(folder)
    yield _against_peers(source, head, setting)
    yield _memory(source, head, setting)
    source.unlink()
    yield _sharing(head, setting)


def _against_peers(source: Path, head: Path, setting: Setting) -> Table:
    zipalign = os.environ.get("LFBUILD_BENCH_ZIPALIGN", "")
    peers: dict[str, Callable[[Path], list[str | Path]]] = {"cp": lambda target: ["cp", source, target]}
    if shutil.which("zip"):
        peers["zip -0"] = lambda target: ["zip", "-q", "-j", "-0", target, source]
    if zipalign:
        peers["zipalign"] = lambda target: [zipalign, "-j", target, source]
    contenders = [
        _ours(source, head),
        _rejected(source),
        _wheel(source),
        *(_peer(name, argv, source) for name, argv in peers.items()),
    ]
    samples = interleaved(contenders, rounds=setting.rounds)
    goals = [
        Goal(what="packed and flushed, × `cp X Y && sync Y`", limit=1.2, found=_ratio(samples, "cp", "flushed")),
        Goal(what="packed up to the flush, × `cp X Y`", limit=1.3, found=_ratio(samples, "cp", "to flush")),
        *(
            Goal(
                what=f"packed and flushed, × `{name}` and sync",
                limit=1,
                found=_ratio(samples, name, "flushed") if name in samples else None,
            )
            for name in ("zipalign", "zip -0")
        ),
        Goal(
            what="wheel, speed of writing, share of `cp X Y && sync Y`",
            limit=0.8,
            found=median(samples, "cp", "flushed") / median(samples, WHEEL, "flushed"),
            at_least=True,
        ),
        Goal(what="peak memory", limit=150, found=median(samples, OURS, "peak") / MIB, unit=" MiB"),
    ]
    note = (
        f"Medians of {setting.rounds} interleaved runs after one that is not counted. lfbuild takes CRC-32 of the "
        "member and BLAKE3 of every block (a wheel: SHA-256), writes beside the target and renames; cp and the like "
        f"do not. `sync` flushes the file only. The way of `{REJECTED}` is the one that lfbuild did not take."
    )
    return Table(
        title=f"Pack a member of {setting.size_bytes // MIB} MiB, source in the page cache",
        columns=("program", "to the flush", "flushed", "× cp", "× cp && sync", "CPU", "peak memory"),
        rows=_rows(samples, with_zipalign=bool(zipalign)),
        goals=goals,
        notes=(note,),
    )


def _rows(samples: Samples, *, with_zipalign: bool) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = []
    for name in samples:
        to_flush, flushed = median(samples, name, "to flush"), median(samples, name, "flushed")
        rows.append(
            (
                name,
                seconds(to_flush),
                seconds(flushed),
                f"{to_flush / median(samples, 'cp', 'to flush'):.2f}",
                f"{flushed / median(samples, 'cp', 'flushed'):.2f}",
                seconds(median(samples, name, "cpu")),
                mebibytes(median(samples, name, "peak")) if name in {OURS, REJECTED, WHEEL} else "",
            )
        )
    whole = median(samples, OURS, "wall")
    rows.insert(
        1,
        (
            f"{OURS}, with Python's start",
            "",
            seconds(whole),
            "",
            f"{whole / median(samples, 'cp', 'flushed'):.2f}",
            "",
            "",
        ),
    )
    if not with_zipalign:
        rows.append(("zipalign", "not at hand", *[""] * 5))
    return rows


def _memory(source: Path, head: Path, setting: Setting) -> Table:
    """The same peak whatever the size."""
    rows = []
    with source.open("r+b") as file:
        for share in (1, 8, 64):
            size = setting.size_bytes // share
            file.truncate(size)
            sample = _ours(source, head).run()
            rows.append((f"{size / MIB:g} MiB", mebibytes(sample["peak"])))
    return Table(title="Peak memory of packing", columns=("member", "peak memory"), rows=rows)


def _sharing(head: Path, setting: Setting) -> Table:
    title = "Pack on a file system that shares blocks"
    columns = ("program", "flushed", "CPU", "blocks taken")
    if why := lacking():
        return Table(title=title, columns=columns, rows=[("not measured here", why, "", "")])
    with cloning_volume(setting.folder, 2 * setting.size_bytes) as volume:
        source = inputs.random_file(volume.folder / "source.bin", setting.size_bytes)
        taken = _taken(volume, source, head)
        contenders = [
            _ours(source, head, cold=True),
            Contender(
                name="BLAKE3 and CRC-32 alone",
                run=lambda: run_child("digest", source, usable_cores()),
                prepare=lambda: caches.cold(source, whole_machine=False),
            ),
        ]
        samples = interleaved(contenders, rounds=setting.rounds)
    ours, alone = median(samples, OURS, "flushed"), median(samples, contenders[1].name, "act")
    rows = [
        (OURS, seconds(ours), seconds(median(samples, OURS, "cpu")), mebibytes(taken)),
        (contenders[1].name, seconds(alone), seconds(median(samples, contenders[1].name, "cpu")), ""),
    ]
    return Table(
        title=f"{title} ({volume.kind}, loop device, member of {setting.size_bytes // MIB} MiB)",
        columns=columns,
        rows=rows,
        goals=[
            Goal(what="× hashing the same file from the disk", limit=1.2, found=ours / alone),
            Goal(what="blocks taken by the packed file", limit=32, found=taken / MIB, unit=" MiB"),
        ],
        notes=("The source is not in the page cache: what is hashed are the blocks that the new file refers to.",),
    )


def _taken(volume: Volume, source: Path, head: Path) -> int:
    """How many bytes of the volume a packed file takes."""
    before = volume.used_bytes()
    run_child("pack", source, source.with_suffix(".llamafile"), head, usable_cores())
    return volume.used_bytes() - before


def _ours(source: Path, head: Path, *, cold: bool = False) -> Contender:
    target = source.with_suffix(".llamafile")

    def prepare() -> None:
        target.unlink(missing_ok=True)
        if cold:
            caches.cold(source, whole_machine=False)
        else:
            caches.warm(source)

    return Contender(name=OURS, run=lambda: run_child("pack", source, target, head, usable_cores()), prepare=prepare)


def _rejected(source: Path) -> Contender:
    target = source.with_suffix(".copy")

    def prepare() -> None:
        target.unlink(missing_ok=True)
        caches.warm(source)

    return Contender(
        name=REJECTED, run=lambda: run_child("copy-then-digest", source, target, usable_cores()), prepare=prepare
    )


def _wheel(source: Path) -> Contender:
    target = source.with_suffix(".whl")

    def prepare() -> None:
        target.unlink(missing_ok=True)
        caches.warm(source)

    return Contender(name=WHEEL, run=lambda: run_child("wheel", source, target), prepare=prepare)


def _peer(name: str, arguments: Callable[[Path], list[str | Path]], source: Path) -> Contender:
    target = source.with_name("peer.zip")

    def run() -> Sample:
        sample = run_and_flush(arguments(target), target)
        target.unlink()
        return sample

    return Contender(name=name, run=run, prepare=lambda: caches.warm(source))


def _ratio(samples: Samples, peer: str, what: str) -> float:
    return median(samples, OURS, what) / median(samples, peer, what)


if __name__ == "__main__":
    sys.exit(main("pack", measure))
