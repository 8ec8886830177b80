"""What a file can say and do without an engine: its own flags, as first argument only."""

from __future__ import annotations

import errno
import subprocess
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.launcher.conftest import TARGET, World, answer, assert_refused, start, whole
from tests.launcher.files import change, find_data
from tests.stubs.conftest import STUBS, compile_program, find_compiler

from lfbuild.formats.slices import SLICES_NAME

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = b"GGUF" + bytes(range(256)) * 2000


def test_info_tells_release_head_engines_and_the_one_for_this_machine(world: World) -> None:
    other = replace(world.engine, target="windows-x86_64", cpus="x86-64-v4,x86-64-v2", method=0, program=b"MZ")
    path = world.write(engines=(world.engine, other))
    mine, yours = world.engine.slice(), other.slice()

    result = world.start(path, "--lf-info")

    manifest = result.stdout.splitlines()[3].removeprefix("manifest ")
    assert len(manifest) == 64
    assert result.stdout == (
        f"file     {path}\n"
        'release  tiny "quoted" 1.0\n'
        "head     launcher elf\n"
        f"manifest {manifest}\n"
        f"engine   {TARGET} {world.engine.cpus} deflated {mine.stored_size} {mine.decoded_size} {mine.digest}\n"
        f"engine   windows-x86_64 x86-64-v4,x86-64-v2 stored 2 2 {yours.digest}\n"
        f"here     {TARGET} {mine.member}\n"
    )
    assert (result.returncode, world.in_cache()) == (0, [])


def test_info_of_a_file_for_other_machines_ends_with_the_sentence(world: World) -> None:
    path = world.write(engines=(replace(world.engine, target="windows-x86_64"),))

    result = world.start(path, "--lf-info")

    assert result.stderr == (
        f"{path}: it holds no engine for {TARGET}, only for windows-x86_64; get a file that holds one\n"
    )
    assert (result.returncode, result.stdout.count("\n")) == (1, 5)


def test_control_characters_in_a_name_do_not_reach_the_terminal(world: World) -> None:
    path = world.write(spoil_manifest=lambda data: data.replace(b"tiny", b"\x1b[2J"))

    assert "\nrelease  ?[2J" in world.start(path, "--lf-info").stdout


def test_a_whole_file_verifies(world: World) -> None:
    path = world.write(members={"model.gguf": WEIGHTS})

    result = world.start(path, "--lf-verify")

    assert (result.stdout, result.stderr) == (whole(path, members=4), "")


def test_verify_names_each_member_that_is_damaged(world: World) -> None:
    path = world.write(members={"model.gguf": WEIGHTS, "\x1bx": b"more"})
    for name in ("model.gguf", "\x1bx"):
        change(path, find_data(path, name) + 3, 0)

    result = world.start(path, "--lf-verify")

    assert result.stderr == (
        f"{path}: the member 'model.gguf' is damaged (its CRC-32 is not the promised one); get the file again\n"
        f"{path}: the member '?x' is damaged (its CRC-32 is not the promised one); get the file again\n"
    )
    assert (result.stdout, result.returncode) == ("", 1)


def test_verify_finds_an_engine_for_another_machine_that_is_damaged(world: World) -> None:
    other = replace(world.engine, target="windows-x86_64", method=0)
    path = world.write(engines=(world.engine, other))
    change(path, find_data(path, other.member), 0)

    result = world.start(path, "--lf-verify")

    assert result.stderr == (
        f"{path}: the member '.lfbuild/engine/windows-x86_64' is damaged (its CRC-32 is not the promised one); get the "
        "file again\n"
        f"{path}: its engine for windows-x86_64 is damaged (its CRC-32 is not the promised one); get the file again\n"
    )


def extracted(world: World, *words: str, folder: Path) -> tuple[str, int]:
    folder.mkdir(exist_ok=True)
    result = start(
        world.folder / "tiny.lf", "--lf-extract", *words, cwd=folder, variables={"LFBUILD_CACHE_DIR": world.cache}
    )
    assert result.stdout == ""
    return result.stderr, result.returncode


def test_a_member_is_extracted_into_the_folder_one_is_in(world: World, tmp_path: Path) -> None:
    world.write(members={"models/model.gguf": WEIGHTS})

    assert extracted(world, "models/model.gguf", folder=tmp_path / "here") == ("", 0)
    assert extracted(world, world.engine.member, folder=tmp_path / "here") == ("", 0)

    assert (tmp_path / "here" / "model.gguf").read_bytes() == WEIGHTS
    assert (tmp_path / "here" / TARGET).read_bytes() == world.engine.program


def test_a_member_is_written_to_stdout_when_asked(world: World) -> None:
    path = world.write()

    assert world.start(path, "--lf-extract", SLICES_NAME, "-").stdout.startswith(f"lfbuild-slices 1\nslice {TARGET} ")


def test_nothing_is_extracted_over_a_file_that_is_there(world: World, tmp_path: Path) -> None:
    path = world.write(members={"model.gguf": WEIGHTS})
    here = tmp_path / "here"
    here.mkdir()
    (here / "model.gguf").write_text("mine")

    assert extracted(world, "model.gguf", folder=here) == (
        f"{path}: the member 'model.gguf' cannot be extracted (a file of that name is there already)\n",
        1,
    )
    assert (here / "model.gguf").read_text() == "mine"


def test_what_an_interrupted_extraction_left_is_named(world: World, tmp_path: Path) -> None:
    path = world.write(members={"model.gguf": WEIGHTS})
    here = tmp_path / "here"
    here.mkdir()
    (here / "model.gguf.part").write_text("mine")

    sentence = (
        f"{path}: the member 'model.gguf' cannot be extracted ('model.gguf.part' is there, of an extraction that was "
        "interrupted or still runs); remove it and try again\n"
    )
    assert extracted(world, "model.gguf", folder=here) == (sentence, 1)
    assert [(left.name, left.read_text()) for left in here.iterdir()] == [("model.gguf.part", "mine")]


@pytest.mark.parametrize("flag", ["--lf-info", "--lf-verify", "--lf-cache-dir"])
def test_what_could_not_be_told_is_no_success(world: World, flag: str) -> None:
    path = world.write()

    result = world.start("sh", "-c", f'"$0" {flag} >/dev/full', str(path))

    sentence = f"{path}: what was to be told could not be written; see where its output goes\n"
    assert (result.stderr, result.returncode) == (sentence, 1)


def test_a_full_disk_is_told_as_such_and_nothing_stays(world: World, tmp_path: Path, namespace: list[str]) -> None:
    path = world.write(members={"model.gguf": WEIGHTS})
    here = tmp_path / "here"
    here.mkdir()
    script = 'mount -t tmpfs -o size=65536 none "$1" && cd "$1" && "$0" --lf-extract model.gguf; ls -A "$1"'
    sentence = f"{path}: the member 'model.gguf' cannot be extracted (No space left on device)\n"

    to_file = world.start(namespace[0], *namespace[1:], "sh", "-c", script, str(path), str(here))
    to_stdout = world.start("sh", "-c", '"$0" --lf-extract model.gguf - >/dev/full', str(path))

    assert (to_file.stderr, to_file.stdout) == (sentence, "")
    assert (to_stdout.stderr, to_stdout.returncode) == (sentence, 1)


# Another program that makes a file of that name has made it first; and then there is a file system without hard links.
RENAME = """
#include <errno.h>
#include "launcher/system.h"
#if defined(link)
int link(const char *old_path, const char *new_path) {
    (void)old_path, (void)new_path;
    errno = EPERM;
    return -1;
}
#endif
int main(int argc, char **argv) {
    (void)argc;
    return lfbuild_system_rename(argv[1], argv[2]) ? 0 : errno;
}
"""


@pytest.mark.parametrize("links", [(), ("-Dlink=no_link",)], ids=["hard links", "no hard links"])
def test_a_finished_file_takes_no_name_that_is_taken(tmp_path: Path, links: tuple[str, ...]) -> None:
    main, part, target = tmp_path / "main.c", tmp_path / "x.part", tmp_path / "x"
    main.write_text(RENAME)
    sources = [main, *(STUBS / name for name in ("launcher/system_posix.c", "platform_posix.c"))]
    program = compile_program(find_compiler("gcc"), tmp_path / "rename", sources, "-std=c11", *links)
    part.write_text("new")

    renamed = subprocess.run([program, part, target], check=False).returncode
    left = [path.name for path in tmp_path.glob("x*")]
    part.write_text("newer")
    refused = subprocess.run([program, part, target], check=False).returncode

    assert (renamed, left, refused) == (0, ["x"], errno.EEXIST)
    assert (target.read_text(), part.read_text()) == ("new", "newer")


def test_a_damaged_member_leaves_no_file(world: World, tmp_path: Path) -> None:
    path = world.write(members={"model.gguf": WEIGHTS})
    change(path, find_data(path, "model.gguf") + 100_000, 1)

    assert extracted(world, "model.gguf", folder=tmp_path / "here") == (
        f"{path}: the member 'model.gguf' cannot be extracted (its CRC-32 is not the promised one)\n",
        1,
    )
    assert list((tmp_path / "here").iterdir()) == []


def test_a_member_that_is_not_there_and_a_name_that_is_none_are_told(world: World, tmp_path: Path) -> None:
    path = world.write(members={"folder/..": b"x", "folder/": b"x", "c:x": b"x"})

    for name in ("folder/..", "folder/", "c:x"):
        assert extracted(world, name, folder=tmp_path / "here") == (
            f"{path}: the member '{name}' cannot be extracted (its name is no name of a file)\n",
            1,
        )
    assert_refused(world.start(path, "--lf-extract", "gone"), f"{path}: there is no member 'gone' in this file")


def test_flags_that_are_used_wrongly_are_told_how(world: World) -> None:
    path = world.write()

    for words, usage in [
        (["--lf-info", "x"], "--lf-info"),
        (["--lf-extract"], "--lf-extract NAME [-]"),
        (["--lf-extract", "a", "b"], "--lf-extract NAME [-]"),
        (["--lf-cache-dir", "x"], "--lf-cache-dir"),
    ]:
        assert_refused(world.start(path, *words), f"{path}: {words[0]} is used like this: {usage}")
    assert_refused(
        world.start(path, "--lf-inform"),
        f"{path}: there is no --lf-inform, only --lf-info, --lf-verify, --lf-extract, --lf-cache-dir and --lf-no-args",
    )


def test_a_flag_that_is_not_the_first_argument_is_the_engines(world: World) -> None:
    path = world.write()

    assert world.start(path, "-p", "--lf-verify").stdout == answer(path, "-p", "--lf-verify")


def test_crc_32_of_every_length_is_zlibs(world: World, tmp_path: Path) -> None:
    """The launcher counts eight bytes at a time, and the rest one by one."""
    members = {f"m{size}": bytes(range(size)) for size in range(40)}
    assert len({zlib.crc32(data) for data in members.values()}) == 40
    path = world.write(members=members)

    assert world.start(path, "--lf-verify").stdout == whole(path, members=43)
