"""Heads of files: what a program of each kind begins with. None of them would run, and nobody runs them."""

from __future__ import annotations

import io
import struct
import zipfile


def tiny_elf(size: int = 600, *, machine: int = 62) -> bytes:
    """A 64-bit little-endian ELF header and a pattern."""
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 2, machine, 1)
    return head + _pattern(size - len(head), 3)


def tiny_pe(size: int = 900, *, checksum: int = 0, start: bytes = b"MZ", magic: int = 0x20B) -> bytes:
    """A DOS header, a PE header at 128 and a pattern; the checksum is what a linker may have written."""
    head = bytearray(_pattern(size, 5))
    head[: len(start)] = start
    struct.pack_into("<I", head, 0x3C, 128)
    head[128:132] = b"PE\0\0"
    struct.pack_into("<H", head, 132, 0x8664)
    optional = 128 + 24
    struct.pack_into("<H", head, optional, magic)
    struct.pack_into("<I", head, optional + 64, checksum)
    struct.pack_into("<II", head, optional + (144 if magic == 0x20B else 128), 0, 0)
    return bytes(head)


LINKED_PE_HEADER = 0x78
LINKED_PE_SECTIONS = LINKED_PE_HEADER + 24 + 240
LINKED_PE_DEBUG = 0x600
"""Where the debug entry of `linked_pe` is in the file."""


def linked_pe() -> bytes:
    """A PE as a linker lays it out: headers to 0x400, code, a debug entry, memory without bytes, data."""
    sections = [
        (b".text", 0x123, 0x1000, 0x200, 0x400, 0x60000020),
        (b".buildid", 0x1C, 0x2000, 0x200, LINKED_PE_DEBUG, 0x40000040),
        (b".bss", 0x5000, 0x3000, 0, 0, 0xC0000080),
        (b".data", 0x10, 0x8000, 0x200, 0x800, 0xC0000040),
    ]
    optional = bytearray(240)
    struct.pack_into("<HBBIII", optional, 0, 0x20B, 14, 0, 0x200, 0x400, 0x5000)
    struct.pack_into("<IIQII", optional, 16, 0x1000, 0x1000, 0x140000000, 0x1000, 0x200)
    struct.pack_into("<IIIH", optional, 56, 0x9000, 0x400, 0x1234, 3)
    struct.pack_into("<I", optional, 108, 16)
    struct.pack_into("<II", optional, 112 + 6 * 8, 0x2000, 28)
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", LINKED_PE_HEADER) + b"DOS stub".ljust(0x38, b".")
    head += struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, len(sections), 0, 0, 0, 240, 0x22) + bytes(optional)
    for name, size, address, raw_size, raw_offset, flags in sections:
        head += struct.pack("<8sIIIIIIHHI", name, size, address, raw_size, raw_offset, 0, 0, 0, 0, flags)
    code = _pattern(0x123, 7).ljust(0x200, b"\0")
    debug = struct.pack("<IIHHIIII", 0, 0, 0, 0, 2, 0x10, 0x2010, LINKED_PE_DEBUG + 0x1C).ljust(0x200, b"\0")
    return head.ljust(0x400, b"\0") + code + debug + _pattern(0x10, 9).ljust(0x200, b"\0")


def tiny_macho(size: int = 500, *, machine: int = 0x0100000C) -> bytes:
    """The start of a 64-bit Mach-O header and a pattern."""
    head = b"\xcf\xfa\xed\xfe" + struct.pack("<III", machine, 0, 2)
    return head + _pattern(size - len(head), 11)


def tiny_launchers() -> dict[str, bytes]:
    """One launcher of each target; none of them would run."""
    return {
        "linux-x86_64": tiny_elf(600),
        "linux-aarch64": tiny_elf(5000, machine=183),
        "windows-x86_64": linked_pe(),
        "macos-aarch64": tiny_macho(500),
        "macos-x86_64": tiny_macho(501, machine=0x01000007),
    }


def unix_launchers() -> dict[str, bytes]:
    """Those that a shell script can start."""
    return {target: data for target, data in tiny_launchers().items() if not target.startswith("windows")}


def tiny_ape(size: int = 900, *, checksum: int = 0) -> bytes:
    """An Actually Portable Executable with a PE inside and two members of its own, as cosmocc's linker leaves it."""
    program = bytearray(tiny_pe(size, checksum=checksum, start=b"MZqFpD='"))
    program[400:420] = b"aarch64 and x86_64 !"
    with io.BytesIO() as buffer:
        buffer.write(bytes(program))
        with zipfile.ZipFile(buffer, "a") as archive:  # appended, with offsets from byte 0 of the file
            for name, data in {".cosmo": b"4.0.2\n", "usr/share/zoneinfo/UTC": b"TZif2" * 40}.items():
                info = zipfile.ZipInfo(name, date_time=(2023, 1, 1, 0, 0, 0))
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, data)
        return buffer.getvalue()


def _pattern(size: int, step: int) -> bytes:
    return bytes((index * step + 1) % 256 for index in range(max(size, 0)))
