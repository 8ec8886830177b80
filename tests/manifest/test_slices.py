"""Engines in a file: whoever lies about them, the table, the directory or the manifest, is told with the slice."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.world.files import manifest_of, plain, reseal, verified, write_tiny_file
from tests.world.slices import DEFLATED, LINUX_ENGINE, WINDOWS, WINDOWS_ENGINE, tiny_launcher, tiny_slice
from tests.world.zips import raw_deflate

from lfbuild.archive.deflate import Decoded, look_at
from lfbuild.archive.source import BytesSource
from lfbuild.errors import FormatError
from lfbuild.formats.slices import SLICES_NAME
from lfbuild.manifest.model import Encoding

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from lfbuild.manifest.model import Manifest
    from lfbuild.manifest.order import EngineSlice

LINUX_NAME, WINDOWS_NAME = ".lfbuild/engine/linux-x86_64", ".lfbuild/engine/windows-x86_64"


def told(path: Path) -> list[str]:
    return [f"{finding.subject}: {finding.what}" for finding in verified(path)]


def told_of(folder: Path, *slices: EngineSlice) -> list[str]:
    """What is told of a file whose maker packed these as they are."""
    return told(write_tiny_file(folder, head=tiny_launcher(slices)))


def resealed(folder: Path, **changes: Any) -> list[str]:
    """What is told of a true file with another manifest, as a hostile writer makes it."""
    path = write_tiny_file(folder, head=tiny_launcher())
    reseal(path, msgspec.structs.replace(manifest_of(path), **changes))
    return told(path)


def with_member(manifest: Manifest, name: str, **changes: Any) -> tuple[Any, ...]:
    members = manifest.members
    return tuple(msgspec.structs.replace(it, **changes) if it.name == name else it for it in members)


def test_a_file_may_hold_no_engine_at_all_if_another_file_does(tmp_path: Path) -> None:
    assert told_of(tmp_path) == []


def test_an_engine_that_decodes_to_something_else_is_not_the_promised_one(tmp_path: Path) -> None:
    other = LINUX_ENGINE.replace(b"small", b"SMALL")
    lying = replace(tiny_slice(stored=DEFLATED), source=BytesSource(raw_deflate(other)))

    assert told_of(tmp_path, lying) == [
        f"{LINUX_NAME}: it decodes to other bytes than were promised",
        f"{LINUX_NAME}: its CRC-32 in the directory is wrong",
        f"{LINUX_NAME}: it is not the engine that the slice table promises",
    ]


def test_a_stored_engine_with_another_digest_in_the_table_is_told(tmp_path: Path) -> None:
    honest = tiny_slice(WINDOWS, WINDOWS_ENGINE)
    lying = replace(honest, program=replace(honest.program, digest="0" * 64))

    assert told_of(tmp_path, lying) == [f"{WINDOWS_NAME}: it is not the engine that the slice table promises"]


@pytest.mark.parametrize("size_bytes", [0, 1, len(LINUX_ENGINE) - 1, len(LINUX_ENGINE) + 1, 1 << 40])
def test_a_size_that_is_a_lie_costs_no_more_than_the_engine_itself(size_bytes: int, tmp_path: Path) -> None:
    lying = replace(tiny_slice(stored=DEFLATED), program=replace(look_at([LINUX_ENGINE]), size_bytes=size_bytes))

    assert told_of(tmp_path, lying) == [
        f"{LINUX_NAME}: '{LINUX_NAME}' does not decompress to the {size_bytes} bytes it promises"
    ]


def test_a_bomb_is_inflated_no_further_than_it_promises(tmp_path: Path) -> None:
    bomb = raw_deflate(bytes(64 << 20))
    facts = Decoded(size_bytes=1000, crc32=0, root="0" * 64, digest="0" * 64)
    lying = replace(tiny_slice(stored=bomb), program=facts)

    tracemalloc.start()
    try:
        found = told_of(tmp_path, lying)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert found == [f"{LINUX_NAME}: '{LINUX_NAME}' does not decompress to the 1000 bytes it promises"]


def test_an_honest_engine_of_64_mib_is_checked_in_constant_memory(tmp_path: Path) -> None:
    zeros = bytes(64 << 20)
    path = write_tiny_file(tmp_path, head=tiny_launcher([tiny_slice(program=zeros, stored=raw_deflate(zeros))]))
    tracemalloc.start()
    try:
        assert told(path) == []
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_what_is_no_deflate_stream_is_told(tmp_path: Path) -> None:
    lying = replace(tiny_slice(stored=DEFLATED), source=BytesSource(b"\xff" * 50))

    (finding,) = told_of(tmp_path, lying)

    assert finding.startswith(f"{LINUX_NAME}: '{LINUX_NAME}' cannot be decompressed: ")


def test_another_decoded_size_in_the_manifest_is_told(tmp_path: Path) -> None:
    manifest = manifest_of(write_tiny_file(tmp_path, head=tiny_launcher()))
    encoding = Encoding(decoded_size=5, decoded_root="0" * 64, encoder="x", encoder_version="1", level=1)

    assert resealed(tmp_path, members=with_member(manifest, LINUX_NAME, encoding=encoding)) == [
        f"{LINUX_NAME}: decodes to {len(LINUX_ENGINE)} bytes instead of 5",
        f"{LINUX_NAME}: it decodes to other bytes than were promised",
    ]


def test_compressed_or_stored_is_as_the_manifest_says(tmp_path: Path) -> None:
    manifest = manifest_of(write_tiny_file(tmp_path, head=tiny_launcher()))
    members = with_member(manifest, LINUX_NAME, encoding=None)

    assert resealed(tmp_path, members=members) == [f"{LINUX_NAME}: is compressed, and the manifest says otherwise"]

    encoding = manifest.members[0].encoding
    members = with_member(manifest, WINDOWS_NAME, encoding=encoding)
    assert resealed(tmp_path, members=members) == [
        f"{WINDOWS_NAME}: is stored as it is, and the manifest says otherwise",
        f"{WINDOWS_NAME}: it decodes to other bytes than were promised",
    ]


def test_slices_that_manifest_and_table_tell_differently_are_named(tmp_path: Path) -> None:
    manifest = manifest_of(write_tiny_file(tmp_path, head=tiny_launcher()))
    assert manifest.engine is not None
    first, second = manifest.engine.slices
    other = msgspec.structs.replace(first, cpus=("x86-64-v2",))
    differently = "slice table and manifest tell of it differently"

    engine = msgspec.structs.replace(manifest.engine, slices=(other, second))
    assert resealed(tmp_path, engine=engine) == [f"{LINUX_NAME}: {differently}"]

    engine = msgspec.structs.replace(manifest.engine, slices=(second,))
    assert resealed(tmp_path, engine=engine) == [f"{LINUX_NAME}: {differently}"]

    assert resealed(tmp_path, engine=None) == [f"{LINUX_NAME}: {differently}", f"{WINDOWS_NAME}: {differently}"]


def test_an_engine_without_a_line_in_the_table_is_told(tmp_path: Path) -> None:
    manifest = manifest_of(write_tiny_file(tmp_path, head=tiny_launcher()))

    assert resealed(tmp_path, members=with_member(manifest, "empty", role="engine")) == [
        "empty: stands in the slice table 0 times"
    ]


def test_a_line_for_what_is_no_engine_is_told(tmp_path: Path) -> None:
    manifest = manifest_of(write_tiny_file(tmp_path, head=tiny_launcher()))

    assert resealed(tmp_path, members=with_member(manifest, WINDOWS_NAME, role="file")) == [
        f"{WINDOWS_NAME}: is the engine for {WINDOWS} in the slice table, and is none"
    ]


def test_two_engines_for_one_target_are_refused_before_a_byte_is_written(tmp_path: Path) -> None:
    with pytest.raises(FormatError) as caught:
        told_of(tmp_path, tiny_slice(), tiny_slice())

    assert str(caught.value) == f"member: the name '{LINUX_NAME}' is given more than once"


def test_a_launcher_without_a_table_starts_nothing(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    manifest = manifest_of(path)
    reseal(path, msgspec.structs.replace(manifest, head=msgspec.structs.replace(manifest.head, kind="launcher")))

    assert told(path) == [f"{SLICES_NAME}: is missing, though the head is a launcher"]


def test_a_table_beside_an_engine_is_told(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path, members=(plain(SLICES_NAME, b"x"),))

    assert told(path) == [f"{SLICES_NAME}: is there, though the head is an engine"]


def test_the_record_of_the_table_has_one_form_as_a_launcher_looks_for_it(tmp_path: Path) -> None:
    manifest = manifest_of(write_tiny_file(tmp_path, head=tiny_launcher()))

    assert resealed(tmp_path, members=with_member(manifest, SLICES_NAME, role="file")) == [
        f"{SLICES_NAME}: is not recorded as the slice table"
    ]


@pytest.mark.parametrize("content", [True, False])
def test_a_damaged_table_is_told_and_the_rest_is_checked_all_the_same(content: bool, tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path, head=tiny_launcher())
    data = bytearray(path.read_bytes())
    data[data.index(b"slice linux") + 8] ^= 1
    data[data.index(DEFLATED) + 3] ^= 1
    path.write_bytes(data)

    found = [f"{finding.subject}: {finding.what}" for finding in verified(path, content=content)]

    damaged = f"{SLICES_NAME}: the slice table does not match its own digest"
    untrue = [f"{name}: its bytes are not the ones that were promised" for name in (LINUX_NAME, SLICES_NAME)]
    assert found == [damaged, *(untrue if content else [])]
