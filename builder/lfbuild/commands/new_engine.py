"""Finds the engine that a swap brings: of a recipe, of the cache, of a file of ours or Mozilla's, or a bare program.

Nothing is run to learn about it. What it is worth knowing of an engine's flags comes from its own list, where lfbuild
compiled it, else from the texts in its bytes.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from lfbuild.archive.deflate import deflate, encoder_version, look_at
from lfbuild.archive.reader import Reader, opened, read_at
from lfbuild.archive.source import BytesSource
from lfbuild.errors import FormatError, Problem, RecipeError
from lfbuild.formats.args import EVERYDAY_VERBS
from lfbuild.formats.executable import PROBE_BYTES, identify_program
from lfbuild.formats.flags import KnownFlags, find_texts
from lfbuild.manifest.foreign import MOZILLAS, engine_record, take_apart
from lfbuild.manifest.model import EngineRecord, ToolchainRecord
from lfbuild.manifest.order import EngineHead, EngineSlice, LauncherHead, read_engine
from lfbuild.manifest.present import load_present
from lfbuild.manifest.slices import load_program
from lfbuild.recipe.model import VERBS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from lfbuild.commands.settings import Settings
    from lfbuild.engine.job import Engine
    from lfbuild.manifest.present import Present
    from lfbuild.report import Report

_KEY = re.compile(r"[0-9a-f]{8,64}")
_VERSION = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})")
_PIECE_BYTES: Final = 8 << 20
_FIRST_WITH_ZIP_PATHS: Final = (0, 10, 0)
"""The llamafile from which on `/zip/NAME` can be mapped; before, a bare name is looked for in the own file."""
_SYSTEMS: Final = {"elf": "linux", "pe": "windows", "macho": "macos"}
_LOWEST: Final = {"x86_64": "x86-64", "aarch64": "armv8-a"}
"""What every machine of an architecture has: all that is known of an engine that lfbuild did not compile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewEngine:
    """An engine that was found, as a head, as engines that a launcher starts, or as both."""

    told: str
    """What it is, in some words."""
    record: EngineRecord
    flags: Callable[[Collection[str]], KnownFlags]
    """Which of some flags it has."""
    pieces: Callable[[], Iterator[bytes]]
    """Its bytes as it runs."""
    head: EngineHead | LauncherHead | None = None
    """A head that starts it; of launchers, with its engines."""
    slices: tuple[EngineSlice, ...] = ()
    """The same as engines by target; empty where it answers only as a head (an APE)."""
    notes: tuple[str, ...] = ()

    def has_verb(self, verb: str) -> bool:
        """Whether it can be told so what to do: its bytes have the word, and it is none of Mozilla's, without verbs.

        Of lfbuild's own, the verbs are those of a recipe; under their other spellings an engine looks for no arguments.
        """
        if self.record.has_verbs and verb in EVERYDAY_VERBS:
            return True
        if self.record.has_verbs and verb not in VERBS:
            return False
        return self.record.name != MOZILLAS and verb in find_texts(self.pieces(), [verb])


def engine_inside(head: EngineHead | LauncherHead, record: EngineRecord, *, of: str) -> NewEngine:
    """The engine that a file called `of` has."""
    slices = head.slices if isinstance(head, LauncherHead) else ()
    pieces = _decoded(slices, head)
    version = _VERSION.fullmatch(record.version) if record.name == MOZILLAS else None
    older = version is not None and tuple(map(int, version.groups())) < _FIRST_WITH_ZIP_PATHS
    return NewEngine(
        told=f"{record.name} {record.version} of {of}".replace("  ", " "),
        record=record,
        flags=_searching(pieces, bare_names=older),
        pieces=pieces,
        head=head,
        slices=slices,
    )


@contextlib.contextmanager
def found_engine(words: str, *, settings: Settings, report: Report) -> Iterator[NewEngine]:
    """The engine that `words` name; its bytes can be had as long as the context lasts.

    Raises:
        RecipeError: there is nothing by that name.
        FormatError: it is no engine.
        ToolError, FetchError, HostError: as compiling it finds.
    """
    from pathlib import Path

    path = Path(words)
    if path.suffix == ".toml":
        yield _compiled(path, settings=settings, report=report)
    elif path.exists():
        with _from_file(path, threads=settings.machine.cores) as engine:
            yield engine
    elif _KEY.fullmatch(words):
        yield _from_cache(words, settings)
    else:
        what = f"'{words}' is no recipe, no file, and no key of an engine in the cache"
        raise RecipeError("--engine", [Problem(where="--engine", key="", what=what)], hint="lfbuild cache list")


@contextlib.contextmanager
def _from_file(path: Path, *, threads: int) -> Iterator[NewEngine]:
    """A file of ours, Mozilla's, or a program alone."""
    try:
        with Reader.open(path) as reader:
            present = load_present(reader, threads=threads)
            yield _of_ours(present) if present else _of_foreign(reader)
    except FormatError:
        with opened(path) as file:
            kind = identify_program(read_at(file.fileno(), 0, PROBE_BYTES)).kind
        if kind == "none" or _has_directory(path):
            raise
        yield _bare(path)


def _has_directory(path: Path) -> bool:
    try:
        with Reader.open(path):
            return True
    except FormatError:
        return False


def _of_ours(present: Present) -> NewEngine:
    head, record = present.head(), present.manifest.engine
    if record is None:
        raise FormatError(present.where, "has no engine: it is started by another file")
    if isinstance(head, LauncherHead):  # where the engines stand in that file says nothing about another one
        head = replace(head, slices=tuple(replace(item, kept=None) for item in head.slices))
    return engine_inside(head, record, of=present.reader.path.name)


def _of_foreign(reader: Reader) -> NewEngine:
    foreign = take_apart(reader)
    return engine_inside(foreign.head(), engine_record(reader, foreign.engine_bytes), of=reader.path.name)


def _bare(path: Path) -> NewEngine:
    """A program alone: for which machine, its first bytes tell; for which processors, nobody knows."""
    head = read_engine(path)
    program = identify_program(_start(path))
    system = _SYSTEMS.get(program.kind, "")
    machine = next(iter(program.machines), "")
    record = EngineRecord(
        name=path.name,
        version="",
        source_sha256="",
        toolchain=ToolchainRecord(kind="unknown", version=""),
        targets=(f"{system}-{machine}",) if system else program.machines,
        cpus=(_LOWEST[machine],) if machine in _LOWEST and system else (),
    )
    slices: tuple[EngineSlice, ...] = ()
    notes: tuple[str, ...] = ()
    if system and machine in _LOWEST:
        item, notes = _slice_of(path.read_bytes(), target=f"{system}-{machine}", cpus=(_LOWEST[machine],), key="")
        slices = (item,)
    pieces = _decoded((), head)
    return NewEngine(
        told=path.name,
        record=record,
        flags=_searching(pieces),
        pieces=pieces,
        head=head,
        slices=slices,
        notes=notes,
    )


def _from_cache(key: str, settings: Settings) -> NewEngine:
    from lfbuild.engine.compile import load_engine

    store = settings.store()
    keys = sorted(path.name for path in (store.root / "engines").glob(f"{key}*"))
    if len(keys) != 1:
        what = f"{len(keys)} engines in the cache have a key that begins with {key}"
        raise RecipeError("--engine", [Problem(where="--engine", key="", what=what)], hint="lfbuild cache list")
    engine = load_engine(store, keys[0])
    assert engine is not None  # noqa: S101  # it was listed just now
    return _of_engines([engine])


def _compiled(recipe: Path, *, settings: Settings, report: Report) -> NewEngine:
    """What a recipe compiles, with its launchers if it has some."""
    from lfbuild.commands.choice import EVERYTHING
    from lfbuild.commands.engines import find_by_key
    from lfbuild.commands.prepare import prepare
    from lfbuild.commands.programs import make_head_of, make_programs

    plan = prepare(
        recipe, output=None, locked=False, choice=EVERYTHING, epoch=settings.epoch, settings=settings, report=report
    )
    with settings.store().incoming() as scratch:
        programs = make_programs(plan, scratch=scratch, jobs=settings.jobs, settings=settings, report=report)
        head = make_head_of(plan.files[0], plan, programs, settings=settings, report=report)
        facts = next(iter(programs.facts.values()))
        order = plan.order(plan.files[0], head, facts)
        assert order.engine is not None  # noqa: S101  # the first file has an engine, or compiling would have had no job
        kept = head if isinstance(head, LauncherHead) else read_engine(head)
        slices = kept.slices if isinstance(kept, LauncherHead) else ()
        engines = [find_by_key(item.key, settings=settings) for item in programs.facts.values()]
        known = frozenset().union(*(engine.flags for engine in engines if engine))
        pieces = _decoded(slices, kept)
        return NewEngine(
            told=f"{facts.name} {facts.version} of {recipe.name}",
            record=order.engine,
            flags=_listed(known) if known else _searching(pieces),
            pieces=pieces,
            head=kept,
            slices=slices,
        )


def _of_engines(engines: list[Engine]) -> NewEngine:
    """Engines that lfbuild compiled and kept."""
    first, head = engines[0].facts, read_engine(engines[0].path)
    record = EngineRecord(
        name=first.name,
        version=first.version,
        source_sha256=first.source_sha256,
        key=first.key,
        toolchain=ToolchainRecord(
            kind=first.toolchain.kind, version=first.toolchain.version, sha256=first.toolchain.sha256
        ),
        targets=tuple(engine.facts.target for engine in engines),
        cpus=first.cpus,
        options=first.options,
        ui=first.ui,
    )
    made = [
        _slice_of(engine.path.read_bytes(), target=engine.facts.target, cpus=engine.facts.cpus, key=engine.facts.key)
        for engine in engines
        if engine.facts.target != "cosmo"
    ]
    return NewEngine(
        told=f"{first.name} {first.version}, {first.target}, in the cache",
        record=record,
        flags=_listed(frozenset().union(*(engine.flags for engine in engines))),
        pieces=_decoded((), head),
        head=head if len(engines) == 1 else None,
        slices=tuple(item for item, _ in made),
        notes=tuple(dict.fromkeys(note for _, notes in made for note in notes)),
    )


def _slice_of(program: bytes, *, target: str, cpus: tuple[str, ...], key: str) -> tuple[EngineSlice, tuple[str, ...]]:
    """An engine as it goes into a file: deflated where that makes it smaller and the encoder is installed."""
    notes: tuple[str, ...] = ()
    stored = program
    try:
        stored = deflate(program)
    except ModuleNotFoundError:
        notes = ("the engine is stored as it is, as the package `deflate` is not installed: pip install deflate",)
    pays = len(stored) < len(program)
    item = EngineSlice(
        target=target,
        cpus=cpus,
        key=key,
        source=BytesSource(stored if pays else program),
        program=look_at([program]),
        encoder_version=encoder_version() if pays else "",
    )
    return item, notes


def _decoded(slices: tuple[EngineSlice, ...], head: EngineHead | LauncherHead) -> Callable[[], Iterator[bytes]]:
    """The bytes of an engine as it runs: of the first target, or the head."""

    def pieces() -> Iterator[bytes]:
        if slices:
            yield load_program(slices[0])
        elif isinstance(head, EngineHead):
            with head.source.opened() as at:
                for start in range(0, head.source.size_bytes, _PIECE_BYTES):
                    buffer = bytearray(min(_PIECE_BYTES, head.source.size_bytes - start))
                    at.read_into(memoryview(buffer), start)
                    yield bytes(buffer)

    return pieces


def _searching(
    pieces: Callable[[], Iterator[bytes]], *, bare_names: bool = False
) -> Callable[[Collection[str]], KnownFlags]:
    return lambda wanted: KnownFlags(present=find_texts(pieces(), wanted), sure=False, bare_names=bare_names)


def _listed(flags: frozenset[str]) -> Callable[[Collection[str]], KnownFlags]:
    return lambda wanted: KnownFlags(present=flags & frozenset(wanted), sure=True)


def _start(path: Path) -> bytes:
    with opened(path) as file:
        return read_at(file.fileno(), 0, PROBE_BYTES)
