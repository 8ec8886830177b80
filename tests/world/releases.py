"""Two releases of a tiny file: a model with a few tensors, of which the newer one has another, and more text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.world.files import RELEASE, plain, weights, write_tiny_file
from tests.world.models import Q8_0, TinyTensor, tiny_gguf

from lfbuild.commands.index import index
from lfbuild.report import SilentReport

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.manifest.model import Release
    from lfbuild.manifest.order import PackMember

TENSORS = tuple(TinyTensor(f"blk.{number}.weight", (256, 16), Q8_0) for number in range(6))
"""Each has 4352 bytes: five blocks."""
CHANGED = "blk.3.weight"


def model(*, changed: bool) -> bytes:
    """The model; the changed one differs in each block of one tensor, all others are where they were."""
    data = tiny_gguf(tensors=TENSORS)
    if not changed:
        return data
    start = data.index(TENSORS[3].data)
    size = len(TENSORS[3].data)
    return data[:start] + bytes(byte ^ 0x5A for byte in data[start : start + size]) + data[start + size :]


def members(*, changed: bool) -> tuple[PackMember, ...]:
    """The members of a release."""
    text = b"What is the capital of France?\n"
    return (weights(data=model(changed=changed)), plain("prompt.txt", text * 2 if changed else text))


def write_old(folder: Path, name: str = "tiny.llamafile", *, release: Release = RELEASE) -> Path:
    """The older release."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_tiny_file(folder, members=members(changed=False), name=name, release=release)


def write_new(folder: Path, name: str = "tiny.llamafile", *, release: Release = RELEASE, indexed: bool = True) -> Path:
    """The newer release, and what stands beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = write_tiny_file(folder, members=members(changed=True), name=name, release=release)
    if indexed:
        index(path, file_url="", threads=1, report=SilentReport())
    return path
