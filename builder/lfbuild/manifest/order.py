"""The order for a file: what it begins with, its members, and what the manifest is to say of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lfbuild.archive.reader import Reader, opened, read_at
from lfbuild.archive.source import FileSource
from lfbuild.errors import FormatError
from lfbuild.formats.blocks import Cuts
from lfbuild.formats.executable import PROBE_BYTES, identify_program, signature_holes
from lfbuild.manifest.model import ENGINE_FOLDER

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.archive.deflate import Decoded
    from lfbuild.archive.layout import Kept
    from lfbuild.archive.source import Source
    from lfbuild.formats.model import ModelFacts
    from lfbuild.formats.zip import FoundRecord
    from lfbuild.manifest.model import EngineRecord, MemberRecord, Origin, Place, Release, Role


@dataclass(frozen=True, kw_only=True, slots=True)
class PackMember:
    """A member to be written, and what the manifest is to say of it."""

    name: str
    role: Role
    place: Place
    source: Source
    cuts: Cuts = field(default_factory=lambda: Cuts(runs=()))
    mode: int = 0o644
    license: str = ""
    origin: Origin | None = None
    facts: ModelFacts | None = None
    decoded: Decoded | None = None
    """What `source` decodes to, if it is deflated."""
    encoder_version: str = ""
    """Of what deflated it; empty: somebody else did."""
    kept: Kept | None = None
    """Where it stands already, if it is another file's."""
    kept_index: Kept | None = None
    """Where its block index stands."""
    told: MemberRecord | None = None
    """What that file's manifest says of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSlice:
    """The engine of one target, which a launcher starts."""

    target: str
    cpus: tuple[str, ...]
    """The levels that it has code for, best first."""
    key: str
    source: Source
    """The program, or what it is deflated to."""
    program: Decoded
    encoder_version: str = ""
    """Of what deflated it; empty: it is stored as it is."""
    kept: Kept | None = None
    """Where it stands already, if it is another file's."""

    @property
    def member_name(self) -> str:
        """What it is called in the file."""
        return f"{ENGINE_FOLDER}{self.target}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LauncherHead:
    """A head that starts one of several engines."""

    program: str
    """`elf`, `script` or `polyglot`: what starts it."""
    data: bytes
    slices: tuple[EngineSlice, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineHead:
    """A head that is the engine, wherever its bytes are."""

    program: str
    """`elf`, `ape`, …"""
    source: Source
    holes: tuple[tuple[int, int], ...] = ()
    """What signing fills."""
    own_records: tuple[bytes, ...] = ()
    """Directory records of the members inside it (an APE brings some)."""
    own_names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PackOrder:
    """Everything that decides the bytes of the file."""

    release: Release
    head: Path | EngineHead | LauncherHead
    """An engine that answers by itself, or a launcher and its engines."""
    engine: EngineRecord | None
    members: tuple[PackMember, ...]
    """In the order of the file: `aligned`, then `body`, then `tail`."""
    align_bytes: int
    room_bytes: int
    """Zeros before the first of the members, at the least."""
    epoch: int
    recipe_sha256: str = ""
    update_url: str = ""
    generation: int = 1


def read_engine(path: Path) -> EngineHead:
    """The program as it will stand at byte 0; an APE's own members stay where they are, so their records are kept.

    Raises:
        FormatError: it is no program.
        HostError: it cannot be read.
    """
    with opened(path) as file:
        start = read_at(file.fileno(), 0, PROBE_BYTES)
    program = identify_program(start)
    if program.kind == "none":
        raise FormatError(path, "is no program, so a file that begins with it would not start")
    found: tuple[FoundRecord, ...] = ()
    if program.kind == "ape":
        try:
            with Reader.open(path) as reader:
                found = reader.directory.records
        except FormatError:
            found = ()  # an APE without members
    return EngineHead(
        source=FileSource.whole(path),
        program=program.kind,
        holes=signature_holes(start),
        own_records=tuple(item.raw for item in found),
        own_names=tuple(item.record.name for item in found),
    )
