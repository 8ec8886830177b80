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

from blake3 import blake3

from benchmarks.front import MIB
from lfbuild.archive.deflate import look_at
from lfbuild.archive.hashing import Digests, HashPool
from lfbuild.archive.source import BytesSource, FileSource
from lfbuild.formats.blocks import BlockIndex
from lfbuild.formats.gguf import cut_gguf, read_gguf
from lfbuild.formats.head import HEAD_BYTES
from lfbuild.formats.model import model_facts
from lfbuild.manifest.matching import zero_leaf
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
    """A packed file whose model of `size` bytes is all holes but for its header."""
    target = folder / f"sparse-{size}.llamafile"
    with mock.patch("lfbuild.archive.writer.HashPool", _WithoutHoles):
        pack(order(head(folder), _model_member(_Holes, size, "")), target, threads=1, report=SilentReport())
    return target


def sparse_launcher_file(folder: Path, size: int, *, engine_bytes: int, room_bytes: int) -> Path:
    """The same behind launchers, with an engine of random bytes and room for the next ones."""
    launcher = LauncherHead(
        program="elf", data=head(folder).read_bytes().ljust(HEAD_BYTES, b"\0"), slices=(engine(engine_bytes),)
    )
    work = replace(
        order(head(folder), _model_member(_Holes, size, "")), head=launcher, engine=ENGINE, room_bytes=room_bytes
    )
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


def release(folder: Path, target: Path, *, size: int, sparse: bool, number: int) -> Path:
    """The first or the second release of a large file: another engine and a longer template, the same weights."""
    template = "{{ messages }}" + number * "{# and the second release says more #}"
    member = _model_member(_Holes if sparse else _Endless, size, template)
    pool = _WithoutHoles if sparse else HashPool
    with mock.patch("lfbuild.archive.writer.HashPool", pool):
        head = program(folder, number, program_bytes(size))
        pack(order(head, member), target, threads=1, report=SilentReport())
    return target


def program_bytes(size: int) -> int:
    """How large the engine of a large file is."""
    return min(8 * MIB, size // 256)


def program(folder: Path, number: int, size: int) -> Path:
    """A program as a compiler leaves it: the second release has a function more, so addresses moved."""
    code, function = blake3(b"code").digest(length=size // 64 * 64), blake3(b"a new function").digest(length=4096)
    third = size // 192 * 64
    grown = code[:third] + function * number + code[third:]
    words = memoryview(bytearray(grown)).cast("I")
    for place in range(16, len(words), 16):
        words[place] = 4 * place
    path = folder / f"program-{number}"
    path.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 2, 62, 1) + words.cast("B")[24:].tobytes())
    return path


def _model_member(source: type[_Holes | _Endless], size: int, template: str) -> PackMember:
    header = gguf_header(size, template)
    facts = read_gguf(lambda offset, length: header[offset : offset + length], size, where="model")
    return PackMember(
        name="model.gguf",
        role="weights",
        place="aligned",
        source=source(header, size),
        cuts=cut_gguf(facts),
        facts=model_facts(facts),
    )


def gguf_header(size: int, template: str = "") -> bytes:
    """The header of a model of `size` bytes with a large vocabulary, without its tensor data.

    Where the tensors begin depends on the template, what they are does not.
    """
    values = [
        _text("general.architecture") + struct.pack("<I", 8) + _text("llama"),
        _text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, _WORDS) + b"".join(map(_text, _words())),
        _text("tokenizer.ggml.scores") + struct.pack("<IIQ", 9, 6, _WORDS) + bytes(4 * _WORDS),
    ]
    room = size - sum(map(len, values)) - 100 * _TENSORS - 24
    if template:
        values.append(_text("tokenizer.chat_template") + struct.pack("<I", 8) + _text(template))
    start = b"GGUF" + struct.pack("<IQQ", 3, _TENSORS, len(values)) + b"".join(values)
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


@dataclass(frozen=True, slots=True)
class _Endless:
    """A start, and bytes in no order behind it, always the same ones at the same distance from it."""

    start: bytes
    size_bytes: int

    @contextlib.contextmanager
    def opened(self) -> Iterator[_Endless]:
        yield self

    def share(self, target: int, *, target_offset: int) -> bool:
        del target, target_offset
        return False

    def read_into(self, buffer: memoryview, start: int) -> None:
        head = self.start[start : start + len(buffer)]
        seek = max(start - len(self.start), 0)
        buffer[:] = head + blake3(b"weights").digest(length=len(buffer) - len(head), seek=seek)


class _Undigested:
    """The digests of holes, without reading them."""

    def __init__(self, source: _Holes, cuts: Cuts) -> None:
        self._source, self._cuts = source, cuts

    def finish(self, _on_bytes: object = None) -> Digests:
        start = self._source.start
        leaves = bytearray()
        for offset, size in self._cuts.blocks():
            here = start[offset : offset + size]
            leaves += blake3(here + bytes(size - len(here))).digest() if here else zero_leaf(size)
        return Digests(index=BlockIndex(cuts=self._cuts, leaves=bytes(leaves)), crc32=0)


class _WithoutHoles(HashPool):
    def copy(  # type: ignore[override]
        self, source: OpenSource, descriptor: int, offset: int, cuts: Cuts, *, holes: Sequence[tuple[int, int]] = ()
    ) -> object:
        if not isinstance(source, _Holes):
            return super().copy(source, descriptor, offset, cuts, holes=holes)
        source.share(descriptor, target_offset=offset)
        return _Undigested(source, cuts)
