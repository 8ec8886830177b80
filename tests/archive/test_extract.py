"""Members written as files: checked while they are written, and never outside the folder."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from tests.world.files import MODEL_NAME, write_tiny_file
from tests.world.models import tiny_gguf
from tests.world.zips import Stored, write_zip

from lfbuild.archive.extract import extract_member, target_of
from lfbuild.archive.reader import Reader
from lfbuild.errors import FormatError, IntegrityError
from lfbuild.formats.blocks import BlockIndex
from lfbuild.manifest.verify import load_manifest

if TYPE_CHECKING:
    from pathlib import Path


def extracted(path: Path, name: str, folder: Path) -> bytes:
    target = folder / "target"
    with Reader.open(path) as reader, target.open("w+b", buffering=0) as file:
        extract_member(reader, reader.record(name), file, threads=2)
    return target.read_bytes()


@pytest.mark.parametrize("method", [0, 8])
@pytest.mark.parametrize("data", [b"", b"hello" * 1000, bytes(3 << 20)])
def test_the_decoded_bytes_are_written(method: int, data: bytes, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", Stored("a", data, method=method))

    assert extracted(path, "a", tmp_path) == data


def test_a_member_of_ours_is_held_against_its_root(tmp_path: Path) -> None:
    path, target = write_tiny_file(tmp_path), tmp_path / "target"
    with Reader.open(path) as reader, target.open("w+b", buffering=0) as file:
        ours = load_manifest(reader)
        assert ours is not None
        member = ours[0].member(MODEL_NAME)
        assert member is not None
        index = BlockIndex.parse(reader.read(member.index), where="index")
        extract_member(reader, reader.record(MODEL_NAME), file, threads=1, cuts=index.cuts, root=member.root)
        assert target.read_bytes() == tiny_gguf()

        with pytest.raises(IntegrityError) as caught:
            extract_member(reader, reader.record(MODEL_NAME), file, threads=1, cuts=index.cuts, root="0" * 64)
    assert str(caught.value) == f"{path}: {MODEL_NAME}: its bytes are not the ones that were promised"


def test_damaged_bytes_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", Stored("a", b"hello"))
    data = bytearray(path.read_bytes())
    data[32] ^= 1
    path.write_bytes(data)

    with pytest.raises(IntegrityError) as caught:
        extracted(path, "a", tmp_path)

    assert str(caught.value) == f"{path}: a: its bytes are not the ones that were promised"
    assert caught.value.hint == f"lfbuild verify {path} tells which block is wrong"


@pytest.mark.parametrize("name", ["a", "folder/a", "folder/", "tiny@home"])
def test_a_fit_name_becomes_a_path_below_the_folder(name: str, tmp_path: Path) -> None:
    with Reader.open(write_zip(tmp_path / "x.zip", Stored(name))) as reader:
        assert target_of(reader.record(name), tmp_path, where="x.zip") == tmp_path / name


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a/../../b", "a\\b", "a\0b", "", "C:x"])
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with Reader.open(write_zip(tmp_path / "x.zip", Stored(name))) as reader, pytest.raises(FormatError) as caught:
        target_of(reader.record(name), tmp_path, where="x.zip")

    assert str(caught.value).startswith(f"x.zip: the name {name!r} ")
    assert caught.value.hint == "it is not extracted"


def test_a_link_is_refused(tmp_path: Path) -> None:
    link = Stored("link", b"/etc/passwd", mode=stat.S_IFLNK | 0o777)
    with Reader.open(write_zip(tmp_path / "x.zip", link)) as reader, pytest.raises(FormatError) as caught:
        target_of(reader.record("link"), tmp_path, where="x.zip")

    assert str(caught.value) == "x.zip: 'link' is no regular file"
