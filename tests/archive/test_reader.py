"""The reader: what is asked of it, and what it refuses."""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING

import pytest
from tests.world.files import MODEL_NAME, write_tiny_file
from tests.world.models import tiny_gguf
from tests.world.zips import Stored, write_zip

from lfbuild.archive.reader import Reader, opened
from lfbuild.errors import FormatError, HostError, LfbuildError
from lfbuild.formats.seal import Seal

if TYPE_CHECKING:
    from pathlib import Path


def refusal(path: Path, name: str | None = None, *, limit: int = 1 << 20) -> str:
    with pytest.raises(LfbuildError) as caught:
        read(path, name, limit=limit)
    return str(caught.value)


def read(path: Path, name: str | None, *, limit: int) -> bytes:
    with Reader.open(path) as reader:
        return b"" if name is None else reader.read(name, limit=limit)


def test_a_member_is_read_by_its_name(tmp_path: Path) -> None:
    with Reader.open(write_tiny_file(tmp_path)) as reader:
        assert reader.read(MODEL_NAME) == tiny_gguf()
        assert isinstance(reader.seal, Seal)


def test_a_compressed_member_is_read_in_pieces(tmp_path: Path) -> None:
    data = os.urandom(1 << 20) * 3
    with Reader.open(write_zip(tmp_path / "x.zip", Stored("a", data, method=8))) as reader:
        pieces = list(reader.pieces(reader.record("a")))

    assert zlib.crc32(b"".join(pieces)) == zlib.crc32(data)
    assert max(map(len, pieces)) <= 1 << 20


def test_a_file_of_somebody_else_has_no_seal(tmp_path: Path) -> None:
    with Reader.open(write_zip(tmp_path / "x.zip", comment=b"hello")) as reader:
        assert reader.seal is None
        assert reader.records == {}


def test_an_absent_member_is_refused_with_the_way_to_find_it(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", Stored("a"))
    with pytest.raises(FormatError) as caught, Reader.open(path) as reader:
        reader.read("b")

    assert str(caught.value) == f"{path}: has no member 'b'"
    assert caught.value.hint == f"lfbuild list {path}"


def test_a_member_that_is_larger_than_expected_is_not_read_into_memory(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", Stored("a", bytes(100)))

    assert refusal(path, "a", limit=99) == f"{path}: 'a' has 100 bytes, more than the 99 expected"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flags": 0x0801}, "is encrypted"),
        ({"method": 93}, "is compressed by method 93, which is not known here"),
        ({"decoded_size": 9}, "is stored as it is, yet has two different sizes"),
    ],
)
def test_an_unreadable_member_is_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", Stored("a", b"x", local=change, central=change))

    assert refusal(path, "a") == f"{path}: a: {message}"


def test_a_file_that_ends_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", Stored("a", bytes(100)))
    with Reader.open(path) as reader:
        os.truncate(path, 60)
        with pytest.raises(FormatError) as caught:
            reader.read("a")

    assert str(caught.value) == f"{path}: ends in the middle of 'a'"


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    assert refusal(pipe) == f"{pipe}: is not a regular file"
    assert refusal(tmp_path) == f"{tmp_path}: is a folder, not a file"


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught, opened(tmp_path / "none"):
        pass

    assert str(caught.value) == f"{tmp_path / 'none'}: does not exist"


def test_a_file_without_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"hello")

    assert refusal(tmp_path / "x") == f"{tmp_path / 'x'}: no ZIP end record in the last 64 KiB"
