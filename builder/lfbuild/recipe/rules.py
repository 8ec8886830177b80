"""What the tables of a recipe have to agree on: names, hashes, versions, arguments.

Every rule takes tables that are right by themselves and yields `(key path, sentence)`. A recipe with a wrong table is
checked too, without that table, so that all problems are told at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.recipe.arguments import argument_faults
from lfbuild.recipe.model import (
    ArgsTable,
    EngineTable,
    FileTable,
    LlamafileTable,
    ModelTable,
    SignTable,
    ToolchainTable,
    split_names,
)
from lfbuild.recipe.places import EnginePathSource, EngineUrlSource, PartsSource, PypiSource, ZipSource
from lfbuild.recipe.targets import TargetsTable
from lfbuild.recipe.values import check_model_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lfbuild.recipe.arguments import Fault
    from lfbuild.recipe.locate import KeyPath


@dataclass(frozen=True, kw_only=True, slots=True)
class GoodTables:
    """The tables of a recipe that are right by themselves, arrays with the place of each item."""

    llamafile: LlamafileTable | None
    engine: EngineTable | None
    toolchain: ToolchainTable | None
    targets: TargetsTable | None
    sign: SignTable | None
    models: tuple[tuple[int, ModelTable], ...]
    files: tuple[tuple[int, FileTable], ...]
    args: ArgsTable | None
    are_members_complete: bool
    """No model or file is missing here for being wrong by itself."""


def all_faults(tables: GoodTables) -> Iterator[Fault]:
    """Everything that does not agree."""
    if tables.engine is not None:
        yield from _engine_faults(tables.engine)
    if tables.toolchain is not None and tables.toolchain.kind == "cosmocc":
        yield from _cosmocc_faults(tables)
    for index, model in tables.models:
        yield from _model_faults(("model", index), model)
    yield from _name_faults(tables)
    if tables.args is not None and tables.are_members_complete:
        models = [model for _, model in tables.models]
        yield from argument_faults(tables.args, models, frozenset(name for _, name in _member_names(tables)))


def _engine_faults(engine: EngineTable) -> Iterator[Fault]:
    if engine.version is None and isinstance(engine.source, EnginePathSource | EngineUrlSource):
        yield ("engine", "version"), "is required beside a path or url, as nothing else names the engine's version"


def _cosmocc_faults(tables: GoodTables) -> Iterator[Fault]:
    """What cosmocc cannot do: it has one target, and what it makes is the head itself."""
    targets = tables.targets or TargetsTable()
    if targets.systems:
        what = "must be left out: cosmocc makes one file for all of its systems, and only zig makes single ones"
        yield ("targets", "systems"), what
    if isinstance(targets.cpus, dict):
        yield ("targets", "cpus"), "must be a list: cosmocc has one target for all systems, and only zig has several"
    if targets.head not in {"auto", "engine"}:
        yield ("targets", "head"), "must be left out: what cosmocc makes is the head itself"
    if tables.llamafile is not None and tables.llamafile.icon:
        yield ("llamafile", "icon"), "must be left out: only what zig makes for Windows can have an icon"
    if tables.sign is not None and tables.sign.macos:
        yield ("sign", "macos"), "must be left out: cosmocc makes no program for macOS alone that could be signed"


def _model_faults(key: KeyPath, model: ModelTable) -> Iterator[Fault]:
    if model.external:
        yield from _external_faults(key, model)
        return
    if model.source is None:
        yield (*key, "source"), "is required, unless external = true"
        return
    if not model.file_name:
        yield (*key, "name"), "is required beside parts, as nothing else names the joined file"
        return
    yield from _split_faults(key, model)
    try:
        check_model_name(model.file_name)
    except ValueError as error:
        what = str(error) if model.name else f"'{model.file_name}' cannot name the member: it {error}; give a name"
        yield (*key, "name"), what
    yield from _hash_faults(key, model)


def _external_faults(key: KeyPath, model: ModelTable) -> Iterator[Fault]:
    if not model.file_name:
        yield (*key, "name"), "is required for an external model: it is the path that the arguments point at"
    elif model.file_name.startswith("-"):
        yield (*key, "name"), "must not start with '-', which would make it a flag"
    yield from _hash_faults(key, model)


def _split_faults(key: KeyPath, model: ModelTable) -> Iterator[Fault]:
    source = model.source
    if source is None or isinstance(source, PartsSource):
        return
    if split_names(source.file_name) and model.name not in (None, source.file_name):
        yield (*key, "name"), "must be left out: the files of a split model keep their names"
    if is_later_piece(source.file_name):
        yield (*key, "source"), f"'{source.file_name}' is not the first file of a split model; name the first one"


def is_later_piece(name: str) -> bool:
    """Whether a file belongs to a split model without being its first."""
    stem, _, count = name.removesuffix(".gguf").rpartition("-of-")
    head, _, number = stem.rpartition("-")
    is_split = len(number) == len(count) == 5 and (number + count).isdigit() and name.endswith(".gguf") and head != ""
    return is_split and int(number) != 1


def _hash_faults(key: KeyPath, model: ModelTable) -> Iterator[Fault]:
    source = model.source
    count = len(split_names(source.file_name)) if source else 0
    if len(model.sha256) not in (0, max(count, 1)):
        expected = f"{count} hashes, one for each file" if count else "one hash, as the model is one file"
        yield (*key, "sha256"), f"must be {expected}; this has {len(model.sha256)}"
    whole = None if source is None or isinstance(source, PypiSource | ZipSource | PartsSource) else source.sha256
    if whole and model.sha256 and whole != model.sha256[0]:
        yield (*key, "source", "sha256"), "differs from the sha256 beside the source, though both are of the same file"


def _member_names(tables: GoodTables) -> Iterator[tuple[KeyPath, str]]:
    for index, model in tables.models:
        if not model.external:
            for piece in _piece_names(model):
                yield ("model", index, "name"), piece
    for index, file in tables.files:
        yield ("file", index, "name"), file.name


def _piece_names(model: ModelTable) -> tuple[str, ...]:
    names = split_names(model.source.file_name) if model.source else ()
    return names or ((model.file_name,) if model.file_name else ())


def _name_faults(tables: GoodTables) -> Iterator[Fault]:
    """Names that meet on a disk: the same one, one that differs by case only, a file and a folder of one name."""
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for key, name in _member_names(tables):
        folded = name.casefold()
        above = [folded[:end] for end, character in enumerate(folded) if character == "/"]
        what = _clash(name, folded, above, files, folders)
        if what:
            yield key, f"'{name}' {what}"
            continue
        files[folded] = name
        for folder in above:
            folders.setdefault(folder, name)


def _clash(name: str, folded: str, above: list[str], files: dict[str, str], folders: dict[str, str]) -> str:
    if files.get(folded) == name:
        return "is the name of another member"
    if folded in files:
        return f"differs from '{files[folded]}' by case only"
    if folded in folders:
        return f"is the folder of '{folders[folded]}'"
    inside = [files[folder] for folder in above if folder in files]
    return f"would lie in '{inside[0]}', which is a file" if inside else ""
