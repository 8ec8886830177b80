"""Packing: the order of a file, and what is refused before a byte is written."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3
from tests.world.files import (
    EPOCH,
    MODEL_NAME,
    manifest_of,
    plain,
    verified,
    weights,
    write_tiny_file,
)
from tests.world.models import tiny_gguf
from tests.world.programs import tiny_ape, tiny_elf, tiny_pe
from tests.world.slices import DEFLATED, LINUX, LINUX_ENGINE, WINDOWS, WINDOWS_ENGINE, tiny_launcher, tiny_slice

from lfbuild.archive.reader import Reader
from lfbuild.errors import FormatError, HostError, ToolError
from lfbuild.formats.blocks import BlockIndex
from lfbuild.formats.executable import signature_holes
from lfbuild.formats.slices import SLICES_NAME, parse_slices
from lfbuild.manifest.model import HEAD_INDEX_NAME, MANIFEST_NAME, Encoding, ModelRecord, RegionRecord, SliceRecord

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.manifest.order import LauncherHead, PackMember


def test_members_stand_in_the_order_of_the_format(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path, head=tiny_elf(300_000))

    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [
            MODEL_NAME,
            "prompts/hello.txt",
            "empty",
            f".lfbuild/blocks/{MODEL_NAME}.blocks",
            ".args",
            HEAD_INDEX_NAME,
            MANIFEST_NAME,
        ]
        assert archive.testzip() is None
        offsets = [info.header_offset for info in archive.infolist()]
    assert offsets == sorted(offsets)


def test_engines_stand_between_a_launcher_and_the_room_and_their_table_in_the_tail(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path, head=tiny_launcher())

    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [
            ".lfbuild/engine/linux-x86_64",
            ".lfbuild/engine/windows-x86_64",
            MODEL_NAME,
            "prompts/hello.txt",
            "empty",
            f".lfbuild/blocks/{MODEL_NAME}.blocks",
            ".args",
            SLICES_NAME,
            MANIFEST_NAME,
        ]
        assert archive.testzip() is None
        assert archive.read(".lfbuild/engine/linux-x86_64") == LINUX_ENGINE
        first = archive.infolist()[0]
        assert (first.compress_type, first.compress_size, first.external_attr >> 16) == (8, len(DEFLATED), 0o100755)
        offsets = [info.header_offset for info in archive.infolist()]
    assert offsets == sorted(offsets)
    assert subprocess.run(["unzip", "-tqq", path], check=False).returncode == 0
    assert verified(path) == []


def test_the_manifest_of_a_launcher_names_its_engines_and_how_they_were_compressed(tmp_path: Path) -> None:
    manifest = manifest_of(write_tiny_file(tmp_path, head=tiny_launcher()))

    linux, windows = manifest.members[:2]
    assert (linux.role, linux.place, linux.size_bytes) == ("engine", "slot", len(DEFLATED))
    assert linux.encoding == Encoding(
        decoded_size=len(LINUX_ENGINE),
        decoded_root=blake3(blake3(LINUX_ENGINE).digest()).hexdigest(),
        encoder="libdeflate",
        encoder_version="0.9.0",
        level=12,
    )
    assert windows.encoding is None
    assert (manifest.head.kind, manifest.head.program) == ("launcher", "polyglot")
    assert manifest.engine is not None
    assert manifest.engine.slices == (
        SliceRecord(target=LINUX, cpus=("x86-64-v4", "x86-64-v2"), key="1" * 64, member=linux.name),
        SliceRecord(target=WINDOWS, cpus=("x86-64-v4", "x86-64-v2"), key="2" * 64, member=windows.name),
    )


def test_the_room_of_a_launcher_begins_behind_its_engines(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path, head=tiny_launcher(), room_bytes=5000)
    with Reader.open(path) as reader:
        start = reader.data_offset(reader.record(".lfbuild/engine/windows-x86_64")) + len(WINDOWS_ENGINE)
        end = reader.record(MODEL_NAME).header_offset

    assert end - start >= 5000
    assert manifest_of(path).regions == (RegionRecord(kind="spare", offset=start, size_bytes=end - start),)


def test_a_launcher_finds_the_root_of_its_table_in_the_manifests_own_text(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path, head=tiny_launcher())
    with Reader.open(path) as reader:
        table, manifest = reader.read(SLICES_NAME), reader.read(MANIFEST_NAME).decode()

    root = blake3(blake3(table).digest()).hexdigest()
    record = f'"name":".lfbuild/slices","place":"tail","role":"slices","root":"{root}","size_bytes":{len(table)}}}'
    assert record in manifest
    assert [(item.target, item.method, item.digest) for item in parse_slices(table, where="x")] == [
        (LINUX, 8, blake3(LINUX_ENGINE).hexdigest()),
        (WINDOWS, 0, blake3(WINDOWS_ENGINE).hexdigest()),
    ]


def test_the_index_of_a_large_engine_is_in_the_tail_as_a_swap_rewrites_it(tmp_path: Path) -> None:
    large = tiny_slice(program=tiny_elf((1 << 20) + 1))
    manifest = manifest_of(write_tiny_file(tmp_path, head=tiny_launcher([large])))

    index = manifest.member(".lfbuild/blocks/.lfbuild/engine/linux-x86_64.blocks")
    assert index is not None
    assert (index.role, index.place) == ("index", "tail")


def test_what_is_done_to_a_finished_file_is_done_before_it_has_its_name(tmp_path: Path) -> None:
    seen = []

    def sign(path: Path) -> None:
        seen.append((path.parent == tmp_path, (tmp_path / "tiny.llamafile").exists(), verified(path)))
        path.write_bytes(path.read_bytes() + b"signature")

    path = write_tiny_file(tmp_path, head=tiny_launcher(), sign=sign)

    assert seen == [(True, False, [])]
    assert path.read_bytes().endswith(b"signature")
    assert path.stat().st_mode & 0o100
    assert [name.name for name in tmp_path.iterdir()] == ["tiny.llamafile"]


def test_a_file_that_could_not_be_signed_is_not_there(tmp_path: Path) -> None:
    def sign(path: Path) -> None:
        raise ToolError("signtool", "failed")

    with pytest.raises(ToolError):
        write_tiny_file(tmp_path, head=tiny_launcher(), sign=sign)

    assert list(tmp_path.iterdir()) == []


def test_a_manifest_that_would_be_refused_when_it_is_read_is_not_written(tmp_path: Path) -> None:
    model = weights()
    assert model.facts is not None
    odd = replace(model, facts=replace(model.facts, context_length=-1))

    with pytest.raises(FormatError) as caught:
        write_tiny_file(tmp_path, members=(odd,))

    assert str(caught.value) == (
        "tiny: .lfbuild/manifest.json: not a manifest: Expected `int` >= 0 - at `$.members[0].model.context_length`"
    )
    assert caught.value.hint == "nothing was written; this is a mistake in lfbuild: please report it"
    assert not (tmp_path / "tiny.llamafile").exists()


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (600, f".lfbuild/blocks/{MODEL_NAME}.blocks: would have 648 bytes, more than the 600 expected"),
        (1000, ".lfbuild/manifest.json: would have 1943 bytes, more than the 1000 expected"),
    ],
)
def test_what_would_be_too_large_to_be_read_again_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, told: str
) -> None:
    monkeypatch.setattr("lfbuild.manifest.record.SMALL_MEMBER_BYTES", limit)

    with pytest.raises(FormatError) as caught:
        write_tiny_file(tmp_path)

    assert str(caught.value) == told
    assert not (tmp_path / "tiny.llamafile").exists()


def test_the_manifest_lists_every_member_but_itself_with_what_is_known(tmp_path: Path) -> None:
    manifest = manifest_of(write_tiny_file(tmp_path))

    model, *others = manifest.members
    assert [(member.name, member.role, member.place) for member in manifest.members] == [
        (MODEL_NAME, "weights", "aligned"),
        ("prompts/hello.txt", "file", "body"),
        ("empty", "file", "body"),
        (f".lfbuild/blocks/{MODEL_NAME}.blocks", "index", "body"),
        (".args", "args", "tail"),
    ]
    assert model.model == ModelRecord(
        architecture="llama",
        name="Tiny",
        parameters=1697,
        quantization="Q4_0",
        context_length=2048,
        chat_template_sha256=hashlib.sha256(b"{{ messages }}").hexdigest(),
    )
    assert (model.license, model.origin is not None) == ("apache-2.0", True)
    assert all(member.model is None for member in others)
    assert (manifest.epoch, manifest.generation, manifest.recipe_sha256) == (EPOCH, 1, "8" * 64)
    assert (manifest.head.kind, manifest.head.program, manifest.head.size_bytes) == ("engine", "elf", 600)


def test_the_room_between_head_and_weights_is_declared(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path, align_bytes=4096, room_bytes=5000)
    with Reader.open(path) as reader:
        record = reader.record(MODEL_NAME)
        assert reader.data_offset(record) == 8192

    assert manifest_of(path).regions == (RegionRecord(kind="spare", offset=600, size_bytes=record.header_offset - 600),)


def test_the_index_of_a_model_is_cut_at_its_tensors(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path)
    with Reader.open(path) as reader:
        index = BlockIndex.parse(reader.read(f".lfbuild/blocks/{MODEL_NAME}.blocks"), where="index")

    member = manifest_of(path).member(MODEL_NAME)
    assert member is not None
    assert (index.root, index.cuts.size_bytes) == (member.root, len(tiny_gguf()))
    assert [run.label for run in index.cuts.runs][:2] == ["kv", "infos"]


def test_a_linkers_checksum_is_cleared_so_that_signing_may_fill_it(tmp_path: Path) -> None:
    for head in (tiny_pe(checksum=0x1234), tiny_ape(checksum=0x1234)):
        path = write_tiny_file(tmp_path, head=head)
        data = path.read_bytes()

        assert [data[at : at + size] for at, size in signature_holes(head)] == [bytes(4), bytes(8)]
        assert verified(path) == []


def test_the_members_of_a_portable_head_are_counted_and_kept(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path, head=tiny_ape())

    assert manifest_of(path).head.own_members == 2
    with zipfile.ZipFile(path) as archive:
        assert archive.read(".cosmo") == b"4.0.2\n"
        assert archive.testzip() is None
    assert subprocess.run(["unzip", "-tqq", path], check=False).returncode == 0


def test_a_portable_head_without_members_is_a_head_all_the_same(tmp_path: Path) -> None:
    path = write_tiny_file(tmp_path, head=b"MZqFpD='\n" + bytes(600))

    assert (manifest_of(path).head.program, manifest_of(path).head.own_members) == ("ape", 0)
    assert verified(path) == []


def test_the_same_order_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()

    assert write_tiny_file(first).read_bytes() == write_tiny_file(second).read_bytes()


def test_what_is_no_program_is_no_head(tmp_path: Path) -> None:
    with pytest.raises(FormatError) as caught:
        write_tiny_file(tmp_path, head=b"hello")

    assert str(caught.value) == (
        f"{tmp_path}/tiny.llamafile.head: is no program, so a file that begins with it would not start"
    )


@pytest.mark.parametrize(
    ("head", "members", "message"),
    [
        (tiny_elf(), (plain("a", b"x"), plain("A", b"y")), "the names 'a' and 'A' are one where systems ignore case"),
        (tiny_elf(), (plain("../a", b"x"),), "the name '../a' leads out of the folder"),
        (tiny_elf(), (plain(MANIFEST_NAME, b"x"),), f"the name '{MANIFEST_NAME}' is given more than once"),
        (tiny_elf(), (plain(HEAD_INDEX_NAME, b"x"),), f"the name '{HEAD_INDEX_NAME}' is given more than once"),
        (
            tiny_elf(),
            (weights("m"), plain(".lfbuild/blocks/m.blocks", b"x")),
            "the name '.lfbuild/blocks/m.blocks' is given more than once",
        ),
        (tiny_ape(), (plain(".cosmo", b"x"),), "the name '.cosmo' is given more than once"),
        (tiny_launcher(), (plain(SLICES_NAME, b"x"),), f"the name '{SLICES_NAME}' is given more than once"),
    ],
)
def test_unfit_and_repeated_names_are_refused_before_a_byte_is_written(
    head: bytes | LauncherHead, members: tuple[PackMember, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(FormatError) as caught:
        write_tiny_file(tmp_path, head=head, members=members)

    assert str(caught.value) == f"member: {message}"
    assert not (tmp_path / "tiny.llamafile").exists()
    assert len(list(tmp_path.iterdir())) == isinstance(head, bytes), "the engine alone"


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tiny.llamafile").mkdir()

    with pytest.raises(HostError) as caught:
        write_tiny_file(tmp_path)

    assert str(caught.value) == f"{tmp_path}/tiny.llamafile: is a folder, so no file can be written there"
