"""Who has a file mapped: engines that take no lock, as llamafile's own, are only seen so."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROCESSES: Final = Path("/proc")
_MAPPING: Final = re.compile(rb"^\S+ \S+ \S+ ([0-9a-f]+):([0-9a-f]+) (\d+) +(\S.*)$", re.MULTILINE)
"""A line of `/proc/PID/maps`: address, permissions, offset, device, inode, path (proc_pid_maps(5))."""


def process_mapping(path: Path, facts: os.stat_result) -> int | None:
    """The number of another process that has the file mapped, if one is seen.

    Seen are, on Linux, the user's own processes, and as root everybody's in sight. A device is not compared alone: some
    file systems show one number in a mapping and another one for the file.
    """
    if not sys.platform.startswith("linux"):
        return None
    inode, own = str(facts.st_ino).encode(), os.getpid()
    name, device = os.fsencode(path), (os.major(facts.st_dev), os.minor(facts.st_dev))
    for number in _processes():
        if number == own:
            continue
        try:
            text = (_PROCESSES / str(number) / "maps").read_bytes()
        except OSError:  # somebody else's, or it has ended
            continue
        if inode not in text:
            continue
        for major, minor, its_inode, its_name in _MAPPING.findall(text):
            if its_inode == inode and ((int(major, 16), int(minor, 16)) == device or its_name == name):
                return number
    return None


def _processes() -> Iterator[int]:
    try:
        yield from sorted(int(entry.name) for entry in _PROCESSES.iterdir() if entry.name.isdecimal())
    except OSError:
        return
