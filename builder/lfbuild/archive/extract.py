"""Writes a member as a file of its own, by reference where the file system can, and checks what was written."""

from __future__ import annotations

import contextlib
import stat
from typing import TYPE_CHECKING

from lfbuild.archive.hashing import HashPool
from lfbuild.archive.layout import check_name
from lfbuild.archive.source import FileSource
from lfbuild.errors import FormatError, IntegrityError, command
from lfbuild.formats.blocks import Cuts
from lfbuild.formats.zip import STORED
from lfbuild.host.moving import write_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import BinaryIO

    from lfbuild.archive.reader import Reader
    from lfbuild.formats.zip import CentralRecord


def target_of(record: CentralRecord, directory: Path, *, where: str) -> Path:
    """Where a member is written below `directory`.

    Raises:
        FormatError: its name leads elsewhere, or it is a link or a device.
    """
    kind = stat.S_IFMT(record.mode)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise FormatError(where, f"{record.name!r} is no regular file", hint="links and devices are not extracted")
    try:
        check_name(record.name.replace("@", "_").removesuffix("/"))  # '@' is only unfit for new files
    except FormatError as error:
        raise FormatError(where, error.what, hint="it is not extracted") from error
    return directory / record.name


def extract_member(
    reader: Reader,
    record: CentralRecord,
    file: BinaryIO,
    *,
    threads: int,
    cuts: Cuts | None = None,
    root: str = "",
    on_bytes: Callable[[int], None] = lambda _: None,
) -> None:
    """Write the decoded bytes of a member into an empty file and hold them against its CRC-32, and its root if given.

    Raises:
        FormatError: the member cannot be read.
        IntegrityError: the bytes are not the ones that were promised.
    """
    blocks = cuts or Cuts.plain(record.decoded_size)
    with HashPool(threads) as pool, contextlib.ExitStack() as stack:
        if record.method == STORED:
            opened = stack.enter_context(_source(reader, record).opened())
            hashing = pool.copy(opened, file.fileno(), 0, blocks)
        else:
            hashing = pool.region(file.fileno(), 0, blocks)
            _decode(reader, record, file, hashing.ready)
        digests = hashing.finish(on_bytes)
    if digests.crc32 != record.crc32 or (root and digests.index.root != root):
        raise IntegrityError(
            f"{reader.where}: {record.name}",
            "its bytes are not the ones that were promised",
            hint=f"{command('verify', reader.path)} tells which block is wrong",
        )


def _source(reader: Reader, record: CentralRecord) -> FileSource:
    reader.refuse_unreadable(record)
    return FileSource(path=reader.path, offset=reader.data_offset(record), size_bytes=record.stored_size)


def _decode(reader: Reader, record: CentralRecord, file: BinaryIO, ready: Callable[[int], None]) -> None:
    """Write what a compressed member decodes to, and tell how many bytes are there."""
    position = 0
    for piece in reader.pieces(record):
        write_all(file.fileno(), piece, position)
        position += len(piece)
        ready(position)
