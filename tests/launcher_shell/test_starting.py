"""A head is started from everywhere, and the launcher gets what the user gave."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
from tests.launcher_shell.world import FORMS, SHELLS, World, host_target, needs
from tests.world.programs import tiny_launchers

from lfbuild.formats.head import HEAD_BYTES, HeadForm, make_head

NAMES = ["two words", "grüße-日本", "-dash", "quote'\"", "$HOME `x` \\n *", "new\nline", "%s"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_starts_it(world: World, shell: str, form: HeadForm) -> None:
    needs(shell)
    file = world.write(form)

    started = world.start(*SHELLS[shell], "-c", "./chat one 'two words'")

    assert started.file == str(file)
    assert started.program == str(world.cache / world.name)
    assert started.words == ("one", "two words")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_finds_it_on_the_search_path(world: World, shell: str, form: HeadForm) -> None:
    needs(shell)
    file = world.write(form)
    path = f"{file.parent}:{world.environment['PATH']}"

    assert world.start(*SHELLS[shell], "-c", "cd /; chat", PATH=path).file == str(file)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shell", sorted(SHELLS.keys() - {"fish"}))
@pytest.mark.parametrize("way", ["chat", "./chat", "sub/../chat", "link", "link-to-link"])
def test_each_shell_reads_it_as_a_script(world: World, shell: str, form: HeadForm, way: str) -> None:
    needs(shell)
    world.write(form)
    (world.folder / "sub").mkdir()
    (world.folder / "link").symlink_to("chat")
    (world.folder / "link-to-link").symlink_to("link")

    started = world.start(*SHELLS[shell], way, "word")

    assert Path(started.file).is_absolute()
    assert Path(started.file).samefile(world.folder / "chat")
    assert started.words == ("word",)


def test_bash_reads_it_as_a_script_from_the_search_path(world: World) -> None:
    needs("bash")
    file = world.write()

    assert world.start("bash", "-c", "cd / && bash chat", PATH=f"{file.parent}:/usr/bin:/bin").file == str(file)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_any_name_will_do(world: World, form: HeadForm, name: str) -> None:
    file = world.write(form, name=name)

    assert world.start("sh", "--", name).file == str(file)
    assert world.start("sh", "-c", '"./$1"', "sh", name).file == str(file)
    assert world.start("sh", "-c", '"$1"', "sh", file).file == str(file)


def test_a_folder_of_any_name_will_do(world: World) -> None:
    (world.folder / "a 'ü'\n$x").mkdir()
    file = world.write(name="a 'ü'\n$x/chat")

    started = world.start("sh", "-c", 'cd "$1" && ./chat', "sh", file.parent, HOME=str(file.parent))

    assert started.file == str(file)
    assert Path(started.program).parent == file.parent / ".cache/lfbuild"


@pytest.mark.parametrize("way", ["plain", "env -i", "find -exec"])
def test_a_script_is_started_without_any_shell(world: World, way: str) -> None:
    file = world.write("script")
    command = {
        "plain": [str(file)],
        "env -i": ["env", "-i", f"HOME={world.folder / 'home'}", str(file)],
        "find -exec": ["find", str(file), "-exec", "{}", ";"],
    }

    assert world.start(*command[way]).file == str(file)


def test_an_elf_head_is_the_launcher_itself(world: World) -> None:
    file = world.folder / "chat"
    file.write_bytes(make_head("elf", {host_target(): world.launcher}))
    file.chmod(0o755)

    started = world.start(file, "word")

    assert (started.file, started.program, started.words) == ("", str(file), ("word",))


@pytest.mark.parametrize("form", FORMS)
def test_words_arrive_as_they_were_given(world: World, form: HeadForm) -> None:
    words = ("", " two  words ", "new\nline", "*", "$HOME", "`id`", "\\n", "-n", "--", "ü", "'\"")

    assert world.start("sh", world.write(form), *words).words == words


@pytest.mark.parametrize("form", FORMS)
def test_exit_code_and_streams_are_those_of_the_launcher(world: World, form: HeadForm) -> None:
    file = world.write(form)

    assert world.run("sh", file, "--exit", "41").returncode == 41
    assert world.run("sh", file, "--copy", stdin=b"\0stdin\n").stdout == b"\0stdin\n"
    assert world.run("sh", file, "--raise").returncode == -signal.SIGTERM


def test_the_launcher_has_the_process_that_the_shell_had(world: World) -> None:
    file = world.write()
    with subprocess.Popen(
        [file, "--copy"], env=world.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"x" * 65536)  # the stand-in's buffer is full, so it writes: it runs
        assert process.stdout.read(1) == b"x"
        assert Path(f"/proc/{process.pid}/exe").readlink() == world.cache / world.name
        process.terminate()
        assert process.wait() == -signal.SIGTERM


@pytest.mark.parametrize("shell", sorted(SHELLS.keys() - {"fish"}))
def test_the_environment_is_what_the_user_had(world: World, shell: str) -> None:
    needs(shell)
    file = world.write()
    given = {"d": "1", "IFS": "/x", "CDPATH": "/:/tmp", "LFBUILD_FILE": "/another", "TMPDIR": "", "X": "a\nb"}

    said = world.run(*SHELLS[shell], file, "--environment", **given)

    found = dict(line.split("=", 1) for line in said.stdout.decode().split("\0")[:-1])
    own = {"PWD", "OLDPWD", "SHLVL", "_", "LOGNAME", "IFS"}  # shells set some of these, or ignore what they were given
    expected = {**world.environment, **given, "LFBUILD_FILE": str(file)}
    assert {name: found.get(name) for name in (found.keys() | expected.keys()) - own} == {
        name: value for name, value in expected.items() if name not in own
    }


def test_options_that_bash_takes_from_outside_do_not_matter(world: World) -> None:
    needs("bash")
    file = world.write()

    started = world.start("bash", "--posix", file, SHELLOPTS="errexit:nounset:noclobber:noglob:posix")

    assert started.file == str(file)


@pytest.mark.parametrize("form", FORMS)
def test_another_machine_is_told_what_the_file_has(world: World, form: HeadForm) -> None:
    file = world.write(form)
    (world.folder / "uname").write_text("#!/bin/sh\necho Linux riscv64\n")
    (world.folder / "uname").chmod(0o755)
    targets = " ".join(target for target in tiny_launchers() if form == "polyglot" or "windows" not in target)

    finished = world.run("sh", file, PATH=f"{world.folder}:{world.environment['PATH']}")

    assert finished.returncode == 1
    assert finished.stdout == b""
    assert finished.stderr.decode() == f"{file}: this file is for {targets}; this machine is Linux riscv64\n"


def test_a_head_for_windows_alone_says_so_to_a_shell(world: World) -> None:
    file = world.folder / "chat.exe"
    file.write_bytes(make_head("polyglot", {"windows-x86_64": tiny_launchers()["windows-x86_64"]}))

    finished = world.run("sh", file)

    machine = subprocess.run(["uname", "-sm"], capture_output=True, text=True, check=True).stdout.strip()
    assert finished.returncode == 1
    assert finished.stderr.decode() == f"{file}: this file is for windows-x86_64; this machine is {machine}\n"


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_is_cut_off_or_damaged_is_not_started(world: World, form: HeadForm) -> None:
    file = world.write(form)
    world.start("sh", file)  # a good copy is already placed
    whole = file.read_bytes()
    at = whole.index(world.launcher)
    sentence = f"{file}: its launcher is damaged, or there is no sha256sum to check it; get the file again\n"

    for damaged in (whole[: at + 100], whole[: at + 100] + b"\1" + whole[at + 101 : HEAD_BYTES]):
        assert damaged != whole
        file.write_bytes(damaged)
        finished = world.run("sh", file)
        assert (finished.returncode, finished.stdout, finished.stderr.decode()) == (1, b"", sentence)
