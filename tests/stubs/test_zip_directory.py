"""A ZIP that lies is refused in one sentence; nothing out of it is used before it is checked."""

from __future__ import annotations

import os
import random
import struct
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.stubs.containers import HEAD, MODEL, ZIP32_MODEL, EndRecord, Record, gguf, seal, write_by_hand, write_zip

from lfbuild.archive.reader import Reader
from lfbuild.errors import FormatError
from lfbuild.formats.zip import LONGEST_DIRECTORY_BYTES

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.stubs.conftest import Probe

HUGE = 2**63
TEXT = MODEL.data.decode()
OUTSIDE = "its ZIP directory lies outside the file; get the file again"
LOCAL_OUTSIDE = "the member 'model.gguf' is damaged (its local header lies outside the file); get the file again"
LOCAL_DIFFERS = (
    "the member 'model.gguf' is damaged (its local header does not match the ZIP directory); get the file again"
)
DATA_OUTSIDE = "the member 'model.gguf' is damaged (its data lies outside the file); get the file again"
MALFORMED = "its ZIP directory is malformed; get the file again"
NO_DIRECTORY = (
    "there is no ZIP directory at the end of this file, so it is cut off or not a llamafile; get the file again"
)


def open_whole(probe: Probe, path: Path | str) -> subprocess.CompletedProcess[str]:
    return probe("stream", path, "read:1:64")


def assert_refused(finished: subprocess.CompletedProcess[str], path: Path, sentence: str) -> None:
    assert finished.stderr == f"{path}: {sentence}\n"
    assert finished.returncode == 3


@pytest.mark.parametrize(
    ("record", "end", "sentence"),
    [
        (MODEL, EndRecord(directory_offset=HUGE), OUTSIDE),
        (MODEL, EndRecord(directory_offset=200_000), OUTSIDE),
        (MODEL, EndRecord(directory_size_bytes=2**64 - 1), OUTSIDE),
        (MODEL, EndRecord(directory_size_bytes=0), "its ZIP directory claims more members than it has room for"),
        (MODEL, EndRecord(count=2**64 - 1), "its ZIP directory claims more members than it has room for"),
        (MODEL, EndRecord(count=0), "its ZIP directory is empty or spread over several files"),
        (ZIP32_MODEL, EndRecord(zip64=False, directory_offset=0xFFFFFFF0), OUTSIDE),
        (ZIP32_MODEL, EndRecord(zip64=False, directory_size_bytes=0xFFFFFFF0), OUTSIDE),
        (MODEL, EndRecord(directory_offset=65536), MALFORMED),
        (replace(MODEL, central_magic=b"PK\1\3"), EndRecord(), MALFORMED),
        (replace(MODEL, header_offset=HUGE), EndRecord(), LOCAL_OUTSIDE),
        (replace(MODEL, header_offset=2**64 - 1), EndRecord(), LOCAL_OUTSIDE),
        (replace(MODEL, header_offset=0), EndRecord(), LOCAL_DIFFERS),
        (replace(MODEL, local_magic=b"PK\3\5"), EndRecord(), LOCAL_DIFFERS),
        (replace(MODEL, local_name=b"another.gguf"), EndRecord(), LOCAL_DIFFERS),
        (replace(MODEL, size_bytes=HUGE, packed_size_bytes=HUGE), EndRecord(), DATA_OUTSIDE),
        (replace(MODEL, size_bytes=17, packed_size_bytes=17), EndRecord(), DATA_OUTSIDE),
        (replace(MODEL, size_bytes=2**64 - 1, packed_size_bytes=2**64 - 1), EndRecord(), DATA_OUTSIDE),
        (replace(ZIP32_MODEL, size_bytes=0xFFFFFFFF, packed_size_bytes=0xFFFFFFFF), EndRecord(), MALFORMED),
    ],
)
def test_a_zip_that_lies_is_refused(
    probe: Probe, tmp_path: Path, record: Record, end: EndRecord, sentence: str
) -> None:
    path = write_by_hand(tmp_path / "hostile.llamafile", record, end=end)

    if not sentence.endswith("again"):
        sentence += "; get the file again"
    assert_refused(open_whole(probe, path), path, sentence)


def test_the_largest_directory_is_the_one_that_lfbuild_reads_too(probe: Probe, tmp_path: Path) -> None:
    path = tmp_path / "large.llamafile"
    for size, problem in (
        (LONGEST_DIRECTORY_BYTES, "is malformed"),
        (LONGEST_DIRECTORY_BYTES + 1, f"is larger than {LONGEST_DIRECTORY_BYTES >> 20} MiB"),
    ):
        path.write_bytes(HEAD)
        os.truncate(path, len(HEAD) + size)  # a directory of nothing but zeros
        with path.open("ab") as file:
            file.write(struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, size, len(HEAD), 0))

        assert_refused(open_whole(probe, path), path, f"its ZIP directory {problem}; get the file again")


def test_a_size_inside_the_file_is_believed(probe: Probe, tmp_path: Path) -> None:
    path = write_by_hand(tmp_path / "short.llamafile", replace(MODEL, size_bytes=4, packed_size_bytes=4))

    assert open_whole(probe, path).stdout == "4 GGUF\n"


def test_members_that_overlap_do_no_harm_to_a_reader(probe: Probe, tmp_path: Path) -> None:
    first = Record(name=b"a.txt", data=b"a" * 100)
    path = write_by_hand(tmp_path / "overlap.llamafile", first, replace(MODEL, name=b"b.txt", header_offset=65501))

    finished = probe("stream", f"{path}@a.txt", "seek:0:2", "tell")

    assert finished.stdout == "0\n100 100\n"


def test_a_zip64_locator_that_points_outside_is_not_followed(probe: Probe, tmp_path: Path) -> None:
    path = write_by_hand(tmp_path / "hostile.llamafile", MODEL, end=EndRecord(zip64_offset=HUGE))

    assert_refused(open_whole(probe, path), path, OUTSIDE)


def test_a_file_that_was_cut_off_is_named_as_such(probe: Probe, tmp_path: Path) -> None:
    path = write_by_hand(tmp_path / "cut.llamafile", MODEL)
    whole = path.read_bytes()
    for length in (len(whole) - 1, len(whole) - 22, 65_600, 30):
        path.write_bytes(whole[:length])
        assert_refused(open_whole(probe, path), path, NO_DIRECTORY)


def test_a_half_written_end_leaves_the_one_before_it_in_force(probe: Probe, tmp_path: Path) -> None:
    path = write_by_hand(tmp_path / "appended.llamafile", MODEL, end=EndRecord(comment=seal()))
    with path.open("ab") as file:
        file.write(b"PK\1\2 half a directory, and its end: ")
        file.write(struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, 100, 5, 0))

    assert open_whole(probe, path).stdout == f"16 {TEXT}\n"


def test_the_last_of_two_sound_end_records_counts(probe: Probe, tmp_path: Path) -> None:
    path = tmp_path / "twice.llamafile"
    first = write_by_hand(path, replace(MODEL, data=gguf(" old"))).read_bytes()
    write_by_hand(path, replace(MODEL, data=gguf(" new")), head=first)

    assert open_whole(probe, path).stdout == "8 GGUF new\n"


def test_sixty_four_kibibytes_of_lying_end_records_are_given_up_on(probe: Probe, tmp_path: Path) -> None:
    path = tmp_path / "hostile.llamafile"
    lie = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, 46, 0, 0)
    path.write_bytes(b"MZ" + lie * 4000)

    assert_refused(open_whole(probe, path), path, MALFORMED)


@pytest.mark.parametrize("lies", [7, 8])
def test_this_layer_and_lfbuild_give_up_after_the_same_number_of_lies(probe: Probe, tmp_path: Path, lies: int) -> None:
    path = write_by_hand(tmp_path / "bait.llamafile", MODEL)
    with path.open("ab") as file:
        file.write(struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, 46, 0, 0) * lies)

    try:
        with Reader.open(path) as reader:
            found = set(reader.records)
    except FormatError:
        found = set()

    assert found == ({"model.gguf"} if lies == 7 else set())
    assert (open_whole(probe, path).stdout == f"16 {TEXT}\n") == (lies == 7)


def test_a_directory_in_front_of_the_last_64_kibibytes_is_not_looked_for(probe: Probe, tmp_path: Path) -> None:
    path = write_by_hand(tmp_path / "far.llamafile", MODEL)
    with path.open("ab") as file:
        file.write(bytes(65536))

    assert_refused(open_whole(probe, path), path, NO_DIRECTORY)


def test_compressed_weights_are_refused(probe: Probe, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "small.zip", {"model.gguf": MODEL.data * 100}, method=zipfile.ZIP_DEFLATED)

    sentence = "the member 'model.gguf' is compressed, and weights are mapped as they lie; pack it again with lfbuild"
    assert_refused(open_whole(probe, path), path, sentence)


def test_weights_whose_two_sizes_differ_count_as_compressed(probe: Probe, tmp_path: Path) -> None:
    path = write_by_hand(tmp_path / "odd.llamafile", replace(MODEL, size_bytes=15))

    sentence = "the member 'model.gguf' is compressed, and weights are mapped as they lie; pack it again with lfbuild"
    assert_refused(open_whole(probe, path), path, sentence)


def test_encrypted_weights_are_refused(probe: Probe, tmp_path: Path) -> None:
    path = write_by_hand(tmp_path / "secret.llamafile", replace(MODEL, flags=1))

    sentence = "the member 'model.gguf' is encrypted, and weights are mapped as they lie; pack it again with lfbuild"
    assert_refused(open_whole(probe, path), path, sentence)


def test_a_name_that_is_there_twice_is_refused(probe: Probe, tmp_path: Path) -> None:
    path = write_by_hand(tmp_path / "twice.llamafile", MODEL, replace(MODEL, data=gguf(" other")))

    finished = open_whole(probe, f"{path}@model.gguf")

    sentence = "the member 'model.gguf' is there twice, so it is unclear which is meant; pack it again with lfbuild"
    assert_refused(finished, path, sentence)


def test_several_models_ask_for_a_name(probe: Probe, tmp_path: Path) -> None:
    path = write_by_hand(tmp_path / "llava.llamafile", MODEL, replace(MODEL, name=b"mmproj.gguf"))

    sentence = (
        f"there are 2 .gguf files in this file (model.gguf, mmproj.gguf); name one of them, as in {path}@model.gguf"
    )
    assert_refused(open_whole(probe, path), path, sentence)


def test_no_model_asks_for_a_path(probe: Probe, tmp_path: Path) -> None:
    path = write_by_hand(tmp_path / "engine.llamafile", Record(name=b"notes.txt", data=b"no weights"))

    sentence = "there is no .gguf in this file; give the path of a model with -m"
    assert_refused(open_whole(probe, path), path, sentence)


def test_a_member_that_is_not_there_is_answered_with_those_that_are(probe: Probe, tmp_path: Path) -> None:
    path = write_by_hand(tmp_path / "one.llamafile", MODEL)

    finished = probe("stream", "/zip/modle.gguf", LFBUILD_FILE=str(path))

    assert_refused(finished, path, "there is no member 'modle.gguf' in this file; it holds model.gguf")
    assert finished.stdout == "fopen: errno ENOENT\n"


def test_a_name_cannot_move_the_cursor(probe: Probe, tmp_path: Path) -> None:
    path = write_by_hand(tmp_path / "odd.llamafile", replace(MODEL, name=b"\x1b[2J\n.gguf", method=8))

    sentence = "the member '?[2J?.gguf' is compressed, and weights are mapped as they lie; pack it again with lfbuild"
    assert_refused(open_whole(probe, path), path, sentence)


def test_an_interrupted_update_is_refused(probe: Probe, tmp_path: Path) -> None:
    path = write_by_hand(tmp_path / "half.llamafile", MODEL, end=EndRecord(comment=seal("redo")))

    sentence = f"an update of this file was interrupted; run: lfbuild recover {path}"
    assert_refused(open_whole(probe, path), path, sentence)


@pytest.mark.parametrize("comment", [seal(version=2), seal()[:-1], seal("dirty"), b"lfbuild "])
def test_a_seal_of_a_later_format_or_a_damaged_one_is_refused(probe: Probe, tmp_path: Path, comment: bytes) -> None:
    path = write_by_hand(tmp_path / "later.llamafile", MODEL, end=EndRecord(comment=comment))

    sentence = f"its seal is damaged, or of a later lfbuild than this program; run: lfbuild verify {path}"
    assert_refused(open_whole(probe, path), path, sentence)


@pytest.mark.parametrize("comment", [b"", b"redo ", b"lfbuilder", b"x" * 98])
def test_other_comments_mean_nothing(probe: Probe, tmp_path: Path, comment: bytes) -> None:
    path = write_by_hand(tmp_path / "foreign.llamafile", MODEL, end=EndRecord(comment=comment))

    assert open_whole(probe, path).stdout == f"16 {TEXT}\n"


@pytest.mark.parametrize("seed", range(4))
def test_random_damage_never_crashes_the_reader(probe: Probe, tmp_path: Path, seed: int) -> None:
    """Under the sanitizers: whatever the bytes, an answer or one sentence."""
    chance = random.Random(seed)  # noqa: S311 - not a secret, a way to repeat a failure
    path = tmp_path / "fuzz.llamafile"
    whole = write_by_hand(path, MODEL, Record(name=b".args", data=b"cli ..."), align_bytes=64).read_bytes()
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(chance.randrange(1, 6)):
            damaged[chance.randrange(len(damaged))] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        if chance.random() < 0.2:
            del damaged[chance.randrange(len(damaged)) :]
        path.write_bytes(damaged)

        opened = open_whole(probe, path)
        arguments = probe("args", "-x", LFBUILD_FILE=str(path))

        for finished in (opened, arguments):
            assert "Sanitizer" not in finished.stderr
            assert "runtime error" not in finished.stderr
            assert finished.returncode in (0, 1, 3)
            assert finished.stderr.count("\n") <= 1
