"""Files that are measured: random bytes, a model that is mostly holes, and packed files of both."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from lfbuild.archive.deflate import look_at
from lfbuild.archive.hashing import Digests, HashPool
from lfbuild.archive.source import BytesSource, FileSource
from lfbuild.formats.blocks import BlockIndex
from lfbuild.formats.gguf import cut_gguf, read_gguf
from lfbuild.formats.head import HEAD_BYTES
from lfbuild.formats.model import model_facts
from lfbuild.manifest.model import EngineRecord, Release, ToolchainRecord
from lfbuild.manifest.order import EngineSlice, LauncherHead, PackMember, PackOrder
from lfbuild.manifest.pack import pack
from lfbuild.report import SilentReport

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lfbuild.archive.source import OpenSource
    from lfbuild.formats.blocks import Cuts

_PIECE_BYTES = 8 << 20
_WORDS = 262_144
"""As many as Gemma 3 has, the largest vocabulary in wide use."""
_TENSORS = 400
ENGINE = EngineRecord(
    name="benchmark",
    version="1",
    source_sha256="",
    toolchain=ToolchainRecord(kind="none", version=""),
    targets=("linux-x86_64",),
)


def random_file(path: Path, size: int) -> Path:
    """A file that no file system can compress or share with itself."""
    with path.open("wb") as file:
        for start in range(0, size, _PIECE_BYTES):
            file.write(os.urandom(min(_PIECE_BYTES, size - start)))
        file.flush()
        os.fsync(file.fileno())
    return path


def head(folder: Path) -> Path:
    """A small real ELF program."""
    program = shutil.which("true")
    if program is None:
        raise SystemExit("there is no program `true` to stand for an engine")
    return Path(shutil.copy(program, folder / "head"))


def order(head_path: Path, member: PackMember) -> PackOrder:
    """One member behind a head, as a recipe with defaults would have it."""
    return PackOrder(
        release=Release(name="benchmark"),
        head=head_path,
        engine=None,
        members=(member,),
        align_bytes=64 << 10,
        room_bytes=8 << 20,
        epoch=1_700_000_000,
    )


def file_member(path: Path) -> PackMember:
    """Any file as a weight-like member."""
    return PackMember(name=path.name, role="file", place="aligned", source=FileSource.whole(path))


def sparse_packed(folder: Path, size: int) -> Path:
    """A packed file whose model of `size` bytes is all holes but for its header.

    Everything is as in a real file but the digests of the model, which neither `list` nor `inspect` reads.
    """
    target = folder / f"sparse-{size}.llamafile"
    with mock.patch("lfbuild.archive.writer.HashPool", _WithoutHoles):
        pack(order(head(folder), _sparse_model(size)), target, threads=1, report=SilentReport())
    return target


def sparse_launcher_file(folder: Path, size: int, *, engine_bytes: int, room_bytes: int) -> Path:
    """The same behind launchers, with an engine of random bytes and room for the next ones."""
    launcher = LauncherHead(
        program="elf", data=head(folder).read_bytes().ljust(HEAD_BYTES, b"\0"), slices=(engine(engine_bytes),)
    )
    work = replace(order(head(folder), _sparse_model(size)), head=launcher, engine=ENGINE, room_bytes=room_bytes)
    target = folder / f"sparse-launcher-{size}.llamafile"
    with mock.patch("lfbuild.archive.writer.HashPool", _WithoutHoles):
        pack(work, target, threads=1, report=SilentReport())
    return target


def engine(size: int) -> EngineSlice:
    """An engine that nobody has seen before."""
    program = os.urandom(size)
    return EngineSlice(
        target="linux-x86_64", cpus=("x86-64",), key="", source=BytesSource(program), program=look_at([program])
    )


def _sparse_model(size: int) -> PackMember:
    header = gguf_header(size)
    facts = read_gguf(lambda offset, length: header[offset : offset + length], size, where="model")
    return PackMember(
        name="model.gguf",
        role="weights",
        place="aligned",
        source=_Holes(header, size),
        cuts=cut_gguf(facts),
        facts=model_facts(facts),
    )


def gguf_header(size: int) -> bytes:
    """The header of a model of `size` bytes with a large vocabulary, without its tensor data."""
    values = [
        _text("general.architecture") + struct.pack("<I", 8) + _text("llama"),
        _text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, _WORDS) + b"".join(map(_text, _words())),
        _text("tokenizer.ggml.scores") + struct.pack("<IIQ", 9, 6, _WORDS) + bytes(4 * _WORDS),
    ]
    start = b"GGUF" + struct.pack("<IQQ", 3, _TENSORS, len(values)) + b"".join(values)
    room = size - len(start) - 100 * _TENSORS
    elements = room // _TENSORS // 32 * 32 // 4
    infos = b"".join(_tensor(number, elements) for number in range(_TENSORS))
    return start + infos + bytes(-(len(start) + len(infos)) % 32)


def _words() -> Iterator[str]:
    return (f"word{number}" for number in range(_WORDS))


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def _tensor(number: int, elements: int) -> bytes:
    return _text(f"blk.{number}.weight") + struct.pack("<IQIQ", 1, elements, 0, number * elements * 4)


@dataclass(frozen=True, slots=True)
class _Holes:
    """A start, and holes behind it."""

    start: bytes
    size_bytes: int

    @contextlib.contextmanager
    def opened(self) -> Iterator[_Holes]:
        yield self

    def share(self, target: int, *, target_offset: int) -> bool:
        os.ftruncate(target, target_offset + self.size_bytes)
        os.pwrite(target, self.start, target_offset)
        return True

    def read_into(self, buffer: memoryview, start: int) -> None:
        raise AssertionError(f"{len(buffer)} bytes of a hole are copied from {start}")


class _Undigested:
    """Stands for the digests of holes that nobody reads."""

    def __init__(self, cuts: Cuts) -> None:
        self._cuts = cuts

    def finish(self, _on_bytes: object = None) -> Digests:
        return Digests(index=BlockIndex(cuts=self._cuts, leaves=bytes(32 * self._cuts.leaves)), crc32=0)


class _WithoutHoles(HashPool):
    def copy(  # type: ignore[override]
        self, source: OpenSource, descriptor: int, offset: int, cuts: Cuts, *, holes: Sequence[tuple[int, int]] = ()
    ) -> object:
        if not isinstance(source, _Holes):
            return super().copy(source, descriptor, offset, cuts, holes=holes)
        source.share(descriptor, target_offset=offset)
        return _Undigested(cuts)
