"""Moves the headers of a Windows program to where a shell script fits before them, and adds a section of resources.

A PE is found by one field, `e_lfanew` at 0x3c, and everything else in it by its section table. So the file may grow at
its front, as long as headers stay below the first section's address and every file offset grows with it. What a linker
could have put elsewhere (symbols, bound imports, a signature, bytes behind the last section) is refused, not guessed.
(Microsoft, "PE Format".)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Self

from lfbuild.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable

HEADER_OFFSET: Final = 0xCA0
"""Where the PE header stands in a head: the highest place that leaves room for 15 sections below 0x1000."""

SCRIPT_BYTES: Final = HEADER_OFFSET - 0x40
"""What is left for text between the DOS header and the PE header."""

_HEADERS_BYTES: Final = 0x1000
_PAGE: Final = 0x1000
_FILE_ALIGN: Final = 0x200
_OPTIONAL_BYTES: Final = 240
_X86_64 = 0x8664
_PE32_PLUS = 0x20B
_RESOURCES, _SECURITY, _DEBUG, _BOUND_IMPORT = 2, 4, 6, 11
_LARGEST_IMAGE: Final = 256 << 20
_READ_INITIALIZED: Final = 0x40000040

_COFF = struct.Struct("<4sHHIIIHH")
_SECTION = struct.Struct("<8sIIIIIIHHI")
_DIRECTORY = struct.Struct("<II")
_DEBUG_ENTRY = struct.Struct("<IIHHIIII")
_DEBUG_POINTER = 24  # the field of a debug entry that counts from the first byte of the file


@dataclass(frozen=True, kw_only=True, slots=True)
class _Section:
    name: bytes
    size: int
    address: int
    raw_size: int
    raw_offset: int
    flags: int

    @classmethod
    def parse(cls, data: bytes, offset: int, *, where: str) -> Self:
        name, size, address, raw_size, raw_offset, relocations, lines, n_relocations, n_lines, flags = (
            _SECTION.unpack_from(data, offset)
        )
        if relocations or lines or n_relocations or n_lines:
            raise FormatError(where, f"its section {_shown(name)} has relocations or line numbers of an object file")
        return cls(name=name, size=size, address=address, raw_size=raw_size, raw_offset=raw_offset, flags=flags)

    def to_bytes(self) -> bytes:
        return _SECTION.pack(self.name, self.size, self.address, self.raw_size, self.raw_offset, 0, 0, 0, 0, self.flags)

    @property
    def end(self) -> int:
        """The first page behind it in memory."""
        return self.address + align_up(max(self.size, self.raw_size), _PAGE)

    @property
    def raw_end(self) -> int:
        return self.raw_offset + self.raw_size


@dataclass(frozen=True, kw_only=True, slots=True)
class _Program:
    """A PE in parts: headers that are going to move, and the bytes of its sections, which are not changed."""

    coff: bytes
    optional: bytes
    sections: tuple[_Section, ...]
    data: bytes
    """The whole file."""


def moved_size(size_bytes: int, *, resources_bytes: int = 0) -> int:
    """How large a program of this size is once its headers have moved; at most, as a linker's headers differ."""
    return size_bytes + _HEADERS_BYTES - _FILE_ALIGN + align_up(resources_bytes, _FILE_ALIGN)


def move_headers(data: bytes, *, resources: Callable[[int], bytes] | None = None, where: str) -> bytes:
    """The program with its PE header at `HEADER_OFFSET`, zeros before it but for the DOS header's two fields.

    `resources` is given the address in memory and makes the section of resources for it. Checksum and certificate
    entry are zero, as signing expects them.

    Raises:
        FormatError: it is not a PE for x86-64, or has something that would not survive the move.
    """
    program = _parse(data, where=where)
    raised = _HEADERS_BYTES - program.sections[0].raw_offset
    body = bytearray(data[program.sections[0].raw_offset :])
    for pointer in _debug_pointers(program, where=where):
        _raise_pointer(body, pointer - program.sections[0].raw_offset, raised, where=where)
    sections = [_raised(section, raised) for section in program.sections]
    added = b""
    if resources is not None:
        section, added = _resource_section(sections[-1], _HEADERS_BYTES + len(body), resources)
        sections.append(section)
    headers = _headers(program, sections, has_resources=bool(added), where=where)
    dos = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", HEADER_OFFSET)
    return (dos.ljust(HEADER_OFFSET, b"\0") + headers).ljust(_HEADERS_BYTES, b"\0") + bytes(body) + added


def align_up(value: int, to: int) -> int:
    """The next multiple."""
    return -(-value // to) * to


def _parse(data: bytes, *, where: str) -> _Program:
    def need(holds: bool, what: str) -> None:
        if not holds:
            raise FormatError(where, what)

    need(data[:2] == b"MZ" and len(data) >= 0x40, "is not a Windows program")
    (at,) = struct.unpack_from("<I", data, 0x3C)
    need(at + _COFF.size + _OPTIONAL_BYTES <= len(data), "is not a whole Windows program")
    magic, machine, count, _, symbols, n_symbols, optional_size, _ = _COFF.unpack_from(data, at)
    need(magic == b"PE\0\0", "is not a Windows program")
    optional_at = at + _COFF.size
    optional = data[optional_at : optional_at + _OPTIONAL_BYTES]
    is_pe32_plus = optional_size == _OPTIONAL_BYTES and optional[:2] == _PE32_PLUS.to_bytes(2, "little")
    need(machine == _X86_64 and is_pe32_plus, "is not a Windows program for x86-64")
    need(symbols == 0 and n_symbols == 0, "has a symbol table; link it with -s")
    _check_optional(optional, need)
    table = optional_at + _OPTIONAL_BYTES
    (headers_size,) = struct.unpack_from("<I", optional, 60)
    need(table + count * _SECTION.size <= headers_size <= len(data), "has a section table outside of its headers")
    need(not any(data[table + count * _SECTION.size : headers_size]), "has bytes behind its section table")
    sections = tuple(_Section.parse(data, table + index * _SECTION.size, where=where) for index in range(count))
    _check_sections(sections, headers_size, len(data), struct.unpack_from("<I", optional, 56)[0], need)
    return _Program(coff=data[at:optional_at], optional=optional, sections=sections, data=data)


def _check_optional(optional: bytes, need: Callable[[bool, str], None]) -> None:
    section_align, file_align = struct.unpack_from("<II", optional, 32)
    need((section_align, file_align) == (_PAGE, _FILE_ALIGN), "is not aligned to 4096 in memory and 512 in the file")
    need(struct.unpack_from("<I", optional, 108)[0] == 16, "has not the usual 16 directories")
    need(_directory(optional, _RESOURCES) == (0, 0), "has resources of its own")
    need(_directory(optional, _SECURITY) == (0, 0), "is signed; a file is signed after it was packed")
    need(_directory(optional, _BOUND_IMPORT) == (0, 0), "has bound imports")


def _check_sections(
    sections: tuple[_Section, ...], headers_size: int, size: int, image_size: int, need: Callable[[bool, str], None]
) -> None:
    in_file = [section for section in sections if section.raw_size]
    need(bool(sections) and bool(in_file) and sections[0] is in_file[0], "has no section at its start")
    need(sections[0].address == _HEADERS_BYTES, "does not begin at 0x1000 in memory")
    need(all(one.end == two.address for one, two in pairwise(sections)), "has sections that do not follow one another")
    need(image_size <= _LARGEST_IMAGE, "is larger than 256 MiB in memory")
    need(sections[-1].end == image_size, "has another size in memory than its sections")
    need(headers_size == in_file[0].raw_offset, "has a gap behind its headers")
    need(all(one.raw_end == two.raw_offset for one, two in pairwise(in_file)), "has a gap between its sections")
    need(in_file[-1].raw_end == size, "has bytes behind its last section")


def _directory(optional: bytes, index: int) -> tuple[int, int]:
    address, size = _DIRECTORY.unpack_from(optional, 112 + index * _DIRECTORY.size)
    return address, size


def _debug_pointers(program: _Program, *, where: str) -> list[int]:
    """Where in the file the debug entries say where in the file their data is."""
    address, size = _directory(program.optional, _DEBUG)
    if size == 0:
        return []
    for section in program.sections:
        start = section.raw_offset + address - section.address
        if section.address <= address and start + size <= section.raw_end and size % _DEBUG_ENTRY.size == 0:
            return [start + entry + _DEBUG_POINTER for entry in range(0, size, _DEBUG_ENTRY.size)]
    raise FormatError(where, "has a debug directory outside of its sections")


def _raise_pointer(body: bytearray, offset: int, by: int, *, where: str) -> None:
    (pointer,) = struct.unpack_from("<I", body, offset)
    if pointer > _HEADERS_BYTES + len(body):
        raise FormatError(where, "has a debug entry that points outside of it")
    if pointer:
        struct.pack_into("<I", body, offset, pointer + by)


def _raised(section: _Section, by: int) -> _Section:
    return _Section(
        name=section.name,
        size=section.size,
        address=section.address,
        raw_size=section.raw_size,
        raw_offset=section.raw_offset + by if section.raw_size else 0,
        flags=section.flags,
    )


def _resource_section(last: _Section, raw_offset: int, resources: Callable[[int], bytes]) -> tuple[_Section, bytes]:
    content = resources(last.end)
    padded = content.ljust(align_up(len(content), _FILE_ALIGN), b"\0")
    section = _Section(
        name=b".rsrc\0\0\0",
        size=len(content),
        address=last.end,
        raw_size=len(padded),
        raw_offset=raw_offset,
        flags=_READ_INITIALIZED,
    )
    return section, padded


def _headers(program: _Program, sections: list[_Section], *, has_resources: bool, where: str) -> bytes:
    coff, optional = bytearray(program.coff), bytearray(program.optional)
    struct.pack_into("<H", coff, 6, len(sections))
    struct.pack_into("<I", optional, 56, sections[-1].end)
    struct.pack_into("<I", optional, 60, _HEADERS_BYTES)
    struct.pack_into("<I", optional, 64, 0)  # a linker's checksum; signing computes it anew
    if has_resources:
        added = sections[-1]
        (initialized,) = struct.unpack_from("<I", optional, 8)
        struct.pack_into("<I", optional, 8, min(initialized + added.raw_size, _LARGEST_IMAGE))  # nothing reads it
        _DIRECTORY.pack_into(optional, 112 + _RESOURCES * _DIRECTORY.size, added.address, added.size)
    headers = bytes(coff + optional) + b"".join(section.to_bytes() for section in sections)
    if HEADER_OFFSET + len(headers) > _HEADERS_BYTES:
        raise FormatError(where, f"has {len(sections)} sections, and the headers of a head have room for 15")
    return headers


def _shown(name: bytes) -> str:
    return name.rstrip(b"\0").decode("ascii", errors="replace")
