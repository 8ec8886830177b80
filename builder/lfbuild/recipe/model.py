"""The recipe: what one file is made from, as frozen tables whose shape is closed.

Each table checks its own values; what two tables have to agree on stands in `rules`. Nothing is fetched, and no file
but the recipe itself is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, WithJsonSchema

from lfbuild.errors import Problem
from lfbuild.recipe.locate import KeyPath, key_text, line_of
from lfbuild.recipe.places import EngineGitSource, EnginePypiSource, EngineSource, Source, Table
from lfbuild.recipe.targets import TargetsTable
from lfbuild.recipe.values import (
    Align,
    BlockSize,
    Command,
    EngineRoom,
    FileName,
    Filled,
    Flag,
    MemberName,
    Mode,
    OptionName,
    OptionValue,
    Sha256,
    Text,
    UpdateUrl,
    Url,
    Version,
    as_hashes,
)

Role = Literal["weights", "mmproj", "lora", "draft"]
Verb = Literal["cli", "serve", "completion", "bench", "batched-bench", "perplexity"]
VERBS: tuple[Verb, ...] = ("cli", "serve", "completion", "bench", "batched-bench", "perplexity")
MAX_SPLIT = 1000
USERS_OWN = "..."
"""The token that stands where the arguments of whoever starts the file go."""


_SPLIT = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})\.gguf")


def split_names(name: str) -> tuple[str, ...]:
    """All file names of a split model whose first file is called `name`; () if it is not split."""
    match = _SPLIT.fullmatch(name)
    count = int(match[3]) if match else 0
    if match is None or int(match[2]) != 1 or not 1 < count <= MAX_SPLIT:
        return ()
    return tuple(f"{match[1]}-{number:05}-of-{match[3]}.gguf" for number in range(1, count + 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One file of a model."""

    name: str
    source: Source
    sha256: str | None


class LlamafileTable(Table):
    """What the file is."""

    name: FileName
    """Name of the release; the file is called so unless `output` says otherwise."""
    version: Version = "0.1.0"
    """Version of the release, recorded in the manifest."""
    description: Text = ""
    """One sentence for whoever lists or inspects the file."""
    license: Text = ""
    """Licence of the whole, as an SPDX expression."""
    homepage: Url | None = None
    """Where people read about it."""
    output: FileName | None = None
    """Name of the file that is written; `NAME.llamafile` without it."""
    icon: Filled | None = None
    """An .ico file that Windows shows for the file; a relative path is looked up from the recipe's folder."""


class EngineTable(Table):
    """Which llama.cpp is compiled, and how."""

    source: EngineSource
    """A table with one of `pypi`, `url`, `git` or `path`, perhaps with `folder` inside."""
    version: Filled | None = None
    """What this engine's version is called; without it the package's version, or the revision."""
    ui: Flag = False
    """Build upstream's chat page for `serve` (needs npm)."""
    options: dict[OptionName, OptionValue] = Field(default_factory=dict)
    """Further CMake variables, such as `GGML_LTO = true`."""


class ToolchainTable(Table):
    """Which compiler is called."""

    kind: Literal["cosmocc", "zig"] = "cosmocc"
    """`zig` makes a program for each target, `cosmocc` one for several systems and both architectures."""
    version: Filled | None = None
    """Version to insist on; without it the one that this lfbuild is tested with."""
    launcher: Filled | None = None
    """Program put before each compiler call: `ccache`, `sccache`, `distcc` or `icecc`."""


class ModelTable(Table):
    """A GGUF file: the weights, or what goes with them."""

    name: Text | None = None
    """Name inside the file; without it the name at the source. It ends in .gguf and has no slash."""
    role: Role = "weights"
    """What the engine takes it for: `-m`, `--mmproj`, `--lora` or `-md`."""
    source: Source | None = None
    """A table with one of `path`, `url`, `pypi`, `hf`, `zip` or `parts`."""
    sha256: Annotated[
        tuple[Sha256, ...],
        BeforeValidator(as_hashes),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
                    {"type": "array", "items": {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}},
                ]
            }
        ),
    ] = ()
    """Hash of the model; a list, in order, for one in several files (`-00001-of-0000N.gguf`)."""
    license: Text = ""
    """Licence of the model, as an SPDX expression or a name."""
    external: Flag = False
    """Do not pack it: the default arguments point at a file called `name`, from where the program is started."""

    @property
    def file_name(self) -> str:
        """The member's name, or for an external model the path that the arguments point at; "" if none is known."""
        return self.name or (self.source.file_name if self.source else "")

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The files that are fetched and packed for it, in order: one, or those of a split model."""
        if self.source is None:
            return ()
        names = split_names(self.source.file_name)
        if not names:
            return (Piece(name=self.file_name, source=self.source, sha256=self.sha256[0] if self.sha256 else None),)
        first, *others = names
        sources = (self.source, *(self.source.sibling(name) for name in others))
        hashes = self.sha256 or (None,) * len(names)
        return tuple(
            Piece(name=name, source=source, sha256=sha256)
            for name, source, sha256 in zip((first, *others), sources, hashes, strict=True)
        )

    @property
    def argument(self) -> str:
        """How the engine is told of it."""
        return self.file_name if self.external else f"/zip/{self.file_name}"


class FileTable(Table):
    """Any other member: prompts, grammars, licences."""

    name: MemberName
    """Path inside the file, with `/` between folders."""
    source: Source
    """A table as for a model."""
    sha256: Sha256 | None = None
    """Hash of the file."""
    mode: Mode = "0644"
    """Permissions that unpacking gives it."""


class VerbTable(Table):
    """What one verb adds."""

    arguments: tuple[Text, ...] = ()
    """Arguments after the common ones; "..." stands where the user's own go, else they come last."""


class ArgsTable(Table):
    """Default arguments, by verb."""

    verb: Verb = "cli"
    """Verb that the file starts with when the user names none."""
    common: tuple[Text, ...] = ()
    """Arguments of every verb but `bench`, which has flags of its own."""
    cli: VerbTable | None = None
    """Chat on the terminal."""
    serve: VerbTable | None = None
    """Web server with an OpenAI-compatible interface."""
    completion: VerbTable | None = None
    """Plain completion of a text."""
    bench: VerbTable | None = None
    """Speed measurement."""
    batched_bench: VerbTable | None = None
    """Speed measurement with several sequences at once."""
    perplexity: VerbTable | None = None
    """Quality measurement on a text."""

    def table(self, verb: Verb) -> VerbTable | None:
        """What the recipe says of this verb alone."""
        table: VerbTable | None = getattr(self, verb.replace("-", "_"))
        return table


class ArchiveTable(Table):
    """How members are laid out in the file."""

    align: Align = 65536
    """Weights begin at multiples of this: a power of two, at least 65536 as Windows maps files in such steps."""
    engine_room: EngineRoom = Field(default="25%", validate_default=True)
    """Space for the next engine, so that a swap moves no weights: how much bigger it may be, as "25 %", or a size.
    `compact` leaves 25 %."""
    block_size: BlockSize = 1024 * 1024
    """Largest piece that has a digest of its own, which is what a differential update fetches: 64 KiB to 1 MiB."""


class SignTable(Table):
    """Commands that sign, for systems that ask for it. "{file}" stands for the file, which is signed in place."""

    windows: Command = ""
    """Run on the finished file before it has its name; what it appends is at most 48 KiB."""
    macos: Command = ""
    """Run on each macOS engine and launcher before they are packed."""


class UpdateTable(Table):
    """Where newer releases of this file live: what `lfbuild update FILE` looks at."""

    url: UpdateUrl
    """Address (http, https, s3, oci) of the release, of its `.lfindex`, or of the folder that has it (`/` last)."""


class Recipe(Table):
    """A whole recipe. `load_recipe` makes one from a file; its `problem` points at that file's lines."""

    llamafile: LlamafileTable
    """What the file is."""
    engine: EngineTable
    """Which llama.cpp is compiled, and how."""
    toolchain: ToolchainTable = ToolchainTable()
    """Which compiler is called."""
    targets: TargetsTable = TargetsTable()
    """What the file must run on."""
    models: Annotated[tuple[ModelTable, ...], Field(alias="model")] = ()
    """The model, or several; none for an engine alone."""
    files: Annotated[tuple[FileTable, ...], Field(alias="file")] = ()
    """Other members."""
    args: ArgsTable = ArgsTable()
    """Default arguments, by verb."""
    archive: ArchiveTable = ArchiveTable()
    """How members are laid out in the file."""
    sign: SignTable = SignTable()
    """Commands that sign what is made."""
    update: UpdateTable | None = None
    """Where newer releases live."""

    _path: Path = PrivateAttr(default=Path("recipe.toml"))
    _text: bytes = PrivateAttr(default=b"")
    _lines: dict[KeyPath, int] = PrivateAttr(default_factory=dict)

    @property
    def path(self) -> Path:
        """The file that it was loaded from."""
        return self._path

    @property
    def text(self) -> bytes:
        """What it was loaded from, byte for byte: a file carries it along."""
        return self._text

    @property
    def lines(self) -> dict[KeyPath, int]:
        """The line of each of its keys."""
        return self._lines

    @property
    def output_name(self) -> str:
        """Name of the file that is written."""
        return self.llamafile.output or f"{self.llamafile.name}.llamafile"

    @property
    def engine_version(self) -> str:
        """What this engine's version is called."""
        source = self.engine.source
        if self.engine.version:
            return self.engine.version
        if isinstance(source, EnginePypiSource):
            return source.version
        return source.revision if isinstance(source, EngineGitSource) else ""

    def resolve(self, path: str) -> Path:
        """A path as the recipe has it, from where the recipe is."""
        return self._path.parent / Path(path).expanduser()

    def problem(self, key: KeyPath, what: str) -> Problem:
        """A problem with the value at `key`, as in `("model", 0, "source")`, told with its line."""
        return Problem(where=f"{self._path}:{line_of(self._lines, key)}", key=key_text(key), what=what)

    def models_of(self, role: Role) -> tuple[ModelTable, ...]:
        """The models of one role."""
        return tuple(model for model in self.models if model.role == role)
