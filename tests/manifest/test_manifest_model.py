"""The manifest's shape: canonical JSON, and nothing unreasonable is read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbuild.errors import FormatError
from lfbuild.manifest.describe import describe_spare
from lfbuild.manifest.model import (
    Encoding,
    EngineRecord,
    Head,
    Manifest,
    MemberRecord,
    ModelRecord,
    Origin,
    RegionRecord,
    Release,
    SliceRecord,
    ToolchainRecord,
    parse_manifest,
)

SMALL = Manifest(
    format=1,
    generation=1,
    epoch=1_700_000_000,
    release=Release(name="tiny"),
    head=Head(kind="engine", program="elf", size_bytes=600, root="ab" * 32),
    members=(),
    directory="cd" * 32,
)
FULL = Manifest(
    format=1,
    generation=7,
    epoch=1_700_000_000,
    release=Release(name="Größe", version="1.2", description="d", license="MIT", homepage="h"),
    head=Head(kind="launcher", program="ape", size_bytes=1 << 20, root="ab" * 32, index=".lfbuild/x", own_members=3),
    members=(
        MemberRecord(
            name="m.gguf",
            role="weights",
            place="aligned",
            size_bytes=1 << 40,
            root="ef" * 32,
            index=".lfbuild/blocks/m.gguf.blocks",
            license="apache-2.0",
            origin=Origin(kind="hf", location="a/b", sha256="01" * 32),
            model=ModelRecord(
                architecture="llama",
                name="Tiny",
                parameters=134_515_008,
                quantization="Q4_K_M",
                context_length=8192,
                chat_template_sha256="ab" * 32,
            ),
        ),
        MemberRecord(
            name=".lfbuild/engine/linux-x86_64",
            role="engine",
            place="slot",
            size_bytes=5,
            root="ef" * 32,
            encoding=Encoding(
                decoded_size=9, decoded_root="23" * 32, encoder="libdeflate", encoder_version="0.9.0", level=12
            ),
        ),
    ),
    directory="cd" * 32,
    regions=(RegionRecord(kind="spare", offset=600, size_bytes=7),),
    engine=EngineRecord(
        name="llama.cpp",
        version="b9000",
        source_sha256="45" * 32,
        key="67" * 32,
        toolchain=ToolchainRecord(kind="zig", version="0.17.1", sha256="13" * 32),
        targets=("linux-x86_64",),
        cpus=("x86-64-v3",),
        slices=(
            SliceRecord(
                target="linux-x86_64",
                cpus=("x86-64-v4", "x86-64-v3"),
                key="67" * 32,
                member=".lfbuild/engine/linux-x86_64",
            ),
        ),
        options=(("A", "ON"),),
        ui=True,
    ),
    recipe_sha256="89" * 32,
    update_url="https://example.org/tiny",
)


def test_a_manifest_has_these_bytes() -> None:
    assert SMALL.to_bytes() == (
        b'{"directory":"' + b"cd" * 32 + b'","epoch":1700000000,"format":1,"generation":1,'
        b'"head":{"kind":"engine","program":"elf","root":"' + b"ab" * 32 + b'","size_bytes":600},'
        b'"members":[],"release":{"name":"tiny"}}\n'
    )


@pytest.mark.parametrize("manifest", [SMALL, FULL], ids=["small", "full"])
def test_what_is_written_is_read_again(manifest: Manifest) -> None:
    assert parse_manifest(manifest.to_bytes(), where="x") == manifest


def test_keys_are_sorted_and_nothing_is_padded() -> None:
    data = FULL.to_bytes().decode()

    again = json.dumps(json.loads(data), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert data == again + "\n"


def test_a_member_is_found_by_its_name() -> None:
    assert FULL.member("m.gguf") is FULL.members[0]
    assert FULL.member("none") is None


def test_a_key_of_a_later_lfbuild_is_stepped_over() -> None:
    later = json.loads(SMALL.to_bytes()) | {"colour": "red"}

    assert parse_manifest(json.dumps(later).encode(), where="x") == SMALL


def refusal(data: bytes) -> str:
    with pytest.raises(FormatError) as caught:
        parse_manifest(data, where="x.llamafile")
    return str(caught.value)


def test_a_later_version_is_refused_with_the_way_out() -> None:
    later = SMALL.to_bytes().replace(b'"format":1', b'"format":2')

    assert refusal(later) == "x.llamafile: .lfbuild/manifest.json: manifest version 2 is not known, only 1"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"format":1', b'"format":"1"', "Expected `int`, got `str` - at `$.format`"),
        (b'"epoch":1700000000,', b"", "Object missing required field `epoch`"),
        (b'"size_bytes":600', b'"size_bytes":-1', "Expected `int` >= 0 - at `$.head.size_bytes`"),
        (
            b'"size_bytes":600',
            b'"size_bytes":4611686018427387904',
            "Expected `int` <= 4611686018427387903 - at `$.head.size_bytes`",
        ),
        (b'"size_bytes":600', b'"size_bytes":6e2', None),
        (b'"kind":"engine"', b'"kind":"engines"', "Invalid enum value 'engines' - at `$.head.kind`"),
        (b'"members":[]', b'"members":{}', "Expected `array`, got `object` - at `$.members`"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_place(old: bytes, new: bytes, message: str | None) -> None:
    data = SMALL.to_bytes().replace(old, new)
    assert data != SMALL.to_bytes()
    if message is not None:
        assert refusal(data) == f"x.llamafile: .lfbuild/manifest.json: not a manifest: {message}"


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (b'"0.9.0"', b'"0.9.0 --index-url x"', "Expected `str` matching regex"),
        (b'"0.9.0"', b'"0.9.0\\n"', "Expected `str` matching regex"),
        (b'"0.9.0"', b'"' + b"9" * 65 + b'"', "Expected `str` matching regex"),
        (b'"level":12', b'"level":13', "Expected `int` <= 12"),
        (b'"level":12', b'"level":-1', "Expected `int` >= 0"),
        (b'"level":12', b'"level":1180591620717411303424', "Expected `int` <= 12"),
    ],
)
def test_what_no_encoder_can_be_told_and_nobody_should_type_is_refused(old: bytes, new: bytes, what: str) -> None:
    told = refusal(FULL.to_bytes().replace(old, new))

    assert told.startswith(f"x.llamafile: .lfbuild/manifest.json: not a manifest: {what}")


@pytest.mark.parametrize("version", ["", "0.9.0", "1!2.0rc1.post2.dev3+local.7-x", "9" * 64])
def test_every_version_that_a_package_can_have_is_read(version: str) -> None:
    data = FULL.to_bytes().replace(b'"0.9.0"', f'"{version}"'.encode())

    assert parse_manifest(data, where="x").members[1].encoding.encoder_version == version  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"\xff", b'{"format":1,"release":{"name":"\xff"}}', b'"\\ud800"', b"[" * 100_000],
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    assert refusal(data).startswith("x.llamafile: .lfbuild/manifest.json: not a manifest: ")


@given(st.binary(max_size=60), st.integers(0, len(FULL.to_bytes())))
def test_any_bytes_are_read_or_refused(data: bytes, position: int) -> None:
    raw = FULL.to_bytes()
    for attempt in (data, raw[:position] + data + raw[position + len(data) :]):
        try:
            parse_manifest(attempt, where="x")
        except FormatError:
            continue


def test_room_is_what_engines_leave() -> None:
    assert describe_spare([], start=600, end=1000) == (RegionRecord(kind="spare", offset=600, size_bytes=400),)
    assert describe_spare([], start=600, end=600) == ()
    assert describe_spare([(700, 800), (2000, 2100)], start=600, end=1000) == (
        RegionRecord(kind="spare", offset=600, size_bytes=100),
        RegionRecord(kind="spare", offset=800, size_bytes=200),
    )
