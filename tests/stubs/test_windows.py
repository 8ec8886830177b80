"""The layer's Windows half, compiled by zig and run by wine: a member behaves there as it does elsewhere."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.stubs.conftest import STUBS, WINDOWS, compile_program, runner
from tests.stubs.containers import HEAD, MODEL, EndRecord, Record, seal, write_by_hand, write_zip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.stubs.conftest import Probe, Wine

TEXT = MODEL.data.decode()
NOTES = Record(name=b"notes.txt", data=b"behind the weights")
NEGATIVE_SEEK, INVALID_PARAMETER = -131, -87


# Upstream's calls of src/llama-mmap.cpp and common/arg.cpp, by which the layer is never named.
UPSTREAM = """
#include <cstdio>
#include <cstring>

int main() {
    FILE * file = ggml_fopen("/zip/model.gguf", "rb");
    HANDLE handle = (HANDLE) _get_osfhandle(_fileno(file));
    LARGE_INTEGER position;
    position.QuadPart = 0;
    SetFilePointerEx(handle, position, &position, FILE_END);
    printf("%lld ", position.QuadPart);
    position.QuadPart = 4;
    SetFilePointerEx(handle, position, NULL, FILE_BEGIN);
    char text[16] = "";
    DWORD got = 0;
    ReadFile(handle, text, 4, &got, NULL);
    HANDLE mapping = CreateFileMappingA(handle, NULL, PAGE_READONLY, 0, 0, NULL);
    void * address = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0);
    std::fclose(file);
    printf("%s %d ", text, memcmp(address, "GGUF the", 8));
    printf("%d %d ", UnmapViewOfFile(address), CloseHandle(mapping));
    int count = 7;
    LPWSTR * words = CommandLineToArgvW(GetCommandLineW(), &count);
    printf("%d %d\\n", words == NULL, count);
}
"""
GGML = '#include <stdio.h>\nextern "C" FILE * ggml_fopen(const char * name, const char * mode);\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Spaces, another alphabet, and a character beyond UTF-16's first plane."""
    made = tmp_path / "мои модели 🦙"
    made.mkdir()
    return made


@pytest.fixture
def container(folder: Path) -> Path:
    return write_by_hand(folder / "tiny one.llamafile", MODEL, NOTES, end=EndRecord(comment=seal()))


def answer(*lines: object) -> str:
    return "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize(
    ("operations", "lines"),
    [
        (["seek:0:2", "tell"], [0, "16 16"]),
        (["seek:5:0", "read:1:3", "seek:-3:1", "tell", "read:1:3"], [0, "3 the", 0, "5 5", "3 the"]),
        (["seek:-7:2", "read:1:100", "eof", "tell"], [0, "7 weights", 1, "16 16"]),
        (["seek:-1:0", "seek:9223372036854775807:0", "tell"], [-1, -1, "0 0"]),
    ],
)
def test_a_stream_begins_and_ends_with_the_member(
    windows_probe: Probe, container: Path, operations: list[str], lines: list[object]
) -> None:
    finished = windows_probe("stream", f"{container}@model.gguf", *operations)

    assert (finished.stdout, finished.stderr) == (answer(*lines), "")


@pytest.mark.parametrize(
    ("operations", "lines"),
    [
        (["seek:0:2", "seek:0:1", "read:9"], [16, 16, "1 0 "]),
        (["seek:5:0", "read:3", "seek:0:1", "seek:-3:1", "read:3"], [5, "1 3 the", 8, 5, "1 3 the"]),
        (["seek:-7:2", "read:100", "read:1", "seek:0:1"], [9, "1 7 weights", "1 0 ", 16]),
        (["seek:100:0", "read:1"], [100, "1 0 "]),
        (["seek:-1:0", "seek:-17:2", "seek:0:3"], [NEGATIVE_SEEK, NEGATIVE_SEEK, INVALID_PARAMETER]),
        (["seek:9223372036854775807:0", "read:4"], [INVALID_PARAMETER, "1 4 GGUF"]),
    ],
)
def test_the_handle_below_a_stream_begins_and_ends_with_the_member_too(
    windows_probe: Probe, container: Path, operations: list[str], lines: list[object]
) -> None:
    finished = windows_probe("handle", f"{container}@model.gguf", *operations)

    assert (finished.stdout, finished.stderr) == (answer(*lines), "")


def test_a_plain_model_is_read_and_mapped_as_it_is(windows_probe: Probe, folder: Path) -> None:
    plain = folder / "plain.gguf"
    plain.write_bytes(MODEL.data)

    assert windows_probe("handle", plain, "seek:-7:2", "read:100").stdout == answer(9, "1 7 weights")
    assert windows_probe("map", plain).stdout == answer("mapped 0", TEXT)


@pytest.mark.parametrize("skew_bytes", [0, 32, 4096, 65504])
def test_the_weights_are_mapped_in_place(windows_probe: Probe, folder: Path, skew_bytes: int) -> None:
    foreign = write_by_hand(folder / "foreign.zip", MODEL, NOTES, skew_bytes=skew_bytes)

    finished = windows_probe("map", foreign)

    assert (finished.stdout, finished.stderr) == (answer(f"mapped {skew_bytes}", TEXT), "")


def test_weights_at_an_odd_byte_are_copied_with_a_warning(windows_probe: Probe, folder: Path) -> None:
    foreign = write_by_hand(folder / "foreign.zip", MODEL, NOTES, skew_bytes=7)

    finished = windows_probe("map", foreign)

    assert finished.stdout == answer("copied 0", TEXT)
    assert finished.stderr == (
        f"{foreign}: warning: the weights begin at byte 65543, which is not a multiple of 32, so they are copied into "
        "memory instead of mapped; pack the file again with lfbuild\n"
    )


def test_zip_is_the_file_that_a_launcher_names(windows_probe: Probe, container: Path) -> None:
    finished = windows_probe("stream", "/zip/model.gguf", "read:1:100", LFBUILD_FILE=str(container))

    assert finished.stdout == answer(f"16 {TEXT}")


def test_upstreams_own_calls_come_to_the_layer(
    zig: str, wine: Wine, windows_layer: list[Path], container: Path, tmp_path: Path
) -> None:
    source = tmp_path / "upstream.cpp"
    source.write_text(UPSTREAM)
    (tmp_path / "ggml.h").write_text(GGML)
    forced = [word for name in ("redirect_mmap.h", "redirect_argv.h") for word in ("-include", str(STUBS / name))]
    options = ["c++", *WINDOWS, "-std=c++17", f"-I{tmp_path}", *forced, "-c"]
    upstream = compile_program(zig, tmp_path / "upstream.obj", [source], *options)
    # Linked as C: zig would compile its whole C++ library first.
    program = compile_program(zig, tmp_path / "upstream.exe", [upstream, *windows_layer], "cc", *WINDOWS, "-lshell32")

    finished = runner(wine.program, program, **wine.environment)(LFBUILD_FILE=str(container))

    assert (finished.stdout, finished.stderr) == ("16  the 0 1 1 1 0\n", "")


def test_zip_is_else_the_program_itself(wine: Wine, windows_probe_path: Path, folder: Path) -> None:
    packed = write_by_hand(folder / "packed.exe", MODEL, head=windows_probe_path.read_bytes())

    finished = runner(wine.program, packed, **wine.environment)("map", "/zip/model.gguf")

    assert finished.stdout == answer("mapped 0", TEXT)


def test_a_missing_file_is_left_to_llama_cpp(windows_probe: Probe, folder: Path) -> None:
    for name in ("nothing.gguf", "nothing.llamafile@model.gguf", "nowhere/model.gguf"):
        finished = windows_probe("stream", folder / name)
        assert (finished.stdout, finished.stderr) == ("fopen: errno ENOENT\n", "")


def test_a_sentence_names_the_file_as_it_was_given(windows_probe: Probe, folder: Path) -> None:
    cut_off = folder / "cut off.exe"
    cut_off.write_bytes(b"MZ and no more")

    assert windows_probe("stream", cut_off).stderr == (
        f"{cut_off}: there is no ZIP directory at the end of this file, so it is cut off or not a llamafile; "
        "get the file again\n"
    )


def test_arguments_and_variables_may_be_in_any_alphabet(windows_probe: Probe, folder: Path) -> None:
    packed = write_zip(folder / "args.llamafile", {".args": "cli -m $MODEL -p 'grüß dich'".encode()})

    finished = windows_probe("args", "-f", "запрос 🦙.txt", "", LFBUILD_FILE=str(packed), MODEL="модель.gguf")

    words = finished.stdout.split("\0")[1:-1]
    assert words == ["cli", "-m", "модель.gguf", "-p", "grüß dich", "-f", "запрос 🦙.txt", ""]


def test_default_arguments_can_be_left_out(windows_probe: Probe, folder: Path) -> None:
    packed = write_zip(folder / "args.llamafile", {".args": b"cli -c 1"})

    finished = windows_probe("args", "-p", "hi", LFBUILD_FILE=str(packed), LFBUILD_NO_ARGS="1")

    assert finished.stdout.split("\0")[1:-1] == ["-p", "hi"]


@pytest.fixture
def holding(request: pytest.FixtureRequest, wine: Wine, windows_probe_path: Path, container: Path) -> Iterator[Path]:
    command = [wine.program, windows_probe_path, *request.param]
    command[3:3] = [f"{container}@model.gguf" if "hold" in request.param else str(container)]
    pipe, environment = subprocess.PIPE, wine.environment
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as run:
        assert run.stdout is not None
        assert run.stdout.readline() in {"held\n", "locked\n"}
        yield container
        run.communicate()


@pytest.mark.parametrize("holding", [("hold", "open"), ("hold", "map")], indirect=True)
def test_weights_in_use_are_not_updated_but_read_by_others(windows_probe: Probe, holding: Path) -> None:
    assert windows_probe("update", holding).stdout == "busy\n"
    assert windows_probe("stream", holding, "read:1:100").stdout == answer(f"16 {TEXT}")


def test_the_lock_is_given_back(windows_probe: Probe, container: Path) -> None:
    windows_probe("map", container)

    assert windows_probe("update", container).stdout == "locked\n"


@pytest.mark.parametrize("holding", [("update",)], indirect=True)
def test_a_file_that_is_being_updated_is_refused(windows_probe: Probe, holding: Path) -> None:
    finished = windows_probe("stream", holding)

    assert finished.stderr == f"{holding}: an update of this file is under way; try again when it has finished\n"
    assert finished.returncode == 3
    assert holding.read_bytes().startswith(HEAD)  # the lock covers no byte that the file has


def test_a_file_in_use_can_be_moved_aside(windows_probe: Probe, tmp_path: Path) -> None:
    container = write_by_hand(tmp_path / "tiny.llamafile", MODEL)

    assert windows_probe("moved", container).stdout == f"{TEXT}\n"
    assert not container.exists()


def test_a_model_larger_than_four_gigabytes_keeps_its_place(windows_probe: Probe, folder: Path) -> None:
    """The container is sparse: most of the member was never written."""
    size = 5 << 30
    record = Record(name=b"model.gguf", data=b"", size_bytes=size, packed_size_bytes=size)
    path = write_by_hand(folder / "large.llamafile", record)
    near = path.read_bytes()
    data, end = near.index(b"PK\1\2"), near.index(b"PK\6\6")
    moved = EndRecord(directory_offset=data + size, zip64_offset=end + size)
    far = write_by_hand(path, record, end=moved).read_bytes()
    with path.open("r+b") as file:
        file.truncate(data)
        file.seek(data + size - 4)
        file.write(b"last" + far[data:])

    finished = windows_probe("handle", path, "seek:-4:2", "read:9")

    assert finished.stdout == answer(size - 4, "1 4 last")
