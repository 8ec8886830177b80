"""Writes a fresh file: the order in, one file out, in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfbuild.archive.writer import Writer
from lfbuild.host.files import own_as, replacing
from lfbuild.host.moving import write_all
from lfbuild.manifest.record import Recording

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path

    from lfbuild.manifest.model import Manifest
    from lfbuild.manifest.order import PackOrder
    from lfbuild.report import Report


def pack(
    order: PackOrder,
    target: Path,
    *,
    threads: int,
    report: Report,
    sign: Callable[[Path], None] | None = None,
    mode: int | None = None,
    expected: os.stat_result | None = None,
) -> Manifest:
    """Write `target`, whole or not at all; `sign` may change the finished file before it has that name.

    `mode` is that of the file whose content it is; a program that is all new has that of any. `expected` is what has
    that name now, and has to have it still in the end.

    Raises:
        FormatError: a member's name is unfit, or given twice.
        HostError: what the disk refuses.
    """
    recording = Recording.of(order)
    with (
        report.step("packing", total=recording.size_bytes) as step,
        replacing(target, mode=0o755 if mode is None else mode, change=sign, expected=expected) as file,
        Writer(file, epoch=order.epoch, threads=threads, on_bytes=step.advance) as writer,
    ):
        if mode is not None:
            own_as(file.fileno(), expected, mode=mode)
        recorded = recording.run(writer)
        writer.finish(recorded.seal.to_bytes())
        for offset, size in recorded.holes:  # a checksum that the linker wrote
            write_all(file.fileno(), bytes(size), offset)
    return recorded.manifest
