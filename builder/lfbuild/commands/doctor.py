"""`doctor`: what this machine can build, what is lacking, and how to get it. Looks, and changes nothing.

Works on an lfbuild that was installed without its building half: that is when it is asked most.
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lfbuild.commands.toolchain import list_toolchains
from lfbuild.engine.cpu import DEFAULT_CPUS, best_cpu, parse_cpu
from lfbuild.engine.tools import LAUNCHERS, find_cmake, find_ninja
from lfbuild.errors import ToolError
from lfbuild.store.listing import list_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lfbuild.commands.settings import Settings
    from lfbuild.commands.toolchain import FoundToolchain
    from lfbuild.host.machine import Machine

State = Literal["here", "lacking", "optional"]
"""`optional` is absent, and only some recipes would miss it."""

CLONING_FILE_SYSTEMS = ("apfs", "bcachefs", "btrfs", "ocfs2", "xfs", "zfs")
ROOM_FOR_AN_ENGINE_BYTES = 3 << 30
"""A source tree, what compiling it leaves for a while, and a small model."""
_INSTALL = 'pip install "lfbuild[zig]"'
_OPTIONAL_PROGRAMS = {
    "git": "for engine sources from a git repository",
    "npm": "for the chat page, [engine] ui = true",
    **{name: f"for --launcher {name}" for name in LAUNCHERS},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that was looked for."""

    name: str
    state: State
    finding: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheFolder:
    """Where downloads and engines are kept."""

    path: Path
    size_bytes: int
    free_bytes: int
    file_system: str
    """Its kind as the system names it, empty where it does not tell."""
    others_write: bool
    """Whether others than its owner may write to it: then files that are started place no engines in it."""

    @property
    def clones(self) -> bool:
        """Whether a copy on it costs neither time nor space."""
        return self.file_system in CLONING_FILE_SYSTEMS


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """Everything that was found."""

    target: str
    """The target whose files run here: `linux-x86_64`."""
    cpu_name: str
    cpu_level: str
    """The highest level that this processor runs, as a recipe's `cpus` would name it; empty if below all of them."""
    cores: int
    python: str
    cache: CacheFolder
    network: str
    checks: tuple[Check, ...]
    can_build: tuple[str, ...]
    """The toolchains that a recipe can be built with, as things are."""
    advice: tuple[str, ...]


def diagnose(settings: Settings) -> Diagnosis:
    """Look at this machine."""
    machine = settings.machine
    needed = (_check_packages(), _check_tool("cmake", find_cmake), _check_tool("ninja", find_ninja))
    toolchains = list_toolchains(settings)
    usable = tuple(it.kind for it in toolchains if it.path is not None)
    can_build = usable if all(check.state == "here" for check in needed) else ()
    level = best_cpu(machine.architecture, machine.cpu_features)
    cache = _look_at_cache(settings)
    return Diagnosis(
        target=machine.target,
        cpu_name=machine.cpu_name,
        cpu_level=level.name if level else "",
        cores=machine.cores,
        python=platform.python_version(),
        cache=cache,
        network=_network_words(settings),
        checks=(*needed, *(_check_toolchain(it, usable) for it in toolchains), *_check_programs(machine)),
        can_build=can_build,
        advice=tuple(_advice(needed, toolchains, machine, cache)),
    )


def file_system_of(folder: Path, mounts: str) -> str:
    """The kind of file system that `folder`, absolute and without links, is on; `mounts` is `/proc/self/mountinfo`."""
    found = ("", "")
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        # Spaces and backslashes in a path stand as octal numbers there.
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        if folder.is_relative_to(point) and len(point) >= len(found[0]):
            found = (point, after.split()[0])
    return found[1]


def _check_packages() -> Check:
    try:
        requirements = importlib.metadata.requires("lfbuild") or []
    except importlib.metadata.PackageNotFoundError:
        return Check(
            name="Python packages", state="here", finding="cannot be told: lfbuild runs without being installed"
        )
    needed = [found[0] for it in requirements if "extra == 'build'" in it and (found := re.match(r"[\w.-]+", it))]
    lacking = [name for name in needed if not _is_installed(name)]
    if lacking:
        return Check(name="Python packages", state="lacking", finding=f"not installed: {', '.join(lacking)}")
    return Check(name="Python packages", state="here", finding=f"all {len(needed)} that building needs")


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _check_tool(package: str, find: Callable[[], Path]) -> Check:
    try:
        find()
    except ToolError as error:
        return Check(name=package, state="lacking", finding=error.what)
    return Check(name=package, state="here", finding=importlib.metadata.version(package))


def _check_toolchain(found: FoundToolchain, usable: tuple[str, ...]) -> Check:
    if found.path is not None:
        return Check(name=found.kind, state="here", finding=found.version)
    return Check(name=found.kind, state="optional" if usable else "lacking", finding=found.problem)


def _check_programs(machine: Machine) -> Iterator[Check]:
    for name, purpose in _OPTIONAL_PROGRAMS.items():
        path = machine.find_program(name)
        finding = f"{path}" if path else f"not here; needed only {purpose}"
        yield Check(name=name, state="here" if path else "optional", finding=finding)


def _look_at_cache(settings: Settings) -> CacheFolder:
    folder = settings.cache_folder
    there = next(it for it in (folder, *folder.parents) if it.is_dir()).resolve()
    return CacheFolder(
        path=folder,
        size_bytes=sum(entry.size_bytes for entry in list_store(settings.store())),
        free_bytes=shutil.disk_usage(there).free,
        file_system=file_system_of(there, _mounts()),
        others_write=folder.is_dir() and bool(folder.stat().st_mode & 0o022),
    )


def _mounts() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _network_words(settings: Settings) -> str:
    """How the network is reached, without an address: those may hold a password."""
    if settings.offline:
        return "not used (offline)"
    proxied = [scheme for scheme, _ in settings.proxies if scheme != "no"]
    ways = [f"through a proxy for {', '.join(proxied)}" if proxied else "directly"]
    if settings.pypi_index:
        ways.append("Python packages from another index than PyPI's")
    if settings.hf_endpoint:
        ways.append("Hugging Face files from another endpoint")
    return "; ".join(ways)


def _advice(
    needed: tuple[Check, ...], toolchains: tuple[FoundToolchain, ...], machine: Machine, cache: CacheFolder
) -> Iterator[str]:
    if any(check.state == "lacking" for check in needed):
        yield f"install what building needs: {_INSTALL}"
    elif all(it.path is None for it in toolchains):
        yield from (f"install {it.kind}: {it.hint}" for it in toolchains)
    default = DEFAULT_CPUS.get(machine.architecture)
    level = best_cpu(machine.architecture, machine.cpu_features)
    if default and machine.cpu_features and not (level and level.features >= parse_cpu(default).features):
        able = f"{level.name} is what it can run" if level else "no level that lfbuild knows runs here"
        yield f"this processor is below {default}, which cosmocc and the example recipes compile for; {able}"
    if cache.free_bytes < ROOM_FOR_AN_ENGINE_BYTES:
        yield f"make room on the disk of {cache.path}, or choose another folder with LFBUILD_CACHE or --cache-dir"
    if cache.others_write:
        mend = shlex.join(["chmod", "go-w", str(cache.path)])
        yield f"others may write to the cache, so files that are started place their engines elsewhere: {mend}"
