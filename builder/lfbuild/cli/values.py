"""Values that stand in one word on the command line: a count, a size (`10G`), an age (`30d`), a text, an output."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_LINKS = 40
"""What Linux follows on its way to a file (path_resolution(7))."""
_OPEN_FILES = (Path("/proc"), Path("/dev/fd"))
"""Where a system names open files; `/dev/stdout` leads to one of them."""
_SIZE_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_AGE_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def text(word: str) -> str:
    """Text that is to stand in what is written, where all text is UTF-8; a path may be any bytes."""
    try:
        word.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"'{word}' is not UTF-8") from None
    return word


def count(text: str) -> int:
    """A whole number from one up."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 up")
    return int(text)


def size_bytes(text: str) -> int:
    """A size such as `500M`, `10G`, `10GiB`, `4096`: units are powers of 1024."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", text.strip().lower(), re.ASCII)
    if found is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not a size; write it as 500k, 2M or 10G")
    return int(float(found[1]) * _SIZE_UNITS[found[2]])


def some_bytes(text: str) -> int:
    """A size from one byte up."""
    size = size_bytes(text)
    if size < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is less than a byte; write it as 500k, 2M or 10G")
    return size


def age_seconds(text: str) -> float:
    """An age such as `12h`, `30d`, `8w`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([mhdw])", text.strip().lower(), re.ASCII)
    if found is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not an age; write it as 12h, 30d or 8w")
    return float(found[1]) * _AGE_UNITS[found[2]]


def output(word: str) -> Path:
    """A file that is to be written: where a link leads to, as whoever makes one means what it stands for."""
    *links, end = _steps(Path(word))
    if len(links) == _MOST_LINKS:
        raise argparse.ArgumentTypeError(f"'{word}' is a link that leads to itself")
    if any(step.is_relative_to(place) for step in (*links, end) for place in _OPEN_FILES):
        raise argparse.ArgumentTypeError(f"'{word}' names an open file, which is never replaced; name a file")
    return end if links else Path(word)


def _steps(path: Path) -> Iterator[Path]:
    """What a name stands for, link by link, at most 40 of them; nothing but the last name of each is a link."""
    for _ in range(_MOST_LINKS):
        path = Path(os.path.realpath(path.parent), path.name)
        yield path
        if not os.path.islink(path):  # noqa: PTH114  # False where it may not be looked at
            return
        path = path.parent / path.readlink()
    yield path
