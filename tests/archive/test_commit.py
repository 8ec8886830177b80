"""The commit protocol of docs/formats/file.md, carried out by hand: at every moment all readers see one generation.

No command writes later generations yet; this holds what the format promises to whoever will.
"""

from __future__ import annotations

import shutil
import subprocess
import zipfile
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.world.files import MODEL_NAME, write_tiny_file
from tests.world.models import tiny_gguf

from lfbuild.archive.layout import SECTOR_BYTES, directory_offset
from lfbuild.archive.reader import Reader
from lfbuild.formats.seal import Seal
from lfbuild.formats.zip import end_records

if TYPE_CHECKING:
    from pathlib import Path

TAIL_BYTES = 48 << 10
OLD_ARGS, NEW_ARGS = b"cli\n-m\n/zip/Tiny.Q4_0.gguf\n...\n", b"serve\n" + b"#" * 40_000 + b"\n...\n"


def next_generation(path: Path) -> tuple[bytes, bytes]:
    """What an edit of `.args` appends: the new tail with its directory, and the end records."""
    with Reader.open(path) as reader:
        records = {found.record.name: found.record for found in reader.directory.records}
        size = reader.size_bytes
        seal = reader.seal
    assert seal is not None
    records[".args"] = replace(
        records[".args"],
        crc32=zlib.crc32(NEW_ARGS),
        stored_size=len(NEW_ARGS),
        decoded_size=len(NEW_ARGS),
        header_offset=size,
    )
    tail = records[".args"].local_header() + NEW_ARGS
    directory = b"".join(record.to_bytes() for record in records.values())
    comment = replace(seal, generation=seal.generation + 1).to_bytes()
    count = len(records)
    offset = directory_offset(size + len(tail), len(directory), comment_size=len(comment), count=count)
    tail += bytes(offset - size - len(tail)) + directory
    return tail, end_records(count=count, offset=offset, size=len(directory), comment=comment)


@pytest.fixture
def moments(tmp_path: Path) -> dict[str, tuple[Path, bytes]]:
    """The file before, while and after an edit is written, and the arguments that count at that moment."""
    old = write_tiny_file(tmp_path, align_bytes=65536).read_bytes()
    tail, end = next_generation(tmp_path / "tiny.llamafile")
    assert len(tail) <= TAIL_BYTES
    states = {
        "before": (old, OLD_ARGS),
        "half of the tail": (old + tail[:20_000], OLD_ARGS),
        "the tail": (old + tail, OLD_ARGS),
        "a torn end": (old + tail + end[:30], OLD_ARGS),
        "an end of zeros": (old + tail + bytes(len(end)), OLD_ARGS),
        "committed": (old + tail + end, NEW_ARGS),
    }
    files = {}
    for number, (state, (data, arguments)) in enumerate(states.items()):
        (tmp_path / f"state{number}").write_bytes(data)
        files[state] = (tmp_path / f"state{number}", arguments)
    return files


STATES = ("before", "half of the tail", "the tail", "a torn end", "an end of zeros", "committed")


@pytest.mark.parametrize("state", STATES)
def test_our_reader_sees_one_whole_generation(state: str, moments: dict[str, tuple[Path, bytes]]) -> None:
    path, arguments = moments[state]
    with Reader.open(path) as reader:
        assert reader.read(".args") == arguments
        assert reader.read(MODEL_NAME) == tiny_gguf()
        assert isinstance(reader.seal, Seal)
        assert reader.seal.generation == (2 if state == "committed" else 1)


# Others take the last signature for the end record, however torn it is: that is why a commit is one sector.
@pytest.mark.parametrize("state", [state for state in STATES if state != "a torn end"])
@pytest.mark.parametrize("program", ["zipfile", "unzip", "busybox"])
def test_other_readers_see_the_same_one(program: str, state: str, moments: dict[str, tuple[Path, bytes]]) -> None:
    path, arguments = moments[state]
    if program == "zipfile":
        with zipfile.ZipFile(path) as archive:
            assert archive.read(".args") == arguments
        return
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    command = ["busybox", "unzip", "-p"] if program == "busybox" else ["unzip", "-p"]
    finished = subprocess.run([*command, path, ".args"], check=False, capture_output=True)
    assert finished.stdout == arguments, finished.stderr


def test_the_end_records_of_each_generation_are_one_sector_write(moments: dict[str, tuple[Path, bytes]]) -> None:
    path, _ = moments["committed"]
    with Reader.open(path) as reader:
        assert reader.directory.end_offset // SECTOR_BYTES == (reader.size_bytes - 1) // SECTOR_BYTES


def test_the_old_end_record_stays_within_the_last_64_kib(moments: dict[str, tuple[Path, bytes]]) -> None:
    before, committed = moments["before"][0], moments["committed"][0]
    with Reader.open(before) as reader:
        assert committed.stat().st_size - reader.directory.end_offset < 65536
