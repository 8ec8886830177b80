"""`inspect`: what a file is and holds, without running it: ours, Mozilla's llamafile, a ZIP, GGUF, program, delta."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from lfbuild.archive.reader import Reader, opened, read_at
from lfbuild.commands.models import load_header
from lfbuild.errors import FormatError, command
from lfbuild.formats.args import ARGS_NAME, AS_THEY_STAND, parse_args, parse_args_lines
from lfbuild.formats.delta import MAGIC as DELTA_MAGIC
from lfbuild.formats.executable import PROBE_BYTES, identify_program
from lfbuild.formats.gguf import MAGIC, read_gguf
from lfbuild.formats.model import ModelFacts, model_facts
from lfbuild.formats.zip import STORED
from lfbuild.manifest.foreign import scan_version
from lfbuild.manifest.model import BESIDE_NAME, OWN_FOLDER
from lfbuild.manifest.slices import load_slices
from lfbuild.manifest.verify import load_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lfbuild.formats.executable import Program
    from lfbuild.formats.slices import Slice
    from lfbuild.formats.zip import CentralRecord
    from lfbuild.manifest.model import Manifest

FileKind = Literal["lfbuild", "llamafile", "zip", "gguf", "program", "delta"]
_FIRST_WITH_QUOTES = (0, 8, 17)
"""The llamafile from which on `.args` has quotes and comments; before, it is one argument a line."""
_MAPPABLE_BYTES: Final = 16 << 10
"""Metal maps at multiples of this; llamafile warns below it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectedModel:
    """A GGUF inside (or the file itself)."""

    member: str
    size_bytes: int
    data_offset: int
    facts: ModelFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectedDelta:
    """What a delta says before its frames."""

    old_name: str
    old_bytes: int
    old_root: str
    new_name: str
    new_bytes: int
    new_root: str
    made_blocks: int
    """Blocks of the new file that the old one does not have."""
    encoders: tuple[str, ...]
    """What compresses programs again when it is applied."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """What was found."""

    path: Path
    kind: FileKind
    size_bytes: int
    program: Program
    manifest: Manifest | None = None
    generation: int = 0
    engine_version: str = ""
    """Of a foreign engine, as its bytes name it; empty if they do not."""
    models: tuple[InspectedModel, ...] = ()
    delta: InspectedDelta | None = None
    slices: tuple[Slice, ...] = ()
    """The engines that a launcher starts, as its table has them."""
    beside: str = ""
    """The file with the weights, which a thin program for Windows starts its engine with."""
    members: int = 0
    arguments: tuple[str, ...] = ()
    """Default arguments, as `.args` has them; variables of the environment are left as they stand."""
    notes: tuple[str, ...] = ()
    """What a user of the file should know."""


def inspect(path: Path) -> Inspection:
    """Tell what a file is and holds.

    Raises:
        FormatError: it is nothing that lfbuild knows, or it is damaged.
        HostError: it cannot be read.
    """
    with opened(path) as file:
        start = read_at(file.fileno(), 0, PROBE_BYTES)
        size = path.stat().st_size
    program = identify_program(start)
    if start.startswith(MAGIC):
        facts = model_facts(load_header(path, where=str(path)))
        model = InspectedModel(member="", size_bytes=size, data_offset=0, facts=facts)
        return Inspection(path=path, kind="gguf", size_bytes=size, program=program, models=(model,))
    if start.startswith(DELTA_MAGIC):
        return Inspection(path=path, kind="delta", size_bytes=size, program=program, delta=_inspect_delta(path))
    try:
        with Reader.open(path) as reader:
            return _inspect_zip(reader, program)
    except FormatError as error:
        if path.suffix == ".toml":
            error.hint = f"of a recipe, {command('plan', path)} tells what it makes"
        if program.kind == "none" or b"PK\x05\x06" in _tail(path):
            raise
        with opened(path) as file:
            version = scan_version(lambda offset, length: read_at(file.fileno(), offset, length), size)
        return Inspection(path=path, kind="program", size_bytes=size, program=program, engine_version=version)


def _inspect_delta(path: Path) -> InspectedDelta:
    from lfbuild.delta.apply import DeltaStream
    from lfbuild.delta.model import ProgramFrame

    with opened(path) as file:
        head = DeltaStream(file, str(path)).head()
    header, plan = head.header, head.plan
    encodings = [frame.encoding for frame in plan.frames if isinstance(frame, ProgramFrame) and frame.encoding]
    return InspectedDelta(
        old_name=plan.old_name,
        old_bytes=header.old.size_bytes,
        old_root=header.old.root.hex(),
        new_name=plan.new_name,
        new_bytes=header.new.size_bytes,
        new_root=header.new.root.hex(),
        made_blocks=plan.made_blocks,
        encoders=tuple(sorted({f"{encoding.encoder} {encoding.encoder_version}" for encoding in encodings})),
    )


def _inspect_zip(reader: Reader, program: Program) -> Inspection:
    ours = load_manifest(reader)
    models, notes = _find_models(reader)
    version = "" if ours else scan_version(reader.read_at, _first_member(reader))
    foreign: FileKind = "zip"
    if program.kind != "none":  # a bare APE brings members of its own, such as time zones
        foreign = "llamafile" if models or ARGS_NAME in reader.records else "program"
    return Inspection(
        path=reader.path,
        kind="lfbuild" if ours else foreign,
        size_bytes=reader.size_bytes,
        program=program,
        manifest=ours[0] if ours else None,
        generation=ours[1].generation if ours else 0,
        engine_version=version,
        models=models,
        slices=load_slices(reader) if ours else (),
        beside=_beside(reader) if ours else "",
        members=len(reader.records),
        arguments=_arguments(reader, version),
        notes=notes,
    )


def _beside(reader: Reader) -> str:
    if BESIDE_NAME not in reader.records:
        return ""
    return reader.read(BESIDE_NAME, limit=4096).decode("utf-8", errors="replace").removesuffix("\n")


def _find_models(reader: Reader) -> tuple[tuple[InspectedModel, ...], tuple[str, ...]]:
    models, notes = [], []
    for name, record in reader.records.items():
        if not name.lower().endswith(".gguf") or name.startswith(OWN_FOLDER):
            continue
        if record.method != STORED:
            notes.append(f"{name} is compressed, so no engine can map it")
            continue
        offset = reader.data_offset(record)
        if offset % _MAPPABLE_BYTES:
            notes.append(f"{name} begins at {offset}, no multiple of {_MAPPABLE_BYTES}: some systems cannot map it")
        try:
            facts = _member_facts(reader, record, offset)
        except FormatError as error:
            notes.append(f"{name}: {error.what}")
            continue
        models.append(InspectedModel(member=name, size_bytes=record.stored_size, data_offset=offset, facts=facts))
    return tuple(models), tuple(notes)


def _member_facts(reader: Reader, record: CentralRecord, offset: int) -> ModelFacts:
    def read(start: int, length: int) -> bytes:
        return reader.read_at(offset + start, min(length, record.stored_size - start))

    return model_facts(read_gguf(read, record.stored_size, where=f"{reader.where}: {record.name}"))


def _arguments(reader: Reader, engine_version: str) -> tuple[str, ...]:
    if ARGS_NAME not in reader.records:
        return ()
    data = reader.read(ARGS_NAME, limit=1 << 20)
    if engine_version and tuple(map(int, engine_version.split("."))) < _FIRST_WITH_QUOTES:
        return tuple(parse_args_lines(data))
    return tuple(parse_args(data, environment=AS_THEY_STAND, where=reader.where))


def _first_member(reader: Reader) -> int:
    offsets = [record.header_offset for record in reader.records.values() if record.name.lower().endswith(".gguf")]
    return min(offsets, default=reader.directory.offset)


def _tail(path: Path) -> bytes:
    with opened(path) as file:
        size = path.stat().st_size
        return read_at(file.fileno(), max(0, size - 65557), 65557)


def inspection_document(inspection: Inspection) -> Mapping[str, object]:
    """The inspection as JSON-ready values, the manifest in its own shape."""
    import msgspec

    manifest = msgspec.to_builtins(inspection.manifest) if inspection.manifest else None
    return {
        "path": str(inspection.path),
        "kind": inspection.kind,
        "size_bytes": inspection.size_bytes,
        "program": inspection.program,
        "generation": inspection.generation,
        "engine_version": inspection.engine_version,
        "members": inspection.members,
        "models": list(inspection.models),
        "slices": list(inspection.slices),
        "delta": inspection.delta,
        "beside": inspection.beside,
        "arguments": list(inspection.arguments),
        "notes": list(inspection.notes),
        "manifest": manifest,
    }
