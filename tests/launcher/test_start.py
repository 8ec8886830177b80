"""An engine that a launcher starts cannot tell that there was one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from tests.launcher.conftest import World, answer, assert_refused, start

from lfbuild.formats.zip import STORED


def test_the_engine_gets_the_arguments_as_they_are_and_its_exit_code_is_the_files(world: World) -> None:
    path = world.write()

    result = world.start(path, "-p", "two words", "", "'\"\\", "--lf-info", "exit=7")

    assert result.stdout == answer(path, "-p", "two words", "", "'\"\\", "--lf-info", "exit=7")
    assert (result.stderr, result.returncode) == ("", 7)


def test_the_second_start_uses_what_the_first_one_placed(world: World) -> None:
    path = world.write()

    world.start(path)
    first = world.placed.stat()
    assert world.start(path).stdout == answer(path)

    assert world.placed.stat() == first
    assert (world.cache.stat().st_mode & 0o777, first.st_mode & 0o777) == (0o700, 0o700)
    assert world.in_cache() == [world.placed.name]


def test_a_stored_engine_starts_as_a_compressed_one_does(world: World) -> None:
    path = world.write(engines=(replace(world.engine, method=STORED),))

    assert world.start(path).stdout == answer(path)


@pytest.mark.parametrize("weights_bytes", [1 << 20, (4 << 30) + 12345])
def test_an_engine_behind_the_weights_is_found(world: World, weights_bytes: int) -> None:
    path = world.write(weights_first_bytes=weights_bytes)

    assert world.start(path).stdout == answer(path)


def test_stdin_and_stdout_go_through_byte_by_byte(world: World) -> None:
    text = "".join(chr(number) for number in range(0x20, 0x700)) * 100

    assert start(world.write(), "copy", stdin=text, variables={"LFBUILD_CACHE_DIR": world.cache}).stdout == text


def test_an_engine_that_dies_of_a_signal_takes_the_file_with_it(world: World) -> None:
    assert world.start(world.write(), f"signal={signal.SIGTERM.value}").returncode == -signal.SIGTERM


def test_a_signal_for_the_file_reaches_the_engine(world: World) -> None:
    environment = {"LFBUILD_CACHE_DIR": str(world.cache), "ASAN_OPTIONS": "detect_leaks=0"}
    with subprocess.Popen([world.write(), "wait"], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "no-args -\n":
            pass
        # Not SIGINT: where the tests themselves run in the background it is ignored, and the engine inherits that.
        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=60) == -signal.SIGTERM


@pytest.mark.parametrize("name", ["with space.lf", "Modell für 模型.lf", "'quoted' \"twice\".lf", "line\nbreak.lf"])
def test_the_file_may_have_any_name(world: World, name: str) -> None:
    path = world.write(name)

    assert world.start(path).stdout == answer(path)


def test_a_name_that_is_no_utf_8_is_passed_on_byte_by_byte(world: World) -> None:
    path = world.write(os.fsdecode(b"latin-\xe9.lf"))

    assert world.start(path).stdout == answer(path)


def test_a_file_that_was_moved_starts_and_places_nothing_new(world: World) -> None:
    world.start(world.write())
    (world.folder / "elsewhere").mkdir()
    moved = shutil.move(world.folder / "tiny.lf", world.folder / "elsewhere" / "other name")

    assert world.start(moved).stdout == answer(moved)
    assert world.in_cache() == [world.placed.name]


def test_a_link_starts_the_file_it_leads_to(world: World) -> None:
    path, link = world.write(), world.folder / "link"
    link.symlink_to(path)

    assert world.start(link).stdout == answer(path, argv0=link)


def test_argv_0_is_what_the_user_typed(world: World) -> None:
    path = world.write()

    relative = start("./tiny.lf", cwd=world.folder, variables={"LFBUILD_CACHE_DIR": world.cache})
    found = start(
        "sh",
        "-c",
        "tiny.lf",
        variables={"LFBUILD_CACHE_DIR": world.cache, "PATH": f"{world.folder}:{os.environ['PATH']}"},
    )

    assert relative.stdout == answer(path, argv0="./tiny.lf")
    assert found.stdout == answer(path, argv0="tiny.lf")


def test_a_placed_launcher_takes_the_file_that_the_shell_named(world: World) -> None:
    path, placed = world.write(), world.folder / "placed"
    placed.write_bytes(world.head)
    placed.chmod(0o700)

    absolute = world.start(placed, "x", LFBUILD_FILE=path)
    relative = start(
        placed, cwd=world.folder, variables={"LFBUILD_FILE": "./tiny.lf", "LFBUILD_CACHE_DIR": world.cache}
    )

    assert absolute.stdout == answer(path, "x")
    assert relative.stdout == answer(path)


def test_a_file_that_another_files_engine_starts_is_its_own_file(world: World) -> None:
    path, other = world.write(), world.write("other.lf")

    assert world.start(path, LFBUILD_FILE=other).stdout == answer(path)


def test_a_launcher_without_a_file_says_so(world: World) -> None:
    placed = world.folder / "placed"
    placed.write_bytes(world.head)
    placed.chmod(0o700)

    assert_refused(
        world.start(placed, LFBUILD_FILE=world.folder / "gone"),
        f"{world.folder}/gone: it cannot be opened (No such file or directory); check LFBUILD_FILE",
    )


def test_the_engine_is_told_to_leave_out_its_default_arguments(world: World) -> None:
    path = world.write()

    assert world.start(path, "--lf-no-args", "-m", "x").stdout == answer(path, "-m", "x", no_args="1")
    assert world.start(path, "--lf-no-args").stdout == answer(path, no_args="1")


def test_weights_beside_the_file_are_what_the_engine_reads(world: World) -> None:
    path, beside = world.write(members={".lfbuild/file": b"weights.llamafile\n"}), world.folder / "weights.llamafile"
    beside.touch()

    assert world.start(path).stdout == answer(beside, argv0=path)


def test_weights_stand_beside_the_file_that_a_link_leads_to(world: World) -> None:
    """On Linux only a file that a shell names is reached by a link at all; on Windows every program may be."""
    path, beside = world.write(members={".lfbuild/file": b"weights.llamafile\n"}), world.folder / "weights.llamafile"
    beside.touch()
    placed, link = world.folder / "placed", world.folder / "elsewhere" / "link"
    placed.write_bytes(world.head)
    placed.chmod(0o700)
    link.parent.mkdir()
    link.symlink_to(path)

    assert world.start(placed, LFBUILD_FILE=link).stdout == answer(beside, argv0=link)


def test_weights_that_are_not_beside_the_file_are_named(world: World) -> None:
    path = world.write(members={".lfbuild/file": b"weights.llamafile\n"})

    assert_refused(
        world.start(path),
        f"{path}: its weights are in a file of their own, 'weights.llamafile', which must stand beside it; get that "
        "file too, into the same folder",
    )


@pytest.mark.parametrize("name", [b"", b"\n", b"../up\n", b"/etc/passwd\n", b"a\\b\n", b"c:x\n", b"..\n"])
def test_only_a_bare_name_can_stand_beside_the_file(world: World, name: bytes) -> None:
    path = world.write(members={".lfbuild/file": name})

    assert_refused(
        world.start(path),
        f"{path}: its member '.lfbuild/file' is damaged (it holds no name of a file); get the file again",
    )


def test_an_empty_environment_is_enough(world: World) -> None:
    path = world.write()
    shared = [Path(f"{parent}/lfbuild-{os.geteuid()}") for parent in ("/dev/shm", "/tmp")]  # noqa: S108  # the launcher's
    before = [folder for folder in shared if folder.exists()]
    try:
        assert start(path).stdout == answer(path)
    finally:
        for folder in shared:
            (folder / world.placed.name).unlink(missing_ok=True)
            if folder not in before:
                with contextlib.suppress(FileNotFoundError):
                    folder.rmdir()


def test_read_only_media_are_no_obstacle(world: World, namespace: list[str]) -> None:
    media = world.folder / "media"
    media.mkdir()
    path = world.write("media/tiny.lf")
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$0/tiny.lf"'

    result = world.start(namespace[0], *namespace[1:], "sh", "-c", script, str(media))

    assert result.stdout == answer(path)


def test_a_file_that_is_updated_is_not_started(world: World) -> None:
    path = world.write()
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        result = world.start(path)

    assert_refused(result, f"{path}: an update of this file is under way; try again when it has finished")


def test_an_engine_that_is_no_program_is_told(world: World) -> None:
    path = world.write(engines=(replace(world.engine, program=b"no program at all"),))

    assert_refused(
        world.start(path),
        f"{path}: its engine for {world.engine.target} does not start on this machine (Exec format error); run: "
        f"lfbuild verify {path}",
    )


def test_nothing_that_the_launcher_opened_is_open_in_the_engine(world: World) -> None:
    assert world.start(world.write(), "descriptors").stdout == "0\n1\n2\n"
