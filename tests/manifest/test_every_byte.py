"""One flipped byte anywhere in a file is found, and the finding names the member or region that it is in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.world.files import Place, default_members, places_of, verified, write_tiny_file
from tests.world.programs import tiny_ape, tiny_elf, tiny_pe
from tests.world.slices import tiny_launcher

from lfbuild.manifest.model import MANIFEST_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.manifest.order import LauncherHead
    from lfbuild.manifest.verify import Finding


@dataclass(frozen=True, slots=True)
class World:
    """A file, where everything is in it, and a copy that may be damaged."""

    data: bytes
    places: list[Place]
    copy: Path

    def place_of(self, position: int) -> Place:
        for place in self.places:
            if place.start <= position < place.end:
                return place
        return Place(position, position + 1, "room")

    def damaged(self, position: int, value: int) -> list[Finding]:
        """What verify finds with one byte changed."""
        with self.copy.open("r+b", buffering=0) as file:
            file.seek(position)
            file.write(bytes([value]))
            try:
                return verified(self.copy)
            finally:
                file.seek(position)
                file.write(self.data[position : position + 1])


def make_world(folder: Path, head: bytes | LauncherHead, *, external: bool = False) -> World:
    members = default_members()[1:] if external else default_members()
    path = write_tiny_file(folder, head=head, members=members, align_bytes=64, room_bytes=70)
    assert verified(path) == []
    copy = folder / "copy"
    copy.write_bytes(path.read_bytes())
    return World(path.read_bytes(), places_of(path), copy)


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("elf"), tiny_elf())


@pytest.fixture(scope="module")
def ape(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A portable head: a shell script and a PE with two members and end records of its own, and a linker's checksum."""
    return make_world(tmp_path_factory.mktemp("ape"), tiny_ape(checksum=0x1234))


@pytest.fixture(scope="module")
def external(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A signable head, and no weights: they stand beside the file."""
    return make_world(tmp_path_factory.mktemp("external"), tiny_pe(), external=True)


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A launcher that can be signed, with two engines: one deflated, one stored."""
    return make_world(tmp_path_factory.mktemp("launcher"), tiny_launcher())


def names_the_place(finding: Finding, place: Place) -> bool:
    """Whether a finding leads a user to the damaged place."""
    subject = finding.subject
    if place.kind == "head":
        return subject == "head"
    if place.kind == "room":
        return subject.startswith("room between ")
    if place.kind in {"header", "data"}:
        return subject == place.name
    if place.kind == "record":  # what the directory says is the member's as well as the directory's
        in_directory = subject in {place.name, "file", "end records"} or "directory" in subject
        return in_directory or (place.name == MANIFEST_NAME and subject == "seal")
    # The seal and the manifest vouch for each other: which of the two is wrong, nobody can tell.
    return subject in {"end records", "seal", MANIFEST_NAME, "file"}


def assert_found(world: World, position: int, value: int) -> None:
    place, found = world.place_of(position), world.damaged(position, value)

    told = [f"{finding.subject}: {finding.what}" for finding in found]
    assert any(names_the_place(finding, place) for finding in found), (position, value, place, told)
    if place.kind in {"head", "room", "header", "data"}:
        assert all(names_the_place(finding, place) for finding in found), (position, value, place, told)


def test_each_byte_of_a_file_with_an_elf_head(elf: World) -> None:
    for position, byte in enumerate(elf.data):
        assert_found(elf, position, byte ^ 1 << position % 8)


def test_each_byte_of_head_and_end_of_a_portable_file(ape: World) -> None:
    tail = next(place.start for place in ape.places if place.kind == "record")
    head = ape.places[0].end
    for position in [*range(0, head, 2), *range(head, tail, 7), *range(tail, len(ape.data))]:
        assert_found(ape, position, ape.data[position] ^ 0x80 >> position % 8)


def test_each_byte_of_a_file_without_weights(external: World) -> None:
    for position in range(0, len(external.data), 2):
        assert_found(external, position, external.data[position] ^ 0xFF)


def test_each_byte_of_a_file_with_a_launcher(launcher: World) -> None:
    for position, byte in enumerate(launcher.data):
        assert_found(launcher, position, byte ^ 1 << position % 8)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_other_value_of_any_byte(
    data: st.DataObject, elf: World, ape: World, external: World, launcher: World
) -> None:
    world = data.draw(st.sampled_from([elf, ape, external, launcher]))
    position = data.draw(st.integers(0, len(world.data) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda value: value != world.data[position]))

    assert_found(world, position, value)


def test_a_file_that_is_cut_off_anywhere_is_refused(elf: World, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    ends = {place.end for place in elf.places} | {place.start for place in elf.places}
    lengths = {length + step for length in ends for step in (-1, 0, 1)} & set(range(len(elf.data)))
    for length in sorted(lengths | set(range(0, len(elf.data), 61))):
        cut.write_bytes(elf.data[:length])
        assert verified(cut), length


def test_a_portable_file_that_is_cut_off_behind_the_heads_own_end_records_is_not_taken_for_whole(
    ape: World, tmp_path: Path
) -> None:
    cut = tmp_path / "cut"
    head = ape.places[0].end
    cut.write_bytes(ape.data[:head])
    assert verified(cut) == [], "the head alone is a whole ZIP of somebody else"

    for length in range(head + 1, len(ape.data), 97):
        cut.write_bytes(ape.data[:length])
        assert [f"{finding.subject}: {finding.what}" for finding in verified(cut)] == [
            f"end records: {length - head} bytes follow the end records"
        ]


@pytest.mark.parametrize("garbage", [b"\0", b"\n", b"PK\5\6", b"x" * 70, bytes(60_000)])
def test_anything_behind_the_end_is_told(garbage: bytes, elf: World, tmp_path: Path) -> None:
    longer = tmp_path / "longer"
    longer.write_bytes(elf.data + garbage)

    assert [f"{finding.subject}: {finding.what}" for finding in verified(longer)] == [
        f"end records: {len(garbage)} bytes follow the end records"
    ]
