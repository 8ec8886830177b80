"""Holds the engines of a file against each other's word: slice table, directory and manifest tell of them alike.

A launcher believes the table, an unzip the directory, an updater the manifest. Only their agreement is looked at here;
whether the bytes are the promised ones is `verify`'s.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from blake3 import blake3

from lfbuild.archive.check import Finding
from lfbuild.archive.deflate import inflate
from lfbuild.archive.source import read_source
from lfbuild.errors import IntegrityError, LfbuildError
from lfbuild.formats.slices import SLICES_NAME, parse_slices
from lfbuild.formats.zip import STORED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lfbuild.archive.reader import Reader
    from lfbuild.formats.slices import Slice
    from lfbuild.manifest.model import Manifest, MemberRecord
    from lfbuild.manifest.order import EngineSlice


def load_slices(reader: Reader) -> tuple[Slice, ...]:
    """The slice table of a file; empty if it has none.

    Raises:
        FormatError: it is malformed.
        IntegrityError: it is damaged.
    """
    if SLICES_NAME not in reader.records:
        return ()
    return parse_slices(reader.read(SLICES_NAME), where=f"{reader.where}: {SLICES_NAME}")


def load_program(item: EngineSlice) -> bytes:
    """An engine as it runs, whether it is stored so or deflated.

    Raises:
        IntegrityError: it is not what was promised.
    """
    where, data = f"engine for {item.target}", read_source(item.source)
    try:
        program = inflate(data, item.program.size_bytes) if item.encoder_version else data
    except zlib.error as error:
        raise IntegrityError(where, f"cannot be decompressed: {error}") from error
    if blake3(program).hexdigest() != item.program.digest:
        raise IntegrityError(where, "its bytes are not the ones that were promised")
    return program


def check_slices(reader: Reader, manifest: Manifest) -> Iterator[Finding]:
    """Everything in which table, directory and manifest differ."""
    table = manifest.member(SLICES_NAME)
    if manifest.head.kind == "engine":
        if table is not None:
            yield Finding(subject=SLICES_NAME, what="is there, though the head is an engine")
        return
    if table is None:
        yield Finding(subject=SLICES_NAME, what="is missing, though the head is a launcher")
        return
    # A launcher looks for the table's root in the manifest's own text, so this record has one form.
    if (table.role, table.place, table.index) != ("slices", "tail", ""):
        yield Finding(subject=SLICES_NAME, what="is not recorded as the slice table")
    try:
        slices = load_slices(reader)
    except LfbuildError as error:
        untrue = isinstance(error, IntegrityError)
        yield Finding(subject=SLICES_NAME, what=error.what, verdict="untrue" if untrue else "malformed")
        return
    yield from _check_lines(reader, manifest, slices)
    yield from _check_records(manifest, slices)


def check_encodings(reader: Reader, manifest: Manifest) -> Iterator[Finding]:
    """Whether each member is stored or compressed as the manifest says."""
    for member in manifest.members:
        record = reader.records.get(member.name)
        if record is None:
            continue  # told of with the directory
        encoding = member.encoding
        if (record.method == STORED) != (encoding is None):
            how = "compressed" if encoding is None else "stored as it is"
            yield Finding(subject=member.name, what=f"is {how}, and the manifest says otherwise")
        elif encoding is not None and record.decoded_size != encoding.decoded_size:
            what = f"decodes to {record.decoded_size} bytes instead of {encoding.decoded_size}"
            yield Finding(subject=member.name, what=what)


def _check_lines(reader: Reader, manifest: Manifest, slices: tuple[Slice, ...]) -> Iterator[Finding]:
    """Each line against the directory."""
    for item in slices:
        record, member = reader.records.get(item.member), manifest.member(item.member)
        if record is None or member is None or (member.role, member.place) != ("engine", "slot"):
            yield Finding(subject=item.member, what=f"is the engine for {item.target} in the slice table, and is none")
            continue
        promised = (item.method, item.stored_size, item.decoded_size)
        found = (record.method, record.stored_size, record.decoded_size)
        if promised != found:
            what = f"has method and sizes {_numbers(found)}, and in the slice table {_numbers(promised)}"
            yield Finding(subject=item.member, what=what)


def _check_records(manifest: Manifest, slices: tuple[Slice, ...]) -> Iterator[Finding]:
    """The lines against the manifest's own list of slices."""
    listed = manifest.engine.slices if manifest.engine else ()
    here = {item.member: (item.target, item.cpus) for item in slices}
    there = {item.member: (item.target, item.cpus) for item in listed}
    for name in sorted(here.keys() | there.keys()):
        if here.get(name) != there.get(name):
            yield Finding(subject=name, what="slice table and manifest tell of it differently")
    named = [item.member for item in slices]
    for member in _engines(manifest):
        if named.count(member.name) != 1:
            yield Finding(subject=member.name, what=f"stands in the slice table {named.count(member.name)} times")


def _engines(manifest: Manifest) -> list[MemberRecord]:
    return [member for member in manifest.members if member.role == "engine"]


def _numbers(numbers: tuple[int, int, int]) -> str:
    return ", ".join(map(str, numbers))
