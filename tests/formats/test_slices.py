"""The slice table: lines that small C reads."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from blake3 import blake3

from lfbuild.engine.cpu import shipped_levels
from lfbuild.engine.job import stubs_folder
from lfbuild.errors import FormatError, IntegrityError
from lfbuild.formats.slices import Slice, parse_slices, slices_to_bytes

BEST = Slice(
    target="linux-x86_64",
    cpus=("x86-64-v4", "x86-64-v3"),
    member=".lfbuild/engine/a",
    method=8,
    stored_size=4194304,
    decoded_size=11534336,
    digest="2f" * 32,
)
LEAST = replace(BEST, cpus=("x86-64-v2",), member=".lfbuild/engine/b", method=0)
TABLE = (
    f"lfbuild-slices 1\n"
    f"slice linux-x86_64 x86-64-v4,x86-64-v3 .lfbuild/engine/a 8 4194304 11534336 {'2f' * 32}\n"
    f"slice linux-x86_64 x86-64-v2 .lfbuild/engine/b 0 4194304 11534336 {'2f' * 32}\n"
).encode()


def sealed(body: bytes) -> bytes:
    return body + f"end {blake3(body).hexdigest()}\n".encode()


def test_a_table_has_these_lines() -> None:
    assert slices_to_bytes((BEST, LEAST)) == sealed(TABLE)


@pytest.mark.parametrize("slices", [(), (BEST,), (BEST, LEAST)])
def test_what_is_written_is_read_again(slices: tuple[Slice, ...]) -> None:
    assert parse_slices(slices_to_bytes(slices), where="x") == slices


@pytest.mark.parametrize("position", range(len(sealed(TABLE))))
def test_each_flipped_byte_is_noticed(position: int) -> None:
    data = bytearray(sealed(TABLE))
    data[position] ^= 1

    with pytest.raises((FormatError, IntegrityError)) as caught:
        parse_slices(bytes(data), where="x")

    assert str(caught.value) in {
        "x: the slice table does not match its own digest",
        "x: not a slice table that begins 'lfbuild-slices 1'",
    }


@pytest.mark.parametrize("length", range(0, len(sealed(TABLE)), 5))
def test_a_table_that_is_cut_off_is_refused(length: int) -> None:
    with pytest.raises((FormatError, IntegrityError)):
        parse_slices(sealed(TABLE)[:length], where="x")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("slice a b c 8 1 2", "x:2: not a slice line of seven fields"),
        (f"slice a b c 8 1 2 {'2f' * 32} more", "x:2: not a slice line of seven fields"),
        (f"piece a b c 8 1 2 {'2f' * 32}", "x:2: not a slice line of seven fields"),
        (f"slice a b c -8 1 2 {'2f' * 32}", "x:2: not a slice line of seven fields"),
        (f"slice a b c 8 1 2 {'2F' * 32}", "x:2: a slice of 'a' has a field that the table cannot hold"),
        (f"slice a  c 8 1 2 {'2f' * 32}", "x:2: a slice of 'a' has a field that the table cannot hold"),
        (f"slice a b,,b c 8 1 2 {'2f' * 32}", "x:2: a slice of 'a' has a field that the table cannot hold"),
        (f"slice a b, c 8 1 2 {'2f' * 32}", "x:2: a slice of 'a' has a field that the table cannot hold"),
        (f"slice a {'b,' * 512}b c 8 1 2 {'2f' * 32}", "x:2: a slice of 'a' has a field that the table cannot hold"),
        (f"slice a {'b' * 256} c 8 1 2 {'2f' * 32}", "x:2: a slice of 'a' has a field that the table cannot hold"),
        (f"slice a b c 8 1 {'9' * 5000} {'2f' * 32}", "x:2: not a slice line of seven fields"),
        (f"slice a b c 65536 1 2 {'2f' * 32}", "x:2: a slice of 'a' has a field that the table cannot hold"),
        *[
            (f"slice a b c 8 1 2 {'2f' * 32}{end}", "x:2: a slice of 'a' has a field that the table cannot hold")
            for end in ("\r", "\x0b", "\x0c", "\x1c")
        ],
        ("", "x:2: not a slice line of seven fields"),
    ],
)
def test_a_malformed_line_is_refused_with_its_number(line: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_slices(sealed(f"lfbuild-slices 1\n{line}\n".encode()), where="x")

    assert str(caught.value) == message


def test_as_many_slices_are_read_and_written_as_a_launcher_reads() -> None:
    header = (stubs_folder() / "launcher" / "slice_table.h").read_text(encoding="utf-8")
    most = int(re.findall(r"LFBUILD_SLICES_LIMIT = (\d+)", header)[0])
    table = slices_to_bytes((BEST,) * most)
    assert len(parse_slices(table, where="x")) == most

    with pytest.raises(FormatError) as written:
        slices_to_bytes((BEST,) * (most + 1))
    with pytest.raises(FormatError) as read:
        parse_slices(sealed(table[: table.rindex(b"end ")] + BEST.line().encode() + b"\n"), where="x")

    assert str(written.value) == ".lfbuild/slices: the slice table has 65 slices, and launchers read 64"
    assert str(read.value) == "x: the slice table has 65 slices, and launchers read 64"


def test_bytes_that_are_no_ascii_are_refused() -> None:
    with pytest.raises(FormatError) as caught:
        parse_slices(sealed("lfbuild-slices 1\nslice ä\n".encode()), where="x")

    assert str(caught.value) == "x: the slice table is not ASCII"


def test_all_levels_that_upstream_ships_fit_into_a_line() -> None:
    slices = (replace(BEST, cpus=shipped_levels("linux-x86_64")),)

    assert len(slices[0].cpus) == 13
    assert parse_slices(slices_to_bytes(slices), where="x") == slices


@pytest.mark.parametrize("cpus", [(), ("a,b",), ("",), ("two words",)])
def test_levels_that_the_table_cannot_hold_are_not_written(cpus: tuple[str, ...]) -> None:
    with pytest.raises(FormatError) as caught:
        slices_to_bytes((replace(BEST, cpus=cpus),))

    assert str(caught.value) == ".lfbuild/slices: a slice of 'linux-x86_64' has a field that the table cannot hold"


@pytest.mark.parametrize("member", ["two words", "", "neue\nzeile", "ä"])
def test_a_field_that_the_table_cannot_hold_is_not_written(member: str) -> None:
    with pytest.raises(FormatError) as caught:
        slices_to_bytes((replace(BEST, member=member),))

    assert str(caught.value) == ".lfbuild/slices: a slice of 'linux-x86_64' has a field that the table cannot hold"
