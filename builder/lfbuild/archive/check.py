"""Whether a ZIP is one that everybody reads alike and that is safe to unpack: any ZIP, ours or somebody else's.

What a hostile ZIP does is told, not raised, so that `verify` can name every fault: names that lead out of the folder
or stand twice, links, data that overlaps, local headers that contradict the directory, sizes that cannot be, and bytes
that do not have their CRC-32. Memory is one piece of 1 MiB at any size; time is bounded by what the file could at most
decompress to, as overlapping members are told and not decoded.
"""

from __future__ import annotations

import stat
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from zlib_ng import zlib_ng

from lfbuild.archive.layout import name_fault
from lfbuild.errors import LfbuildError
from lfbuild.formats.executable import MOST_SIGNATURE_BYTES, PROBE_BYTES, certificate_table
from lfbuild.formats.local_header import LONGEST_LOCAL_HEADER_BYTES, LocalHeader
from lfbuild.formats.zip import DEFLATED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lfbuild.archive.reader import Reader
    from lfbuild.formats.zip import CentralRecord

Verdict = Literal["malformed", "untrue"]
_LARGEST_DEFLATE_RATIO: Final = 1032
"""A match of 258 bytes costs at least two bits (zlib, "Technical Details")."""
_CERTIFICATE_ALIGN_BYTES: Final = 8
"""Where a certificate table may begin (Microsoft, "PE Format")."""
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that is wrong: in which member or region, and what."""

    subject: str
    what: str
    verdict: Verdict = "untrue"
    leftover: bool = False
    """Bytes that belong to nothing, as an edit in place leaves them that was interrupted: `recover` clears them."""


def check_members(
    reader: Reader, *, content: bool = True, on_bytes: Callable[[int, str], None] = lambda _n, _name: None
) -> Iterator[Finding]:
    """Everything that is wrong with the members of a ZIP; nothing of this needs a manifest.

    With `content`, each member is decoded and held against its CRC-32, and `on_bytes` hears how many decoded bytes of
    which member were checked; without it only names, headers and sizes are looked at.
    """
    records = [found.record for found in reader.directory.records]
    for name, count in Counter(record.name for record in records).items():
        if count > 1:
            yield _malformed(name, f"is in the directory {count} times")
    yield from check_end(reader)
    spans: list[_Span] = []
    for record in records:
        faults = [*_faults(record), *_locate(reader, record, spans)]
        yield from (_malformed(record.name, what) for what in faults)
    overlapping = list(_overlaps(spans))
    yield from (_malformed(here.record.name, f"overlaps {there!r}") for here, there in overlapping)
    if content:
        mixed_up = {id(here.record) for here, _ in overlapping}
        for span in spans:
            if id(span.record) not in mixed_up:
                yield from _check_content(reader, span.record, on_bytes)


def check_end(reader: Reader, *, program_bytes: int = PROBE_BYTES) -> Iterator[Finding]:
    """Nothing follows the end records but the certificate table of a signed program, not too long, which ends the file.

    `program_bytes` is how much of the start of the file may belong to a program.
    """
    end = reader.directory.end_offset + reader.directory.end_size_bytes
    table = certificate_table(reader.read_at(0, min(program_bytes, PROBE_BYTES)))
    if table is None:
        if end < reader.size_bytes:
            what = f"{reader.size_bytes - end} bytes follow the end records"
            yield Finding(subject="end records", what=what, leftover=True)
        return
    offset, size = table
    if offset != -(-end // _CERTIFICATE_ALIGN_BYTES) * _CERTIFICATE_ALIGN_BYTES or offset + size != reader.size_bytes:
        yield Finding(subject="head", what=f"its signature, {size} bytes at {offset}, does not close the file")
        return
    if any(reader.read_at(end, offset - end)):
        yield Finding(subject="signature", what="the bytes before it are not zero")
    if size > MOST_SIGNATURE_BYTES:
        what = f"has {size} bytes, and at most {MOST_SIGNATURE_BYTES} leave the file's end to be found"
        yield Finding(subject="signature", what=what)


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int
    record: CentralRecord


def _malformed(subject: str, what: str) -> Finding:
    return Finding(subject=subject, what=what, verdict="malformed")


def _faults(record: CentralRecord) -> Iterator[str]:
    """What the directory record alone gives away."""
    # '@' is unfit for new files only; the name of a folder ends with a slash.
    if fault := name_fault(record.name.replace("@", "_").removesuffix("/")):
        yield f"its name {fault}"
    if kind := _KINDS.get(stat.S_IFMT(record.mode)):
        yield f"is {kind}, which is not extracted"
    if record.method == DEFLATED and record.decoded_size > record.stored_size * _LARGEST_DEFLATE_RATIO:
        yield f"says that {record.stored_size} bytes decompress to {record.decoded_size}, more than can be"


def _locate(reader: Reader, record: CentralRecord, spans: list[_Span]) -> Iterator[str]:
    """Hold the local header against the directory, and note the bytes that the member takes up."""
    try:
        end = reader.data_offset(record) + record.stored_size
        spans.append(_Span(record.header_offset, end, record))
        data = reader.read_at(record.header_offset, LONGEST_LOCAL_HEADER_BYTES)
        header = LocalHeader.parse(data, where=record.name)
    except LfbuildError as error:
        yield error.what
        return
    if differences := header.differences(record):
        yield f"its local header has another {', '.join(differences)} than the directory"


def _overlaps(spans: Sequence[_Span]) -> Iterator[tuple[_Span, str]]:
    """Each member that begins before one of those before it ends, and the name of that one."""
    last: _Span | None = None
    for span in sorted(spans, key=lambda item: (item.start, item.end)):
        if last is not None and span.start < last.end:
            yield span, last.record.name
        if last is None or span.end > last.end:
            last = span


def _check_content(reader: Reader, record: CentralRecord, on_bytes: Callable[[int, str], None]) -> Iterator[Finding]:
    crc = 0
    try:
        for piece in reader.pieces(record):
            crc = zlib_ng.crc32(piece, crc)
            on_bytes(len(piece), record.name)
    except LfbuildError as error:
        yield _malformed(record.name, error.what)
        return
    if crc != record.crc32:
        yield Finding(subject=record.name, what="its bytes do not have the CRC-32 that the directory promises")
