"""Engines that were compiled elsewhere and installed as Python packages: what they are, and whether they are the ones.

A package tells of itself by an entry point of the group `lfbuild.engines`, whose value names a package folder with
`engines.json` in it. Nothing of the package is imported or run. An engine counts only under its job key, so it is the
same bytes that a compile here would give; what a key does not fit by is told in words.

    engines.json            this file's `Shelf`, JSON
    TARGET/engine           the program
    TARGET/launcher         the launcher for that target, where files have one
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from lfbuild.engine.job import Engine, EngineFacts
from lfbuild.engine.source import read_aliases, read_architectures, read_flags
from lfbuild.errors import FormatError, IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator

ENTRY_POINTS: Final = "lfbuild.engines"
SHELF_NAME: Final = "engines.json"
ENGINE_NAME: Final = "engine"
LAUNCHER_NAME: Final = "launcher"
_FORMAT: Final = 1


class SourceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the source tree tells a planner, so that it need not be fetched."""

    folder: str
    architectures: tuple[str, ...]
    """Of models; empty where the tree does not tell."""
    flags: tuple[str, ...]
    aliases: str
    """Other spellings of verbs: `server=serve,client=cli`."""
    license: str
    """The text that goes with every copy of the program; empty where the tree has none."""


class ShelfEngine(msgspec.Struct, frozen=True, kw_only=True):
    """One engine of a package."""

    facts: EngineFacts
    sha256: str
    launcher_key: str = ""
    """Empty where it has none."""
    launcher_sha256: str = ""


class Shelf(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a package of engines says of itself."""

    format: int
    source: SourceFacts
    engines: tuple[ShelfEngine, ...]

    def to_bytes(self) -> bytes:
        """The text of `engines.json`."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class InstalledEngine:
    """One engine that is installed, and where."""

    package: str
    """The distribution and its version, for people."""
    folder: Path
    source: SourceFacts
    engine: ShelfEngine

    @property
    def facts(self) -> EngineFacts:
        """What it was made from."""
        return self.engine.facts

    def load(self) -> Engine:
        """The engine, its bytes held against what its package says.

        Raises:
            IntegrityError: they are others.
        """
        path = self.folder / self.facts.target / ENGINE_NAME
        _read(path, self.engine.sha256, self.package)
        return Engine(path=path, facts=self.facts, flags=frozenset(self.source.flags), log=self.folder / SHELF_NAME)

    def launcher(self) -> bytes:
        """The launcher for its target.

        Raises:
            IntegrityError: it is another than the package says.
        """
        return _read(self.folder / self.facts.target / LAUNCHER_NAME, self.engine.launcher_sha256, self.package)


def read_source_facts(tree: Path, *, folder: str) -> SourceFacts:
    """What a source tree tells, which is `folder` of what was fetched."""
    license_file = tree / "LICENSE"
    return SourceFacts(
        folder=folder,
        architectures=tuple(sorted(read_architectures(tree))),
        flags=tuple(sorted(read_flags(tree))),
        aliases=read_aliases(tree),
        license=license_file.read_text(encoding="utf-8", errors="replace") if license_file.is_file() else "",
    )


def make_shelf(source: SourceFacts, engines: tuple[ShelfEngine, ...]) -> Shelf:
    """What a new package of engines says of itself."""
    return Shelf(format=_FORMAT, source=source, engines=engines)


def find_installed() -> tuple[InstalledEngine, ...]:
    """All engines that are installed beside lfbuild, by package and target.

    Raises:
        FormatError: a package of engines is damaged, or made for a later lfbuild.
    """
    found = [item for point in importlib.metadata.entry_points(group=ENTRY_POINTS) for item in _on_shelf(point)]
    return tuple(sorted(found, key=lambda item: (item.package, item.facts.target)))


def _on_shelf(point: importlib.metadata.EntryPoint) -> Iterator[InstalledEngine]:
    package = f"{point.dist.name} {point.dist.version}" if point.dist else point.name
    spec = importlib.util.find_spec(point.value)
    if spec is None or spec.origin is None:
        raise FormatError(package, f"its package of engines, {point.value}, is not there", hint="install it again")
    folder = Path(spec.origin).parent
    try:
        shelf = msgspec.json.decode((folder / SHELF_NAME).read_bytes(), type=Shelf)
    except (OSError, msgspec.DecodeError) as error:
        raise FormatError(package, f"its list of engines cannot be read: {error}", hint="install it again") from error
    if shelf.format != _FORMAT:
        raise FormatError(package, f"is of format {shelf.format}, and this lfbuild knows {_FORMAT}")
    for engine in shelf.engines:
        yield InstalledEngine(package=package, folder=folder, source=shelf.source, engine=engine)


def _read(path: Path, sha256: str, package: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise IntegrityError(package, f"{path.name} of {path.parent.name} cannot be read") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise IntegrityError(package, f"{path} is not what was installed", hint="install the package again")
    return data


def differences(wanted: EngineFacts, here: EngineFacts) -> str:
    """In which words an engine is not the one that is wanted."""
    pairs = {
        "version": (wanted.version, here.version),
        "source": (wanted.source_sha256[:12], here.source_sha256[:12]),
        "lfbuild's own layer": (wanted.stubs_sha256[:12], here.stubs_sha256[:12]),
        "toolchain": (f"{wanted.toolchain.kind} {wanted.toolchain.version}",
                      f"{here.toolchain.kind} {here.toolchain.version}"),
        "CPU levels": (", ".join(wanted.cpus), ", ".join(here.cpus)),
        "options": (_options(wanted), _options(here)),
        "chat page": (str(wanted.ui).lower(), str(here.ui).lower()),
    }  # fmt: skip
    told = [f"{name} {there} and not {want}" for name, (want, there) in pairs.items() if want != there]
    return "; ".join(told) or "another way of compiling, as another lfbuild made it"


def _options(facts: EngineFacts) -> str:
    return " ".join(f"{name}={value}" for name, value in facts.options) or "none"
