"""A member behaves as a file that begins where the member begins and ends where it ends."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.stubs.conftest import runner
from tests.stubs.containers import (
    MODEL,
    EndRecord,
    Record,
    gguf,
    seal,
    write_by_hand,
    write_zip,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stubs.conftest import Probe

TEXT = MODEL.data.decode()
NOTES = Record(name=b"notes.txt", data=b"behind the weights")


@pytest.fixture
def container(tmp_path: Path) -> Path:
    return write_by_hand(tmp_path / "tiny.llamafile", MODEL, NOTES, end=EndRecord(comment=seal()))


def answer(*lines: object) -> str:
    return "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize(
    ("operations", "lines"),
    [
        (["seek:0:2", "tell"], [0, "16 16"]),
        (["tell", "read:1:4", "tell"], ["0 0", "4 GGUF", "4 4"]),
        (["seek:5:0", "read:1:3", "seek:-3:1", "tell", "read:1:3"], [0, "3 the", 0, "5 5", "3 the"]),
        (["seek:-7:2", "read:1:100", "eof", "tell"], [0, "7 weights", 1, "16 16"]),
        (["seek:-7:2", "read:1:7", "eof", "read:1:1", "eof"], [0, "7 weights", 0, "0 ", 1]),
        (["seek:-7:2", "read:3:4", "tell"], [0, "2 weights", "16 16"]),
        (["read:16:1", "eof"], [f"1 {TEXT}", 0]),
        (["read:17:1", "eof"], [f"0 {TEXT}", 1]),
        (["read:0:5", "read:5:0", "tell"], ["0 ", "0 ", "0 0"]),
        (["seek:100:0", "tell", "read:1:1", "eof", "seek:0:0", "eof"], [0, "100 100", "0 ", 1, 0, 0]),
        (["seek:-1:0", "seek:-17:2", "tell"], [-1, -1, "0 0"]),
        (["seek:9223372036854775807:0", "seek:0:9", "tell"], [-1, -1, "0 0"]),
    ],
)
def test_a_stream_begins_and_ends_with_the_member(
    probe: Probe, container: Path, operations: list[str], lines: list[object]
) -> None:
    finished = probe("stream", f"{container}@model.gguf", *operations)

    assert (finished.stdout, finished.stderr) == (answer(*lines), "")


def test_a_descriptor_begins_and_ends_with_the_member(probe: Probe, container: Path) -> None:
    operations = ["size", "seek:-7:2", "read:64", "read:64", "seek:0:1", "seek:5:0", "read:3", "seek:-1:0", "seek:0:9"]

    finished = probe("descriptor", f"{container}@model.gguf", *operations)

    assert finished.stdout == answer("0 16", 9, "7 weights", "0 ", 16, 5, "3 the", -1, -1)


def test_direct_reads_of_whole_blocks_end_with_the_member_too(probe: Probe, container: Path) -> None:
    finished = probe("descriptor", f"{container}@model.gguf", "direct", "read:4096", "seek:0:1", "read:4096")

    if "refused" in finished.stdout:
        pytest.skip("the file system of the temporary folder has no direct I/O")
    assert finished.stdout == answer("open", f"16 {TEXT}", 16, "0 ")


def test_the_weights_are_mapped_in_place(probe: Probe, container: Path) -> None:
    finished = probe("map", f"{container}@model.gguf")

    assert finished.stdout == answer(0, 0, f"r--s 65536 {container}", TEXT)


@pytest.mark.skipif(not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="this kernel has no large pages")
def test_weights_are_wanted_in_large_pages_and_all_of_them_at_once(probe: Probe, tmp_path: Path) -> None:
    weights = replace(MODEL, data=MODEL.data.ljust(64 << 10, b"."))
    container = write_by_hand(tmp_path / "tiny.llamafile", weights, end=EndRecord(comment=seal()))

    assert probe("pages", f"{container}@model.gguf").stdout == answer("in memory 64 of 64, large pages wanted")


@pytest.mark.parametrize("skew_bytes", [32, 2048, 4064])
def test_weights_that_begin_inside_a_page_are_mapped_from_the_page_before(
    probe: Probe, tmp_path: Path, skew_bytes: int
) -> None:
    foreign = write_by_hand(tmp_path / "foreign.zip", MODEL, NOTES, head=bytes(65536), skew_bytes=skew_bytes)

    finished = probe("map", foreign)

    before = 65536 if skew_bytes > 100 else 131072  # where the local header still has room in front of the data
    assert finished.stdout == answer(0, 0, f"r--s {before} {foreign}", TEXT)


def test_weights_at_an_odd_byte_are_copied_with_a_warning(probe: Probe, tmp_path: Path) -> None:
    foreign = write_by_hand(tmp_path / "foreign.zip", MODEL, NOTES, skew_bytes=7)

    finished = probe("map", foreign)

    assert finished.stdout == answer(0, 0, "r--p 0 -", TEXT)
    assert finished.stderr == (
        f"{foreign}: warning: the weights begin at byte 65543, which is not a multiple of 32, so they are copied into "
        "memory instead of mapped; pack the file again with lfbuild\n"
    )


@pytest.mark.parametrize("skew_bytes", [0, 64, 7])
@pytest.mark.parametrize("pages", [1, 2])
def test_weights_are_unmapped_in_pieces(
    probe: Probe, tmp_path: Path, page_bytes: int, skew_bytes: int, pages: int
) -> None:
    large = replace(MODEL, data=gguf("." * 3 * page_bytes))
    foreign = write_by_hand(tmp_path / "foreign.zip", large, skew_bytes=skew_bytes)

    finished = probe("unmap", foreign, str(pages))

    assert finished.stdout == answer(0, large.data[pages * page_bytes :].decode(), 0, "none", "none")


def test_a_stream_of_clip_begins_and_ends_with_the_member(probe_istream: Probe, container: Path) -> None:
    finished = probe_istream(f"{container}@model.gguf", "9", "7")
    past = probe_istream(f"{container}@model.gguf", "9", "700")

    assert finished.stdout == answer("G1", "7 good", "weights", 16)
    assert past.stdout == answer("G1", "7 end", "weights", 16)


def test_a_stream_of_clip_reads_more_than_it_has_buffered(probe_istream: Probe, tmp_path: Path) -> None:
    data = gguf("".join(chr(ord("a") + i % 26) for i in range(20_000)))
    path = tmp_path / "plain.gguf"
    path.write_bytes(data)

    finished = probe_istream(path, "1", "15000")

    assert finished.stdout == answer("G1", "15000 good", data[1:15001].decode(), len(data))


def test_a_stream_of_clip_that_cannot_open_says_so(probe_istream: Probe, tmp_path: Path) -> None:
    assert probe_istream(tmp_path / "nothing.gguf", "0", "1").stdout == "not open\n"


def read_all(probe: Probe, name: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return probe("stream", name, "read:1:1000", **variables)


def test_a_plain_model_is_opened_as_it_is(probe: Probe, tmp_path: Path) -> None:
    plain = tmp_path / "plain.gguf"
    plain.write_bytes(MODEL.data)

    assert read_all(probe, plain).stdout == f"16 {TEXT}\n"


def test_a_path_may_hold_an_at_sign(probe: Probe, tmp_path: Path) -> None:
    folder = tmp_path / "models@home"
    folder.mkdir()
    plain = folder / "me@work.gguf"
    plain.write_bytes(MODEL.data)
    container = write_by_hand(folder / "a@b.llamafile", MODEL, Record(name=b"at@sign.gguf", data=gguf(" at")))

    assert read_all(probe, plain).stdout == f"16 {TEXT}\n"
    assert read_all(probe, f"{container}@model.gguf").stdout == f"16 {TEXT}\n"
    assert read_all(probe, f"{container}@at@sign.gguf").stdout == "7 GGUF at\n"


def test_a_missing_file_is_left_to_llama_cpp(probe: Probe, tmp_path: Path) -> None:
    for name in ("nothing.gguf", "nothing.llamafile@model.gguf", "models@home/model.gguf"):
        finished = read_all(probe, tmp_path / name)
        assert (finished.stdout, finished.stderr) == ("fopen: errno ENOENT\n", "")


def test_a_file_that_is_neither_model_nor_zip_is_opened_as_it_is(probe: Probe, tmp_path: Path) -> None:
    session = tmp_path / "prompt.session"
    session.write_bytes(b"ggsn, a saved state")

    assert read_all(probe, session).stdout == "19 ggsn, a saved state\n"


def test_zip_is_the_file_that_a_launcher_names(probe: Probe, container: Path) -> None:
    assert read_all(probe, "/zip/model.gguf", LFBUILD_FILE=str(container)).stdout == f"16 {TEXT}\n"


def test_zip_is_else_the_program_itself(probe_path: Path, container: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    write_by_hand(packed, MODEL, head=probe_path.read_bytes())
    packed.chmod(0o755)

    finished = subprocess.run([packed, "map", "/zip/model.gguf"], capture_output=True, text=True, check=True)

    offset = -(-probe_path.stat().st_size // 65536) * 65536
    assert finished.stdout.splitlines()[2:] == [f"r--s {offset} {packed}", TEXT]


def test_a_sealed_program_is_its_own_file_whatever_another_engine_left_in_the_environment(
    probe_path: Path, container: Path, tmp_path: Path
) -> None:
    packed, bare = tmp_path / "packed", tmp_path / "bare"
    mine = replace(MODEL, data=gguf(" mine"))
    write_by_hand(packed, mine, end=EndRecord(comment=seal()), head=probe_path.read_bytes())
    write_by_hand(bare, mine, head=probe_path.read_bytes())
    for program in (packed, bare):
        program.chmod(0o755)

    assert (
        read_all(runner(packed), "/zip/model.gguf", LFBUILD_FILE=str(container)).stdout
        == f"{len(mine.data)} {mine.data.decode()}\n"
    )
    assert read_all(runner(bare), "/zip/model.gguf", LFBUILD_FILE=str(container)).stdout == f"16 {TEXT}\n"


def test_the_parts_of_a_split_model_are_found_by_their_names(probe: Probe, tmp_path: Path) -> None:
    parts = [Record(name=b"x-0000%d-of-00003.gguf" % n, data=gguf(f" part {n}")) for n in (1, 2, 3)]
    split = write_by_hand(tmp_path / "split.llamafile", *parts)

    for n in (1, 2, 3):
        name = f"x-0000{n}-of-00003.gguf"
        assert read_all(probe, f"{split}@{name}").stdout == f"11 GGUF part {n}\n"
        assert read_all(probe, f"/zip/{name}", LFBUILD_FILE=str(split)).stdout == f"11 GGUF part {n}\n"


@pytest.mark.parametrize("zip64", [False, True])
def test_the_single_model_of_a_file_needs_no_name(probe: Probe, tmp_path: Path, zip64: bool) -> None:
    model = replace(MODEL, name=b"Model.GGUF", zip64=zip64)
    container = write_by_hand(tmp_path / "one.llamafile", NOTES, model, end=EndRecord(zip64=zip64))

    assert read_all(probe, container).stdout == f"16 {TEXT}\n"


def test_what_python_writes_is_read(probe: Probe, tmp_path: Path) -> None:
    container = write_zip(tmp_path / "python.zip", {"model.gguf": MODEL.data, "b.txt": b"b"}, comment=b"a comment")

    assert read_all(probe, container).stdout == f"16 {TEXT}\n"


def test_what_follows_the_end_record_does_not_matter(probe: Probe, container: Path) -> None:
    with container.open("ab") as file:
        file.write(b"a signature " * 5000)

    assert read_all(probe, f"{container}@model.gguf").stdout == f"16 {TEXT}\n"


@pytest.fixture
def held(request: pytest.FixtureRequest, probe_path: Path, container: Path) -> Iterator[Path]:
    how = request.param
    command = [probe_path, "hold", f"{container}@model.gguf", how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "held\n"
        yield container
        running.communicate()


@pytest.mark.parametrize("held", ["open", "map"], indirect=True)
def test_weights_in_use_hold_a_shared_lock(held: Path) -> None:
    with held.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_UN)
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_lock_is_given_back(probe: Probe, container: Path) -> None:
    probe("map", f"{container}@model.gguf")

    with container.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_file_that_is_being_updated_is_refused(probe: Probe, container: Path) -> None:
    with container.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        finished = read_all(probe, container)

    assert finished.stderr == f"{container}: an update of this file is under way; try again when it has finished\n"
    assert finished.returncode == 3


def test_a_copy_without_write_permission_is_read(probe: Probe, container: Path, tmp_path: Path) -> None:
    copy = shutil.copy(container, tmp_path / "read-only.llamafile")
    Path(copy).chmod(0o444)

    assert read_all(probe, f"{copy}@model.gguf").stdout == f"16 {TEXT}\n"
