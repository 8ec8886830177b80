"""Tiny files with a launcher as their head: engines of a few kilobytes, every part of the chain there to be spoiled."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from blake3 import blake3

from lfbuild.archive.layout import directory_offset
from lfbuild.formats.blocks import root_of
from lfbuild.formats.seal import Seal
from lfbuild.formats.slices import SLICES_NAME, Slice, slices_to_bytes
from lfbuild.formats.zip import DEFLATED, STORED, CentralRecord, end_records
from lfbuild.manifest.model import MANIFEST_NAME, Head, Manifest, MemberRecord, Release

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lfbuild.formats.seal import State

HEAD_BYTES = 1 << 20
CPUS = {"x86_64": "x86-64-v3,x86-64", "aarch64": "armv8.2-a+dotprod,armv8-a"}


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A program for a target, as it goes into a file."""

    program: bytes = field(repr=False)
    target: str = "linux-x86_64"
    cpus: str = CPUS["x86_64"]
    method: int = DEFLATED

    @property
    def member(self) -> str:
        return f".lfbuild/engine/{self.target}"

    @property
    def stored(self) -> bytes:
        if self.method == STORED:
            return self.program
        packer = zlib.compressobj(9, wbits=-15)
        return packer.compress(self.program) + packer.flush()

    def slice(self) -> Slice:
        return Slice(
            target=self.target,
            cpus=tuple(self.cpus.split(",")),
            member=self.member,
            method=self.method,
            stored_size=len(self.stored),
            decoded_size=len(self.program),
            digest=blake3(self.program).hexdigest(),
        )


def same(data: bytes) -> bytes:
    return data


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A file to be written; each `spoil` changes a part before what vouches for it is made, each `forge` behind."""

    head: bytes = field(repr=False)
    engines: tuple[Engine, ...]
    weights_first_bytes: int = 0
    """Of weights that stand before the engines, as they do once an engine was appended in place."""
    members: dict[str, bytes] = field(default_factory=dict)
    spoil_table: Callable[[bytes], bytes] = same
    forge_table: Callable[[bytes], bytes] = same
    spoil_manifest: Callable[[bytes], bytes] = same
    forge_manifest: Callable[[bytes], bytes] = same
    state: str = "clean"


class _Zip:
    def __init__(self, file: BinaryIO, head: bytes) -> None:
        self.file, self.records = file, list[bytes]()
        file.write(head)

    def add(self, name: str, stored: bytes, *, decoded: bytes | None = None, method: int = STORED) -> None:
        content = stored if decoded is None else decoded
        self._begin(name, method, zlib.crc32(content), len(stored), len(content))
        self.file.write(stored)

    def add_hole(self, name: str, size_bytes: int) -> None:
        """A member of zeros that takes no room on the disk; nobody here asks for its CRC."""
        self._begin(name, STORED, 0, size_bytes, size_bytes)
        self.file.seek(size_bytes, os.SEEK_CUR)

    def _begin(self, name: str, method: int, crc32: int, stored_bytes: int, decoded_bytes: int) -> None:
        record = CentralRecord(
            name=name,
            method=method,
            crc32=crc32,
            stored_size=stored_bytes,
            decoded_size=decoded_bytes,
            header_offset=self.file.tell(),
            mode=0o100644,
            dos_time=0x5000_0000,
        )
        self.file.write(record.local_header())
        self.records.append(record.to_bytes())

    def finish(self, comment: bytes) -> None:
        directory = b"".join(self.records)
        count = len(self.records)
        offset = directory_offset(self.file.tell(), len(directory), comment_size=len(comment), count=count)
        self.file.seek(offset)
        self.file.write(directory + end_records(count=count, offset=offset, size=len(directory), comment=comment))


def write_file(path: Path, plan: Plan) -> Path:
    """Write the planned file; it may be started."""
    table = plan.spoil_table(slices_to_bytes(tuple(engine.slice() for engine in plan.engines)))
    manifest = plan.spoil_manifest(_manifest(table, plan).to_bytes())
    state: State = "redo" if plan.state == "redo" else "clean"
    seal = Seal(generation=1, state=state, manifest_digest=blake3(manifest).hexdigest()).to_bytes()
    with path.open("wb") as file:
        zip_file = _Zip(file, plan.head.ljust(HEAD_BYTES, b"\0"))
        if plan.weights_first_bytes:
            zip_file.add_hole("model.gguf", plan.weights_first_bytes)
        for engine in plan.engines:
            zip_file.add(engine.member, engine.stored, decoded=engine.program, method=engine.method)
        for name, data in plan.members.items():
            zip_file.add(name, data)
        zip_file.add(SLICES_NAME, plan.forge_table(table))
        zip_file.add(MANIFEST_NAME, plan.forge_manifest(manifest))
        zip_file.finish({"none": b"", "later": b"lfbuild 2" + seal[9:]}.get(plan.state, seal))
    path.chmod(0o755)
    return path


def _manifest(table: bytes, plan: Plan) -> Manifest:
    return Manifest(
        format=1,
        generation=1,
        epoch=0,
        release=Release(name='tiny "quoted"', version="1.0"),
        head=Head(kind="launcher", program="elf", size_bytes=HEAD_BYTES, root="0" * 64),
        members=(
            MemberRecord(
                name=SLICES_NAME,
                role="slices",
                place="tail",
                size_bytes=len(table),
                root=root_of(blake3(table).digest()),
            ),
        ),
        directory="0" * 64,
    )


def find_data(path: Path, name: str) -> int:
    """Where a member's stored bytes begin."""
    data = path.read_bytes()
    header = data.index(b"PK\3\4", HEAD_BYTES)
    while data[header + 30 : header + 30 + len(name)] != name.encode():
        header = data.index(b"PK\3\4", header + 1)
    return header + 30 + len(name)


def change(path: Path, offset: int, byte: int) -> None:
    """Put one byte of the file in place of the one that is there."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes([byte]))
