"""Verification of whole files: what each kind of damage, and each lie of a hostile writer, is told as."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import msgspec
import pytest
from blake3 import blake3
from tests.world.files import (
    MODEL_NAME,
    default_members,
    manifest_of,
    places_of,
    plain,
    reseal,
    verified,
    weights,
    write_tiny_file,
)
from tests.world.models import Q8_0, TinyTensor, tiny_gguf
from tests.world.programs import tiny_ape, tiny_elf, tiny_pe
from tests.world.zips import Stored, write_zip

from lfbuild.archive.reader import Reader
from lfbuild.errors import FormatError, IntegrityError
from lfbuild.formats.blocks import root_of
from lfbuild.manifest.model import HEAD_INDEX_NAME, MANIFEST_NAME, RegionRecord
from lfbuild.manifest.verify import load_manifest, verify_content

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.manifest.model import Manifest

INDEX_NAME = f".lfbuild/blocks/{MODEL_NAME}.blocks"


def told(path: Path, *, content: bool = True) -> list[str]:
    return [f"{finding.subject}: {finding.what}" for finding in verified(path, content=content)]


def flip(path: Path, *positions: int) -> None:
    data = bytearray(path.read_bytes())
    for position in positions:
        data[position] ^= 1
    path.write_bytes(data)


def changed(path: Path, **fields: object) -> None:
    """Reseal a file with a manifest that says something else."""
    manifest: Manifest = msgspec.structs.replace(manifest_of(path), **fields)
    reseal(path, manifest)


@pytest.mark.parametrize("head", [tiny_elf(), tiny_pe(checksum=7), tiny_ape(checksum=7)], ids=["elf", "pe", "ape"])
def test_a_file_that_was_just_written_is_true(head: bytes, tmp_path: Path) -> None:
    assert told(write_tiny_file(tmp_path, head=head)) == []


def test_a_file_without_members_is_true(tmp_path: Path) -> None:
    assert told(write_tiny_file(tmp_path, members=())) == []


def test_a_large_head_has_an_index_and_its_damaged_block_is_named(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path, head=tiny_elf(700_000))
    assert manifest_of(path).head.index == HEAD_INDEX_NAME
    assert told(path) == []

    flip(path, 300_000)

    assert told(path) == ["head: the block at 262144 is not the one that was promised"]


def test_damaged_weights_are_told_with_the_tensor(tmp_path: Path) -> None:
    tensors = (TinyTensor("first", (32, 40), Q8_0), TinyTensor("second", (32, 400), Q8_0))
    path = write_tiny_file(tmp_path, members=(weights(data=tiny_gguf(tensors=tensors)),))
    with Reader.open(path) as reader:
        end = reader.data_offset(reader.record(MODEL_NAME)) + reader.record(MODEL_NAME).stored_size
    flip(path, end - 1, end - 3000, end - 5000, end - 7000, end - 9000)

    (line,) = told(path)

    assert line.startswith(f"{MODEL_NAME}: the blocks at ")
    assert line.endswith(" (second) and 2 more are not the ones that were promised")


def test_the_structure_alone_does_not_look_at_content(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    flip(path, 100)

    assert told(path, content=False) == []
    assert told(path) == ["head: its bytes are not the ones that were promised"]


def test_a_damaged_index_is_told_and_the_weights_are_not_blamed(tmp_path: Path) -> None:
    for offset, what in {
        0: "not a block index",
        40: "the counts of the block index do not add up to its size",
        700: "is not the block index that the manifest promises",
    }.items():
        path = write_tiny_file(tmp_path)
        place = next(place for place in places_of(path) if (place.kind, place.name) == ("data", INDEX_NAME))
        flip(path, min(place.start + offset, place.end - 1))

        assert told(path) == [
            f"{INDEX_NAME}: {what}",
            f"{INDEX_NAME}: its bytes are not the ones that were promised",
        ]


def test_weights_that_are_damaged_with_their_index_are_told_as_well(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    starts = {place.name: place.start for place in places_of(path) if place.kind == "data"}
    flip(path, starts[INDEX_NAME], starts[MODEL_NAME] + 99)

    assert told(path) == [
        f"{INDEX_NAME}: not a block index",
        f"{MODEL_NAME}: its bytes are not the ones that were promised",
        f"{INDEX_NAME}: its bytes are not the ones that were promised",
    ]


def test_a_damaged_index_of_the_head_is_told_and_the_head_is_not_blamed(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path, head=tiny_elf(700_000))
    start = next(place.start for place in places_of(path) if (place.kind, place.name) == ("data", HEAD_INDEX_NAME))
    flip(path, start)

    assert told(path) == [
        f"{HEAD_INDEX_NAME}: not a block index",
        f"{HEAD_INDEX_NAME}: its bytes are not the ones that were promised",
    ]


def test_a_manifest_that_was_not_sealed_is_refused(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    start = next(place.start for place in places_of(path) if (place.kind, place.name) == ("data", MANIFEST_NAME))
    flip(path, start + 50)

    with pytest.raises(IntegrityError) as caught, Reader.open(path) as reader:
        load_manifest(reader)

    assert str(caught.value) == f"{path}: {MANIFEST_NAME}: is not the manifest that the file was sealed with"
    assert caught.value.hint == f"get it again, or from where it is released: lfbuild update {path} URL --repair"


def test_a_file_of_somebody_else_has_no_manifest(tmp_path: Path) -> None:
    with Reader.open(write_zip(tmp_path / "x.zip", Stored("a", b"x"))) as reader:
        assert load_manifest(reader) is None


def test_a_manifest_without_a_seal_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", Stored(MANIFEST_NAME, b"{}"))
    with pytest.raises(FormatError) as caught, Reader.open(path) as reader:
        load_manifest(reader)

    assert str(caught.value) == f"{path}: seal: is missing from the end record, though the file has a manifest"


def test_a_seal_without_a_manifest_is_refused(tmp_path: Path) -> None:
    comment = f"lfbuild 1 0000000000000001 clean {'0' * 64}\n".encode()
    path = write_zip(tmp_path / "x.zip", Stored("a", b"x"), comment=comment)
    with pytest.raises(FormatError) as caught, Reader.open(path) as reader:
        load_manifest(reader)

    assert str(caught.value) == f"{path}: {MANIFEST_NAME}: has no member '{MANIFEST_NAME}'"


def test_an_interrupted_edit_is_told(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    reseal(path, manifest_of(path), state="redo")

    assert told(path) == ["seal: an edit of this file was interrupted, and the journal that would finish it is gone"]


def test_a_seal_of_another_generation_is_told(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    reseal(path, manifest_of(path), generation=2)

    assert told(path) == ["seal: the seal is of generation 2, the manifest of generation 1"]


def test_members_that_are_not_the_manifests_are_told(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    members = manifest_of(path).members
    changed(path, members=(*members[1:], msgspec.structs.replace(members[0], name="other")))

    assert told(path)[:1] == [f"directory: its members are not the manifest's: {MODEL_NAME}, other"]
    assert "other: is in the manifest and not in the file" in told(path)


def test_members_in_another_order_are_told(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    changed(path, members=manifest_of(path).members[::-1])

    assert told(path) == ["directory: its members are not the manifest's: their order"]


def test_a_member_of_another_size_is_told(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    members = manifest_of(path).members
    changed(path, members=(*members[:1], msgspec.structs.replace(members[1], size_bytes=30), *members[2:]))

    assert told(path) == ["prompts/hello.txt: has 31 bytes instead of 30"]


def test_a_directory_that_is_not_the_manifests_is_told(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    changed(path, directory="0" * 64)

    assert told(path) == ["directory: its records are not the ones in the manifest"]


def test_a_head_that_reaches_into_the_members_is_told(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    head = manifest_of(path).head
    changed(path, head=msgspec.structs.replace(head, size_bytes=1010))

    assert told(path, content=False) == [f"{MODEL_NAME}: overlaps head", "spare region at 600: overlaps head"]


def test_a_head_that_goes_on_past_the_file_is_told(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    head = manifest_of(path).head
    changed(path, head=msgspec.structs.replace(head, size_bytes=1 << 40))

    assert "head: goes on past the end of the file" in told(path)
    assert any(line.startswith("head: ends before offset ") for line in told(path))


def test_more_members_in_the_head_than_there_are_is_told(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    head = manifest_of(path).head
    changed(path, head=msgspec.structs.replace(head, own_members=99))

    assert told(path, content=False)[0].startswith("directory: its members are not the manifest's: ")


def test_a_time_that_no_zip_can_hold_is_told(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    changed(path, epoch=0)

    assert told(path) == ["directory: 0 seconds since 1970 lie outside 1980 to 2107, which is all a ZIP can hold"]


def test_another_time_than_the_members_have_is_told(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    changed(path, epoch=1_600_000_000)

    assert told(path) == ["directory: the record of the manifest itself was changed"]


def with_region(folder: Path, content: bytes, *, root: str | None = None) -> Path:
    """A file in whose room something stands that the manifest declares."""
    path = write_tiny_file(folder, room_bytes=3000)
    data = bytearray(path.read_bytes())
    data[700 : 700 + len(content)] = content
    path.write_bytes(data)
    region = RegionRecord(
        kind="signature",
        offset=700,
        size_bytes=len(content),
        root=root_of(blake3(content).digest()) if root is None else root,
    )
    changed(path, regions=(region,))
    return path


def test_a_declared_region_is_held_against_its_root(tmp_path: Path) -> None:
    path = with_region(tmp_path, b"what vouches for this" * 9)
    assert told(path) == []

    flip(path, 710)

    assert told(path) == ["signature region at 700: its bytes are not the ones that were promised"]


def test_a_region_that_overlaps_a_member_is_told(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    region = RegionRecord(kind="signature", offset=100, size_bytes=50, root="0" * 64)
    changed(path, regions=(region,))

    assert told(path, content=False) == ["signature region at 100: overlaps head"]


@pytest.mark.parametrize(
    ("offset", "size", "what"),
    [
        (500, 200, ["overlaps head"]),
        (700, 1000, [f"overlaps {MODEL_NAME}"]),
        (1 << 40, 1, ["goes on past the end of the file"]),
        (700, 0, []),
        (600, 100, []),
    ],
)
def test_spare_room_that_is_not_free_is_told(offset: int, size: int, what: list[str], tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    changed(path, regions=(RegionRecord(kind="spare", offset=offset, size_bytes=size),))

    assert told(path, content=False) == [f"spare region at {offset}: {line}" for line in what]


def test_a_region_past_the_end_is_told(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    region = RegionRecord(kind="signature", offset=1 << 61, size_bytes=50, root="0" * 64)
    changed(path, regions=(region,))

    assert told(path) == [
        "signature region at 2305843009213693952: goes on past the end of the file",
        "signature region at 2305843009213693952: ends before offset 2305843009213694002",
    ]


def test_what_stands_undeclared_in_the_room_is_told(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path, room_bytes=3000)
    flip(path, 700)

    assert told(path) == [f"room between head and {MODEL_NAME}: the byte at 700 belongs to nothing and is not zero"]


def sign(path: Path, *, certificate: bytes = b"certificate-table-24-byt") -> None:
    """Sign a program as Authenticode does: checksum and entry in the header, the table behind the end."""
    data = bytearray(path.read_bytes())
    data += bytes(-len(data) % 8)
    struct.pack_into("<I", data, 128 + 24 + 64, 0xABCD)
    struct.pack_into("<II", data, 128 + 24 + 144, len(data), len(certificate))
    path.write_bytes(bytes(data) + certificate)


@pytest.mark.parametrize("head", [tiny_pe(), tiny_ape()], ids=["pe", "ape"])
def test_a_file_may_be_signed_after_it_was_packed(head: bytes, tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path, head=head)
    sign(path)

    assert told(path) == []


def test_a_signed_file_is_held_against_its_manifest_all_the_same(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path, head=tiny_pe())
    sign(path)
    flip(path, 400)

    assert told(path) == ["head: its bytes are not the ones that were promised"]


def test_bytes_behind_a_signature_are_told(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path, head=tiny_pe())
    sign(path)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"more")

    assert told(path) == [f"head: its signature, 24 bytes at {size - 24}, does not close the file"]


def test_a_checksum_without_signature_is_told(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path, head=tiny_pe())
    flip(path, 128 + 24 + 64)

    assert told(path) == ["head: the fields that a signature fills are not zero, and there is none"]


def test_a_member_that_was_removed_from_the_directory_leaves_bytes_that_belong_to_nothing(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path, members=(plain("kept", b"kept"), plain("gone", b"gone")))
    with Reader.open(path) as reader:
        kept, _, last = reader.directory.records
        gone = reader.record("gone")
        raw = kept.raw + last.raw
        offset, comment = reader.directory.offset, reader.directory.comment
        body = reader.read_at(0, offset)
    from lfbuild.formats.zip import end_records

    path.write_bytes(body + raw + end_records(count=2, offset=offset, size=len(raw), comment=comment))

    assert told(path) == [
        "directory: its members are not the manifest's: gone",
        "directory: its records are not the ones in the manifest",
        f"room between kept and {MANIFEST_NAME}: the byte at {gone.header_offset} belongs to nothing and is not zero",
        "gone: is in the manifest and not in the file",
    ]


def test_a_name_in_an_older_encoding_that_grows_too_long_is_told_and_does_not_crash(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path, members=(plain("a" * 40_000, b"x"),))
    data = path.read_bytes()
    with Reader.open(path) as reader:
        at = reader.directory.offset
    record = bytearray(data[at : at + 46 + 40_000])
    record[8:10] = b"\0\0"
    record[46:] = b"\x84" * 40_000
    path.write_bytes(data[:at] + bytes(record) + data[at + len(record) :])

    assert "local headers: a name of 80000 bytes does not fit into a ZIP record" in told(path)


def test_how_much_of_what_was_checked_is_told(tmp_path: Path) -> None:
    heard: dict[str, int] = {}

    def hear(count: int, name: str) -> None:
        heard[name] = heard.get(name, 0) + count

    path = write_tiny_file(tmp_path)
    with Reader.open(path) as reader:
        manifest = manifest_of(path)
        assert list(verify_content(reader, manifest, threads=2, on_bytes=hear)) == []

    assert heard == {"head": 600} | {member.name: member.size_bytes for member in manifest.members if member.size_bytes}


def test_a_file_that_shrinks_while_it_is_checked_is_told(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path, head=tiny_elf(5000))
    with Reader.open(path) as reader:
        manifest = manifest_of(path)
        os.truncate(path, 4000)

        found = [f"{finding.subject}: {finding.what}" for finding in verify_content(reader, manifest, threads=1)]

    assert found[0] == "head: ends before offset 5000"
    assert found[-1].startswith(f"{MANIFEST_NAME}: no local header at offset ")


def test_models_and_texts_of_one_block_need_no_index(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path, members=(plain("a", b"text"), *default_members()[:1]))

    assert [(member.name, member.index) for member in manifest_of(path).members] == [
        (MODEL_NAME, INDEX_NAME),
        ("a", ""),
        (INDEX_NAME, ""),
    ]
