"""Gives every symbol that some objects define a suffix, in their definitions and in their references to each other.

    python rename_symbols.py SUFFIX FOLDER OBJECT…      writes FOLDER/0001-OBJECT …

So that one program can hold ggml-cpu several times, compiled for several CPU levels (variants.cmake). Inline functions
and templates of the C++ library are renamed too: a linker would keep one copy for all levels, perhaps the one with
instructions that this CPU lacks. Knows relocatable ELF, COFF and Mach-O for 64-bit little-endian machines, and nothing
of llama.cpp; needs nothing but Python. Why it is our own: docs/decisions/0007-cpu-variants.md.

Refused are objects that run code before main: it would run on every CPU, chosen or not.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import NamedTuple


class Symbol(NamedTuple):
    """One symbol: its name, and whether other objects may see it defined here, or refer to it."""

    name: bytes
    is_global: bool
    is_defined: bool
    entry: int
    """Offset of its table entry in the file."""


class ObjectError(Exception):
    """The bytes are no relocatable object that this program knows."""


class Elf:
    """System V ABI, chapters 4 and 5 (relocatable objects of ELF64)."""

    header = struct.Struct("<16sHHIQQQIHHHHHH")
    section = struct.Struct("<IIQQQQIIQQ")
    symbol = struct.Struct("<IBBHQQ")
    runs_before_main = (14, 16)  # SHT_INIT_ARRAY, SHT_PREINIT_ARRAY

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        fields = self.header.unpack_from(data)
        start, size, count = fields[6], fields[11], fields[12]
        self.sections = [start + number * size for number in range(count)]
        facts = [self.section.unpack_from(data, at) for at in self.sections]
        self.constructors = any(kind in self.runs_before_main for _, kind, *_ in facts)
        tables = [fact for fact in facts if fact[1] == 2]  # SHT_SYMTAB
        if len(tables) != 1:
            raise ObjectError("has no symbol table, or several")
        _, _, _, _, self.symbols_at, self.symbols_size, self.strings, *_ = tables[0]
        self.strings_at, self.strings_size = facts[self.strings][4], facts[self.strings][5]
        # A group of sections that a linker keeps once is known by the name of a symbol, which need not be global.
        self.group_names = {fact[7] for fact in facts if fact[1] == 17}  # SHT_GROUP, sh_info

    def symbols(self) -> list[Symbol]:
        """All of them."""
        found = []
        for number in range(self.symbols_size // self.symbol.size):
            entry = self.symbols_at + number * self.symbol.size
            name, info, _, section, _, _ = self.symbol.unpack_from(self.data, entry)
            is_global, is_group = info >> 4 != 0, number in self.group_names
            if name:
                found.append(Symbol(self._text(name), is_global or is_group, section != 0 or is_group, entry))
        return found

    def rename(self, names: dict[int, bytes]) -> bytes:
        """The object with other names for the symbols at these entries."""
        strings, offsets = _grown(self.data[self.strings_at : self.strings_at + self.strings_size], names.values())
        for entry, name in names.items():
            struct.pack_into("<I", self.data, entry, offsets[name])
        struct.pack_into("<QQ", self.data, self.sections[self.strings] + 24, len(self.data), len(strings))
        return bytes(self.data) + strings

    def _text(self, offset: int) -> bytes:
        return _until_zero(self.data, self.strings_at + offset)


class Coff:
    """Microsoft, "PE Format", COFF file header and symbol table; objects with many sections too (`/bigobj`)."""

    external, weak = 2, 105  # IMAGE_SYM_CLASS_EXTERNAL, _WEAK_EXTERNAL

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        is_big = data[:4] == BIG_COFF
        self.layout = struct.Struct("<8sIiHBB" if is_big else "<8sIhHBB")
        start, count = struct.unpack_from("<II", data, 48 if is_big else 8)
        sections, first = (
            (struct.unpack_from("<I", data, 44)[0], 56) if is_big else (struct.unpack_from("<H", data, 2)[0], 20)
        )
        names = [data[first + 40 * number :][:8].rstrip(b"\0") for number in range(sections)]
        self.start, self.end = start, start + count * self.layout.size
        self.strings = bytearray(data[self.end :])
        self.constructors = any(self._section_name(name).startswith((b".ctors", b".CRT$X")) for name in names)

    def symbols(self) -> list[Symbol]:
        """All of them."""
        found, entry = [], self.start
        while entry < self.end:
            name, value, section, _, kind, auxiliary = self.layout.unpack_from(self.data, entry)
            is_defined = section > 0 or kind == self.weak or (section == 0 and value > 0)
            found.append(Symbol(self._text(name), kind in (self.external, self.weak), is_defined, entry))
            entry += self.layout.size * (1 + auxiliary)
        return found

    def rename(self, names: dict[int, bytes]) -> bytes:
        """The object with other names for the symbols at these entries."""
        strings, offsets = _grown(self.strings, names.values())
        for entry, name in names.items():
            struct.pack_into("<II", self.data, entry, 0, offsets[name])
        return bytes(self.data[: self.end]) + struct.pack("<I", len(strings)) + strings[4:]

    def _text(self, field: bytes) -> bytes:
        zeros, offset = struct.unpack("<II", field)
        return field.rstrip(b"\0") if zeros else _until_zero(self.strings, offset)

    def _section_name(self, name: bytes) -> bytes:
        return _until_zero(self.strings, int(name[1:])) if name[:1] == b"/" and name[1:].isdigit() else name


class MachO:
    """Apple, <mach-o/loader.h> and <mach-o/nlist.h>, 64 bits."""

    symbol = struct.Struct("<IBBHQ")

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.constructors = b"__mod_init_func" in data or b"__init_offsets" in data
        self.count = 0  # an object without any code, as a source becomes that is for other machines, has no table
        (commands,) = struct.unpack_from("<I", data, 16)
        at = 32
        for _ in range(commands):
            kind, size = struct.unpack_from("<II", data, at)
            if kind == 2:  # LC_SYMTAB
                self.command = at
                table = struct.unpack_from("<IIII", data, at + 8)
                self.symbols_at, self.count, self.strings_at, self.strings_size = table
                return
            at += size

    def symbols(self) -> list[Symbol]:
        """All of them."""
        found = []
        for number in range(self.count):
            entry = self.symbols_at + number * self.symbol.size
            name, kind, _, _, value = self.symbol.unpack_from(self.data, entry)
            is_stab, is_global, is_section = kind & 0xE0, kind & 1, kind & 0x0E
            if not is_stab:
                text = _until_zero(self.data, self.strings_at + name)
                found.append(Symbol(text, bool(is_global), bool(is_section or value), entry))
        return found

    def rename(self, names: dict[int, bytes]) -> bytes:
        """The object with other names for the symbols at these entries."""
        strings, offsets = _grown(self.data[self.strings_at : self.strings_at + self.strings_size], names.values())
        for entry, name in names.items():
            struct.pack_into("<I", self.data, entry, offsets[name])
        struct.pack_into("<II", self.data, self.command + 16, len(self.data), len(strings))
        return bytes(self.data) + strings


Object = Elf | Coff | MachO
MACHINES = (b"\x64\x86", b"\x64\xaa")  # IMAGE_FILE_MACHINE_AMD64, _ARM64
BIG_COFF = b"\0\0\xff\xff"


def read_object(data: bytes) -> Object:
    """The object in its format.

    Raises:
        ObjectError: of an unknown format, or not relocatable.
    """
    if data[:6] == b"\x7fELF\x02\x01" and data[16:18] == b"\x01\0":
        return Elf(data)
    if data[:4] == b"\xcf\xfa\xed\xfe" and data[12:16] == b"\x01\0\0\0":
        return MachO(data)
    if data[:2] in MACHINES or (data[:4] == BIG_COFF and data[6:8] in MACHINES):
        return Coff(data)
    raise ObjectError("is no relocatable object of ELF64, COFF or 64-bit Mach-O")


def rename_all(objects: dict[str, bytes], suffix: bytes) -> dict[str, bytes]:
    """Every object with its new names; `objects` by file name.

    Raises:
        ObjectError: one of them is none, or runs code before main; the message begins with its file name.
    """
    read = {}
    for name, data in objects.items():
        try:
            read[name] = read_object(data)
        except (ObjectError, struct.error, IndexError) as error:
            raise ObjectError(f"{name}: {error}") from error
        if read[name].constructors:
            raise ObjectError(f"{name}: runs code before main, on whatever CPU")
    seen = {name: [symbol for symbol in item.symbols() if symbol.is_global] for name, item in read.items()}
    defined = {symbol.name for symbols in seen.values() for symbol in symbols if symbol.is_defined}
    new = {
        name: {symbol.entry: symbol.name + suffix for symbol in symbols if symbol.name in defined}
        for name, symbols in seen.items()
    }
    return {name: item.rename(new[name]) if new[name] else objects[name] for name, item in read.items()}


def _until_zero(data: bytearray, start: int) -> bytes:
    return bytes(data[start : data.index(0, start)])


def _grown(strings: bytes, names: object) -> tuple[bytes, dict[bytes, int]]:
    """A string table with these names at its end, and where each stands."""
    grown, offsets = bytearray(strings), {}
    for name in dict.fromkeys(names):  # type: ignore[call-overload]  # names of a dict's values
        offsets[name] = len(grown)
        grown += name + b"\0"
    return bytes(grown), offsets


def main(suffix: str, folder: str, *paths: str) -> int:
    """Rename and write; the sentence of a refusal goes to stderr."""
    named = {f"{number:04}-{Path(path).name}": Path(path).read_bytes() for number, path in enumerate(paths, start=1)}
    try:
        renamed = rename_all(named, suffix.encode())
    except ObjectError as error:
        sys.stderr.write(f"lfbuild: {error}\n")
        return 1
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for old in target.iterdir():
        old.unlink()
    for name, data in renamed.items():
        (target / name).write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
