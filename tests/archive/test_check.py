"""Hostile ZIPs: each trick is told, the honest ones pass, and nothing costs more than the file could hold."""

from __future__ import annotations

import io
import stat
import struct
import tracemalloc
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.world.programs import tiny_ape, tiny_elf, tiny_pe
from tests.world.zips import Stored, raw_deflate, write_zip

from lfbuild.archive.check import Finding, check_members
from lfbuild.archive.reader import Reader
from lfbuild.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

HELLO = Stored("hello.txt", b"hello")


def findings(path: Path, *, content: bool = True) -> list[str]:
    with Reader.open(path) as reader:
        return [f"{found.subject}: {found.what}" for found in check_members(reader, content=content)]


def of(folder: Path, *members: Stored, content: bool = True) -> list[str]:
    return findings(write_zip(folder / "x.zip", *members), content=content)


def test_an_honest_zip_has_no_faults(tmp_path: Path) -> None:
    members = (HELLO, Stored("empty"), Stored("a@b/packed", b"text" * 999, method=8), Stored("folder/", mode=0o40755))

    assert of(tmp_path, *members) == []


def test_an_honest_zip_of_somebody_else_has_no_faults(tmp_path: Path) -> None:
    buffer = io.BytesIO(tiny_elf())
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ü.txt", "text" * 9999)
        archive.writestr("dir/", "")
        with archive.open("streamed", "w", force_zip64=True) as member:
            member.write(b"x" * 100)
    (tmp_path / "x.zip").write_bytes(buffer.getvalue())

    assert findings(tmp_path / "x.zip") == []


def test_data_descriptors_are_read(tmp_path: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    buffer = Pipe()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", "text" * 999)
        archive.writestr("b.txt", "more")
    (tmp_path / "x.zip").write_bytes(buffer.getvalue())

    assert findings(tmp_path / "x.zip") == []


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("../evil", "its name leads out of the folder"),
        ("a/../../evil", "its name leads out of the folder"),
        ("/etc/passwd", "its name is absolute"),
        ("C:\\evil", "its name contains a backslash"),
        ("C:evil", "its name is absolute"),
        ("a\0.txt", "its name contains a NUL byte"),
        ("a\x1b[2J", "its name contains a control character"),
        ("", "its name is empty"),
        ("//", "its name is absolute"),
    ],
)
def test_a_name_that_leads_elsewhere_is_told(name: str, fault: str, tmp_path: Path) -> None:
    assert of(tmp_path, Stored(name, b"x")) == [f"{name}: {fault}"]


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        (stat.S_IFLNK | 0o777, "a symbolic link"),
        (stat.S_IFIFO | 0o644, "a pipe"),
        (stat.S_IFSOCK | 0o644, "a socket"),
        (stat.S_IFCHR | 0o644, "a device"),
        (stat.S_IFBLK | 0o644, "a device"),
    ],
)
def test_what_is_no_regular_file_is_told(mode: int, kind: str, tmp_path: Path) -> None:
    assert of(tmp_path, Stored("link", b"/etc/passwd", mode=mode)) == [f"link: is {kind}, which is not extracted"]


def test_a_name_that_stands_twice_is_told(tmp_path: Path) -> None:
    assert of(tmp_path, HELLO, Stored("hello.txt", b"other")) == ["hello.txt: is in the directory 2 times"]


def test_members_that_share_their_bytes_are_told_and_not_decoded(tmp_path: Path) -> None:
    kernel = Stored("kernel", b"\0" * 100_000, method=8)
    quoted = [Stored(f"copy{number}", b"\0" * 100_000, method=8, central={"header_offset": 0}) for number in range(3)]

    told = of(tmp_path, kernel, *quoted)

    assert [line for line in told if "overlaps" in line] == [
        "copy0: overlaps 'kernel'",
        "copy1: overlaps 'kernel'",
        "copy2: overlaps 'kernel'",
    ]


def test_members_that_overlap_in_part_are_told(tmp_path: Path) -> None:
    long = Stored("long", b"A" * 50, central={"stored_size": 60, "decoded_size": 60})

    told = of(tmp_path, long, HELLO)

    assert "hello.txt: overlaps 'long'" in told
    assert "long: its local header has another stored size, decoded size than the directory" in told


@pytest.mark.parametrize(
    ("local", "field"),
    [
        ({"name": "other.txt"}, "name"),
        ({"flags": 0x0801}, "flags"),
        ({"crc32": 1}, "CRC-32"),
        ({"stored_size": 4, "decoded_size": 4}, "stored size, decoded size"),
    ],
)
def test_a_local_header_that_tells_another_story_is_told(local: dict[str, object], field: str, tmp_path: Path) -> None:
    assert of(tmp_path, Stored("hello.txt", b"hello", local=local)) == [
        f"hello.txt: its local header has another {field} than the directory"
    ]


def test_a_local_header_with_another_method_is_told(tmp_path: Path) -> None:
    assert of(tmp_path, Stored("hello.txt", b"hello", local={"method": 8})) == [
        "hello.txt: the local header of 'hello.txt' has another method than the directory"
    ]


def test_a_member_without_local_header_is_told(tmp_path: Path) -> None:
    assert of(tmp_path, HELLO, Stored("b", b"x", central={"header_offset": 3}), content=False) == [
        "b: no local header at offset 3 for 'b'"
    ]


def test_data_that_runs_into_the_directory_is_told(tmp_path: Path) -> None:
    member = Stored("a", b"", central={"stored_size": 1, "decoded_size": 1})

    assert of(tmp_path, member) == ["a: the data of 'a' runs into the directory"]


def test_an_encrypted_member_is_told(tmp_path: Path) -> None:
    flags: dict[str, object] = {"flags": 0x0801}

    told = of(tmp_path, Stored("secret", b"x", local=flags, central=flags))

    assert told == ["secret: is encrypted"]


def test_an_unknown_method_is_told(tmp_path: Path) -> None:
    method: dict[str, object] = {"method": 9}

    assert of(tmp_path, Stored("a", b"x", local=method, central=method)) == [
        "a: is compressed by method 9, which is not known here"
    ]


def test_a_stored_member_with_two_sizes_is_told(tmp_path: Path) -> None:
    sizes: dict[str, object] = {"decoded_size": 9}

    assert of(tmp_path, Stored("a", b"x", local=sizes, central=sizes)) == [
        "a: is stored as it is, yet has two different sizes"
    ]


def test_bytes_without_their_crc_are_told(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", HELLO)
    data = bytearray(path.read_bytes())
    data[39] ^= 1
    path.write_bytes(data)

    with Reader.open(path) as reader:
        assert list(check_members(reader)) == [
            Finding(
                subject="hello.txt",
                what="its bytes do not have the CRC-32 that the directory promises",
                verdict="untrue",
            )
        ]
    assert findings(path, content=False) == []


PACKED = Stored("packed", b"0123456789" * 1000, method=8)


@pytest.mark.parametrize("size", [9_999, 10_001, 0, 1 << 20])
def test_a_member_that_decompresses_to_another_size_is_told(size: int, tmp_path: Path) -> None:
    sizes: dict[str, object] = {"decoded_size": size}

    told = of(tmp_path, Stored("packed", PACKED.data, method=8, local=sizes, central=sizes))

    assert told[-1] == f"packed: 'packed' does not decompress to the {size} bytes it promises"


def test_a_bomb_that_promises_more_than_can_be_is_told_before_it_is_decoded(tmp_path: Path) -> None:
    sizes: dict[str, object] = {"decoded_size": 1 << 40}

    told = of(tmp_path, Stored("bomb", b"\0" * 1000, method=8, local=sizes, central=sizes), content=False)

    assert told == [f"bomb: says that {len(raw_deflate(bytes(1000)))} bytes decompress to {1 << 40}, more than can be"]


def test_an_honest_bomb_is_decoded_in_constant_memory(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", Stored("zeros", bytes(64 << 20), method=8))
    tracemalloc.start()
    try:
        assert findings(path) == []
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_bytes_behind_the_end_of_a_compressed_stream_are_told_and_not_hoarded(tmp_path: Path) -> None:
    class Trailing(Stored):
        @property
        def stored(self) -> bytes:
            return raw_deflate(self.data) + bytes(20 << 20)

    path = write_zip(tmp_path / "x.zip", Trailing("packed", b"text" * 999, method=8))
    tracemalloc.start()
    try:
        assert findings(path) == ["packed: 'packed' does not decompress to the 3996 bytes it promises"]
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_what_cannot_be_decompressed_is_told(tmp_path: Path) -> None:
    class Garbage(Stored):
        @property
        def stored(self) -> bytes:
            return b"\xff" * 20

    assert of(tmp_path, Garbage("packed", b"x" * 9, method=8)) == [
        "packed: 'packed' cannot be decompressed: Error -3 while decompressing data: invalid block type"
    ]


@pytest.mark.parametrize("size", [(1 << 20) - 1, 1 << 20, (1 << 20) + 1, (1 << 20) + 258, 3 << 20])
def test_a_long_match_across_a_piece_is_not_lost(size: int, tmp_path: Path) -> None:
    with Reader.open(write_zip(tmp_path / "x.zip", Stored("zeros", bytes(size), method=8))) as reader:
        assert reader.read("zeros") == bytes(size)


def test_bytes_behind_the_end_records_are_told(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", HELLO)
    path.write_bytes(path.read_bytes() + b"more")

    assert findings(path) == ["end records: 4 bytes follow the end records"]


def sign(path: Path, *, gap: bytes | None = None, size: int = 24, beyond: bytes = b"") -> None:
    """Append a certificate table, as signing a PE does, and enter it into the header."""
    data = bytearray(path.read_bytes())
    data += bytes(-len(data) % 8) if gap is None else gap
    struct.pack_into("<II", data, 128 + 24 + 144, len(data), size)
    path.write_bytes(bytes(data) + b"S" * size + beyond)


@pytest.mark.parametrize("head", [tiny_pe(), tiny_ape()], ids=["pe", "ape"])
def test_the_signature_of_a_program_may_follow(head: bytes, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.exe", HELLO, start=head)
    sign(path)

    assert findings(path) == []


def test_a_signature_that_does_not_close_the_file_is_told(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.exe", HELLO, start=tiny_pe())
    size = path.stat().st_size
    sign(path, beyond=b"more")

    assert findings(path) == [f"head: its signature, 24 bytes at {-(-size // 8) * 8}, does not close the file"]


def test_a_gap_before_a_signature_is_zeros(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.exe", Stored("hello.txt", b"hell"), start=tiny_pe())
    gap = -path.stat().st_size % 8
    assert gap
    sign(path, gap=b"X" * gap)

    assert findings(path) == ["signature: the bytes before it are not zero"]


def test_a_signature_that_pushes_the_end_records_out_of_reach_is_told(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.exe", HELLO, start=tiny_pe())
    unsigned = path.read_bytes()
    sign(path, size=48 << 10)
    assert findings(path) == []

    path.write_bytes(unsigned)
    sign(path, size=(48 << 10) + 8)

    assert findings(path) == ["signature: has 49160 bytes, and at most 49152 leave the file's end to be found"]


def test_how_much_was_checked_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, str]] = []
    with Reader.open(write_zip(tmp_path / "x.zip", HELLO, PACKED)) as reader:
        assert list(check_members(reader, on_bytes=lambda size, name: told.append((size, name)))) == []

    assert told == [(5, "hello.txt"), (10_000, "packed")]


def test_a_count_that_the_directory_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", HELLO)
    data = bytearray(path.read_bytes())
    data[-14:-10] = b"\xfe\xff\xfe\xff"
    path.write_bytes(data)

    with pytest.raises(FormatError) as caught:
        findings(path)

    assert str(caught.value) == f"{path}: a directory of 55 bytes cannot hold 65534 records"
