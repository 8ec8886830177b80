"""What kind of program a file begins with, told from its first bytes without running it.

An Actually Portable Executable begins with `MZqFpD='` (or `jartsr='` without a Windows half): a DOS header whose
first bytes are the start of a shell script (cosmopolitan, ape/ape.S). A polyglot head of ours is made alike and begins
`MZlfbuild='`; it and a script head name in their text the targets they start on. A PE that is signed after packing
changes three places of its head; `signature_holes` names them, and digests of a head read them as zeros.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, Literal

from lfbuild.formats.shell import named_targets

ProgramKind = Literal["ape", "polyglot", "elf", "pe", "macho", "script", "none"]

PROBE_BYTES: Final = 4096
"""How many bytes of the start of a file the functions here want to see."""

MOST_SIGNATURE_BYTES: Final = 48 << 10
"""Of a certificate table: readers look for the end records, which stand before it, in the last 64 KiB of a file."""

POLYGLOT_START: Final = b"MZlfbuild='\n"
"""What a polyglot head begins with: a DOS header to Windows, to a shell an assignment whose quote hides binary fields.

No NUL stands before the first newline, and a lower-case letter does: so bash and zsh take the file for text.
"""

_ELF_MACHINES = {3: "x86", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
_PE_MACHINES = {0x8664: "x86_64", 0xAA64: "aarch64", 0x14C: "x86"}
_MACHO_MACHINES = {0x01000007: "x86_64", 0x0100000C: "aarch64"}
_PE_OFFSET = 0x3C
_OPTIONAL_HEADER = 24
_CHECKSUM = 64
_PE32_PLUS = 0x20B
_SECURITY_DIRECTORY = {0x10B: 128, _PE32_PLUS: 144}


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """Kind of a program and the architectures that its first bytes admit."""

    kind: ProgramKind
    machines: tuple[str, ...] = ()


def identify_program(start: bytes) -> Program:
    """Tell from the first `PROBE_BYTES` of a file what starts it; kind `none` if nothing does."""
    if start.startswith((b"MZqFpD='", b"jartsr='")):
        return Program(kind="ape", machines=("x86_64", "aarch64") if _has_two_loaders(start) else ("x86_64",))
    if start.startswith(b"\x7fELF") and len(start) >= 20:
        (machine,) = struct.unpack_from("<H", start, 18)
        return Program(kind="elf", machines=(_ELF_MACHINES.get(machine, f"elf-{machine}"),))
    if start.startswith(b"\xcf\xfa\xed\xfe") and len(start) >= 8:
        (machine,) = struct.unpack_from("<I", start, 4)
        return Program(kind="macho", machines=(_MACHO_MACHINES.get(machine, f"macho-{machine:#x}"),))
    if start.startswith(POLYGLOT_START) and _pe_header(start) is not None:
        return Program(kind="polyglot", machines=_named_machines(start))
    if (at := _pe_header(start)) is not None:
        (machine,) = struct.unpack_from("<H", start, at + 4)
        return Program(kind="pe", machines=(_PE_MACHINES.get(machine, f"pe-{machine:#x}"),))
    if start.startswith(b"#!"):
        return Program(kind="script", machines=_named_machines(start))
    return Program(kind="none")


def signature_holes(start: bytes) -> tuple[tuple[int, int], ...]:
    """Offset and size of the bytes that signing a PE changes: its checksum and its certificate table's entry.

    Empty for what is no PE. (Microsoft, "PE Format", optional header, offsets 64 and 128 or 144.)
    """
    at = _pe_header(start)
    if at is None or len(start) < at + _OPTIONAL_HEADER + 152:
        return ()
    (magic,) = struct.unpack_from("<H", start, at + _OPTIONAL_HEADER)
    security = _SECURITY_DIRECTORY.get(magic)
    if security is None:
        return ()
    return ((at + _OPTIONAL_HEADER + _CHECKSUM, 4), (at + _OPTIONAL_HEADER + security, 8))


def certificate_table(start: bytes) -> tuple[int, int] | None:
    """Where a signature stands in the file (offset, size), as the first bytes of a PE say; None in an unsigned one."""
    holes = signature_holes(start)
    if not holes:
        return None
    offset, size = struct.unpack_from("<II", start, holes[1][0])
    return (offset, size) if size else None


def _pe_header(start: bytes) -> int | None:
    if not start.startswith(b"MZ") or len(start) < _PE_OFFSET + 4:
        return None
    (at,) = struct.unpack_from("<I", start, _PE_OFFSET)
    return at if start[at : at + 4] == b"PE\0\0" and at + 6 <= len(start) else None


def _named_machines(start: bytes) -> tuple[str, ...]:
    """The architectures of the targets that a head's script names, each once."""
    return tuple(dict.fromkeys(target.partition("-")[2] for target in named_targets(start)))


def _has_two_loaders(start: bytes) -> bool:
    """The shell half of an APE names each architecture it has an ELF for."""
    return b"aarch64" in start or b"arm64" in start
