"""A file that is damaged or lies is refused in one sentence, and nothing of it is placed or run."""

from __future__ import annotations

import random
import re
import shutil
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.launcher.conftest import TARGET, World, answer, assert_refused, make_world
from tests.launcher.files import Engine, change, find_data, write_file

from lfbuild.formats.seal import SEAL_BYTES
from lfbuild.formats.slices import SLICES_NAME, parse_slices, slices_to_bytes
from lfbuild.formats.zip import DEFLATED
from lfbuild.manifest.model import MANIFEST_NAME

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GET_AGAIN = "; get the file again"


def refused(world: World, path: Path, what: str) -> None:
    """It is refused, and there is nothing in the cache."""
    assert_refused(world.start(path), f"{path}: {what}")
    assert world.in_cache() == []


def test_a_file_without_its_end_is_told(world: World) -> None:
    path = world.write()
    path.write_bytes(path.read_bytes()[:-20])

    refused(
        world,
        path,
        "there is no ZIP directory at the end of this file, so it is cut off or not a llamafile; get the file again",
    )


@pytest.mark.parametrize(
    ("state", "what"),
    [
        ("redo", "an update of this file was interrupted; run: lfbuild recover {path}"),
        ("later", "its seal is damaged, or of a later lfbuild than this program; run: lfbuild verify {path}"),
        ("none", "it has no seal, so another program has changed it; get the file again"),
    ],
)
def test_only_a_clean_seal_is_believed(world: World, state: str, what: str) -> None:
    path = world.write(state=state)

    refused(world, path, what.format(path=path))


def test_a_manifest_that_the_seal_does_not_name_is_refused(world: World) -> None:
    path = world.write(forge_manifest=lambda data: data.replace(b"tiny", b"evil"))

    refused(world, path, f"its manifest is damaged (it is not the one that the seal names){GET_AGAIN}")


def test_a_table_that_the_manifest_does_not_list_is_refused(world: World) -> None:
    other = slices_to_bytes((replace(world.engine, program=b"evil").slice(),))
    path = world.write(forge_table=lambda _: other)

    refused(world, path, f"its slice table is damaged (it is not the one that the manifest lists){GET_AGAIN}")


def test_a_manifest_that_only_talks_of_the_right_table_is_refused(world: World) -> None:
    """The record that is looked for cannot be written into a text: a quote has a backslash before it there."""

    def move_into_a_text(data: bytes) -> bytes:
        record = re.search(rb'\{"name":"\.lfbuild/slices".*?\}', data)
        assert record is not None
        text = record[0].replace(b'"', rb"\"")
        return data.replace(record[0], b"").replace(b'"release":{', b'"release":{"description":"' + text + b'",')

    path = world.write(spoil_manifest=move_into_a_text)

    refused(world, path, f"its slice table is damaged (it is not the one that the manifest lists){GET_AGAIN}")


def resealed(lines: list[bytes]) -> bytes:
    """A table of these lines whose end line is true, so that only the lines themselves can be refused."""
    body = b"".join(line + b"\n" for line in lines)
    return body + f"end {blake3(body).hexdigest()}\n".encode()


FIRST = b"lfbuild-slices 1"
GOOD = f"slice {TARGET} x86-64 .lfbuild/engine/{TARGET} 0 1 1 {'0' * 64}".encode()
HOSTILE_LINES = [
    b"",
    b"slice",
    GOOD + b" ",
    GOOD + b" more",
    b" " + GOOD,
    GOOD[:-1],
    GOOD[:-1] + b"G",
    GOOD.replace(b" 0 1 1 ", b" 0 1 -1 "),
    GOOD.replace(b" 0 1 1 ", b" 0 1 1x "),
    GOOD.replace(b" 0 1 1 ", b" 99999 1 1 "),
    GOOD.replace(b" 0 1 1 ", b" 0 1 18446744073709551616 "),
    GOOD.replace(b" 0 1 1 ", b" 0  1 1 "),
    GOOD.replace(b"x86-64 ", b"x" * 1024 + b" "),
    GOOD.replace(b".lfbuild/engine/", b"x" * 256),
    GOOD.replace(b"x86-64 ", b"\0 "),
    GOOD.replace(b"x86-64 ", b"\xff "),
    GOOD.replace(b"slice", b"SLICE"),
    b"end " + b"0" * 64,
]


@pytest.mark.parametrize("line", HOSTILE_LINES)
def test_a_malformed_line_makes_the_table_useless(world: World, line: bytes) -> None:
    path = world.write(spoil_table=lambda _: resealed([FIRST, GOOD, line]))

    refused(world, path, f"its slice table is damaged (it is malformed){GET_AGAIN}")


def test_more_slices_than_there_are_machines_are_refused(world: World) -> None:
    path = world.write(spoil_table=lambda _: resealed([FIRST, *[GOOD] * 65]))

    refused(world, path, f"its slice table is damaged (it is malformed){GET_AGAIN}")


@pytest.mark.parametrize("table", [b"", b"\n", b"lfbuild-slices 2\n" + GOOD, FIRST, FIRST + b"\nend "])
def test_what_is_no_table_of_this_version_is_refused(world: World, table: bytes) -> None:
    path = world.write(spoil_table=lambda _: table)

    refused(world, path, f"its slice table is damaged (it is of a later lfbuild than this program){GET_AGAIN}")


def test_a_table_whose_end_line_is_false_is_refused(world: World) -> None:
    path = world.write(spoil_table=lambda data: data[:-2] + (b"0\n" if data[-2:] != b"0\n" else b"1\n"))

    refused(world, path, f"its slice table is damaged (it does not match its own digest){GET_AGAIN}")


def lying(**changes: object) -> Callable[[bytes], bytes]:
    """A table that says something else of its one slice; everything vouches for it."""

    def spoil(data: bytes) -> bytes:
        (item,) = parse_slices(data, where="test")
        return slices_to_bytes((replace(item, **changes),))  # type: ignore[arg-type]  # a test's own keyword arguments

    return spoil


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"member": "gone"}, "it is not there"),
        ({"method": 0}, "the slice table and the ZIP directory say different things of it"),
        ({"stored_size": 1}, "the slice table and the ZIP directory say different things of it"),
        ({"decoded_size": 1}, "the slice table and the ZIP directory say different things of it"),
        ({"digest": "0" * 64}, "its digest is not the promised one"),
    ],
)
def test_an_engine_that_is_not_what_the_table_says_is_not_placed(
    world: World, changes: dict[str, object], what: str
) -> None:
    path = world.write(spoil_table=lying(**changes))

    refused(world, path, f"its engine for {TARGET} is damaged ({what}){GET_AGAIN}")


def test_a_method_that_the_launcher_does_not_know_is_told(world: World) -> None:
    path = world.write(engines=(replace(world.engine, method=93),))

    refused(
        world,
        path,
        f"its engine for {TARGET} is damaged (it is compressed in a way that this program does not know){GET_AGAIN}",
    )


def test_an_engine_that_unpacks_to_more_than_was_promised_stops_there(world: World) -> None:
    class Bomb(Engine):
        @property
        def stored(self) -> bytes:
            return replace(world.engine, program=bytes(1 << 24)).stored

    engine = Bomb(program=world.engine.program, target=TARGET, cpus=world.engine.cpus)

    refused(
        world,
        world.write(engines=(engine,)),
        f"its engine for {TARGET} is damaged (its size is not the promised one){GET_AGAIN}",
    )


def test_a_file_without_an_engine_for_this_system_names_those_it_has(world: World) -> None:
    engines = tuple(replace(world.engine, target=target) for target in ("windows-x86_64", "macos-aarch64"))

    refused(
        world,
        world.write(engines=engines),
        f"it holds no engine for {TARGET}, only for windows-x86_64, macos-aarch64; get a file that holds one",
    )


def test_a_cpu_below_the_lowest_level_is_told_what_it_lacks(world: World) -> None:
    path = world.write(engines=(replace(world.engine, cpus="x86-64-v4,x86-64+unknown,x86-64+unheard-of"),))
    lacks = "unheard-of" if TARGET == "linux-x86_64" else "x86-64, unheard-of"

    refused(
        world,
        path,
        f"its engine for {TARGET} needs a CPU with x86-64+unheard-of, and this one lacks {lacks}; run it on a newer "
        "machine, or build it for this one with a lower level in targets.cpus",
    )


def test_of_several_engines_for_this_system_the_first_that_the_cpu_can_run_is_taken(world: World) -> None:
    better = replace(world.engine, program=b"for a better CPU", cpus="x86-64+unheard-of")

    class Better(Engine):
        @property
        def member(self) -> str:
            return ".lfbuild/engine/better"

    engines = (Better(program=better.program, target=TARGET, cpus=better.cpus), world.engine)
    path = world.write(engines=engines)

    assert world.start(path).stdout == answer(path)


@pytest.fixture(scope="module")
def property_world(tmp_path_factory: pytest.TempPathFactory, sanitized_launcher: bytes, engine_program: bytes) -> World:
    """One folder for all examples of a property: none of them may leave anything in its cache."""
    return make_world(tmp_path_factory.mktemp("hostile"), sanitized_launcher, engine_program)


def inflated(stored: bytes | bytearray) -> bytes | None:
    try:
        return zlib.decompress(stored, wbits=-15)
    except zlib.error:
        return None


@settings(max_examples=60)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), method=st.sampled_from([0, 8]))
def test_no_flipped_bit_of_a_stored_engine_is_ever_executed(
    property_world: World, place: float, bit: int, method: int
) -> None:
    """Some bits of a compressed stream do not matter (zeros copied from elsewhere): the engine is the same then."""
    world, engine = property_world, replace(property_world.engine, method=method)
    stored = bytearray(engine.stored)
    offset = int(place * len(stored))
    stored[offset] ^= 1 << bit
    path = write_file(world.folder / "flipped.lf", world.plan(engines=(engine,)))
    change(path, find_data(path, engine.member) + offset, stored[offset])
    shutil.rmtree(world.cache, ignore_errors=True)

    result = world.start(path)

    if method == DEFLATED and inflated(stored) == engine.program:
        assert result.stdout == answer(path)
    else:
        refused_as_damaged = (
            rf"{re.escape(str(path))}: its engine for {TARGET} is damaged \([^)]+\); get the file again\n"
        )
        assert re.fullmatch(refused_as_damaged, result.stderr)
        assert (result.stdout, result.returncode, world.in_cache()) == ("", 1, [])


@settings(max_examples=60)
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
def test_a_changed_byte_in_what_vouches_for_the_engine_never_lets_another_one_run(
    property_world: World, place: float, byte: int
) -> None:
    """Table, manifest, directory, end records: it is refused, or the byte did not matter and the engine is right."""
    world = property_world
    path = world.write("tail.lf")
    start_of_tail = find_data(path, SLICES_NAME) - 30 - len(SLICES_NAME)
    change(path, start_of_tail + int(place * (path.stat().st_size - start_of_tail)), byte)

    result = world.start(path)

    assert result.returncode in {0, 1}
    if result.returncode == 0:
        assert result.stdout == answer(path)
    else:
        assert (result.stdout, result.stderr.count("\n")) == ("", 1)


def test_no_flipped_byte_of_table_or_manifest_is_believed(world: World) -> None:
    path = world.write()
    chooser = random.Random(3)  # noqa: S311  # a sample, not a secret
    whole = path.read_bytes()
    for name in (SLICES_NAME, MANIFEST_NAME):
        start, end = find_data(path, name), whole.index(b"PK", find_data(path, name))
        for offset in chooser.sample(range(start, end), 12):
            change(path, offset, whole[offset] ^ 0x20)

            assert world.start(path).returncode == 1
            assert world.in_cache() == []
            change(path, offset, whole[offset])


def test_every_length_of_a_cut_off_end_is_refused(world: World) -> None:
    path = world.write()
    whole = path.read_bytes()
    for kept in range(len(whole) - SEAL_BYTES - 22, len(whole), 13):
        path.write_bytes(whole[:kept])

        assert world.start(path).returncode == 1
    assert world.in_cache() == []
