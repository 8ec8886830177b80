"""Cosmopolitan's cosmocc: one program that starts on six systems and two architectures (an APE).

Upstream's CMake picks sources by processor, so each architecture is compiled by its own driver; `apelink` joins the
two programs. Where a cosmocc is looked for stands here, how it gets into the store in `cosmocc_install`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.engine.job import digest_folder, files_below
from lfbuild.engine.render import render
from lfbuild.engine.toolchain import Rendering
from lfbuild.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lfbuild.engine.cpu import Goal
    from lfbuild.host.machine import Machine
    from lfbuild.store import Store

VERSION = "4.0.2"
TARGETS = {"cosmo": ("x86_64", "aarch64")}
INSTALL_HINT = "install it with: lfbuild toolchain install cosmocc"

_DRIVER = "x86_64-unknown-cosmo-cc"
_VERSION_FILE = Path("include", "libc", "integral", "normalize.inc")
_VERSION_PART = re.compile(r"#define __COSMOPOLITAN_(?:MAJOR|MINOR|PATCH)__ (\d+)")
# CMake's own names of files; what stands in them says why each is needed.
_FILES = (
    "toolchain.cmake",
    "project.cmake",
    "Platform/Cosmopolitan.cmake",
    "Platform/Cosmopolitan-Initialize.cmake",
    "shim/sys/syslimits.h",
    "shim-errno/constant_errno.h",
    "shim-errno/sheredom/subprocess.h",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cosmocc:
    """One unpacked cosmocc."""

    root: Path
    version: str
    sha256: str
    """Over its unpacked files: two copies of one bundle are one toolchain, wherever they were found."""

    @property
    def kind(self) -> str:
        """`cosmocc`."""
        return "cosmocc"

    @property
    def compiler_type(self) -> str:
        """Its compiler is gcc."""
        return "gcc"

    @property
    def targets(self) -> Mapping[str, tuple[str, ...]]:
        """One target, for all systems; x86-64 comes first in an APE."""
        return TARGETS

    def identity(self, goal: Goal) -> str:
        """`cosmocc 4.0.2 x86_64 <digest>`."""
        return f"cosmocc {self.version} {goal.architecture} {self.sha256}"

    def rendering(self, goal: Goal) -> Rendering:
        """Wrappers, a CMake platform of our own (Cosmopolitan is no Linux), and the headers llama.cpp misses."""
        prefix = f"cosmocc-{self.version}-{goal.architecture}"
        values = {"root": self.root, "architecture": goal.architecture, "identity": self.identity(goal)}
        tools = ("cc", "c++", "ar", "ranlib")
        commands = {f"{prefix}-{tool}": render("cosmocc-command.sh", tool=tool, **values) for tool in tools}
        files = {name: render(f"cosmocc/{name}", prefix=prefix, **values) for name in _FILES}
        return Rendering(commands=commands, files=files)

    def environment(self, *, cache: Path, scratch: Path) -> Mapping[str, str]:
        """Nothing: it keeps no cache."""
        del cache, scratch
        return {}

    def libraries_command(self, goal: Goal, *, folder: Path, jobs: int) -> Sequence[str | Path]:
        """Nothing: its libraries come with it."""
        del goal, folder, jobs
        return ()

    def finish(self, programs: Mapping[str, Path], head: Path, *, call: Callable[[Sequence[str | Path]], None]) -> None:
        """Join the architectures into one APE, and have Windows' view of it checked."""
        tools = self.root / "bin"
        loaders: list[str | Path] = [word for name in programs for word in ("-l", tools / f"ape-{name}.elf")]
        # Apple's own processors want a loader that is compiled on the spot.
        source: list[str | Path] = ["-M", tools / "ape-m1.c"] if "aarch64" in programs else []
        # Without -s, apelink adds symbol tables as members of a ZIP at the end, where our own will be.
        call([tools / "apelink", "-s", *loaders, *source, "-o", head, *programs.values()])
        call([tools / "pecheck", head])


def find_cosmocc(version: str | None, *, folder: Path | None, machine: Machine, store: Store) -> Cosmocc:
    """The first cosmocc of: the folder that the user names, the search path, the store.

    Raises:
        ToolError: there is none, or it is another version than the recipe pins.
    """
    wanted = version or VERSION
    root = folder or _on_search_path(machine) or store.entry("toolchains", f"cosmocc-{wanted}")
    if root is None:
        raise ToolError("cosmocc", f"version {wanted} is not installed", hint=INSTALL_HINT)
    root = root.absolute()
    if not (root / "bin" / _DRIVER).is_file() or not (root / _VERSION_FILE).is_file():
        raise ToolError(root, f"is no cosmocc: it has no bin/{_DRIVER}, or no {_VERSION_FILE}", hint=INSTALL_HINT)
    if " " in str(root):
        raise ToolError(root, "cosmocc cannot work in a folder with a space in its name", hint="move it elsewhere")
    found = read_version(root)
    if found != wanted:
        raise ToolError(root, f"the recipe wants cosmocc {wanted}, but this is {found}", hint=INSTALL_HINT)
    return Cosmocc(root=root, version=found, sha256=_files_sha256(root, store))


def read_version(root: Path) -> str:
    """The version an unpacked cosmocc gives itself, in the header that every compile includes."""
    text = (root / _VERSION_FILE).read_text(encoding="utf-8", errors="replace")
    return ".".join(_VERSION_PART.findall(text))


def _on_search_path(machine: Machine) -> Path | None:
    driver = machine.find_program(_DRIVER)
    return driver.resolve().parent.parent if driver else None


def _files_sha256(root: Path, store: Store) -> str:
    """The digest of hundreds of megabytes, remembered for as long as no file's size or time changes."""
    states = {name: path.stat() for name, path in sorted(files_below(root).items())}
    lines = "".join(f"{name} {stat.st_size} {stat.st_mtime_ns}\n" for name, stat in states.items())
    state = hashlib.sha256(lines.encode()).hexdigest()
    name = f"cosmocc {root}"
    known = store.recall(name)
    if known is not None and known.get("state") == state:
        return str(known["sha256"])
    sha256 = digest_folder(root)
    store.remember(name, {"state": state, "sha256": sha256})
    return sha256
