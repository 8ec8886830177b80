"""The manifest's shape and encoding (docs/formats/manifest.md).

Canonical JSON: UTF-8, keys sorted, no spaces, absent values left out, one newline at the end. It is the last member
of a file; the seal in the end record holds the BLAKE3 of its bytes. It lists every member but itself, as wheels do
with RECORD.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from lfbuild.errors import FormatError
from lfbuild.formats.model import LARGEST_COUNT

MANIFEST_NAME: Final = ".lfbuild/manifest.json"
RECIPE_NAME: Final = ".lfbuild/recipe.toml"
OWN_FOLDER: Final = ".lfbuild/"
BESIDE_NAME: Final = ".lfbuild/file"
"""Names, in a thin program for Windows, the file with the weights, which stands beside it."""
ENGINE_FOLDER: Final = ".lfbuild/engine/"
INDEX_FOLDER: Final = ".lfbuild/blocks/"
HEAD_INDEX_NAME: Final = ".lfbuild/head.blocks"
MANIFEST_VERSION: Final = 1

Role = Literal["weights", "mmproj", "lora", "draft", "file", "args", "recipe", "index", "engine", "slices"]
Place = Literal["slot", "aligned", "body", "tail"]
"""`slot`: an engine, in the room before the weights or, where it did not fit, behind them; `aligned`: at a multiple of
the alignment, moved by no swap; `body`: behind it; `tail`: rewritten by every edit."""

Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_COUNT)]
"""A size, an offset or a number of things: what a hostile manifest says is at least no nonsense."""

EncoderVersion = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z.+!-]{0,64}\Z")]
"""A version and no more: users are told to type it behind `pip install`."""

EncoderLevel = Annotated[int, msgspec.Meta(ge=0, le=12)]
"""Those of libdeflate."""


class Release(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the file is, as its maker says."""

    name: str
    version: str = ""
    description: str = ""
    license: str = ""
    homepage: str = ""


class ToolchainRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What compiled the engine."""

    kind: str
    version: str
    sha256: str = ""
    """Of the toolchain's own archive, where it is pinned by one."""


class SliceRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The engine of one target, where a launcher starts it."""

    target: str
    cpus: tuple[str, ...]
    """The levels that it has code for, best first; the machine must have the last."""
    key: str
    """The job key: the same key means the same bytes, before any signing."""
    member: str


class EngineRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The program inside, or one a target, and what it was made of."""

    name: str
    version: str
    source_sha256: str
    key: str = ""
    """The job key: the same key means the same bytes; empty where each slice has its own."""
    toolchain: ToolchainRecord
    targets: tuple[str, ...]
    cpus: tuple[str, ...] = ()
    """Best first of each architecture; empty where each slice has its own."""
    slices: tuple[SliceRecord, ...] = ()
    """In the order of the slice table."""
    options: tuple[tuple[str, str], ...] = ()
    ui: bool = False
    """Whether the engine serves upstream's chat page."""

    @property
    def has_verbs(self) -> bool:
        """Whether it is llama.cpp's program as lfbuild compiles it, which is told what to do by a verb."""
        return self.toolchain.kind != "unknown"


class Head(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the file begins with, before the first member."""

    kind: Literal["engine", "launcher"]
    program: str
    """`elf`, `ape`, `script`, `polyglot`, …: what starts it."""
    size_bytes: Count
    root: str
    index: str = ""
    """The member with its block index; empty where one block is all."""
    own_members: Count = 0
    """How many directory records, the first ones, belong to members inside the head (an APE brings some)."""


class RegionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Bytes that belong to no member and are no ZIP record."""

    kind: Literal["spare", "signature"]
    offset: Count
    size_bytes: Count
    root: str = ""
    """Empty for `spare`, which is all zeros while it is not in use."""


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a member came from, for people and for other tools."""

    kind: str
    location: str
    sha256: str = ""


class ModelRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Facts of a GGUF member."""

    architecture: str
    name: str = ""
    parameters: Count = 0
    quantization: str = ""
    context_length: Count = 0
    chat_template_sha256: str = ""


class Encoding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a compressed member was made, so that a delta can work on decoded bytes and encode again."""

    decoded_size: Count
    decoded_root: str
    encoder: str
    encoder_version: EncoderVersion
    level: EncoderLevel


class MemberRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One member."""

    name: str
    role: Role
    place: Place
    size_bytes: Count
    """As stored."""
    root: str
    index: str = ""
    """The member with its block index; empty: one run of 1 MiB blocks."""
    license: str = ""
    origin: Origin | None = None
    model: ModelRecord | None = None
    encoding: Encoding | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything a file says of itself."""

    format: int
    generation: Count
    epoch: Count
    """Time stamp of all members, seconds since 1970 (UTC)."""
    release: Release
    head: Head
    members: tuple[MemberRecord, ...]
    directory: str
    """BLAKE3 of the directory records of all members but the manifest, one after the other."""
    regions: tuple[RegionRecord, ...] = ()
    engine: EngineRecord | None = None
    recipe_sha256: str = ""
    update_url: str = ""

    def to_bytes(self) -> bytes:
        """The member's bytes."""
        return msgspec.json.encode(self, order="sorted") + b"\n"

    def member(self, name: str) -> MemberRecord | None:
        """The record of a member; None if there is none of that name."""
        return next((member for member in self.members if member.name == name), None)


def parse_manifest(data: bytes, *, where: str) -> Manifest:
    """Read a manifest.

    Raises:
        FormatError: not JSON, of another shape, or of an unknown version.
    """
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"{where}: {MANIFEST_NAME}", f"not a manifest: {error}") from error
    if manifest.format != MANIFEST_VERSION:
        raise FormatError(
            f"{where}: {MANIFEST_NAME}",
            f"manifest version {manifest.format} is not known, only {MANIFEST_VERSION}",
            hint="update lfbuild: pip install -U lfbuild",
        )
    return manifest
