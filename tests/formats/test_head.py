"""The three forms of a head, byte for byte."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from blake3 import blake3
from tests.world.programs import linked_pe, tiny_elf, tiny_launchers, tiny_macho, unix_launchers

from lfbuild.errors import FormatError
from lfbuild.formats.executable import Program, certificate_table, identify_program, signature_holes
from lfbuild.formats.head import HEAD_BYTES, TARGETS, HeadForm, choose_form, lay_out_head, make_head
from lfbuild.formats.pe import HEADER_OFFSET
from lfbuild.formats.resources import WindowsFacts

VECTORS = Path(__file__).parents[1] / "vectors" / "head"
FACTS = WindowsFacts(product="Acme", description="Acme", version="1.0")
UNIX = unix_launchers()


@pytest.mark.parametrize(
    ("targets", "form"),
    [
        (["linux-x86_64"], "elf"),
        (["linux-aarch64"], "elf"),
        (["linux-x86_64", "linux-aarch64"], "script"),
        (["macos-aarch64"], "script"),  # a Mach-O that a ZIP is appended to has a broken signature
        (["linux-x86_64", "macos-aarch64"], "script"),
        (["windows-x86_64"], "polyglot"),
        (["linux-x86_64", "windows-x86_64"], "polyglot"),
        (TARGETS, "polyglot"),
    ],
)
def test_the_form_follows_the_targets(targets: list[str], form: HeadForm) -> None:
    assert choose_form(targets) == form


def test_an_elf_head_is_the_launcher_and_zeros() -> None:
    head = make_head("elf", {"linux-aarch64": tiny_elf(machine=183)})

    assert head == tiny_elf(machine=183).ljust(HEAD_BYTES, b"\0")
    assert identify_program(head[:4096]) == Program(kind="elf", machines=("aarch64",))


def test_a_script_head_is_text_and_launchers_at_multiples_of_4096() -> None:
    head = make_head("script", UNIX)

    assert len(head) == HEAD_BYTES
    assert head[:4096].rstrip(b"\0") == (VECTORS / "script").read_bytes()
    for target, start in {"linux-x86_64": 1, "linux-aarch64": 2, "macos-aarch64": 4, "macos-x86_64": 5}.items():
        assert head[start * 4096 :].startswith(UNIX[target])
    assert identify_program(head[:4096]) == Program(kind="script", machines=("x86_64", "aarch64"))
    assert not any(head[5 * 4096 + 501 :])


def test_a_polyglot_head_is_a_pe_around_the_same_text() -> None:
    head = make_head("polyglot", tiny_launchers(), facts=FACTS)

    assert len(head) == HEAD_BYTES
    assert head[:0x3C] == b"MZlfbuild='\n".ljust(0x3C)
    assert struct.unpack_from("<I", head, 0x3C) == (HEADER_OFFSET,)
    assert head[0x40:0x42] == b"'\n"
    text = head[0x42:HEADER_OFFSET].rstrip(b"\0")
    script = (VECTORS / "script").read_bytes().removeprefix(b"#!/bin/sh\n")
    assert text.splitlines()[0].split(b"'")[1].split() == [target.encode() for target in TARGETS]
    assert [line for line in text.splitlines()[1:] if b"lf_block=" not in line] == [
        line for line in script.splitlines()[1:] if b"lf_block=" not in line
    ]
    assert head[HEADER_OFFSET : HEADER_OFFSET + 4] == b"PE\0\0"
    assert identify_program(head[:4096]) == Program(kind="polyglot", machines=("x86_64", "aarch64"))


def test_a_polyglot_for_windows_alone_says_so_to_a_shell() -> None:
    head = make_head("polyglot", {"windows-x86_64": linked_pe()})

    assert b"lf_own" not in head
    assert (
        head[0x42:HEADER_OFFSET]
        .rstrip(b"\0")
        .endswith(b'lf_refuse "this file is for $lf_targets; this machine is $(uname -sm)"\n')
    )


def test_signing_finds_its_places_in_a_polyglot_head() -> None:
    start = make_head("polyglot", tiny_launchers())[:4096]

    assert signature_holes(start) == ((HEADER_OFFSET + 24 + 64, 4), (HEADER_OFFSET + 24 + 144, 8))
    assert [start[at : at + size] for at, size in signature_holes(start)] == [bytes(4), bytes(8)]
    assert certificate_table(start) is None


@pytest.mark.parametrize("form", ["script", "polyglot"])
def test_the_same_launchers_give_the_same_head_in_any_order(form: HeadForm) -> None:
    launchers = UNIX if form == "script" else tiny_launchers()
    turned = dict(reversed(launchers.items()))

    assert blake3(make_head(form, launchers)).digest() == blake3(make_head(form, turned)).digest()


@pytest.mark.parametrize("facts", [None, FACTS])
def test_the_layout_is_known_from_sizes_alone(facts: WindowsFacts | None) -> None:
    launchers = tiny_launchers()
    layout = lay_out_head("polyglot", {target: len(data) for target, data in launchers.items()}, facts=facts)
    head = make_head("polyglot", launchers, facts=facts)

    assert not any(head[layout.end :])
    for target, launcher in UNIX.items():
        assert layout.starts[target] % 4096 == 0
        assert head[layout.starts[target] :].startswith(launcher)


@pytest.mark.parametrize(
    ("form", "launchers", "message"),
    [
        ("elf", {}, "head: there is no launcher to begin a file with"),
        ("script", {"linux-riscv64": b""}, "head: there is no launcher for 'linux-riscv64'"),
        ("elf", UNIX, f"head: an elf head is for one Linux target, not for {', '.join(sorted(UNIX))}"),
        ("elf", {"macos-aarch64": tiny_macho()}, "head: an elf head is for one Linux target, not for macos-aarch64"),
        ("script", tiny_launchers(), "head: a script head does not start on Windows"),
        ("polyglot", UNIX, "head: a polyglot head needs a launcher for Windows"),
        ("elf", {"linux-aarch64": tiny_elf()}, "head: the launcher of linux-aarch64 is elf for x86_64"),
        ("script", {"macos-aarch64": tiny_elf()}, "head: the launcher of macos-aarch64 is elf for x86_64"),
        ("polyglot", {"windows-x86_64": b"text"}, "head: the launcher of windows-x86_64 is no program"),
        (
            "elf",
            {"linux-x86_64": tiny_elf(HEAD_BYTES + 1)},
            "head: its launchers need 1048577 bytes, and there is room for 1048576",
        ),
        (
            "script",
            {"linux-x86_64": tiny_elf(600_000), "linux-aarch64": tiny_elf(500_000, machine=183)},
            "head: its launchers need 1106208 bytes, and there is room for 1048576",
        ),
    ],
)
def test_what_does_not_fit_is_refused(form: HeadForm, launchers: dict[str, bytes], message: str) -> None:
    with pytest.raises(FormatError) as caught:
        make_head(form, launchers)

    assert str(caught.value) == message


def test_launchers_may_fill_the_head_to_its_last_byte() -> None:
    assert make_head("elf", {"linux-x86_64": tiny_elf(HEAD_BYTES)}) == tiny_elf(HEAD_BYTES)
