"""`swap`: another engine, model, argument, file or name in a finished file; what is not replaced is kept."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from lfbuild.archive.check import check_members
from lfbuild.archive.reader import Reader
from lfbuild.commands.changes import read_changes
from lfbuild.commands.new_engine import found_engine
from lfbuild.commands.recover import settled
from lfbuild.commands.texts import refuse_odd_name
from lfbuild.errors import FormatError, Problem, RecipeError, command
from lfbuild.host.files import (
    can_share,
    check_target,
    expected_at,
    is_same_file,
    real_path,
    refuse_overwriting,
    runnable,
)
from lfbuild.host.inplace import had_alone, used
from lfbuild.host.moving import SHARED_BYTES
from lfbuild.host.room import bytes_in_place, refuse_full_disk, refuse_full_disk_in_place
from lfbuild.manifest.carry import append, rewrite, write_new_file
from lfbuild.manifest.edit import (
    bytes_in_room,
    changed,
    changes_nothing,
    journalled_bytes,
    plan_in_place,
    plan_new_file,
    written_bytes,
)
from lfbuild.manifest.foreign import order_of_foreign, take_apart
from lfbuild.manifest.model import Release
from lfbuild.manifest.order import LauncherHead
from lfbuild.manifest.pack import pack
from lfbuild.manifest.present import load_present
from lfbuild.report import size_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from lfbuild.archive.draft import Part
    from lfbuild.commands.changes import Wanted
    from lfbuild.commands.new_engine import NewEngine
    from lfbuild.commands.settings import Settings
    from lfbuild.commands.swap_words import SwapWords
    from lfbuild.manifest.edit import EditPlan
    from lfbuild.manifest.order import PackOrder
    from lfbuild.manifest.present import Present
    from lfbuild.report import Report

Way = Literal["appended tail", "journal", "new file, cloned", "new file, copied", "nothing"]
"""`nothing`: the file is as it was asked for already."""
_BLOCK_BYTES: Final = 4096
"""File systems share blocks of this size, at the same place in a block only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One thing that becomes another."""

    what: str
    how: str
    """Where its bytes go: `new file`, `in the spare slot`, `appended tail`, `over the head, by journal`, or `behind the
    weights, by journal`."""
    bytes: int
    """Of the new content."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Swapped:
    """What was done, or would be."""

    path: Path
    output: Path
    way: Way
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    written_bytes: int
    """To the disk, the journal's included."""
    shared_bytes: int
    """That the new file has in common with the old one, without being read or written."""
    generation: int
    done: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class SwapOptions:
    """How the swap is carried out."""

    output: Path | None = None
    in_place: bool = False
    dry_run: bool = False
    sign: Callable[[Path], None] | None = None
    """Signs the new file before it has its name."""
    align: bool = True
    """Whether weights of a foreign file move to where they can be mapped."""


def swap(
    path: Path,
    words: SwapWords,
    *,
    options: SwapOptions,
    settings: Settings,
    report: Report,
) -> Swapped:
    """Change a file as `words` say: all of it or nothing.

    Raises:
        RecipeError: the words do not fit the file, or each other.
        FormatError, IntegrityError: the file, a model or an engine is not as it has to be.
        HostError: the file is in use, or the disk refuses.
    """
    _refuse_contradictions(path, words, options)
    if options.output is not None:
        refuse_overwriting(options.output, words.paths())
        check_target(options.output)
    path = real_path(path) if options.dry_run else settled(path, report=report)
    with contextlib.ExitStack() as stack:
        engine = _engine(stack, words, settings, report)
        alone = options.in_place and not options.dry_run
        file = stack.enter_context(had_alone(path) if alone else used(path))
        edit = _Edit(Reader(path, file), file, options, settings=settings, report=report)
        return edit.carry_out(words, engine)


def _engine(stack: contextlib.ExitStack, words: SwapWords, settings: Settings, report: Report) -> NewEngine | None:
    return stack.enter_context(found_engine(words.engine, settings=settings, report=report)) if words.engine else None


def _refuse_contradictions(path: Path, words: SwapWords, options: SwapOptions) -> None:
    problem = ""
    if words.says_nothing:
        problem = "nothing is to be changed: name an --engine, a --model, --args, a --file, or another name"
    elif options.in_place and options.output is not None:
        problem = "--in-place and --output contradict each other"
    elif options.in_place and options.sign is not None:
        problem = "a file is not signed in place; leave out --in-place"
    if problem:
        raise RecipeError(path, [Problem(where=str(path), key="", what=problem)], hint="`lfbuild swap --help`")
    if problems := list(words.problems(str(path))):
        raise RecipeError(path, problems)


class _Edit:
    """One file, and how it is changed."""

    def __init__(
        self, reader: Reader, file: BinaryIO, options: SwapOptions, *, settings: Settings, report: Report
    ) -> None:
        self._reader, self._file, self._options = reader, file, options
        self._threads, self._settings, self._report = settings.machine.cores, settings, report
        self._path = reader.path
        self._target = options.output or reader.path

    def carry_out(self, words: SwapWords, engine: NewEngine | None) -> Swapped:
        """Decide, and do it unless it is only asked what would be done."""
        present = load_present(self._reader, threads=self._threads)
        if present is None:
            return self._foreign(words, engine)
        wanted = read_changes(words, present.order(), engine, where=present.where)
        with self._report.step("reading what is new") as step:
            plan_it = plan_in_place if self._options.in_place else plan_new_file
            plan = plan_it(present, wanted.changes, on_bytes=step.advance)
        if self._stays_where_it_is() and changes_nothing(plan, present):
            return self._unchanged(present, wanted)
        swapped = self._told(present, wanted, plan)
        if self._options.dry_run:
            return swapped
        for note in swapped.notes:
            self._report.note(note)
        # Beyond this point nothing is decided any more: the plan is carried out.
        self._do(plan, present)
        return replace(swapped, done=True)

    def _stays_where_it_is(self) -> bool:
        """Whether no other file was asked for: one elsewhere, or one that is signed."""
        return is_same_file(self._target, self._path) and self._options.sign is None

    def _unchanged(self, present: Present, wanted: Wanted) -> Swapped:
        return Swapped(
            path=self._path,
            output=self._target,
            way="nothing",
            changes=(),
            notes=wanted.notes,
            written_bytes=0,
            shared_bytes=0,
            generation=present.manifest.generation,
            done=False,
        )

    def _do(self, plan: EditPlan, present: Present) -> None:
        total = sum(part.source.size_bytes for part in (plan.fresh() if self._options.in_place else plan.parts))
        with self._report.step("writing", total=total) as step:
            if plan.way == "append":
                append(plan, self._path, self._file, threads=self._threads, step=step)
            elif plan.way == "journal":
                rewrite(plan, self._path, self._file, room=present.room(), threads=self._threads, step=step)
            else:
                write_new_file(
                    plan,
                    self._target,
                    mode=self._mode(),
                    threads=self._threads,
                    step=step,
                    change=self._options.sign,
                    expected=self._expected(),
                )

    def _told(self, present: Present, wanted: Wanted, plan: EditPlan) -> Swapped:
        cloning = plan.way == "new" and can_share(self._reader.descriptor, self._target.absolute().parent)
        shared = sum(map(_shared_bytes, plan.kept())) if cloning else 0
        notes = list(wanted.notes)
        if plan.way == "new":
            notes += self._new_file_notes(present, plan, cloning=cloning)
        else:
            changed, size = journalled_bytes(plan, present), plan.closing.file_size
            needed = bytes_in_place(self._path, changed_bytes=changed, new_bytes=size) + bytes_in_room(plan, present)
            refuse_full_disk_in_place(self._path.absolute().parent, needed)
        return Swapped(
            path=self._path,
            output=self._target,
            way=_way(plan, cloning=cloning),
            changes=tuple(_change(name, what, plan, present) for name, what in wanted.told),
            notes=tuple(notes),
            written_bytes=written_bytes(plan, present) - shared,
            shared_bytes=shared,
            generation=plan.manifest.generation,
            done=False,
        )

    def _new_file_notes(self, present: Present, plan: EditPlan, *, cloning: bool) -> Iterator[str]:
        if present.is_signed and self._options.sign is None:
            yield "the file was signed for Windows, and the new one is not: sign it again, or have it done by --sign"
        size = plan.closing.file_size
        if not cloning:
            hint = "--in-place needs no second copy; or free some space"
            refuse_full_disk(self._target.absolute().parent, size, hint=hint)
            copied = size_words(size)
            yield f"the file system shares no blocks, so {copied} are copied; --in-place writes only what changes"

    def _foreign(self, words: SwapWords, engine: NewEngine | None) -> Swapped:
        """Somebody else's file becomes one of ours, as everything in it is digested for the first time."""
        if self._options.in_place:
            raise FormatError(self._path, "is somebody else's file", hint=command("import", self._path))
        for finding in check_members(self._reader, content=False):
            raise FormatError(f"{self._path}: {finding.subject}", finding.what, hint="nothing is built on it")
        if words.name is None:
            refuse_odd_name(self._path, place="a manifest")
        foreign = take_apart(self._reader)
        release = Release(name=self._path.stem)
        order = order_of_foreign(foreign, release=release, epoch=self._settings.epoch, align=self._options.align)
        wanted = read_changes(words, order, engine, where=str(self._path))
        order = changed(order, wanted.changes, where=str(self._path))
        swapped = self._foreign_told(order, wanted, foreign.left_out())
        if self._options.dry_run:
            return swapped
        for note in swapped.notes:
            self._report.note(note)
        # Beyond this point nothing is decided any more.
        pack(
            order,
            self._target,
            threads=self._threads,
            report=self._report,
            sign=self._options.sign,
            mode=runnable(self._mode()),
            expected=self._expected(),
        )
        return replace(swapped, done=True)

    def _foreign_told(self, order: PackOrder, wanted: Wanted, left_out: tuple[str, ...]) -> Swapped:
        cloning = can_share(self._reader.descriptor, self._target.absolute().parent)
        sizes = {member.name: member.source.size_bytes for member in order.members}
        aligned = sum(member.source.size_bytes for member in order.members if member.place == "aligned")
        total = sum(sizes.values()) + _head_bytes(order)
        if not cloning:
            refuse_full_disk(self._target.absolute().parent, total, hint="free some space")
        return Swapped(
            path=self._path,
            output=self._target,
            way="new file, cloned" if cloning else "new file, copied",
            changes=tuple(
                Change(what=what, how="new file", bytes=sizes.get(name, _head_bytes(order) if name == "head" else 0))
                for name, what in wanted.told
            ),
            notes=(*wanted.notes, *left_out, "the file gets a manifest, for which all of it is read once"),
            written_bytes=total - (aligned if cloning else 0),
            shared_bytes=aligned if cloning else 0,
            generation=1,
            done=False,
        )

    def _mode(self) -> int:
        return os.fstat(self._file.fileno()).st_mode & 0o7777

    def _expected(self) -> os.stat_result | None:
        """What has the old name now, if the new file is to have it."""
        return expected_at(self._target, self._path, os.fstat(self._file.fileno()))


def _shared_bytes(part: Part) -> int:
    """How many bytes of a part the new file can have in common with the old one, where the file system allows it."""
    fits = part.digests is not None and part.offset % _BLOCK_BYTES == 0 == (part.kept_offset or 0) % _BLOCK_BYTES
    return part.source.size_bytes // SHARED_BYTES * SHARED_BYTES if fits else 0


def _way(plan: EditPlan, *, cloning: bool) -> Way:
    if plan.way == "append":
        return "appended tail"
    if plan.way == "journal":
        return "journal"
    return "new file, cloned" if cloning else "new file, copied"


def _change(name: str, what: str, plan: EditPlan, present: Present) -> Change:
    entry = next((item for item in plan.entries if item.name == name), None)
    size = entry.record.stored_size if entry else plan.manifest.head.size_bytes if name == "head" else 0
    return Change(what=what, how=_how(entry.record.header_offset if entry else 0, name, plan, present), bytes=size)


def _how(offset: int, name: str, plan: EditPlan, present: Present) -> str:
    if plan.way == "new":
        return "new file"
    if name == "head":
        return "over the head, by journal"
    if any(start <= offset < end for start, end in present.room()) and offset:
        return "in the spare slot"
    return "appended tail" if plan.way == "append" else "behind the weights, by journal"


def _head_bytes(order: PackOrder) -> int:
    head = order.head
    if isinstance(head, LauncherHead):
        return len(head.data) + sum(item.source.size_bytes for item in head.slices)
    source = getattr(head, "source", None)
    return source.size_bytes if source is not None else 0
