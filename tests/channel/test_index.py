"""The control file: small, whole or refused, and never believed beyond what it can prove."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from lfbuild.channel.describe import describe_release
from lfbuild.channel.index import DeltaRecord, FileRecord, Region, ReleaseIndex
from lfbuild.errors import FormatError, IntegrityError, LfbuildError
from lfbuild.formats.blocks import BlockIndex, Cuts, Run
from lfbuild.manifest.filemap import Blocks, FileMap, Literal, Zeros
from lfbuild.manifest.model import HEAD_INDEX_NAME, INDEX_FOLDER, Release

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "index"
HEADER = struct.Struct("<8sIIIII36s")


def small_index() -> ReleaseIndex:
    """One of everything."""
    runs = (Run(size_bytes=3, block_bytes=2, label="kv"), Run(size_bytes=4, block_bytes=4, label="t", tensor_type=8))
    return ReleaseIndex(
        file=FileRecord(url="tiny.llamafile", size_bytes=30),
        root="ab" * 32,
        parts=(
            Literal(offset=0, data=b"PK"),
            Region(offset=2, name="Größe.gguf", runs=runs, digests=(b"\x11" * 32, b"\x22" * 32), leaves_at=19),
            Zeros(offset=9, size_bytes=20),
            Literal(offset=29, data=b"\n"),
        ),
        holes=(Literal(offset=4, data=b"sign"),),
        release=Release(name="tiny", version="1.2"),
        generation=7,
        leaves=FileRecord(url="tiny.llamafile.lfleaves", size_bytes=64),
        deltas=(DeltaRecord(old="cd" * 32, url="from-1.1.lfdelta", size_bytes=99, blake3="ef" * 32),),
    )


def with_description(change: dict[str, object], *, index: ReleaseIndex | None = None) -> bytes:
    """A control file whose description says something else, with sizes and digest that fit."""
    data = (index or small_index()).to_bytes()
    _, _, packed, description_size, _, count, _ = HEADER.unpack_from(data)
    unpacked = zlib.decompress(data[64 : 64 + packed])
    description = json.loads(unpacked[:description_size]) | change
    text = json.dumps({key: value for key, value in description.items() if value is not None}).encode()
    return assembled(text, unpacked[description_size:], data[64 + packed : -32], count=count)


def assembled(text: bytes, glue: bytes, digests: bytes, *, count: int, more: int = 0) -> bytes:
    packed = zlib.compress(text + glue)
    header = HEADER.pack(b"LFRINDEX", 1, len(packed), len(text), len(glue) + more, count, bytes(36))
    body = header + packed + digests
    return body + blake3(body).digest()


def test_what_is_written_is_read_again() -> None:
    assert ReleaseIndex.parse(small_index().to_bytes(), where="x") == small_index()


def test_the_vector_is_read_as_what_it_is() -> None:
    data = (VECTORS / "tiny.lfindex").read_bytes()

    assert ReleaseIndex.parse(data, where="x") == small_index()


def test_any_byte_that_is_changed_or_cut_off_is_noticed() -> None:
    data = small_index().to_bytes()

    for at in range(len(data)):
        for damaged in (data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], data[:at]):
            with pytest.raises((FormatError, IntegrityError)):
                ReleaseIndex.parse(damaged, where="x")


def refusal(data: bytes) -> str:
    with pytest.raises(LfbuildError) as caught:
        ReleaseIndex.parse(data, where="x.lfindex")
    return str(caught.value)


def test_another_file_is_none() -> None:
    assert refusal(b"<html>" * 99) == "x.lfindex: is not a control file of a release"


def test_a_later_version_is_refused_with_the_way_out() -> None:
    data = small_index().to_bytes()

    with pytest.raises(FormatError) as caught:
        ReleaseIndex.parse(data[:8] + b"\x02" + data[9:], where="x")

    assert str(caught.value) == "x: version 2 of control files is not known, only 1"
    assert caught.value.hint == "update lfbuild: pip install -U lfbuild"


def test_damage_is_another_thing_than_nonsense() -> None:
    data = bytearray(small_index().to_bytes())
    data[-40] ^= 1

    assert refusal(bytes(data)) == "x.lfindex: is damaged: its digest does not fit"


def test_a_bomb_is_not_unpacked() -> None:
    bomb = assembled(bytes(200 << 20), b"", b"", count=0)
    header = HEADER.pack(b"LFRINDEX", 1, len(bomb) - 64 - 32, 100, 0, 0, bytes(36))
    body = header + bomb[64:-32]

    assert refusal(bomb) == "x.lfindex: its sizes do not add up to its length"
    assert refusal(body + blake3(body).digest()) == "x.lfindex: its packed part is not of the size that it says"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"file": {"url": "a", "size_bytes": 31}}, "what it tells of does not add up to the size of the file"),
        ({"parts": [["l", 3], ["z", 27]]}, "what it tells of does not add up to the size of the file"),
        ({"parts": [["l", 99]]}, "has less glue than its parts ask for"),
        ({"holes": [[28, 4]]}, "tells of signatures outside of the file"),
        ({"parts": [["b", "", 0, [[1, 1, "", 0]] * 3]]}, "has fewer digests than runs"),
        ({"parts": [["b", "", 0, [[1 << 40, 1, "", 0]]]]}, "tells of more than 4194304 blocks"),
        (
            {"parts": [["b", "", 0, [[9, 1 << 21, "", 0]]]]},
            "its description cannot be read: Expected `int` <= 1048576 - at `$.parts[0][3][0][1]`",
        ),
        ({"parts": [["z", 0]]}, "its description cannot be read: Expected `int` >= 1 - at `$.parts[0][1]`"),
        (
            {"parts": [["z", 1 << 48]]},
            "its description cannot be read: Expected `int` <= 281474976710655 - at `$.parts[0][1]`",
        ),
        ({"parts": [["q", 1]]}, "its description cannot be read: Invalid value 'q' - at `$.parts[0][0]`"),
        (
            {"root": "AB"},
            "its description cannot be read: Expected `str` matching regex '^[0-9a-f]{64}$' - at `$.root`",
        ),
        ({"file": None}, "its description cannot be read: Object missing required field `file`"),
    ],
)
def test_what_contradicts_itself_is_refused(change: dict[str, object], sentence: str) -> None:
    assert refusal(with_description(change)) == f"x.lfindex: {sentence}"


def test_fields_of_a_later_version_are_stepped_over() -> None:
    assert ReleaseIndex.parse(with_description({"mirrors": ["x"]}), where="x") == small_index()


def test_digests_that_nothing_asks_for_are_refused() -> None:
    index = small_index()
    more = replace(index.parts[1], digests=(b"\1" * 32,) * 3)  # type: ignore[type-var]
    parts = (index.parts[0], more, *index.parts[2:])

    assert refusal(replace(index, parts=parts).to_bytes()) == (
        "x.lfindex: what it tells of does not add up to the size of the file"
    )


@given(st.binary(max_size=300))
def test_no_bytes_are_more_than_refused(data: bytes) -> None:
    with pytest.raises((FormatError, IntegrityError)):
        ReleaseIndex.parse(b"LFRINDEX" + data, where="x")


def large_map(*, tensors: int = 723, size_bytes: int = 40_000_000_000) -> FileMap:
    """As a file of 40 GB has it: an engine head, 723 tensors, their index, glue. Digests are what they are: random."""
    names = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down", "attn_norm", "ffn_norm")
    each = size_bytes * 9 // 7 // tensors // 18 * 18  # two of nine are small
    runs = [Run(size_bytes=8_000_000, label="kv"), Run(size_bytes=60_000, label="infos")]
    for number in range(tensors):
        label = f"blk.{number // 9}.{names[number % 9]}.weight"
        small = names[number % 9].endswith("norm")
        size = 32_768 if small else each + 18 * 1024 * (number % 9)
        block = 1 << 20 if small else (1 << 20) // 18 * 18
        runs.append(Run(size_bytes=size, block_bytes=block, label=label, tensor_type=0 if small else 2))
    position, parts = 0, []

    def add(name: str, cuts: Cuts, glue: int) -> BlockIndex:
        nonlocal position
        digest = b"".join(blake3(struct.pack("<IQ", len(parts), n)).digest() for n in range(cuts.leaves))
        made = BlockIndex(cuts=cuts, leaves=digest)
        parts.append(Blocks(offset=position, name=name, index=made))
        position += made.cuts.size_bytes
        parts.append(Literal(offset=position, data=blake3(name.encode()).digest(length=glue)))
        position += glue
        return made

    def add_bytes(name: str, data: bytes) -> None:
        cuts = Cuts.plain(len(data))
        add(name, cuts, 60)
        leaves = b"".join(blake3(data[at : at + size]).digest() for at, size in cuts.blocks())
        parts[-2] = Blocks(offset=parts[-2].offset, name=name, index=BlockIndex(cuts=cuts, leaves=leaves))

    head = add("", Cuts.plain(12_000_000, block_bytes=256 << 10), 40)
    weights = add("model.gguf", Cuts(runs=tuple(runs)), 90)
    add_bytes(f"{INDEX_FOLDER}model.gguf.blocks", weights.to_bytes())
    add_bytes(HEAD_INDEX_NAME, head.to_bytes())
    add(".lfbuild/manifest.json", Cuts.plain(4000), 900)
    return FileMap(parts=tuple(parts))


def test_the_first_fetch_of_40_gb_is_at_most_32_kb_and_with_all_leaves_1_3_mb() -> None:
    found = large_map()
    described = describe_release(found, name="m", url="m.llamafile", manifest=None)

    data = described.index.to_bytes()
    leaves = sum(32 * run.blocks for region in described.index.regions for run in region.runs if run.blocks > 1)

    assert 39.9e9 < found.size_bytes < 40.3e9
    assert len(data) <= 32_000
    assert len(data) + leaves <= 1_300_000
    assert described.leaves == b"", "all leaves stand in the file itself"
