"""The launcher is placed once, where only its user can write, and compared with the file each time it is started."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.launcher_shell.world import FORMS, World, needs

if TYPE_CHECKING:
    from collections.abc import Callable

    from lfbuild.formats.head import HeadForm

EVIL = b"#!/bin/sh\necho evil\n"
COREUTILS = ("dd", "head", "sha256sum", "ls", "mkdir", "mktemp", "chmod", "mv", "rm", "id", "uname", "sh")


def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("mounts and other people's files need root")


def with_mount(options: str, folder: Path, *command: str | Path) -> list[str]:
    """The command, in a mount namespace of its own where a small file system is mounted over a folder."""
    as_root()
    probe = subprocess.run([needs("unshare"), "-m", "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("mount namespaces are not allowed here")
    script = 'mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@"'
    return ["unshare", "-m", "sh", "-c", script, "sh", options, str(folder), *map(str, command)]


def leftovers(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_it_is_placed_where_nobody_else_can_write(world: World) -> None:
    world.start("sh", "-c", "umask 000; exec ./chat", "sh", world.write())

    placed = world.cache / world.name
    assert placed.read_bytes() == world.launcher
    assert stat.S_IMODE(placed.stat().st_mode) == 0o700
    assert stat.S_IMODE(world.cache.stat().st_mode) == 0o700
    assert leftovers(world.cache) == {world.name}


def test_it_is_placed_once(world: World) -> None:
    file = world.write()
    world.start(file)
    before = (world.cache / world.name).stat()

    world.start(file)

    after = (world.cache / world.name).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        (("LFBUILD_CACHE_DIR", "XDG_CACHE_HOME", "HOME", "TMPDIR", "XDG_RUNTIME_DIR"), "LFBUILD_CACHE_DIR"),
        (("XDG_CACHE_HOME", "HOME", "TMPDIR", "XDG_RUNTIME_DIR"), "XDG_CACHE_HOME/lfbuild"),
        (("HOME", "TMPDIR", "XDG_RUNTIME_DIR"), "HOME/.cache/lfbuild"),
        (("TMPDIR", "XDG_RUNTIME_DIR"), f"TMPDIR/lfbuild-{os.geteuid()}"),
        (("XDG_RUNTIME_DIR",), "XDG_RUNTIME_DIR/lfbuild"),
    ],
)
def test_the_first_directory_that_can_be_used_is_used(world: World, variables: tuple[str, ...], place: str) -> None:
    file = world.write()
    for name in variables:
        (world.folder / name).mkdir()
    given = {"PATH": world.environment["PATH"]} | {name: str(world.folder / name) for name in variables}

    assert World(folder=world.folder, launcher=world.launcher, environment=given).start(file).program == str(
        world.folder / place / world.name
    )


def test_another_users_home_gets_nothing(world: World) -> None:
    """As root with that user's HOME, by sudo."""
    as_root()
    os.chown(world.folder / "home", 12345, 12345)
    (world.folder / "tmp").mkdir()

    started = world.start(world.write(), TMPDIR=str(world.folder / "tmp"))

    assert started.program == str(world.folder / f"tmp/lfbuild-{os.geteuid()}" / world.name)
    assert leftovers(world.folder / "home") == set()


@pytest.mark.parametrize("style", ["relative", "", "+%s", "locale"])
def test_how_the_user_has_ls_show_times_does_not_matter(world: World, style: str) -> None:
    assert world.start(world.write(), TIME_STYLE=style).program == str(world.cache / world.name)


def test_without_any_home_shared_memory_will_do(world: World) -> None:
    file = world.write()
    bare = World(folder=world.folder, launcher=world.launcher, environment={"PATH": world.environment["PATH"]})
    place = Path(f"/dev/shm/lfbuild-{os.geteuid()}")  # noqa: S108 - the directory that is promised
    if not os.access(place.parent, os.W_OK) or place.exists():
        pytest.skip(f"{place} cannot be made here, or is in use")
    try:
        assert bare.start(file).program == str(place / world.name)
    finally:
        shutil.rmtree(place, ignore_errors=True)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda folder: folder.chmod(0o777), id="writable by others"),
        pytest.param(lambda folder: folder.chmod(0o770), id="writable by the group"),
        pytest.param(lambda folder: (folder.rename(f"{folder}-it"), folder.symlink_to(f"{folder}-it")), id="a link"),
        pytest.param(lambda folder: (folder.rmdir(), folder.write_bytes(b"")), id="a file"),
        pytest.param(lambda folder: (as_root(), os.chown(folder, 65534, 65534)), id="somebody else's"),
        pytest.param(lambda folder: (folder.rename(f"{folder}-it"), folder.symlink_to("nowhere")), id="a dead link"),
    ],
)
def test_a_directory_that_is_not_the_users_alone_is_passed_over(world: World, spoil: Callable[[Path], None]) -> None:
    file = world.write()
    folder = world.folder / "spoiled"
    folder.mkdir(mode=0o700)
    spoil(folder)

    started = world.start(file, LFBUILD_CACHE_DIR=str(folder))

    assert started.program == str(world.cache / world.name)


@pytest.mark.parametrize("folder", ["relative", "", "/proc/self/lfbuild", "/dev/null/x"])
def test_a_directory_that_cannot_be_made_is_passed_over(world: World, folder: str) -> None:
    assert world.start(world.write(), LFBUILD_CACHE_DIR=folder).program == str(world.cache / world.name)


@pytest.mark.parametrize("umask", ["000", "022", "777"])
def test_a_named_directory_is_made_with_all_that_is_above_it_for_its_user_alone(world: World, umask: str) -> None:
    folder = world.folder / "a/b/c/d"
    command = ["sh", "-c", f"umask {umask}; exec ./chat", "sh", world.write()]

    assert world.start(*command, LFBUILD_CACHE_DIR=str(folder)).program == str(folder / world.name)
    for made in (folder, *folder.parents[:3]):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_a_home_that_is_not_there_is_not_made(world: World) -> None:
    home, temporary = world.folder / "no-home", world.folder

    started = world.start(world.write(), HOME=str(home), TMPDIR=str(temporary))

    assert started.program == str(temporary / f"lfbuild-{os.geteuid()}" / world.name)
    assert not home.exists()


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox", "zsh"])
@pytest.mark.parametrize("options", ["noexec", "ro", "size=4k"])
def test_a_file_system_that_runs_nothing_or_takes_nothing_is_passed_over(
    world: World, options: str, shell: str
) -> None:
    folder = world.folder / "mounted"
    folder.mkdir()
    interpreter = [needs(shell), *(["sh"] if shell == "busybox" else [])]
    command = with_mount(options, folder, *interpreter, world.write())

    started = world.start(*command, LFBUILD_CACHE_DIR=str(folder / "lfbuild"))

    assert started.program == str(world.cache / world.name)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "poison",
    [
        pytest.param(lambda placed: placed.write_bytes(EVIL), id="other bytes"),
        pytest.param(lambda placed: placed.write_bytes(placed.read_bytes() + b"\0"), id="a byte more"),
        pytest.param(lambda placed: placed.write_bytes(placed.read_bytes()[:-1]), id="a byte less"),
        pytest.param(lambda placed: placed.write_bytes(b""), id="empty"),
        pytest.param(lambda placed: placed.chmod(0o600), id="not to be run"),
        pytest.param(lambda placed: placed.chmod(0o777), id="writable by others"),
        pytest.param(lambda placed: (placed.unlink(), placed.symlink_to(placed.parent / "evil")), id="a link to evil"),
        pytest.param(lambda placed: (placed.rename(f"{placed}-it"), placed.symlink_to(f"{placed}-it")), id="a link"),
        pytest.param(lambda placed: (placed.unlink(), placed.symlink_to("nowhere")), id="a dead link"),
        pytest.param(lambda placed: (as_root(), os.chown(placed, 65534, 65534)), id="somebody else's"),
    ],
)
def test_a_poisoned_launcher_is_replaced_and_never_run(
    world: World, form: HeadForm, poison: Callable[[Path], None]
) -> None:
    file = world.write(form)
    placed = Path(world.start("sh", file).program)
    (placed.parent / "evil").write_bytes(EVIL)
    (placed.parent / "evil").chmod(0o700)
    poison(placed)

    assert world.start("sh", file).program == str(placed)

    assert not placed.is_symlink()
    assert placed.read_bytes() == world.launcher
    assert placed.stat().st_uid == os.geteuid()
    assert (placed.parent / "evil").read_bytes() == EVIL


def test_a_directory_in_the_launchers_place_is_left_alone_and_another_one_is_used(world: World) -> None:
    file = world.write()
    (world.folder / "planted" / world.name).mkdir(parents=True)
    (world.folder / "planted").chmod(0o700)

    started = world.start(file, LFBUILD_CACHE_DIR=str(world.folder / "planted"))

    assert started.program == str(world.cache / world.name)
    assert leftovers(world.folder / "planted" / world.name) == set()


@pytest.mark.parametrize("form", FORMS)
def test_ten_first_starts_at_once_are_fine(world: World, form: HeadForm) -> None:
    file = world.write(form)
    processes = [
        subprocess.Popen(
            ["sh", file, str(number)], env=world.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for number in range(10)
    ]

    for number, process in enumerate(processes):
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, b"")
        assert out.split(b"\0")[2:] == [str(number).encode(), b""]
    assert leftovers(world.cache) == {world.name}


def test_coreutils_will_do_where_there_is_no_cmp(world: World) -> None:
    file = world.write()
    tools = world.folder / "tools"
    tools.mkdir()
    for tool in COREUTILS:
        (tools / tool).symlink_to(needs(tool))

    placed = Path(world.start(file, PATH=str(tools)).program)
    placed.write_bytes(EVIL)

    assert world.start(file, PATH=str(tools)).program == str(placed)
    assert placed.read_bytes() == world.launcher


def test_without_a_way_to_compare_nothing_is_run(world: World) -> None:
    file = world.write()
    placed = Path(world.start(file).program)
    placed.write_bytes(EVIL)
    tools = world.folder / "tools"
    tools.mkdir()
    for tool in sorted(set(COREUTILS) - {"sha256sum"}):
        (tools / tool).symlink_to(needs(tool))

    finished = world.run(file, PATH=str(tools))

    assert (finished.returncode, finished.stdout) == (1, b"")
    assert finished.stderr.decode() == (
        f"{file}: its launcher is damaged, or there is no sha256sum to check it; get the file again\n"
    )
    assert leftovers(world.cache) == {world.name}


@pytest.mark.parametrize("form", FORMS)
def test_nothing_but_a_static_busybox_is_needed(world: World, form: HeadForm) -> None:
    as_root()
    busybox = needs("busybox")
    root = world.folder / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    for applet in (*COREUTILS, "cmp"):
        (root / "bin" / applet).symlink_to("busybox")
    shutil.copy(world.write(form), root / "chat")
    inside = ["chroot", str(root), "/bin/sh", "-c", 'exec /bin/sh "$@"', "sh"]
    if subprocess.run([*inside, "-c", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("chroot is not allowed here, or busybox is not static")

    started = world.start(*inside, "/chat", "word", PATH="/bin:/usr/sbin:/usr/bin", HOME="/")

    assert (started.file, started.program) == ("/chat", f"//.cache/lfbuild/{world.name}")

    finished = world.run(*inside, "/chat", PATH="/bin:/usr/sbin:/usr/bin", HOME="/chat")
    assert finished.returncode == 1
    assert finished.stderr == (
        b"/chat: no directory to start its launcher from; set LFBUILD_CACHE_DIR to one that only you can write\n"
    )
