"""Decides which files are written: one, or two where Windows would not start the one.

Windows starts no program of 4 GiB or more. Then the weights go into a file without a Windows half, and a thin program
beside it names that file. This is decided before anything is compiled, so engines count with what they may have.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from lfbuild.archive.source import BytesSource
from lfbuild.errors import RecipeError
from lfbuild.formats.head import HEAD_BYTES, choose_form
from lfbuild.manifest.model import BESIDE_NAME
from lfbuild.manifest.order import PackMember
from lfbuild.plan.targets import is_windows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from lfbuild.plan.targets import HeadKind, Target
    from lfbuild.recipe import Recipe
    from lfbuild.recipe.values import Room

WINDOWS_LIMIT_BYTES: Final = 4 << 30
"""Windows starts no program whose file is longer (llamafile's issue 66)."""
SLICE_ALLOWANCE_BYTES: Final = 32 << 20
"""What one engine may have, compressed: twice what all of upstream's levels have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedFile:
    """One file that is written."""

    output: Path
    head: HeadKind | Literal["note"]
    """`note`: nothing starts the file, and a shell that tries says so."""
    targets: tuple[str, ...]
    """Those whose engines and launchers are in it."""
    members: tuple[PackMember, ...]
    note: str = ""
    """What the shell says."""

    @property
    def is_for_windows(self) -> bool:
        """Whether it has to start on Windows."""
        return any(map(is_windows, self.targets))

    @property
    def is_signed_as_a_whole(self) -> bool:
        """Whether a signature for Windows goes onto the file: it begins as a PE, an APE of cosmocc among them."""
        return self.is_for_windows or "cosmo" in self.targets

    @property
    def content_bytes(self) -> int:
        """Bytes of all members that the plan knows."""
        return content_bytes(self.members)

    def note_bytes(self) -> bytes:
        """A head that starts nothing: a script of one sentence, and zeros."""
        script = f"#!/bin/sh\nprintf '%s\\n' {shlex.quote(self.note)} >&2\nexit 1\n".encode()
        return script + bytes(HEAD_BYTES - len(script))


def content_bytes(members: Iterable[PackMember]) -> int:
    """Bytes of members."""
    return sum(member.source.size_bytes for member in members)


def plan_files(
    recipe: Recipe, targets: Sequence[Target], head: HeadKind, members: tuple[PackMember, ...], output: Path
) -> tuple[PlannedFile, ...]:
    """The file, or the file with the weights and the program beside it.

    Raises:
        RecipeError: Windows would not start the file, and its head leaves no other way.
    """
    names = tuple(target.name for target in targets)
    whole = PlannedFile(output=output, head=head, targets=names, members=members)
    if not whole.is_for_windows or _most_bytes(whole, recipe.archive.engine_room) < WINDOWS_LIMIT_BYTES:
        return (whole,)
    if head == "engine":
        what = "the file would be over 4 GiB, which Windows does not start; without this key two files are made"
        raise RecipeError(recipe.path, [recipe.problem(("targets", "head"), what)])
    return _weights(whole), _program(whole)


def told(files: Sequence[PlannedFile]) -> tuple[str, ...]:
    """What the user should know of it."""
    if len(files) == 1:
        if files[0].is_for_windows and files[0].head == "engine":
            return ("the file begins with its engine, so Windows shows no name and no version of it",)
        return ()
    weights, program = (file.output.name for file in files)
    two = f"{weights} with the weights, and {program}, which starts on Windows and needs {weights} beside it"
    return (f"the file would be over 4 GiB, which Windows does not start; so there are two: {two}",)


def _most_bytes(file: PlannedFile, room: Room) -> int:
    engines = len(file.targets) * SLICE_ALLOWANCE_BYTES
    return HEAD_BYTES + engines + room.beside(engines, started=file.head != "engine") + file.content_bytes


def _weights(whole: PlannedFile) -> PlannedFile:
    """Everything but the Windows half."""
    output = whole.output.with_suffix(".llamafile") if whole.output.suffix == ".exe" else whole.output
    others = tuple(name for name in whole.targets if not is_windows(name))
    if others:
        return PlannedFile(output=output, head=choose_form(others), targets=others, members=whole.members)
    program = _program_path(whole).name
    note = f"{output.name}: holds the weights of {program}, which starts on Windows"
    return PlannedFile(output=output, head="note", targets=(), members=whole.members, note=note)


def _program(whole: PlannedFile) -> PlannedFile:
    """The Windows half, which names the other file; beside it that has to be."""
    name = _weights(whole).output.name.encode() + b"\n"
    return PlannedFile(
        output=_program_path(whole),
        head="polyglot",
        targets=tuple(name for name in whole.targets if is_windows(name)),
        members=(PackMember(name=BESIDE_NAME, role="file", place="tail", source=BytesSource(name)),),
    )


def _program_path(whole: PlannedFile) -> Path:
    if whole.output.suffix in {".exe", ".llamafile"}:
        return whole.output.with_suffix(".exe")
    return whole.output.with_name(f"{whole.output.name}.exe")
