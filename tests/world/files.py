"""Complete small lfbuild files, written by the code that writes the large ones."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from blake3 import blake3
from tests.world.models import tiny_gguf
from tests.world.programs import tiny_elf

from lfbuild.archive.check import check_members
from lfbuild.archive.layout import directory_offset
from lfbuild.archive.reader import Reader
from lfbuild.archive.source import BytesSource
from lfbuild.errors import IntegrityError, LfbuildError
from lfbuild.formats.args import ARGS_NAME, args_to_bytes
from lfbuild.formats.gguf import cut_gguf, read_gguf
from lfbuild.formats.model import model_facts
from lfbuild.formats.seal import Seal
from lfbuild.formats.zip import end_records
from lfbuild.manifest.model import EngineRecord, Origin, Release, ToolchainRecord
from lfbuild.manifest.order import LauncherHead, PackMember, PackOrder
from lfbuild.manifest.pack import pack
from lfbuild.manifest.verify import Finding, load_manifest, verify_content, verify_structure
from lfbuild.report import SilentReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lfbuild.formats.seal import State
    from lfbuild.manifest.model import Manifest

EPOCH = 1_700_000_000
MODEL_NAME = "Tiny.Q4_0.gguf"
RELEASE = Release(name="tiny", version="1", license="apache-2.0")
ENGINE = EngineRecord(
    name="llama.cpp",
    version="0.5.0",
    source_sha256="5" * 64,
    key="6" * 64,
    toolchain=ToolchainRecord(kind="zig", version="0.17.1"),
    targets=("linux-x86_64",),
    cpus=("x86-64-v3",),
    options=(("GGML_OPENMP", "OFF"),),
)


ENGINES = EngineRecord(
    name="llama.cpp",
    version="0.5.0",
    source_sha256="5" * 64,
    toolchain=ToolchainRecord(kind="zig", version="0.17.1"),
    targets=("linux-x86_64", "windows-x86_64"),
)


def weights(name: str = MODEL_NAME, data: bytes | None = None, *, block_bytes: int = 1024) -> PackMember:
    """A model as a member, cut at its tensors into blocks that are small enough for several to be there."""
    content = tiny_gguf() if data is None else data
    header = read_gguf(lambda offset, length: content[offset : offset + length], len(content), where=name)
    return PackMember(
        name=name,
        role="weights",
        place="aligned",
        source=BytesSource(content),
        cuts=cut_gguf(header, block_bytes=block_bytes),
        license="apache-2.0",
        origin=Origin(kind="path", location="tiny.gguf", sha256="7" * 64),
        facts=model_facts(header),
    )


def plain(name: str, data: bytes, *, place: str = "body") -> PackMember:
    """Any other file as a member."""
    return PackMember(name=name, role="file", place="tail" if place == "tail" else "body", source=BytesSource(data))


def default_members() -> tuple[PackMember, ...]:
    """A model, a text, an empty file and arguments."""
    return (
        weights(),
        plain("prompts/hello.txt", b"What is the capital of France?\n"),
        plain("empty", b""),
        PackMember(
            name=ARGS_NAME,
            role="args",
            place="tail",
            source=BytesSource(args_to_bytes(["cli", "-m", f"/zip/{MODEL_NAME}", "..."])),
        ),
    )


def write_tiny_file(
    folder: Path,
    *,
    head: bytes | LauncherHead | None = None,
    members: tuple[PackMember, ...] | None = None,
    name: str = "tiny.llamafile",
    align_bytes: int = 1024,
    room_bytes: int = 300,
    epoch: int = EPOCH,
    generation: int = 1,
    release: Release = RELEASE,
    sign: Callable[[Path], None] | None = None,
) -> Path:
    """A whole file; the alignment is small so that a test may look at every byte."""
    program = folder / f"{name}.head"
    if not isinstance(head, LauncherHead):
        program.write_bytes(tiny_elf() if head is None else head)
    order = PackOrder(
        release=release,
        head=head if isinstance(head, LauncherHead) else program,
        engine=ENGINES if isinstance(head, LauncherHead) else ENGINE,
        members=default_members() if members is None else members,
        align_bytes=align_bytes,
        room_bytes=room_bytes,
        epoch=epoch,
        recipe_sha256="8" * 64,
        generation=generation,
    )
    target = folder / name
    pack(order, target, threads=1, report=SilentReport(), sign=sign)
    return target


def sign_file(path: Path) -> None:
    """As a signing tool leaves a file: a certificate table behind it, named in the head."""
    data = bytearray(path.read_bytes())
    data += bytes(-len(data) % 8)
    table = 128 + 24 + 144
    data[table : table + 8] = len(data).to_bytes(4, "little") + (16).to_bytes(4, "little")
    path.write_bytes(bytes(data) + b"signature of 16b")


def verified(path: Path, *, content: bool = True) -> list[Finding]:
    """Everything that is wrong with a file of ours; what keeps it from being read counts as a finding too."""
    try:
        with Reader.open(path) as reader:
            return _verified(reader, content=content)
    except LfbuildError as error:
        return [_as_finding(error, path)]


def _verified(reader: Reader, *, content: bool) -> list[Finding]:
    ours = load_manifest(reader)
    if ours is None:
        return list(check_members(reader))
    manifest, seal = ours
    found = list(verify_structure(reader, manifest, seal))
    return found + (list(verify_content(reader, manifest, threads=1)) if content else [])


def _as_finding(error: LfbuildError, path: Path) -> Finding:
    subject = error.where.removeprefix(str(path)).lstrip(": ") or "file"
    return Finding(
        subject=subject, what=error.what, verdict="untrue" if isinstance(error, IntegrityError) else "malformed"
    )


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of a file and what it is."""

    start: int
    end: int
    kind: str
    """`head`, `room`, `header`, `data`, `record` or `end`."""
    name: str = ""


def places_of(path: Path) -> list[Place]:
    """Every stretch of a file of ours; what is in none of them is room."""
    with Reader.open(path) as reader:
        ours = load_manifest(reader)
        assert ours is not None
        head, found = ours[0].head, reader.directory.records
        places = [Place(0, head.size_bytes, "head")]
        for item in found[head.own_members :]:
            start, data = item.record.header_offset, reader.data_offset(item.record)
            places.append(Place(start, data, "header", item.record.name))
            places.append(Place(data, data + item.record.stored_size, "data", item.record.name))
        offset = reader.directory.offset
        for item in found:
            places.append(Place(offset, offset + len(item.raw), "record", item.record.name))
            offset += len(item.raw)
        return [*places, Place(reader.directory.end_offset, reader.size_bytes, "end")]


def reseal(path: Path, manifest: Manifest, *, generation: int | None = None, state: State = "clean") -> None:
    """Write another manifest in the place of a file's own, with a seal that fits: what a hostile writer can do."""
    with Reader.open(path) as reader:
        *others, last = reader.directory.records
        body = bytearray(reader.read_at(0, last.record.header_offset))
    data = manifest.to_bytes()
    record = replace(last.record, crc32=zlib.crc32(data), stored_size=len(data), decoded_size=len(data))
    body += record.local_header() + data
    directory = b"".join(found.raw for found in others) + record.to_bytes()
    number = manifest.generation if generation is None else generation
    seal = Seal(generation=number, state=state, manifest_digest=blake3(data).hexdigest()).to_bytes()
    count = len(others) + 1
    offset = directory_offset(len(body), len(directory), comment_size=len(seal), count=count)
    body += bytes(offset - len(body)) + directory
    path.write_bytes(body + end_records(count=count, offset=offset, size=len(directory), comment=seal))


def manifest_of(path: Path) -> Manifest:
    """What a file says of itself."""
    with Reader.open(path) as reader:
        ours = load_manifest(reader)
        assert ours is not None
        return ours[0]
