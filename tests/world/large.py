"""Releases of several GB that are made in seconds: each block of their model is another one, and nearly all holes."""

from __future__ import annotations

import contextlib
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.world.files import EPOCH
from tests.world.models import STRING, tensor_info, text
from tests.world.programs import tiny_elf

from lfbuild.formats.gguf import cut_gguf, read_gguf
from lfbuild.manifest.model import Release
from lfbuild.manifest.order import PackMember, PackOrder
from lfbuild.manifest.pack import pack
from lfbuild.report import SilentReport

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

TENSOR_BYTES = 64 << 20
_BLOCK = 1 << 20
_INT8 = 24
_START = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class LargeModel:
    """A model whose every MiB begins with its number and a version; the rest is holes."""

    tensors: int
    changed: Collection[int] = ()
    """Numbers of the tensors that have the second version."""

    @property
    def size_bytes(self) -> int:
        return _START + self.tensors * TENSOR_BYTES

    def header(self) -> bytes:
        """Everything before the tensors."""
        values = text("general.architecture") + struct.pack("<I", STRING) + text("llama")
        values += text("pad") + struct.pack("<I", STRING)
        infos = b"".join(
            tensor_info(f"blk.{number}.weight", (TENSOR_BYTES,), _INT8, number * TENSOR_BYTES)
            for number in range(self.tensors)
        )
        start = b"GGUF" + struct.pack("<IQQ", 3, self.tensors, 2) + values
        room = _START - len(start) - len(infos) - 8
        made = start + struct.pack("<Q", room) + b"." * room + infos
        assert len(made) == _START
        return made

    def write(self, descriptor: int, offset: int) -> None:
        """Write it into a file, from `offset` on."""
        os.ftruncate(descriptor, offset + self.size_bytes)
        os.pwrite(descriptor, self.header(), offset)
        for number in range(self.tensors):
            version = 2 if number in self.changed else 1
            for block in range(TENSOR_BYTES // _BLOCK):
                at = offset + _START + number * TENSOR_BYTES + block * _BLOCK
                os.pwrite(descriptor, struct.pack("<QQQ", number + 1, block + 1, version) * 8, at)

    @contextlib.contextmanager
    def opened(self) -> Iterator[LargeModel]:
        """A source that is written by itself."""
        yield self

    def share(self, target: int, *, target_offset: int) -> bool:
        """Holes cost nothing where they are made, and would if they were copied."""
        self.write(target, target_offset)
        return True

    def read_into(self, buffer: memoryview, start: int) -> None:
        raise AssertionError(f"{len(buffer)} bytes of a model of holes are copied from {start}")


def write_large(folder: Path, model: LargeModel) -> Path:
    """A release with this model; its digests are true."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "head").write_bytes(tiny_elf())
    header = model.header()
    facts = read_gguf(lambda at, length: header[at : at + length], model.size_bytes, where="large")
    member = PackMember(name="large.gguf", role="weights", place="aligned", source=model, cuts=cut_gguf(facts))
    order = PackOrder(
        release=Release(name="large", version="2" if model.changed else "1"),
        head=folder / "head",
        engine=None,
        members=(member,),
        align_bytes=1 << 16,
        room_bytes=8 << 20,
        epoch=EPOCH,
    )
    path = folder / "large.llamafile"
    pack(order, path, threads=2, report=SilentReport())
    return path
