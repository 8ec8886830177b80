"""Packs bytes that are mostly zero to within some percent of their entropy.

Differences of tensors are such bytes: nine of ten are zero and the others are small, in no order. A Huffman coder
spends at least a bit on each, and a match finder finds accidents. So a stretch of zeros and the number that ends it
become one token, of at most 256 that are chosen for the content; tokens are about equally frequent, and a Huffman coder
(Zstandard's, at its lowest level) gets the rest. Unpacking is one table look-up a token.

    u8 n | n × (u8 value, u8 most zeros before it) | Zstandard: tokens, a byte each

Token 0 to 8 stand for 1, 2, 4, … 256 zeros. Then for each value of the table, for each number of zeros from none to
the most: so many zeros and the value.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Final

from lfbuild.delta import zstd
from lfbuild.errors import FormatError

_ZERO_RUNS: Final = tuple(bytes(1 << power) for power in range(9))
_MOST_TOKENS: Final = 256
_SLICE_TOKENS: Final = 1 << 16
"""Tokens that are expanded at once: 16 MiB at most, whatever they claim."""

Table = tuple[tuple[int, int], ...]
"""Each value, and the most zeros that a token has before it."""


def packed(data: bytes) -> bytes | None:
    """`data` in tokens; None where it has too many different values for that."""
    counts = Counter(data.translate(None, delete=b"\0"))
    if len(counts) > _MOST_TOKENS - len(_ZERO_RUNS):
        return None
    table = _choose(counts, len(data))
    numbers = {phrase: number for number, phrase in enumerate(_phrases(table))}
    tokens = bytes(map(numbers.__getitem__, _pattern(table).findall(data)))
    head = bytes([len(table)]) + b"".join(bytes(entry) for entry in table)
    return head + zstd.packed(tokens, level=zstd.LITERAL_LEVEL)


def unpacked(data: bytes, size: int, *, where: str) -> bytes:
    """The bytes that `packed` was given, which must be `size`.

    Raises:
        FormatError: they are not, or there are tokens without a meaning.
    """
    count = data[0] if data else 0
    table = tuple((data[at], data[at + 1]) for at in range(1, min(1 + 2 * count, len(data) - 1), 2))
    phrases = _phrases(table)
    if len(table) != count or len(phrases) > _MOST_TOKENS:
        raise FormatError(where, "its table of tokens is damaged")
    parts: list[bytes] = []
    left = size
    for tokens in _token_slices(data[1 + 2 * count :], size, where):
        try:
            part = b"".join(map(phrases.__getitem__, tokens))
        except IndexError as error:
            raise FormatError(where, "has a token that its table does not have") from error
        left -= len(part)
        if left < 0:
            break
        parts.append(part)
    if left:
        raise FormatError(where, f"does not unpack to the {size} bytes that it promises")
    return b"".join(parts)


def _token_slices(data: bytes, most: int, where: str) -> list[bytes]:
    tokens = zstd.unpacked_up_to(data, most, where=where)
    return [tokens[at : at + _SLICE_TOKENS] for at in range(0, len(tokens), _SLICE_TOKENS)]


def _phrases(table: Table) -> list[bytes]:
    """What each token stands for."""
    return [*_ZERO_RUNS, *(bytes(zeros) + bytes([value]) for value, most in table for zeros in range(most + 1))]


def _choose(counts: Counter[int], size: int) -> Table:
    """The table that makes tokens about equally likely.

    Where zeros come at random, a value after g of them has the chance p(value) × p(0)^g. Tokens are given to all that
    are more likely than a threshold, which is halved in on until 256 are used.
    """
    zeros = size - counts.total()
    values = [(value, count) for value, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    room = _MOST_TOKENS - len(_ZERO_RUNS) - len(values)
    if not zeros or not values:
        return tuple((value, 0) for value, _ in values)
    shrink = -math.log(min(zeros / size, 1 - 1e-9))
    low, high = -60.0, 0.0
    for _ in range(40):
        middle = (low + high) / 2
        if sum(_most_zeros(count / size, shrink, middle) for _, count in values) > room:
            low = middle
        else:
            high = middle
    return tuple((value, _most_zeros(count / size, shrink, high)) for value, count in values)


def _most_zeros(chance: float, shrink: float, threshold: float) -> int:
    return max(0, min(255, int((math.log(chance) - threshold) / shrink)))


def _pattern(table: Table) -> re.Pattern[bytes]:
    """Matches one token after the other, each as long as it can be."""
    reach: dict[int, list[int]] = {}
    for value, most in table:
        reach.setdefault(most, []).append(value)
    endings = [
        b"\\x00{0,%d}+[%s]" % (most, b"".join(b"\\x%02x" % value for value in values))
        for most, values in sorted(reach.items(), reverse=True)
    ]
    return re.compile(b"|".join((*endings, *(b"\\x00{%d}" % len(run) for run in reversed(_ZERO_RUNS)))))
