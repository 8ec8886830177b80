"""What is in a wheel besides the program: the texts of its package and of its dist-info. Values in, texts out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import TYPE_CHECKING

import lfbuild
from lfbuild.archive.source import BytesSource
from lfbuild.backend.tags import program_name
from lfbuild.backend.wheel import WheelFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from lfbuild.channel.index import ReleaseIndex

PYTHON_TAG = "py3"
ABI_TAG = "none"
ANY = ("any",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """How one release of a project is called in the places that have rules of their own."""

    project: str
    version: str
    command: str

    @property
    def distribution(self) -> str:
        """As file names of wheels and sdists have it: `acme_chat`."""
        return re.sub(r"[-_.]+", "_", self.project).lower()

    @property
    def package(self) -> str:
        """The Python package: the same."""
        return self.distribution

    @property
    def stem(self) -> str:
        """`acme_chat-0.1.0`."""
        return f"{self.distribution}-{self.version}"

    @property
    def dist_info(self) -> str:
        """The folder of metadata in a wheel."""
        return f"{self.stem}.dist-info"

    @property
    def record(self) -> str:
        """The list of all files in a wheel."""
        return f"{self.dist_info}/RECORD"

    @property
    def scripts(self) -> str:
        """The folder whose files an installer puts on PATH."""
        return f"{self.stem}.data/scripts"

    def wheel(self, platforms: Sequence[str]) -> str:
        """The wheel's file name."""
        return f"{self.stem}-{PYTHON_TAG}-{ABI_TAG}-{'.'.join(platforms)}.whl"


@dataclass(frozen=True, kw_only=True, slots=True)
class DistInfo:
    """The texts of a wheel's folder of metadata."""

    metadata: bytes
    platforms: tuple[str, ...]
    licenses: tuple[tuple[str, bytes], ...] = ()
    """License files by their paths in the project."""
    entry_points: str = ""

    def files(self) -> dict[str, bytes]:
        """By their names in that folder, RECORD left out."""
        files = {f"licenses/{name}": data for name, data in self.licenses}
        files |= {"METADATA": self.metadata, "WHEEL": wheel_text(self.platforms).encode()}
        if self.entry_points:
            files["entry_points.txt"] = self.entry_points.encode()
        return dict(sorted(files.items()))


def wheel_text(platforms: Sequence[str]) -> str:
    """The WHEEL file: how the wheel is to be unpacked."""
    lines = ["Wheel-Version: 1.0", f"Generator: lfbuild {lfbuild.__version__}"]
    lines += [f"Root-Is-Purelib: {str(tuple(platforms) == ANY).lower()}"]
    lines += [f"Tag: {PYTHON_TAG}-{ABI_TAG}-{platform}" for platform in platforms]
    return "".join(f"{line}\n" for line in lines)


def package_files(names: Names, *, summary: str, targets: Sequence[str], engine_license: str) -> dict[str, bytes]:
    """The package of a wheel that has the program among its scripts."""
    words = _words(names, summary) | {"program": program_name(names.command, targets)}
    return _package(names, init=_filled("package", words), words=words) | _license(names, engine_license)


def engine_files(names: Names, *, summary: str, shelf: bytes, engine_license: str) -> dict[str, bytes]:
    """The package of a wheel of engines, without the engines; it holds no code but its own name."""
    from lfbuild.engine.installed import SHELF_NAME

    init = _filled("engines", _words(names, summary))
    files = {f"{names.package}/__init__.py": init, f"{names.package}/{SHELF_NAME}": shelf}
    return files | _license(names, engine_license)


def editable_files(names: Names, *, summary: str, file: Path, remake: str) -> dict[str, bytes]:
    """The package of an editable wheel: its program is a file of the project, which the command `remake` writes."""
    words = _words(names, summary) | {"file": repr(str(file)), "remake": remake}
    return _package(names, init=_filled("editable", words), words=words)


def thin_files(
    names: Names, *, summary: str, program: str, index: ReleaseIndex, engine_license: str
) -> dict[str, bytes]:
    """The package of a thin wheel, whose program is fetched as `index` says."""
    from lfbuild.channel.index import INDEX_SUFFIX

    file = f"{program}{INDEX_SUFFIX}"
    words = _words(names, summary) | {"program": program, "index": file, "root": index.root}
    files = _package(names, init=_filled("thin", words), words=words)
    return files | {f"{names.package}/{file}": index.to_bytes()} | _license(names, engine_license)


def engine_entry_point(names: Names) -> str:
    """The entry point by which lfbuild finds a package of engines."""
    from lfbuild.engine.installed import ENTRY_POINTS

    return f"[{ENTRY_POINTS}]\n{names.package} = {names.package}\n"


def script_entry_point(names: Names) -> str:
    """The entry point by which an installer makes a program of the package."""
    return f"[console_scripts]\n{names.command} = {names.package}.__main__:main\n"


def small_files(files: dict[str, bytes], *, folder: str = "") -> Iterable[WheelFile]:
    """Texts as files of a wheel."""
    return (WheelFile(name=folder + name, source=BytesSource(data)) for name, data in files.items())


def _words(names: Names, summary: str) -> dict[str, str]:
    return {
        "command": names.command,
        "package": names.package,
        "distribution": names.project,
        "summary": _docstring(summary or names.project),
    }


def _license(names: Names, text: str) -> dict[str, bytes]:
    """The engine's own licence, which goes with every copy; METADATA is made before its text is known."""
    return {f"{names.package}/licenses/llama.cpp.txt": text.encode()} if text else {}


def _package(names: Names, *, init: bytes, words: dict[str, str]) -> dict[str, bytes]:
    return {f"{names.package}/__init__.py": init, f"{names.package}/__main__.py": _filled("main", words)}


def _docstring(text: str) -> str:
    """A sentence that ends where a docstring's first line should, and ends no docstring."""
    plain = text.replace("\\", "/").replace('"', "'").strip()
    return plain if plain.endswith((".", "!", "?")) else f"{plain}."


def _filled(name: str, words: dict[str, str]) -> bytes:
    text = resources.files("lfbuild.backend").joinpath("templates", f"{name}.py.txt").read_text(encoding="utf-8")
    return Template(text).substitute(words).encode()
