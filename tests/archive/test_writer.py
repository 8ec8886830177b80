"""Files that the writer makes, read by this package and by everybody else's ZIP reader."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3
from tests.world.programs import tiny_ape, tiny_elf
from zlib_ng import zlib_ng

from lfbuild.archive import hashing
from lfbuild.archive import writer as writing
from lfbuild.archive.hashing import Digests, HashPool, RegionHash
from lfbuild.archive.layout import Member, place
from lfbuild.archive.reader import Reader
from lfbuild.archive.source import BytesSource, FileSource
from lfbuild.archive.writer import Writer
from lfbuild.errors import FormatError, HostError
from lfbuild.formats.blocks import BLOCK_BYTES, BlockIndex, Cuts, Run
from lfbuild.formats.seal import Seal
from lfbuild.formats.zip import CentralRecord, end_records, read_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lfbuild.archive.writer import Entry

EPOCH = 1_700_000_000
GIB = 1 << 30
SEAL = Seal(generation=1, state="clean", manifest_digest="ab" * 32).to_bytes()
TEXT = b"What is the capital of France?\n" * 40
READERS = {
    "unzip": ["unzip", "-t"],
    "zipinfo": ["zipinfo", "-v"],
    "7z": ["7z", "t"],
    "bsdtar": ["bsdtar", "-xOf"],
    "busybox": ["busybox", "unzip", "-t"],
}


def written(path: Path, *members: Member, head: bytes = b"", start: int = 0, comment: bytes = SEAL) -> list[Entry]:
    """Write head, members from `start` on, and the end."""
    with path.open("w+b", buffering=0) as file, Writer(file, epoch=EPOCH, threads=2) as writer:
        writer.write_head(BytesSource(head), Cuts.plain(len(head)))
        entries = [writer.store(placement) for placement in place(members, start=max(start, writer.cursor))]
        writer.finish(comment)
    return entries


def small_file(folder: Path, head: bytes | None = None) -> Path:
    path = folder / "small.llamafile"
    written(
        path,
        Member(name="weights.gguf", source=BytesSource(bytes(range(256)) * 300), align_bytes=65536),
        Member(name="prompts/hällo.txt", source=BytesSource(TEXT)),
        Member(name="empty", source=BytesSource(b""), mode=0o100755),
        head=tiny_elf() if head is None else head,
    )
    return path


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    with Reader.open(small_file(tmp_path)) as reader:
        assert list(reader.records) == ["weights.gguf", "prompts/hällo.txt", "empty"]
        assert reader.read("prompts/hällo.txt") == TEXT
        assert reader.read("empty") == b""
        assert reader.data_offset(reader.record("weights.gguf")) == 65536
        assert reader.record("empty").mode == 0o100755
        assert reader.seal == Seal(generation=1, state="clean", manifest_digest="ab" * 32)


def test_pythons_zipfile_finds_nothing_wrong(tmp_path: Path) -> None:
    with zipfile.ZipFile(small_file(tmp_path)) as archive:
        assert archive.testzip() is None
        assert archive.comment == SEAL
        assert archive.read("prompts/hällo.txt") == TEXT
        assert [info.date_time for info in archive.infolist()] == [(2023, 11, 14, 22, 13, 20)] * 3


@pytest.mark.parametrize("program", sorted(READERS))
def test_other_readers_find_nothing_wrong(program: str, tmp_path: Path) -> None:
    needs(program)
    path = small_file(tmp_path)

    finished = subprocess.run([*READERS[program], path], capture_output=True, check=False)

    assert finished.returncode == 0, finished.stderr
    told = (finished.stdout + finished.stderr).decode("utf-8", "replace").lower()
    assert "warning" not in told
    assert "error" not in told.replace("no errors detected", "").replace("errors: 0", "")


@pytest.mark.parametrize("program", ["unzip", "7z", "busybox", "bsdtar"])
def test_other_readers_take_out_the_same_bytes(program: str, tmp_path: Path) -> None:
    needs(program)
    path = small_file(tmp_path)
    command = {
        "unzip": ["unzip", "-p", path, "weights.gguf"],
        "7z": ["7z", "x", "-so", path, "weights.gguf"],
        "busybox": ["busybox", "unzip", "-p", path, "weights.gguf"],
        "bsdtar": ["bsdtar", "-xOf", path, "weights.gguf"],
    }[program]

    assert subprocess.run(command, capture_output=True, check=True).stdout == bytes(range(256)) * 300


def test_the_members_inside_a_head_stay_where_they_are(tmp_path: Path) -> None:
    head = tiny_ape()
    (tmp_path / "head").write_bytes(head)
    with Reader.open(tmp_path / "head") as reader:
        own = [found.raw for found in reader.directory.records]
    path = tmp_path / "ape.llamafile"
    with path.open("w+b", buffering=0) as file, Writer(file, epoch=EPOCH, threads=1) as writer:
        writer.write_head(BytesSource(head), Cuts.plain(len(head)), own_records=own)
        writer.store(writer.place(Member(name=".args", source=BytesSource(b"cli\n"))))
        digest = writer.directory_digest()
        writer.finish(b"")

    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [".cosmo", "usr/share/zoneinfo/UTC", ".args"]
    with Reader.open(path) as reader:
        assert digest == blake3(b"".join(found.raw for found in reader.directory.records)).hexdigest()
        assert [found.raw for found in reader.directory.records][:2] == own


def test_an_entry_tells_what_was_written(tmp_path: Path) -> None:
    cuts = Cuts(runs=(Run(size_bytes=600, block_bytes=256, label="kv"), Run(size_bytes=len(TEXT) - 600)))
    path = tmp_path / "file"

    (entry,) = written(path, Member(name="a", source=BytesSource(TEXT), cuts=cuts), start=100)

    assert (entry.name, entry.data_offset, entry.record.header_offset) == ("a", 131, 100)
    assert entry.record.crc32 == zlib.crc32(TEXT)
    assert entry.index.cuts == cuts
    assert entry.index.leaves == b"".join(blake3(TEXT[at : at + size]).digest() for at, size in cuts.blocks())
    assert path.read_bytes()[131 : 131 + len(TEXT)] == TEXT


def test_the_room_before_aligned_members_is_zeros(tmp_path: Path) -> None:
    path = small_file(tmp_path)
    data = path.read_bytes()

    assert not any(data[len(tiny_elf()) : 65536 - 30 - len("weights.gguf")])


def test_the_same_order_gives_the_same_bytes_whatever_the_threads_and_time_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = small_file(tmp_path).read_bytes()
    monkeypatch.setenv("TZ", "Asia/Tokyo")

    assert small_file(tmp_path).read_bytes() == first


def test_bytes_that_are_copied_are_told(tmp_path: Path) -> None:
    told: list[int] = []
    with (
        (tmp_path / "f").open("w+b", buffering=0) as file,
        Writer(file, epoch=EPOCH, threads=1, on_bytes=told.append) as writer,
    ):
        writer.store(writer.place(Member(name="a", source=BytesSource(b"12345"))))
        writer.finish(b"")

    assert told == [5]


def test_a_large_copy_is_flushed_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "BATCH_BYTES", 1000)
    monkeypatch.setattr(writing, "_FLUSH_BYTES", 3000)
    flushed: list[int] = []
    monkeypatch.setattr(os, "fdatasync", flushed.append)

    path = tmp_path / "f"
    written(path, Member(name="a", source=BytesSource(TEXT * 40)))

    assert flushed
    with zipfile.ZipFile(path) as archive:
        assert archive.read("a") == TEXT * 40


def test_a_disk_that_is_full_in_the_background_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hashing, "BATCH_BYTES", 1000)
    monkeypatch.setattr(writing, "_FLUSH_BYTES", 3000)
    monkeypatch.setattr(os, "fdatasync", refuse)

    with pytest.raises(OSError, match="No space left on device"):
        written(tmp_path / "f", Member(name="a", source=BytesSource(TEXT * 40)))


def test_a_source_that_shrinks_in_mid_copy_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.write_bytes(TEXT)
    source = FileSource(path=model, size_bytes=len(TEXT))
    placements = place([Member(name="a", source=source)], start=0)
    model.write_bytes(TEXT[:-1])

    with (
        (tmp_path / "f").open("w+b", buffering=0) as file,
        Writer(file, epoch=EPOCH, threads=1) as writer,
        pytest.raises(HostError) as caught,
    ):
        writer.store(placements[0])

    assert str(caught.value) == f"{model}: became shorter since it was measured"


def test_blocks_that_do_not_add_up_to_the_member_are_refused(tmp_path: Path) -> None:
    member = Member(name="a", source=BytesSource(TEXT), cuts=Cuts.plain(len(TEXT) - 1))

    with pytest.raises(FormatError) as caught:
        written(tmp_path / "f", member)

    assert str(caught.value) == "member: is cut into blocks of 1239 bytes in all, but has 1240"


def test_a_time_that_no_zip_can_hold_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "f").open("w+b", buffering=0) as file, pytest.raises(FormatError):
        Writer(file, epoch=0, threads=1)


@dataclass(frozen=True, slots=True)
class Hole:
    """Zeros that are never written, so that a file of gibibytes costs no disk."""

    size_bytes: int

    @contextlib.contextmanager
    def opened(self) -> Iterator[Hole]:
        yield self

    def share(self, target: int, *, target_offset: int) -> bool:
        os.ftruncate(target, target_offset + self.size_bytes)
        return True

    def read_into(self, buffer: memoryview, start: int) -> None:
        raise AssertionError(f"{len(buffer)} bytes of a hole are copied from {start}")


class ZerosKnown(HashPool):
    """Knows the digests of large holes, so that a file of gibibytes costs no time either."""

    def region(self, descriptor: int, offset: int, cuts: Cuts, **options: object) -> RegionHash:  # type: ignore[override]
        if cuts.size_bytes < GIB:
            return super().region(descriptor, offset, cuts, **options)  # type: ignore[arg-type]
        return _KnownZeros(self, lambda _view, _start: None, cuts, crc=True, holes=())


class _KnownZeros(RegionHash):
    def ready(self, size: int) -> None:
        del size

    def finish(self, on_bytes: object = None) -> Digests:
        del on_bytes
        cuts = self._cuts
        leaf = {size: blake3(bytes(size)).digest() for _, size in [*cuts.blocks()][-2:]}
        crc, block = 0, zlib_ng.crc32(bytes(BLOCK_BYTES))
        for _, size in cuts.blocks():
            crc = zlib_ng.crc32_combine(crc, block if size == BLOCK_BYTES else zlib_ng.crc32(bytes(size)), size)
        return Digests(index=BlockIndex(cuts=cuts, leaves=b"".join(leaf[size] for _, size in cuts.blocks())), crc32=crc)


@pytest.fixture(scope="module")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More than 4 GiB, most of it holes: one member that needs ZIP64 sizes, then ones that need a ZIP64 offset."""
    path = tmp_path_factory.mktemp("large") / "large.llamafile"
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(writing, "HashPool", ZerosKnown)
            written(
                path,
                Member(name="w.gguf", source=Hole(4 * GIB + 7), align_bytes=65536),
                Member(name="a.txt", source=BytesSource(TEXT)),
                Member(name="b.txt", source=BytesSource(b"end\n")),
                head=tiny_elf(),
            )
    except OSError as error:
        pytest.skip(f"no sparse file of 4 GiB here: {error}")
    return path


def test_a_file_of_more_than_four_gibibytes_is_read_again(large_file: Path) -> None:
    with Reader.open(large_file) as reader:
        weights, text = reader.record("w.gguf"), reader.record("a.txt")
        assert (weights.stored_size, weights.header_offset) == (4 * GIB + 7, 65536 - 56)
        assert text.header_offset == 65536 + 4 * GIB + 7
        assert reader.read("a.txt") == TEXT
        assert reader.directory.end_size_bytes == 98 + 98
        end = reader.directory.end_offset
        assert end // 512 == (reader.size_bytes - 1) // 512


def test_only_values_of_four_gibibytes_are_in_zip64_fields(large_file: Path) -> None:
    with Reader.open(large_file) as reader:
        weights, text, _ = (found.raw for found in reader.directory.records)

    assert len(weights) == 46 + 6 + 4 + 16
    assert len(text) == 46 + 5 + 4 + 8


def test_pythons_zipfile_reads_behind_four_gibibytes(large_file: Path) -> None:
    with zipfile.ZipFile(large_file) as archive:
        assert archive.getinfo("w.gguf").file_size == 4 * GIB + 7
        assert archive.read("a.txt") == TEXT
        with archive.open("w.gguf") as weights:
            assert weights.read(100) == bytes(100)


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("unzip", ["unzip", "-p", "{}", "a.txt"]),
        ("7z", ["7z", "x", "-so", "{}", "a.txt"]),
        ("bsdtar", ["bsdtar", "-xOf", "{}", "a.txt"]),
    ],
)
def test_other_readers_read_behind_four_gibibytes(program: str, command: list[str], large_file: Path) -> None:
    needs(program)
    finished = subprocess.run(
        [part.replace("{}", str(large_file)) for part in command], capture_output=True, check=True
    )

    assert finished.stdout == TEXT


def test_zipinfo_shows_the_large_sizes(large_file: Path) -> None:
    needs("zipinfo")
    finished = subprocess.run(["zipinfo", "-l", large_file], capture_output=True, check=True, text=True)

    assert str(4 * GIB + 7) in finished.stdout


def test_seventy_thousand_members_need_a_zip64_end_record() -> None:
    template = CentralRecord(
        name="#####", method=0, crc32=0, stored_size=0, decoded_size=0, header_offset=0, mode=0o100644, dos_time=0x21
    ).to_bytes()
    directory = b"".join(template.replace(b"#####", b"%05d" % number) for number in range(70_000))
    data = bytes(100) + directory + end_records(count=70_000, offset=100, size=len(directory), comment=b"")

    assert len(zipfile.ZipFile(io.BytesIO(data)).infolist()) == 70_000
    found = read_directory(lambda offset, length: data[offset : offset + length], len(data), where="x")
    assert (len(found.records), found.records[-1].record.name) == (70_000, "69999")
