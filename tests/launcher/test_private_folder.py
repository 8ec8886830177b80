"""An engine is placed only where nobody else can write and programs may be started; the first such folder is used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.launcher.conftest import World, answer, start

if TYPE_CHECKING:
    from pathlib import Path

USER = os.geteuid()


def chosen(world: World, path: Path, **variables: str | Path) -> str:
    result = start(path, "--lf-cache-dir", variables=variables)
    assert (result.stderr, result.returncode) == ("", 0)
    return result.stdout.removesuffix("\n")


@pytest.mark.parametrize(
    ("variable", "folder"),
    [
        ("LFBUILD_CACHE_DIR", "a/b/c"),
        ("XDG_CACHE_HOME", "a/b/lfbuild"),
        ("HOME", ".cache/lfbuild"),
        ("TMPDIR", f"lfbuild-{USER}"),
        ("XDG_RUNTIME_DIR", "lfbuild"),
    ],
)
def test_each_variable_names_a_folder(world: World, variable: str, folder: str) -> None:
    base = world.folder / "a" / "b" / "c" if variable == "LFBUILD_CACHE_DIR" else world.folder
    base = world.folder / "a" / "b" if variable == "XDG_CACHE_HOME" else base

    assert chosen(world, world.write(), **{variable: base}) == str(world.folder / folder)
    assert (world.folder / folder).stat().st_mode & 0o777 == 0o700


def test_they_are_tried_in_this_order(world: World) -> None:
    path = world.write()
    names = ["LFBUILD_CACHE_DIR", "XDG_CACHE_HOME", "HOME", "TMPDIR", "XDG_RUNTIME_DIR"]
    variables = {name: world.folder / name for name in names}
    for folder in variables.values():
        folder.mkdir()

    order = []
    while variables:
        found = chosen(world, path, **variables)
        (first,) = (name for name, folder in variables.items() if found.startswith(str(folder)))
        order.append(first)
        del variables[first]

    assert order == names


def test_a_home_that_is_not_there_is_not_made(world: World) -> None:
    home = world.folder / "nobody"

    assert chosen(world, world.write(), HOME=home, TMPDIR=world.folder) == str(world.folder / f"lfbuild-{USER}")
    assert not home.exists()


def test_a_relative_path_is_not_used(world: World) -> None:
    path = world.write()

    result = start(
        path, "--lf-cache-dir", cwd=world.folder, variables={"LFBUILD_CACHE_DIR": "here", "TMPDIR": world.folder}
    )

    assert result.stdout == f"{world.folder}/lfbuild-{USER}\n"
    assert not (world.folder / "here").exists()


def plant_link(folder: Path) -> None:
    (folder.parent / "mine").mkdir(mode=0o700)
    folder.symlink_to(folder.parent / "mine")


def plant_file(folder: Path) -> None:
    folder.touch()


def plant_open_folder(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)


def plant_groups_folder(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o770)


def plant_strangers_folder(folder: Path) -> None:
    if USER != 0:
        pytest.skip("only root can give a folder away")
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)


@pytest.mark.parametrize(
    "plant", [plant_link, plant_file, plant_open_folder, plant_groups_folder, plant_strangers_folder]
)
def test_what_was_planted_is_passed_over_and_not_touched(world: World, plant: object) -> None:
    path = world.write()
    plant(world.cache)  # type: ignore[operator]  # one of the above
    before = world.cache.lstat()

    result = start(path, variables={"LFBUILD_CACHE_DIR": world.cache, "TMPDIR": world.folder})

    assert result.stdout == answer(path)
    assert (world.folder / f"lfbuild-{USER}" / world.placed.name).is_file()
    after = world.cache.lstat()
    assert (after.st_mode, after.st_uid, after.st_ctime_ns) == (before.st_mode, before.st_uid, before.st_ctime_ns)


def test_a_folder_that_others_may_read_is_good_enough(world: World) -> None:
    world.cache.mkdir()
    world.cache.chmod(0o755)

    assert chosen(world, world.write(), LFBUILD_CACHE_DIR=world.cache) == str(world.cache)


def test_a_folder_from_which_nothing_may_be_started_is_passed_over(world: World, namespace: list[str]) -> None:
    path = world.write()
    world.cache.mkdir()
    script = 'mount -t tmpfs -o noexec,mode=700 none "$LFBUILD_CACHE_DIR" && exec "$0"'

    result = world.start(namespace[0], *namespace[1:], "sh", "-c", script, str(path), TMPDIR=world.folder)

    assert result.stdout == answer(path)
    assert (world.folder / f"lfbuild-{USER}" / world.placed.name).is_file()


def test_a_full_disk_makes_it_go_on_to_the_next_folder(world: World, namespace: list[str]) -> None:
    path = world.write()
    world.cache.mkdir()
    script = 'mount -t tmpfs -o size=4096,mode=700 none "$LFBUILD_CACHE_DIR" && "$0"; ls -A "$LFBUILD_CACHE_DIR" >&2'

    result = world.start(namespace[0], *namespace[1:], "sh", "-c", script, str(path), TMPDIR=world.folder)

    assert (result.stdout, result.stderr) == (answer(path), "")
    assert (world.folder / f"lfbuild-{USER}" / world.placed.name).is_file()


NOWHERE = """
for folder in /tmp /dev/shm; do
  mount -t tmpfs -o noexec none "$folder" || exit
done
"""


def test_a_limit_of_the_size_of_files_is_told_and_nothing_stays(world: World) -> None:
    path = world.write()
    world.cache.mkdir(mode=0o700)

    result = world.start("sh", "-c", 'ulimit -f 1; exec "$0"', str(path))

    assert result.returncode == 1
    assert result.stderr.startswith(
        f"{path}: its engine cannot be placed in any folder: {world.cache} (File too large), "
    )
    assert "memory (File too large); set LFBUILD_CACHE_DIR" in result.stderr
    assert world.in_cache() == []


def test_root_leaves_nothing_in_another_users_home(world: World) -> None:
    if USER != 0:
        pytest.skip("only root has the home of another user")
    home = world.folder / "home"
    home.mkdir()
    os.chown(home, 12345, 12345)

    assert chosen(world, world.write(), HOME=home, TMPDIR=world.folder) == str(world.folder / f"lfbuild-{USER}")
    assert list(home.iterdir()) == []


def test_without_any_folder_the_engine_runs_from_memory(world: World, namespace: list[str]) -> None:
    path = world.write()
    script = f'mount --bind "$0" /mnt && {NOWHERE.strip()}\ncd / && exec /mnt/tiny.lf x'

    result = start(*namespace, "sh", "-c", script, str(path.parent), variables={"PATH": os.environ["PATH"]})

    assert result.stdout == answer("/mnt/tiny.lf", "x")


def test_a_read_only_folder_serves_once_the_engine_is_in_it(world: World, namespace: list[str]) -> None:
    path = world.write()
    world.start(path)
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && exec "$0" --lf-cache-dir'

    result = world.start(namespace[0], *namespace[1:], "sh", "-c", script, str(path), str(world.cache))

    assert result.stdout == f"{world.cache}\n"


def test_when_there_is_no_folder_each_is_told_with_its_reason(world: World, namespace: list[str]) -> None:
    path = world.write()
    world.cache.touch()
    script = f'mount --bind "$0" /mnt && {NOWHERE.strip()}\ncd / && touch /tmp/file && exec /mnt/tiny.lf --lf-cache-dir'

    variables = {"PATH": os.environ["PATH"], "LFBUILD_CACHE_DIR": "/tmp/file"}  # noqa: S108
    result = start(*namespace, "sh", "-c", script, str(path.parent), variables=variables)

    assert result.returncode == 1
    assert result.stderr == (
        "/mnt/tiny.lf: there is no folder to place its engine in: /tmp/file (it is no folder), "
        f"/dev/shm/lfbuild-{USER} (programs may not be started from it), "  # noqa: S108  # the launcher's own
        f"/tmp/lfbuild-{USER} (programs may not be started from it)\n"  # noqa: S108
    )
