"""`convert-back`: a llamafile as Mozilla's tools make it, with all that the file holds and nothing of lfbuild's."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.archive.hashing import HashPool
from lfbuild.archive.reader import Reader
from lfbuild.archive.source import BytesSource
from lfbuild.archive.zipalign import write_zipaligned
from lfbuild.commands.new_engine import found_engine
from lfbuild.commands.recover import settled
from lfbuild.errors import FormatError, IntegrityError, Problem, RecipeError, command
from lfbuild.formats.blocks import HEAD_BLOCK_BYTES, Cuts
from lfbuild.formats.executable import PROBE_BYTES, identify_program, signature_holes
from lfbuild.host.files import check_target, own_as, refuse_overwriting, replacing
from lfbuild.host.inplace import used
from lfbuild.host.moving import write_all
from lfbuild.host.room import refuse_full_disk_for_copy
from lfbuild.manifest.model import OWN_FOLDER
from lfbuild.manifest.order import EngineHead, EngineSlice, LauncherHead
from lfbuild.manifest.present import load_present
from lfbuild.manifest.slices import load_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lfbuild.archive.source import Source
    from lfbuild.commands.settings import Settings
    from lfbuild.formats.zip import CentralRecord
    from lfbuild.manifest.model import EngineRecord
    from lfbuild.manifest.present import Present
    from lfbuild.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class ConvertedBack:
    """The llamafile that was written."""

    path: Path
    engine: str
    members: tuple[str, ...]
    dropped: tuple[str, ...]
    """What only lfbuild would read."""


def convert_back(
    path: Path, *, output: Path, engine: str, target: str, settings: Settings, report: Report
) -> ConvertedBack:
    """Write `output`, whole or not at all.

    Raises:
        FormatError: the file is somebody else's already, or has no engine that could begin it.
        RecipeError: it has engines for several machines, and none was named, or has none for the one that was.
        IntegrityError: something in it is not what was promised.
        HostError: the disk refuses.
    """
    refuse_overwriting(output, [path, *([Path(engine)] if engine else [])])
    check_target(output)
    path = settled(path, report=report)
    with used(path) as file, contextlib.ExitStack() as stack:
        present = load_present(Reader(path, file), threads=settings.machine.cores)
        if present is None:
            raise FormatError(path, "has no manifest, so there is nothing to convert back")
        if engine:
            new = stack.enter_context(found_engine(engine, settings=settings, report=report))
            told, head = new.told, _begins(new.head, new.slices, new.record, target, path)
        else:
            order_head = present.head()
            slices = order_head.slices if isinstance(order_head, LauncherHead) else ()
            told, head = "its own", _begins(order_head, slices, present.manifest.engine, target, path)
        members = list(_members(present))
        total = head.source.size_bytes + sum(source.size_bytes for _, source in members)
        head_bytes = head.source.size_bytes
        refuse_full_disk_for_copy(output.parent, file.fileno(), copied_bytes=total - head_bytes, new_bytes=head_bytes)
        mode = os.fstat(file.fileno()).st_mode & 0o7777
        # Beyond this point nothing is decided any more.
        with report.step("writing", total=total) as step, replacing(output, mode=mode) as made:
            own_as(made.fileno(), None, mode=mode)
            with HashPool(settings.machine.cores) as pool, head.source.opened() as opened:
                cuts = Cuts.plain(head.source.size_bytes, block_bytes=HEAD_BLOCK_BYTES)
                pool.copy(opened, made.fileno(), 0, cuts).finish(step.advance)
            for offset, size in head.holes:
                write_all(made.fileno(), bytes(size), offset)
            write_zipaligned(
                made.fileno(),
                members,
                own_records=head.own_records,
                start=head.source.size_bytes,
                on_bytes=step.advance,
            )
    kept = tuple(record.name for record, _ in members)
    dropped = tuple(item.name for item in present.manifest.members if item.name not in kept)
    return ConvertedBack(path=output, engine=told, members=kept, dropped=dropped)


def _members(present: Present) -> Iterator[tuple[CentralRecord, Source]]:
    """What somebody put into the file; what lfbuild keeps for itself begins with `.lfbuild/`."""
    for member in present.members():
        if not member.name.startswith(OWN_FOLDER):
            _check(present, member.name)
            yield present.reader.record(member.name), member.source


def _check(present: Present, name: str) -> None:
    """Nothing that is damaged leaves the file unnoticed: nobody could tell afterwards."""
    import zlib_ng.zlib_ng as zlib

    crc = 0
    record = present.reader.record(name)
    for piece in present.reader.pieces(record):
        crc = zlib.crc32(piece, crc)
    if crc != record.crc32:
        what = "its bytes are not the ones that were promised"
        raise IntegrityError(f"{present.where}: {name}", what, hint=command("verify", present.reader.path))


def _begins(
    head: EngineHead | LauncherHead | None,
    slices: tuple[EngineSlice, ...],
    record: EngineRecord | None,
    target: str,
    path: Path,
) -> EngineHead:
    """A program that can begin a file by itself; a launcher cannot, as it needs lfbuild's own members."""
    targets = [item.target for item in slices] or list(record.targets if record else ())
    names = ", ".join(targets) or "no machine"
    if target and target not in targets:
        what = f"there is no engine for {target}, only for {names}"
        raise RecipeError(path, [Problem(where=str(path), key="--target", what=what)])
    if isinstance(head, EngineHead):
        return head
    chosen = [item for item in slices if target in {"", item.target}]
    if len(chosen) != 1:
        what = f"the file has engines for {names}, and a llamafile begins with one"
        hint = "--target TARGET, or --engine ENGINE"
        raise RecipeError(path, [Problem(where=str(path), key="", what=what)], hint=hint)
    program = load_program(chosen[0])
    start = program[:PROBE_BYTES]
    return EngineHead(program=identify_program(start).kind, source=BytesSource(program), holes=signature_holes(start))
