"""Llamafiles as Mozilla's tools make them, byte by byte and by no code of lfbuild's.

An engine is an APE with members of its own, deflated, and its directory and end record; `zipalign` puts members behind
it: every value in a ZIP64 field, data at multiples of 65536, 24 bytes of nothing behind each member, a new directory of
all. What it wrote before stays in the file as bytes that nothing refers to.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from tests.world.models import tiny_gguf
from tests.world.programs import tiny_ape

if TYPE_CHECKING:
    from pathlib import Path

MODEL = "tiny.Q4_0.gguf"
OLD_ARGS = b"-m\ntiny.Q4_0.gguf\n--nobrowser\n...\n"
TIME, DATE = 0xB1AA, 0x576E
"""2023-11-14 22:13:20, which is 1700000000 in UTC."""


def mozilla_engine(*, version: str = "0.9.3", flags: tuple[str, ...] = ("--nobrowser", "-m", "-c")) -> bytes:
    """An engine that names its version and its flags in its bytes."""
    texts = f"llamafile v{version}\0".encode() + b"".join(flag.encode() + b"\0" for flag in flags)
    program = bytearray(tiny_ape(4096))
    program[1000 : 1000 + len(texts)] = texts
    return bytes(program)


def mozilla_file(
    members: dict[str, bytes] | None = None, *, engine: bytes | None = None, deflated: tuple[str, ...] = ()
) -> bytes:
    """A whole llamafile."""
    content = {MODEL: tiny_gguf(), ".args": OLD_ARGS, "web/index.html": b"<h1>hi</h1>\n" * 20}
    program = mozilla_engine() if engine is None else engine
    return _zipalign(program, content if members is None else members, deflated)


def write_mozilla_file(path: Path, members: dict[str, bytes] | None = None, *, deflated: tuple[str, ...] = ()) -> Path:
    """A whole llamafile as a file."""
    path.write_bytes(mozilla_file(members, deflated=deflated))
    path.chmod(0o755)
    return path


def _zipalign(engine: bytes, members: dict[str, bytes], deflated: tuple[str, ...]) -> bytes:
    body, directory, count = bytearray(engine), *_own_directory(engine)
    cursor = len(engine)
    for name, data in members.items():
        raw, method = name.encode(), 8 if name in deflated else 0
        stored = _deflate(data) if method else data
        while (cursor + 30 + len(raw) + 20) % 65536:
            cursor += 1
        body.extend(bytes(cursor - len(body)))
        crc = zlib.crc32(data)
        body += struct.pack(
            "<IHHHHHIIIHH", 0x04034B50, 45, 0x800, method, TIME, DATE, crc, 2**32 - 1, 2**32 - 1, len(raw), 20
        )
        body += raw + struct.pack("<HHQQ", 1, 16, len(data), len(stored)) + stored
        record = struct.pack(
            "<IHHHHHHIIIHHHHHII",
            0x02014B50, 3 << 8 | 45, 45, 0x800, method, TIME, DATE, crc, 2**32 - 1, 2**32 - 1,
            len(raw), 28, 0, 0, 0, 0o100644 << 16, 2**32 - 1,
        )  # fmt: skip
        record += raw + struct.pack("<HHQQQ", 1, 24, len(data), len(stored), cursor)
        directory += record
        cursor += len(record) + len(stored)  # zipalign counts the directory's record where the local header stands
        count += 1
    body.extend(bytes(cursor - len(body)))
    end = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 3 << 8 | 45, 45, 0, 0, count, count, len(directory), cursor)
    end += struct.pack("<IIQI", 0x07064B50, 0, cursor + len(directory), 1)
    end += struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(directory), 2**32 - 1, 0)
    return bytes(body + directory + end)


def _own_directory(engine: bytes) -> tuple[bytearray, int]:
    """The directory of the engine's own members, which zipalign takes over as it stands."""
    at = engine.rindex(b"PK\x05\x06")
    count, size, offset = struct.unpack_from("<HII", engine, at + 10)
    return bytearray(engine[offset : offset + size]), count


def _deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()
