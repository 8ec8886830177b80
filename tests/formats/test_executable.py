"""What a file begins with, and which bytes of it signing changes."""

from __future__ import annotations

import pytest
from tests.world.programs import tiny_ape, tiny_elf, tiny_pe

from lfbuild.formats.executable import Program, certificate_table, identify_program, signature_holes


@pytest.mark.parametrize(
    ("start", "program"),
    [
        (tiny_elf(), Program(kind="elf", machines=("x86_64",))),
        (tiny_elf(machine=183), Program(kind="elf", machines=("aarch64",))),
        (tiny_elf(machine=777), Program(kind="elf", machines=("elf-777",))),
        (tiny_pe(), Program(kind="pe", machines=("x86_64",))),
        (tiny_ape(), Program(kind="ape", machines=("x86_64", "aarch64"))),
        (b"jartsr='" + bytes(100), Program(kind="ape", machines=("x86_64",))),
        (bytes.fromhex("cffaedfe0c000001"), Program(kind="macho", machines=("aarch64",))),
        (bytes.fromhex("cffaedfe99000000"), Program(kind="macho", machines=("macho-0x99",))),
        (b"#!/bin/sh\n", Program(kind="script")),
        (b"GGUF", Program(kind="none")),
        (b"", Program(kind="none")),
        (b"\x7fELF", Program(kind="none")),
        (b"MZ" + bytes(100), Program(kind="none")),
    ],
)
def test_a_program_is_known_by_its_first_bytes(start: bytes, program: Program) -> None:
    assert identify_program(start) == program


def test_signing_changes_checksum_and_certificate_entry() -> None:
    assert signature_holes(tiny_pe()) == ((128 + 24 + 64, 4), (128 + 24 + 144, 8))
    assert signature_holes(tiny_pe(magic=0x10B)) == ((128 + 24 + 64, 4), (128 + 24 + 128, 8))


@pytest.mark.parametrize(
    "start", [tiny_elf(), b"", b"MZ", tiny_pe(magic=0x107), tiny_pe()[:300], b"MZ" + b"\xff" * 200]
)
def test_what_is_no_whole_pe_has_no_holes(start: bytes) -> None:
    assert signature_holes(start) == ()
    assert certificate_table(start) is None


def test_a_signed_program_says_where_its_signature_is() -> None:
    signed = bytearray(tiny_pe())
    assert certificate_table(bytes(signed)) is None

    signed[128 + 24 + 144 : 128 + 24 + 152] = bytes.fromhex("00100000 20000000")

    assert certificate_table(bytes(signed)) == (0x1000, 0x20)
