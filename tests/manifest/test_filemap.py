"""A map of a file: every byte once, and nothing promised that was not checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from blake3 import blake3
from tests.world.files import default_members, places_of, plain, weights, write_tiny_file
from tests.world.models import DEFAULT_VALUES, STRING, tiny_gguf
from tests.world.programs import tiny_ape, tiny_pe
from tests.world.slices import tiny_launcher
from tests.world.zips import Stored, write_zip

from lfbuild.archive.reader import Reader
from lfbuild.errors import IntegrityError
from lfbuild.formats.executable import signature_holes
from lfbuild.manifest.filemap import FileMap, Literal, Zeros
from lfbuild.manifest.mapping import map_file, map_ours, masked
from lfbuild.manifest.verify import load_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.manifest.order import LauncherHead


def mapped(path: Path) -> FileMap:
    return map_file(path, threads=1)


class _Watched:
    """A reader that notes what it is asked for."""

    def __init__(self, reader: Reader, reads: list[tuple[int, int]]) -> None:
        self.where, self.size_bytes = reader.where, reader.size_bytes
        self.directory, self.records = reader.directory, reader.records
        self._reader, self._reads = reader, reads

    def read_at(self, offset: int, length: int, /) -> bytes:
        self._reads.append((offset, length))
        return self._reader.read_at(offset, length)

    def read(self, name: str, /) -> bytes:
        return self._reader.read(name)


def check_every_byte(path: Path, found: FileMap) -> None:
    """Holds a map against the bytes of its file, part by part."""
    data = path.read_bytes()
    holes = [(hole.offset, hole.size_bytes) for hole in found.holes]
    position = 0
    for part in found.parts:
        assert part.offset == position
        here = masked(data[position : position + part.size_bytes], position, holes)
        if isinstance(part, Literal):
            assert part.data == here
        elif isinstance(part, Zeros):
            assert not any(here)
        else:
            leaves = [blake3(here[at : at + size]).digest() for at, size in part.index.cuts.blocks()]
            assert part.index.leaves == b"".join(leaves)
        position += part.size_bytes
    assert position == len(data)
    for hole in found.holes:
        assert data[hole.offset : hole.offset + hole.size_bytes] == hole.data


@pytest.mark.parametrize("head", [None, tiny_ape(), tiny_pe(), tiny_launcher()], ids=["elf", "ape", "pe", "launcher"])
def test_every_byte_of_our_files_is_in_the_map_once(tmp_path: Path, head: bytes | LauncherHead | None) -> None:
    path = write_tiny_file(tmp_path, head=head)

    check_every_byte(path, mapped(path))


def test_a_file_of_ours_is_mapped_without_reading_its_weights(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    (data,) = [place for place in places_of(path) if place.kind == "data" and place.name.endswith(".gguf")]

    with Reader.open(path) as reader:
        ours = load_manifest(reader)
        assert ours is not None
        reads: list[tuple[int, int]] = []
        found = map_ours(_Watched(reader, reads), ours[0])

    assert all(offset + length <= data.start or offset >= data.end for offset, length in reads)
    assert found.root == mapped(path).root


def test_a_plain_gguf_is_cut_at_its_tensors(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(tiny_gguf())

    found = mapped(path)

    check_every_byte(path, found)
    labels = [run.label for run in found.regions[0].index.cuts.runs if run.label]
    assert labels[:4] == ["kv", "infos", "token_embd.weight", "blk.0.attn_q.weight"]


def test_somebody_elses_llamafile_is_cut_at_its_members_and_their_tensors(tmp_path: Path) -> None:
    path = write_zip(
        tmp_path / "m.llamafile",
        Stored("m.gguf", tiny_gguf()),
        Stored(".args", b"-m m.gguf"),
        Stored("page.html", b"<p>" * 99, method=8),
        Stored("folder/", mode=0o40755),
        start=tiny_ape() + bytes(300),
    )

    found = mapped(path)

    check_every_byte(path, found)
    assert [region.name for region in found.regions] == ["", "m.gguf", ".args", "page.html"]
    assert "blk.0.attn_q.weight" in [run.label for run in found.regions[1].index.cuts.runs]


def test_members_that_share_bytes_are_mapped_once(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "m.zip", Stored("a", b"x" * 50), Stored("b", b"y", central={"header_offset": 0}))

    found = mapped(path)

    check_every_byte(path, found)
    assert [region.name for region in found.regions if region.name] == ["a"]


@pytest.mark.parametrize("content", [b"", b"x", b"GGUF but no model", bytes(200_000), b"\x7fELF" * 100_000])
def test_any_file_at_all_has_a_map(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any"
    path.write_bytes(content)

    check_every_byte(path, mapped(path))


def test_what_belongs_to_nothing_and_is_long_is_cut_into_blocks(tmp_path: Path) -> None:
    junk = bytes(70_000) + b"junk" * 50_000
    path = write_zip(tmp_path / "m.zip", Stored("a", b"x"), Stored("gone", junk), Stored("b", b"y"))
    data = path.read_bytes().replace(b"PK\x03\x04", b"gone", 2).replace(b"gone", b"PK\x03\x04", 1)
    path.write_bytes(data)  # the local header of the second one is none, so nobody knows where its data begins

    found = mapped(path)

    check_every_byte(path, found)
    assert [(region.name, region.size_bytes > 190_000) for region in found.regions] == [
        ("a", False),
        ("", True),
        ("b", False),
    ]


def test_holes_of_a_signature_stand_beside_the_blocks(tmp_path: Path) -> None:
    program = tiny_pe()
    unsigned = write_tiny_file(tmp_path, head=program)
    signed = tmp_path / "signed"
    data = bytearray(unsigned.read_bytes())
    (checksum, security) = signature_holes(program)
    data[checksum[0] : checksum[0] + 4] = b"\x01\x02\x03\x04"
    signed.write_bytes(data)

    found = mapped(signed)

    assert found.regions[0].index == mapped(unsigned).regions[0].index
    assert [hole.data for hole in found.holes] == [b"\x01\x02\x03\x04", bytes(security[1])]
    assert found.root != mapped(unsigned).root


def test_a_file_of_ours_whose_index_is_not_the_promised_one_is_refused(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    index = f".lfbuild/blocks/{weights().name}.blocks"
    (place,) = [place for place in places_of(path) if place.kind == "data" and place.name == index]
    data = bytearray(path.read_bytes())
    data[place.end - 1] ^= 1
    path.write_bytes(data)

    with pytest.raises(IntegrityError) as caught:
        mapped(path)

    assert str(caught.value) == f"{path}: {index}: is not the block index that the manifest promises"


def test_a_small_member_that_is_not_the_promised_one_is_refused(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    (place,) = [place for place in places_of(path) if place.kind == "data" and place.name == ".args"]
    data = bytearray(path.read_bytes())
    data[place.start] ^= 1
    path.write_bytes(data)

    with pytest.raises(IntegrityError) as caught:
        mapped(path)

    assert str(caught.value) == f"{path}: .args: is not what was promised"


def test_the_root_changes_with_every_byte(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "m.zip", Stored("a", b"abc"), start=tiny_pe(700))
    data = path.read_bytes()
    roots = {mapped(path).root}
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :])
        roots.add(mapped(path).root)

    assert len(roots) == len(data) + 1


def test_the_table_has_all_blocks_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path, members=(*default_members(), plain("large", b"z" * 3000)))

    found = mapped(path)

    table = found.table
    assert len(table) == sum(region.index.cuts.leaves for region in found.regions)
    assert list(table.offsets) == sorted(table.offsets)
    assert sum(table.sizes) == sum(region.size_bytes for region in found.regions)
    data = path.read_bytes()
    for number in range(len(table)):
        offset = table.offsets[number]
        assert blake3(data[offset : offset + table.sizes[number]]).digest() == table.leaf(number)


def test_a_longer_template_leaves_the_blocks_of_all_tensors_the_same(tmp_path: Path) -> None:
    longer = {**DEFAULT_VALUES, "tokenizer.chat_template": (STRING, "{{ messages }} and then some more of it")}
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(tiny_gguf())
    new.write_bytes(tiny_gguf(longer))

    def tensors(found: FileMap) -> list[tuple[str, bytes]]:
        region = found.regions[0]
        leaves = [region.index.leaves[32 * number : 32 * number + 32] for number in range(region.index.cuts.leaves)]
        labels = [run.label for run in region.index.cuts.runs for _ in range(run.blocks)]
        return [(label, leaf) for label, leaf in zip(labels, leaves, strict=True) if "." in label]

    assert tensors(mapped(old)) == tensors(mapped(new))
