"""Files that are edited, and the edits: all ways from changes to a new version, as the commands go them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.world.files import default_members, write_tiny_file
from tests.world.programs import tiny_elf
from tests.world.slices import LINUX, WINDOWS, WINDOWS_ENGINE, tiny_launcher, tiny_slice

from lfbuild.archive.reader import Reader
from lfbuild.archive.source import BytesSource
from lfbuild.formats.args import ARGS_NAME
from lfbuild.host.inplace import had_alone, used
from lfbuild.manifest.carry import append, rewrite, write_new_file
from lfbuild.manifest.edit import plan_in_place, plan_new_file
from lfbuild.manifest.order import PackMember
from lfbuild.manifest.present import load_present
from lfbuild.report import SilentReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lfbuild.manifest.edit import Changes, EditPlan, Way
    from lfbuild.manifest.order import EngineSlice

NEW_ENGINE = tiny_elf(20) + b"another llama.cpp\n" * 40
LARGER_ENGINE = tiny_elf(20) + b"a much larger llama.cpp\n" * 4000
NEW_ARGS = b"serve\n-m\n/zip/Tiny.Q4_0.gguf\n--port\n9000\n...\n"


def launcher_file(
    folder: Path,
    *,
    name: str = "tiny.llamafile",
    slices: tuple[EngineSlice, ...] = (tiny_slice(),),
    room_bytes: int = 2000,
    generation: int = 1,
) -> Path:
    """A launcher with an engine for Linux and one for Windows, and room for about another one."""
    head = tiny_launcher([*slices, tiny_slice(WINDOWS, WINDOWS_ENGINE)])
    return write_tiny_file(
        folder, head=head, name=name, members=default_members(), align_bytes=65536, room_bytes=room_bytes,
        generation=generation,
    )  # fmt: skip


def engine_file(folder: Path) -> Path:
    """An engine that is the head."""
    return write_tiny_file(folder, align_bytes=65536)


def new_slice(program: bytes = NEW_ENGINE) -> EngineSlice:
    """Another engine for Linux."""
    return tiny_slice(LINUX, program)


def args_member(data: bytes) -> PackMember:
    """The default arguments."""
    return PackMember(name=ARGS_NAME, role="args", place="tail", source=BytesSource(data))


def planned(path: Path, changes: Changes, *, in_place: bool = False) -> EditPlan:
    """What the edit would do."""
    with Reader.open(path) as reader:
        present = load_present(reader, threads=1)
        assert present is not None
        return plan_in_place(present, changes) if in_place else plan_new_file(present, changes)


def edit_to_new_file(path: Path, changes: Changes, *, change: Callable[[Path], None] | None = None) -> Way:
    """Edit by a new file that takes the old one's name."""
    expected = path.stat()
    with used(path) as file, SilentReport().step("editing") as step:
        present = load_present(Reader(path, file), threads=1)
        assert present is not None
        plan = plan_new_file(present, changes)
        write_new_file(plan, path, mode=0o755, threads=1, step=step, expected=expected, change=change)
    return plan.way


def edit_in_place(path: Path, changes: Changes) -> Way:
    """Edit where the file stands."""
    with had_alone(path) as file, SilentReport().step("editing") as step:
        present = load_present(Reader(path, file), threads=1)
        assert present is not None
        plan = plan_in_place(present, changes)
        if plan.way == "append":
            append(plan, path, file, threads=1, step=step)
        else:
            rewrite(plan, path, file, room=present.room(), threads=1, step=step)
    return plan.way
