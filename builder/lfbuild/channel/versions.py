"""Whether a version is known to be newer than another: both are numbers with dots between them, or nobody can say."""

from __future__ import annotations

import re
from typing import Final

_NUMBERS: Final = re.compile(r"v?([0-9]{1,18}(?:\.[0-9]{1,18})*)")


def is_newer(version: str, than: str) -> bool:
    """Whether `version` is known to be the newer one."""
    numbers, others = _numbers(version), _numbers(than)
    return numbers is not None and others is not None and numbers > others


def _numbers(version: str) -> tuple[int, ...] | None:
    """What 1.10.0 counts as: as much as 1.10, and more than 1.9."""
    found = _NUMBERS.fullmatch(version)
    if found is None:
        return None
    numbers = [int(number) for number in found[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
