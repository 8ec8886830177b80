"""What stands in the cache is never trusted: each start holds every byte of it against the file's promise."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.launcher.conftest import World, answer, make_world
from tests.launcher.files import change

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def started(world: World) -> Path:
    """A file whose engine has been placed."""
    path = world.write()
    assert world.start(path).stdout == answer(path)
    return path


def poison_bytes(placed: Path) -> None:
    placed.write_bytes(b"#!/bin/sh\necho poisoned\n")


def poison_with_room(placed: Path) -> None:
    size = placed.stat().st_size
    placed.write_bytes(b"#!/bin/sh\necho poisoned\nexit\n".ljust(size, b" "))


def cut_off(placed: Path) -> None:
    os.truncate(placed, placed.stat().st_size - 1)


def append(placed: Path) -> None:
    with placed.open("ab") as file:
        file.write(b"\0")


def empty(placed: Path) -> None:
    os.truncate(placed, 0)


def plant_link(placed: Path) -> None:
    other = placed.parent.parent / "other"
    other.write_bytes(b"#!/bin/sh\necho poisoned\n")
    other.chmod(0o755)
    placed.unlink()
    placed.symlink_to(other)


def plant_link_to_the_right_bytes(placed: Path) -> None:
    placed.rename(placed.parent.parent / "other")
    placed.symlink_to(placed.parent.parent / "other")


def plant_pipe(placed: Path) -> None:
    placed.unlink()
    os.mkfifo(placed)


def plant_empty_folder(placed: Path) -> None:
    placed.unlink()
    placed.mkdir()


def let_others_write(placed: Path) -> None:
    placed.chmod(0o777)


def forbid_starting(placed: Path) -> None:
    placed.chmod(0o600)


def give_away(placed: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(placed, 12345, 12345)


REMADE = [poison_bytes, poison_with_room, cut_off, append, empty, plant_link, plant_link_to_the_right_bytes, plant_pipe]
REMADE += [let_others_write, forbid_starting, give_away]


@pytest.mark.parametrize("spoil", REMADE)
def test_what_is_wrong_is_made_anew(world: World, started: Path, spoil: Callable[[Path], None]) -> None:
    spoil(world.placed)

    assert world.start(started).stdout == answer(started)

    facts = world.placed.lstat()
    assert (facts.st_mode, facts.st_uid) == (0o100700, os.geteuid())
    assert world.placed.read_bytes() == world.engine.program
    assert world.in_cache() == [world.placed.name]


def test_a_link_that_was_planted_is_replaced_and_what_it_leads_to_stays(world: World, started: Path) -> None:
    plant_link(world.placed)

    world.start(started)

    assert (world.folder / "other").read_bytes() == b"#!/bin/sh\necho poisoned\n"


def test_what_cannot_be_replaced_makes_it_go_on_to_the_next_folder(world: World, started: Path) -> None:
    plant_empty_folder(world.placed)

    assert world.start(started, TMPDIR=world.folder).stdout == answer(started)
    assert world.in_cache() == [world.placed.name]


@settings(max_examples=40)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_changed_byte_is_ever_executed(sanitized_world: World, place: float, bit: int) -> None:
    world = sanitized_world
    path = world.folder / "tiny.lf"
    offset = int(place * len(world.engine.program))
    change(world.placed, offset, world.engine.program[offset] ^ 1 << bit)

    assert world.start(path).stdout == answer(path)
    assert world.placed.read_bytes() == world.engine.program


@pytest.fixture(scope="module")
def sanitized_world(
    tmp_path_factory: pytest.TempPathFactory, sanitized_launcher: bytes, engine_program: bytes
) -> World:
    """One world for all examples of a property; each starts from a placed engine and leaves one."""
    world = make_world(tmp_path_factory.mktemp("property"), sanitized_launcher, engine_program)
    world.start(world.write())
    return world


def test_ten_first_starts_at_once_place_one_engine(world: World) -> None:
    path = world.write()

    with ThreadPoolExecutor(10) as pool:
        results = list(pool.map(lambda number: world.start(path, str(number)), range(10)))

    assert [result.stdout for result in results] == [answer(path, str(number)) for number in range(10)]
    assert world.in_cache() == [world.placed.name]


@pytest.mark.parametrize("poisoned", [False, True])
def test_ten_starts_at_once_by_name_start_one_engine(
    tmp_path: Path, launcher_by_name: bytes, engine_program: bytes, poisoned: bool
) -> None:
    """Where a descriptor cannot be started, the name must not go to another file between a look and the start."""
    world = make_world(tmp_path, launcher_by_name, engine_program)
    path = world.write()
    if poisoned:
        world.start(path)
        poison_bytes(world.placed)

    with ThreadPoolExecutor(10) as pool:
        results = list(pool.map(lambda number: world.start(path, str(number)), range(10)))

    assert [(result.stderr, result.stdout) for result in results] == [
        ("", answer(path, str(number))) for number in range(10)
    ]
    assert world.in_cache() == [world.placed.name]


def test_what_a_killed_launcher_left_is_removed_after_a_day(world: World) -> None:
    world.cache.mkdir(mode=0o700)
    old, new = world.cache / ".new-0123456789abcdef", world.cache / ".new-fedcba9876543210"
    for path in (old, new):
        path.touch()
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(old, (two_days_ago, two_days_ago))

    world.start(world.write())

    assert world.in_cache() == sorted([new.name, world.placed.name])
