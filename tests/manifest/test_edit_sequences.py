"""Any edits, one after the other, in place or by a new file: nothing is lost, and a new file tells no history."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.world.edits import edit_in_place, edit_to_new_file, launcher_file, new_slice
from tests.world.files import EPOCH, default_members, manifest_of, plain, verified
from tests.world.programs import tiny_elf
from tests.world.slices import WINDOWS, WINDOWS_ENGINE, tiny_launcher, tiny_slice

from lfbuild.manifest.edit import Changes
from lfbuild.manifest.model import Release
from lfbuild.manifest.order import PackMember, PackOrder
from lfbuild.manifest.pack import pack
from lfbuild.report import SilentReport

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

NAMES = ("notes.txt", "prompts/hello.txt", "empty", "data.bin")
SIZES = st.sampled_from([0, 1, 700, 20_000, 70_000])
ENGINES = st.sampled_from([700, 1400, 5_000, 100_000])
Step = tuple[str, str, int, bool]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(NAMES), SIZES, st.booleans()),
        st.tuples(st.just("remove"), st.sampled_from(NAMES), st.just(0), st.booleans()),
        st.tuples(st.just("engine"), st.just(""), ENGINES, st.booleans()),
        st.tuples(st.just("name"), st.sampled_from(["a", "b"]), st.just(0), st.booleans()),
    ),
    min_size=1,
    max_size=7,
)


class Model:
    """What the file has to hold, kept beside it."""

    def __init__(self) -> None:
        self.members = {member.name: member for member in default_members()}
        self.engine = tiny_slice()
        self.release = Release(name="tiny", version="1", license="apache-2.0")
        self.generation = 1

    def changes(self, kind: str, name: str, size: int) -> Changes | None:
        """The step as changes, if there is anything to change."""
        if kind == "put":
            member = plain(name, bytes((7 * at + size) % 251 for at in range(size)))
            self.members[name] = member
            return Changes(put=(member,))
        if kind == "remove":
            return Changes(remove=(name,)) if self.members.pop(name, None) else None
        if kind == "engine":
            self.engine = new_slice(tiny_elf(20) + bytes((at * 3 + size) % 256 for at in range(size)))
            return Changes(slices=(self.engine,))
        self.release = Release(name=name)
        return Changes(release=self.release)

    def content(self) -> dict[str, bytes]:
        """What any unzip finds in the file."""
        return {name: _bytes_of(member) for name, member in self.members.items()}


def _bytes_of(member: PackMember) -> bytes:
    data = bytearray(member.source.size_bytes)
    with member.source.opened() as source:
        source.read_into(memoryview(data), 0)
    return bytes(data)


def content_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.startswith(".lfbuild/")}


@settings(max_examples=40)
@given(steps=STEPS)
def test_whatever_is_edited_the_file_is_whole(tmp_path_factory: pytest.TempPathFactory, steps: list[Step]) -> None:
    path, model = launcher_file(tmp_path_factory.mktemp("edits")), Model()
    for kind, name, size, in_place in steps:
        changes = model.changes(kind, name, size)
        if changes is None:
            continue
        edit_in_place(path, changes) if in_place else edit_to_new_file(path, changes)
        model.generation += 1
        assert verified(path) == []
        assert content_of(path) == model.content()
        assert manifest_of(path).generation == model.generation
    edit_to_new_file(path, Changes())
    _same_as_fresh(path, model)


def _same_as_fresh(path: Path, model: Model) -> None:
    """The compacted file is a fresh one of the same members, but for the room that its history has left it."""
    compacted = manifest_of(path)
    room = sum(region.size_bytes for region in compacted.regions)
    fresh = path.parent / "fresh"
    order = PackOrder(
        release=model.release,
        head=tiny_launcher([model.engine, tiny_slice(WINDOWS, WINDOWS_ENGINE)]),
        engine=compacted.engine,
        members=tuple(model.members[item.name] for item in compacted.members if item.name in model.members),
        align_bytes=65536,
        room_bytes=room,
        epoch=EPOCH,
        recipe_sha256="8" * 64,
        generation=compacted.generation,
    )
    made = pack(order, fresh, threads=1, report=SilentReport())
    assert made == compacted
    assert fresh.read_bytes() == path.read_bytes()
