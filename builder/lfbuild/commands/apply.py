"""`apply` and `squash`: NEW from OLD and deltas, whole or not at all; a chain of deltas as one."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lfbuild.archive.layout import name_fault
from lfbuild.archive.reader import opened, read_at
from lfbuild.commands.diff import diff_sides
from lfbuild.commands.recover import settled
from lfbuild.delta.apply import WHAT_DELTAS_TELL, DeltaStream, apply_delta, prepare
from lfbuild.delta.inplace import apply_in_place
from lfbuild.delta.resolve import CopyTask
from lfbuild.delta.side import Side
from lfbuild.errors import FormatError, HostError, IntegrityError, LfbuildError
from lfbuild.formats.delta import Identity
from lfbuild.formats.gguf import MAGIC
from lfbuild.host.files import check_target, host_error, is_same_file, refuse_overwriting, replacing
from lfbuild.host.inplace import had_alone, has_journal
from lfbuild.host.room import bytes_in_place, refuse_full_disk_for_copy, refuse_full_disk_in_place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lfbuild.commands.diff import Diffed
    from lfbuild.delta.model import Plan
    from lfbuild.delta.resolve import Resolved
    from lfbuild.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class DeltaSource:
    """A delta: a file, or a pipe that is open."""

    name: str
    pipe: BinaryIO | None = None

    @contextlib.contextmanager
    def opened(self) -> Iterator[DeltaStream]:
        """Have it at hand.

        Raises:
            HostError: it cannot be read.
        """
        if self.pipe is not None:
            yield DeltaStream(self.pipe, self.name)
            return
        with opened(Path(self.name)) as file:
            yield DeltaStream(file, self.name)


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """A file that was made."""

    path: Path
    size_bytes: int
    written_bytes: int | None = None
    """What was written anew, if the old file became it; None: all of it is new."""
    was_so: bool = False
    """It was what the last delta makes before anything was done."""


def apply(
    old: Path, deltas: Sequence[DeltaSource], output: Path | None, *, force: bool, threads: int, report: Report
) -> Applied:
    """Make the file that the last of `deltas` leads to; each is made for what the one before it made.

    Without `output` it gets the name that the delta gives it, beside `old`.

    Raises:
        IntegrityError: a delta was made for another file, or a block is not the promised one.
        FormatError: a delta is damaged.
        ToolError: a member has to be compressed again, and what did it is not here.
        HostError: the machine refuses, or a file is there already that was not named.
    """
    with _chain(deltas) as chain:
        delta = chain[-1]
        target = output or _named(delta.plan(), beside=old, where=delta.where, force=force)
        refuse_overwriting(target, (old, *_files(deltas)))
        check_target(target)
        with _before_last(old, chain, folder=_folder(old, output), threads=threads, report=report) as side:
            plan, resolved = prepare(side, delta)
            _refuse_full_disk(target.parent, side, resolved)
            # Beyond this point nothing is decided any more.
            with (
                report.step("applying", total=resolved.blocks_bytes) as step,
                replacing(target, mode=0o755 if plan.executable else 0o644) as file,
            ):
                apply_delta(side, delta, resolved, file, threads=threads, on_bytes=step.advance)
    return Applied(path=target, size_bytes=resolved.target.size_bytes)


def apply_in_place_of(old: Path, deltas: Sequence[DeltaSource], *, threads: int, report: Report) -> Applied:
    """Change `old` itself into what the last of `deltas` leads to, each as one edit under a journal.

    What an earlier run did is not done again: the file may be in the middle of the chain, or at its end. A delta whose
    frames turn out to be damaged leaves the file as what the ones before it made of it, and that is told.

    Raises:
        FormatError: `old` is not lfbuild's own file, or is signed; a delta is damaged.
        IntegrityError, ToolError: as `apply`.
        HostError: the file is in use, or the disk refuses.
    """
    _refuse_model(old)
    path = settled(old, report=report)
    written = 0
    with _chain(deltas) as chain:
        start, size = _standing(path, chain, threads=threads, report=report)
        if start == len(chain):
            return Applied(path=old, size_bytes=size, written_bytes=0, was_so=True)
        if start:
            report.note(f"{path.name}: is already what {chain[start - 1].where} makes: going on behind it")
        for number, delta in enumerate(chain[start:], start):
            with _told_how_far(path, chain[:number]), had_alone(path) as file:
                side = Side.of(file, path, threads=threads, report=report)
                _, resolved = prepare(side, delta)
                refuse_full_disk_in_place(path.parent, _bytes_in_place(path, resolved))
                # Beyond this point nothing is decided any more.
                written += apply_in_place(side, delta, resolved, threads=threads, report=report)
                size = resolved.target.size_bytes
    return Applied(path=old, size_bytes=size, written_bytes=written)


def _refuse_model(path: Path) -> None:
    with opened(path) as file:
        if read_at(file.fileno(), 0, len(MAGIC)) == MAGIC:
            what = "is a GGUF, and in place works on lfbuild's own files"
            raise FormatError(path, what, hint="without --in-place a new file is written")


def _standing(path: Path, chain: Sequence[DeltaStream], *, threads: int, report: Report) -> tuple[int, int]:
    """How many of a chain's first deltas made the file what it is, and its size."""
    with Side.open(path, threads=threads, report=report) as side:
        now = Identity(size_bytes=side.map.size_bytes, root=side.map.root)
    made = [number for number, delta in enumerate(chain, 1) if delta.header().new == now]
    return made[-1] if made and chain[0].header().old != now else 0, now.size_bytes


@contextlib.contextmanager
def _told_how_far(path: Path, done: Sequence[DeltaStream]) -> Iterator[None]:
    """What fails behind the first delta of a chain tells what the file is by now."""
    try:
        yield
    except LfbuildError as error:
        if done and not has_journal(path):
            stands = f"{path.name} is now what {done[-1].where} makes: go on with the deltas behind that one"
            error.hint = f"{error.hint}; {stands}" if error.hint else stands
        raise


def squash(old: Path, deltas: Sequence[DeltaSource], output: Path, *, threads: int, report: Report) -> Diffed:
    """One delta that does what a chain of them does, of the size that `diff` would have made it.

    Raises:
        FormatError, IntegrityError, ToolError, HostError: as `apply`.
    """
    refuse_overwriting(output, (old, *_files(deltas)))
    check_target(output)
    folder = _folder(old, output)
    with (
        _chain(deltas) as chain,
        Side.open(old, threads=threads, report=report) as first,
        _before_last(old, chain, folder=folder, threads=threads, report=report) as side,
        _unnamed(folder) as file,
    ):
        delta = chain[-1]
        plan, resolved = prepare(side, delta)
        _refuse_full_disk(folder, side, resolved)
        with report.step("applying", total=resolved.blocks_bytes) as step:
            apply_delta(side, delta, resolved, file, threads=threads, on_bytes=step.advance)
        new = Side.of(file, Path(plan.new_name), threads=threads, report=report)
        return diff_sides(first, new, output, executable=plan.executable, report=report)


@contextlib.contextmanager
def _chain(deltas: Sequence[DeltaSource]) -> Iterator[list[DeltaStream]]:
    """All deltas, open: each was made for what the one before it makes.

    Of a pipe, as of a file, the header is read here and the rest in its turn: so whoever writes into it has to begin.

    Raises:
        IntegrityError: one was made for another file.
        FormatError: one is no delta.
        HostError: one cannot be read.
    """
    with contextlib.ExitStack() as stack:
        chain = [stack.enter_context(source.opened()) for source in deltas]
        for before, after in itertools.pairwise(chain):
            if before.header().new != after.header().old:
                what = f"was made for another file than the one that {before.where} makes; nothing was changed"
                raise IntegrityError(after.where, what, hint=WHAT_DELTAS_TELL)
        yield chain


@contextlib.contextmanager
def _before_last(
    old: Path, chain: Sequence[DeltaStream], *, folder: Path, threads: int, report: Report
) -> Iterator[Side]:
    """The file that the last delta was made for: what comes between is made without a name, and gone afterwards."""
    with contextlib.ExitStack() as stack:
        side = stack.enter_context(Side.open(old, threads=threads, report=report))
        for delta in chain[:-1]:
            file = stack.enter_context(_unnamed(folder))
            plan, resolved = prepare(side, delta)
            _refuse_full_disk(folder, side, resolved)
            with report.step("applying", total=resolved.blocks_bytes) as step:
                apply_delta(side, delta, resolved, file, threads=threads, on_bytes=step.advance)
            side = Side.of(file, Path(plan.new_name), threads=threads, report=report)
        yield side


def _refuse_full_disk(folder: Path, old: Side, resolved: Resolved) -> None:
    copied = sum(task.size_bytes for task in resolved.tasks if isinstance(task, CopyTask))
    made = resolved.blocks_bytes - copied
    refuse_full_disk_for_copy(folder, old.descriptor, copied_bytes=copied, new_bytes=made)


def _bytes_in_place(path: Path, resolved: Resolved) -> int:
    """What stands where it belongs takes nothing, nor do zeros."""
    moved = (task for task in resolved.tasks if not isinstance(task, CopyTask) or task.old_offset != task.offset)
    changed = sum(task.size_bytes for task in moved) + len(resolved.target.glue)
    return bytes_in_place(path, changed_bytes=changed, new_bytes=resolved.target.size_bytes)


@contextlib.contextmanager
def _unnamed(folder: Path) -> Iterator[BinaryIO]:
    try:
        file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  # closed below, and refused in words
    except OSError as error:
        raise host_error(folder, error) from error
    with file:
        yield file


def _files(deltas: Sequence[DeltaSource]) -> Iterator[Path]:
    return (Path(delta.name) for delta in deltas if delta.pipe is None)


def _folder(old: Path, output: Path | None) -> Path:
    return (output or old).absolute().parent


def _named(plan: Plan, *, beside: Path, where: str, force: bool) -> Path:
    """Where the file goes that the delta names; its word is not believed further than a name."""
    if fault := name_fault(plan.new_name) or ("has a folder" if "/" in plan.new_name else ""):
        raise FormatError(where, f"the name {plan.new_name!r} that it gives the new file {fault}", hint="-o names it")
    target = beside.with_name(plan.new_name)
    if is_same_file(target, beside):
        what = "is the old file, and the delta calls the new one so too"
        raise HostError(target, what, hint="-o names another, --in-place changes it")
    if target.exists() and not force:
        raise HostError(target, "is there already", hint="-o names another, --force replaces it")
    return target
