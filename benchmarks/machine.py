"""Facts of the machine that numbers depend on, and whether it is idle enough to be believed."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.host.machine import look_at_machine

if TYPE_CHECKING:
    from pathlib import Path

IDLE_LOAD = 0.5
"""Another process at half a core already shows in every median."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A machine, and the file system that files are written to."""

    cpu: str
    cores: int
    memory_gib: float
    file_system: str
    kernel: str
    python: str
    load: float
    """Mean number of processes that wanted to run in the last minute, before the first measurement."""

    @property
    def idle(self) -> bool:
        """Whether numbers taken now mean anything."""
        return self.load <= IDLE_LOAD

    def sentence(self) -> str:
        """All of it, for the line above a table."""
        return (
            f"{self.cpu}, {self.cores} cores, {self.memory_gib:.0f} GiB memory, {self.file_system}, "
            f"Linux {self.kernel}, Python {self.python}; load before the run {self.load:.2f}"
        )


def look(folder: Path) -> Place:
    """The machine, with the file system of `folder`."""
    machine = look_at_machine(search_path=os.environ.get("PATH", ""))
    return Place(
        cpu=f"{machine.cpu_name or platform.processor()} ({platform.machine()})",
        cores=machine.cores,
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        file_system=file_system(folder),
        kernel=platform.release(),
        python=platform.python_version(),
        load=os.getloadavg()[0],
    )


def file_system(folder: Path) -> str:
    """The type of the file system that holds `folder`, as the kernel names it."""
    found = subprocess.run(["df", "--output=fstype", folder], capture_output=True, text=True, check=True)
    return found.stdout.split()[-1]
