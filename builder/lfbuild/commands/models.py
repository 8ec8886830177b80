"""Checks a model before anything is compiled for it: bounds, architecture, and a second reader's opinion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfbuild.archive.reader import opened, read_at
from lfbuild.errors import FormatError
from lfbuild.formats.gguf import read_gguf

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.formats.gguf import GgufHeader
    from lfbuild.report import Report
    from lfbuild.store import Store


def load_header(path: Path, *, where: str) -> GgufHeader:
    """The header of a GGUF file, every bound in it checked.

    Raises:
        FormatError: not a GGUF, truncated, or with a tensor past its end.
        HostError: it cannot be read.
    """
    with opened(path) as file:
        descriptor = file.fileno()
        size = path.stat().st_size
        return read_gguf(lambda offset, length: read_at(descriptor, offset, length), size, where=where)


def check_architecture(header: GgufHeader, known: frozenset[str], *, where: str, engine: str) -> None:
    """Refuse a model that the engine has no code for; `known` is empty where the engine's source does not tell.

    Raises:
        FormatError: the architecture is absent or unknown.
    """
    architecture = header.text("general.architecture")
    if not architecture:
        raise FormatError(where, "the model does not say its architecture (general.architecture)")
    if known and header.text("general.type") in {"", "model"} and architecture not in known:
        hint = "a newer engine may know it: change the version in [engine]"
        raise FormatError(where, f"{engine} does not know the architecture '{architecture}'", hint=hint)


def confirm_header(header: GgufHeader, path: Path, sha256: str, *, store: Store, where: str, report: Report) -> None:
    """Have the `gguf` package read the header too, once for each content, and compare what both found.

    Raises:
        FormatError: the package refuses the file, or reads other tensors.
    """
    fact = f"gguf-confirmed {sha256}"
    if store.recall(fact):
        return
    with report.step(f"checking {path.name}", unit="steps"):
        ours = sorted((tensor.name, header.data_offset + tensor.offset) for tensor in header.tensors)
        if _tensors_by_package(path, where) != ours:
            raise FormatError(where, "two readers of GGUF find different tensors in it")
    store.remember(fact, {"tensors": len(header.tensors)})


def _tensors_by_package(path: Path, where: str) -> list[tuple[str, int]]:
    import gguf

    try:
        reader = gguf.GGUFReader(path, "r")
    except (ValueError, KeyError, IndexError, TypeError, OverflowError) as error:  # what it raises for a damaged file
        raise FormatError(where, f"the gguf package cannot read the model: {error}") from error
    return sorted((str(tensor.name), int(tensor.data_offset)) for tensor in reader.tensors)
