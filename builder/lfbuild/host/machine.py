"""Facts of the machine that builds: its system, architecture, CPU features, cores, and the programs it has.

Looked at once, at a front door, and passed down as a value. Feature names are those of gcc's `-m` options, whatever
the kernel calls them. Which of them a build should use is not decided here.
"""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

System = Literal["linux", "macos", "windows", "other"]

_SYSTEMS: dict[str, System] = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}
_ARCHITECTURES = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}

# The kernel's name of a feature, where it is not gcc's. Those that are spelled alike need no entry.
_GCC_NAMES = {
    "sse4_1": "sse4.1",
    "sse4_2": "sse4.2",
    "avx_vnni": "avxvnni",
    "avx512_vnni": "avx512vnni",
    "avx512_bf16": "avx512bf16",
    "avx512_fp16": "avx512fp16",
    "amx_tile": "amx-tile",
    "amx_int8": "amx-int8",
    "amx_bf16": "amx-bf16",
    "asimddp": "dotprod",
    "asimdhp": "fp16",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """The machine that lfbuild runs on."""

    system: System
    architecture: str
    cpu_name: str
    cpu_features: frozenset[str]
    """By gcc's names: `avx2`, `avx512vnni`, `dotprod`; empty where the system does not tell."""
    cores: int
    """How many this process may use."""
    search_path: str
    """Where programs are looked for: PATH, handed over by the front door."""

    @property
    def target(self) -> str:
        """The target whose files run here, as recipes name it: `linux-x86_64`."""
        return f"{self.system}-{self.architecture}"

    def find_program(self, name: str) -> Path | None:
        """The program of that name on the search path, or None."""
        found = shutil.which(name, path=self.search_path)
        return Path(found).absolute() if found else None


def look_at_machine(*, search_path: str) -> Machine:
    """The facts of this machine; `search_path` is the front door's PATH."""
    cpu_name, features = read_cpu_facts(_cpu_information())
    return Machine(
        system=_SYSTEMS.get(platform.system(), "other"),
        architecture=_ARCHITECTURES.get(platform.machine().lower(), platform.machine().lower()),
        cpu_name=cpu_name,
        cpu_features=features,
        cores=usable_cores(),
        search_path=search_path,
    )


def read_cpu_facts(information: str) -> tuple[str, frozenset[str]]:
    """The processor's name and gcc's names of its features, out of the text of `/proc/cpuinfo`."""
    fields: dict[str, str] = {}
    for line in information.splitlines():
        key, separator, value = line.partition(":")
        if separator:
            fields.setdefault(key.strip(), value.strip())
    flags = fields.get("flags", fields.get("Features", "")).split()
    return fields.get("model name", ""), frozenset(_GCC_NAMES.get(flag, flag) for flag in flags)


def _cpu_information() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def usable_cores() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
