"""Values that stand in one word on the command line: a count, a size (`10G`), an age (`30d`), a text."""

from __future__ import annotations

import argparse
import re

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
