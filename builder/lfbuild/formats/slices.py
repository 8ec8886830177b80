"""Slice table: which engine in the file is for which machine, for a launcher in small C that has no JSON parser.

The member `.lfbuild/slices` of a file whose head is a launcher: ASCII lines, fields separated by one space, ended by
a newline.

    lfbuild-slices 1
    slice linux-x86_64 x86-64-v4,x86-64-v3 .lfbuild/engine/linux-x86_64 8 4194304 11534336 2fe1…
    end 9c1f…

A `slice` line has: target, CPU levels, member, method (ZIP's number), stored size, decoded size, BLAKE3 of the decoded
bytes. The levels are those that the engine has code for, best first, with commas between: it chooses among them when
it starts, and the machine must have the last. The `end` line has the BLAKE3 of all bytes before it, so that a reader
without the manifest notices damage. A launcher takes the first line of its own target whose last level the machine
has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from lfbuild.errors import FormatError, IntegrityError

SLICES_NAME: Final = ".lfbuild/slices"
_FIRST = "lfbuild-slices 1"
_FIELD = re.compile(r"[!-~]{1,255}")
_LEVEL = re.compile(r"[!-+\--~]{1,255}")
_MOST_LEVELS_BYTES: Final = 1023
"""Of all levels with their commas, so that C reads them into a buffer: upstream's thirteen for x86-64 have 350."""
_MOST_SLICES: Final = 64
_HIGHEST_METHOD: Final = 0xFFFF
_NUMBER = re.compile(r"[0-9]{1,19}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """One engine, and the machine it is for."""

    target: str
    cpus: tuple[str, ...]
    """Best first."""
    member: str
    method: int
    stored_size: int
    decoded_size: int
    digest: str

    def line(self) -> str:
        """The slice as its line, without the newline."""
        sizes = (self.method, self.stored_size, self.decoded_size)
        return " ".join(["slice", self.target, ",".join(self.cpus), self.member, *map(str, sizes), self.digest])


def slices_to_bytes(slices: tuple[Slice, ...]) -> bytes:
    """The member's bytes.

    Raises:
        FormatError: there are too many, or a field has a space or another byte that the table cannot hold.
    """
    _check_count(len(slices), where=SLICES_NAME)
    for item in slices:
        _check(item, where=SLICES_NAME)
    body = "".join(f"{line}\n" for line in [_FIRST, *(item.line() for item in slices)]).encode()
    return body + f"end {blake3(body).hexdigest()}\n".encode()


def parse_slices(data: bytes, *, where: str) -> tuple[Slice, ...]:
    """Read the table.

    Raises:
        FormatError: it is not one, or a line is malformed.
        IntegrityError: its end line does not fit the lines before it.
    """
    body, _, end = data.removesuffix(b"\n").rpartition(b"\n")
    body += b"\n"
    if not body.startswith(_FIRST.encode() + b"\n") or not data.endswith(b"\n"):
        raise FormatError(where, f"not a slice table that begins {_FIRST!r}")
    if end != f"end {blake3(body).hexdigest()}".encode():
        raise IntegrityError(where, "the slice table does not match its own digest")
    try:
        _, *lines, _ = body.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise FormatError(where, "the slice table is not ASCII") from error
    _check_count(len(lines), where=where)
    return tuple(_parse_line(line, where=f"{where}:{number}") for number, line in enumerate(lines, start=2))


def _parse_line(line: str, *, where: str) -> Slice:
    fields = line.split(" ")
    if len(fields) != 8 or fields[0] != "slice" or not all(map(_NUMBER.fullmatch, fields[4:7])):
        raise FormatError(where, "not a slice line of seven fields")
    item = Slice(
        target=fields[1],
        cpus=tuple(fields[2].split(",")),
        member=fields[3],
        method=int(fields[4]),
        stored_size=int(fields[5]),
        decoded_size=int(fields[6]),
        digest=fields[7],
    )
    _check(item, where=where)
    return item


def _check_count(count: int, *, where: str) -> None:
    if count > _MOST_SLICES:
        raise FormatError(where, f"the slice table has {count} slices, and launchers read {_MOST_SLICES}")


def _check(item: Slice, *, where: str) -> None:
    fields_fit = all(_FIELD.fullmatch(field) for field in (item.target, item.member))
    levels_fit = item.cpus and all(map(_LEVEL.fullmatch, item.cpus)) and len(",".join(item.cpus)) <= _MOST_LEVELS_BYTES
    method_fits = item.method <= _HIGHEST_METHOD
    if not fields_fit or not levels_fit or not method_fits or not _DIGEST.fullmatch(item.digest):
        raise FormatError(where, f"a slice of {item.target!r} has a field that the table cannot hold")
