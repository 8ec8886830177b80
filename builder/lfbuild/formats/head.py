"""The head of a portable file: launchers of several machines in one MiB that every one of them starts.

Decides the form and puts the bytes together; docs/formats/head.md shows them. It does not know how a launcher is made
or what it does, nor what follows the head.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from lfbuild.errors import FormatError
from lfbuild.formats.executable import POLYGLOT_START, Program, identify_program
from lfbuild.formats.pe import SCRIPT_BYTES, align_up, move_headers, moved_size
from lfbuild.formats.resources import WindowsFacts, resource_bytes
from lfbuild.formats.shell import BLOCK_BYTES, PlacedLauncher, shell_text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from lfbuild.formats.executable import ProgramKind

HeadForm = Literal["elf", "script", "polyglot"]

HEAD_BYTES: Final = 1 << 20
"""The size of every head made of launchers: what is not used stays zero, and a later launcher finds room."""

TARGETS: Final = ("linux-x86_64", "linux-aarch64", "windows-x86_64", "macos-aarch64", "macos-x86_64")
"""Every machine that a launcher can be for, in the order in which a head holds and names them."""

_PROGRAM_KINDS: Final[Mapping[str, ProgramKind]] = {"linux": "elf", "windows": "pe", "macos": "macho"}
_WINDOWS: Final = "windows-x86_64"
_DOS_HEADER_BYTES: Final = 0x40
_PE_OFFSET: Final = 0x3C
_SHEBANG: Final = "#!/bin/sh\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadLayout:
    """Where the launchers of a head begin, and where the last one ends."""

    starts: Mapping[str, int]
    end: int


def choose_form(targets: Collection[str]) -> HeadForm:
    """The form that starts in the most places: one Linux machine's own program; a script; with Windows, both in one.

    Raises:
        FormatError: there is no target, or one that no launcher is made for.
    """
    _check_targets(targets)
    if _WINDOWS in targets:
        return "polyglot"
    return "elf" if len(targets) == 1 and next(iter(targets)).startswith("linux-") else "script"


def lay_out_head(form: HeadForm, sizes: Mapping[str, int], *, facts: WindowsFacts | None = None) -> HeadLayout:
    """Place launchers of these sizes, before any of them is compiled.

    Raises:
        FormatError: the form cannot start one of the targets, or they need more than `HEAD_BYTES`.
    """
    _check_form(form, sizes)
    starts: dict[str, int] = {}
    end = BLOCK_BYTES if form == "script" else 0
    if form == "polyglot":
        resources_bytes = len(resource_bytes(facts, 0)) if facts else 0
        starts[_WINDOWS], end = 0, moved_size(sizes[_WINDOWS], resources_bytes=resources_bytes)
    for target in TARGETS:
        if target in sizes and target not in starts:
            starts[target] = align_up(end, BLOCK_BYTES)
            end = starts[target] + sizes[target]
    if end > HEAD_BYTES:
        raise FormatError("head", f"its launchers need {end} bytes, and there is room for {HEAD_BYTES}")
    return HeadLayout(starts=starts, end=end)


def make_head(form: HeadForm, launchers: Mapping[str, bytes], *, facts: WindowsFacts | None = None) -> bytes:
    """Put a head together: exactly `HEAD_BYTES`, the same for the same launchers.

    `facts` are what the Windows half says of itself; only a polyglot has one.

    Raises:
        FormatError: a launcher is no program of its target, or the form does not fit the launchers.
    """
    _check_form(form, launchers)
    for target, launcher in launchers.items():
        _check_launcher(target, launcher)
    layout = lay_out_head(form, {target: len(launcher) for target, launcher in launchers.items()}, facts=facts)
    head = bytearray(HEAD_BYTES)
    for target, start in layout.starts.items():
        content = launchers[target] if target != _WINDOWS else _windows_half(launchers[target], facts)
        head[start : start + len(content)] = content
    if form == "elf":
        return bytes(head)
    text = _script(launchers, layout)
    if form == "script":
        return bytes(_over(head, 0, _SHEBANG.encode() + text, room=BLOCK_BYTES))
    _over(head, 0, POLYGLOT_START.ljust(_PE_OFFSET), room=_PE_OFFSET)
    return bytes(_over(head, _DOS_HEADER_BYTES, b"'\n" + text, room=SCRIPT_BYTES))


def _check_targets(targets: Collection[str]) -> None:
    if not targets:
        raise FormatError("head", "there is no launcher to begin a file with")
    for target in sorted(targets):
        if target not in TARGETS:
            raise FormatError("head", f"there is no launcher for {target!r}", hint=f"there are {', '.join(TARGETS)}")


def _check_form(form: HeadForm, targets: Collection[str]) -> None:
    _check_targets(targets)
    if form == "elf" and (len(targets) != 1 or not next(iter(targets)).startswith("linux-")):
        raise FormatError("head", f"an elf head is for one Linux target, not for {', '.join(sorted(targets))}")
    if form == "script" and _WINDOWS in targets:
        raise FormatError("head", "a script head does not start on Windows", hint="a polyglot does")
    if form == "polyglot" and _WINDOWS not in targets:
        raise FormatError("head", "a polyglot head needs a launcher for Windows", hint="a script does without one")


def _check_launcher(target: str, launcher: bytes) -> None:
    system, _, machine = target.partition("-")
    found = identify_program(launcher)
    if found != Program(kind=_PROGRAM_KINDS[system], machines=(machine,)):
        told = "no program" if found.kind == "none" else " for ".join((found.kind, *found.machines))
        raise FormatError("head", f"the launcher of {target} is {told}")


def _windows_half(launcher: bytes, facts: WindowsFacts | None) -> bytes:
    resources = None if facts is None else lambda address: resource_bytes(facts, address)
    return move_headers(launcher, resources=resources, where=f"launcher of {_WINDOWS}")


def _script(launchers: Mapping[str, bytes], layout: HeadLayout) -> bytes:
    placed = [
        PlacedLauncher(
            target=target,
            block=start // BLOCK_BYTES,
            size_bytes=len(launchers[target]),
            sha256=hashlib.sha256(launchers[target]).hexdigest(),
        )
        for target, start in layout.starts.items()
        if target != _WINDOWS
    ]
    return shell_text([target for target in TARGETS if target in launchers], placed).encode()


def _over(head: bytearray, offset: int, content: bytes, *, room: int) -> bytearray:
    if len(content) > room:
        raise FormatError("head", f"its script is {len(content)} bytes, and there is room for {room}")
    head[offset : offset + len(content)] = content
    return head
