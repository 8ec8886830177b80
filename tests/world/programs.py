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
