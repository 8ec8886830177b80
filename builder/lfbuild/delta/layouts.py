"""How ggml's types make up their blocks: which bits of which bytes are one number.

Source: ggml-common.h and ggml-quants.c of llama.cpp 0.5.0. A test takes every bit of a block apart, and has the gguf
package say which element a code is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lfbuild.formats.ggml import element_block


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """Numbers of 2 or 4 bytes: scales, minima, or elements that are no codes. Their bytes become planes."""

    columns: tuple[int, ...]
    """Where in a block each begins."""
    size_bytes: int = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Codes:
    """Codes of one width, in neighbouring bytes of a block; their upper bits may stand elsewhere."""

    column: int
    count: int
    shift: int
    bits: int
    high_column: int = 0
    """With `high_bits`: where their upper bits stand, in as many neighbouring bytes."""
    high_shift: int = 0
    high_bits: int = 0

    @property
    def width(self) -> int:
        """Bits of a whole code."""
        return self.bits + self.high_bits


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How a type's blocks are made up."""

    size_bytes: int
    words: Words | None
    codes: tuple[Codes, ...] = ()

    @property
    def widths(self) -> tuple[int, ...]:
        """The widths of its codes, each once: a plane each."""
        return tuple(dict.fromkeys(group.width for group in self.codes))


def layout_of(tensor_type: int) -> Layout | None:
    """The layout of ggml's type of this number; None for one whose blocks are not known here."""
    return _LAYOUTS.get(tensor_type)


def _nibbles(column: int, count: int) -> tuple[Codes, ...]:
    """Two codes of four bits a byte."""
    return tuple(Codes(column=column, count=count, shift=shift, bits=4) for shift in (0, 4))


def _fifths(column: int, high: int) -> tuple[Codes, ...]:
    """Q5_0 and Q5_1: nibbles in 16 bytes, the fifth bits in 4 bytes, code n's in bit n."""
    return tuple(
        Codes(
            column=column + code % 16,
            count=1,
            shift=4 * (code // 16),
            bits=4,
            high_column=high + code // 8,
            high_shift=code % 8,
            high_bits=1,
        )
        for code in range(32)
    )


def _six_bit_scales(column: int) -> tuple[Codes, ...]:
    """Q4_K and Q5_K: eight scales and eight minima of six bits in twelve bytes."""
    return (
        *(Codes(column=column + place, count=4, shift=0, bits=6) for place in (0, 4)),
        *(
            Codes(column=column + 8, count=4, shift=shift, bits=4, high_column=column + high, high_shift=6, high_bits=2)
            for shift, high in ((0, 0), (4, 4))
        ),
    )


def _q6_codes() -> tuple[Codes, ...]:
    """Q6_K: nibbles in 128 bytes, two upper bits in 64."""
    return tuple(
        Codes(
            column=64 * half + 32 * (quarter % 2),
            count=32,
            shift=4 * (quarter // 2),
            bits=4,
            high_column=128 + 32 * half,
            high_shift=2 * quarter,
            high_bits=2,
        )
        for half in range(2)
        for quarter in range(4)
    )


def _q5_k_codes() -> tuple[Codes, ...]:
    """Q5_K: nibbles in 128 bytes, the fifth bits in 32."""
    return tuple(
        Codes(
            column=48 + 32 * pair,
            count=32,
            shift=4 * odd,
            bits=4,
            high_column=16,
            high_shift=2 * pair + odd,
            high_bits=1,
        )
        for pair in range(4)
        for odd in range(2)
    )


def _q3_k_codes() -> tuple[Codes, ...]:
    """Q3_K: pairs of bits in 64 bytes, the third bits in 32; scales of six bits in twelve."""
    codes = tuple(
        Codes(
            column=32 + 32 * half,
            count=32,
            shift=2 * quarter,
            bits=2,
            high_column=0,
            high_shift=4 * half + quarter,
            high_bits=1,
        )
        for half in range(2)
        for quarter in range(4)
    )
    scales = tuple(
        Codes(
            column=96 + 4 * (part % 2),
            count=4,
            shift=4 * (part // 2),
            bits=4,
            high_column=104,
            high_shift=2 * part,
            high_bits=2,
        )
        for part in range(4)
    )
    return (*codes, *scales)


def _quarters(column: int, count: int) -> tuple[Codes, ...]:
    """Four codes of two bits a byte."""
    return tuple(Codes(column=column, count=count, shift=shift, bits=2) for shift in (0, 2, 4, 6))


def _layout(tensor_type: int, words: tuple[int, ...], codes: tuple[Codes, ...] = (), *, word_bytes: int = 2) -> Layout:
    known = element_block(tensor_type)
    if known is None:
        raise AssertionError(f"{tensor_type} is no type of ggml")
    return Layout(
        size_bytes=known.size_bytes,
        words=Words(columns=words, size_bytes=word_bytes) if words else None,
        codes=codes,
    )


_LAYOUTS: Final = {
    0: _layout(0, (0,), word_bytes=4),  # F32
    1: _layout(1, (0,)),  # F16
    2: _layout(2, (0,), _nibbles(2, 16)),  # Q4_0
    3: _layout(3, (0, 2), _nibbles(4, 16)),  # Q4_1
    6: _layout(6, (0,), _fifths(6, 2)),  # Q5_0
    7: _layout(7, (0, 2), _fifths(8, 4)),  # Q5_1
    8: _layout(8, (0,), (Codes(column=2, count=32, shift=0, bits=8),)),  # Q8_0
    10: _layout(10, (80, 82), (*_nibbles(0, 16), *_quarters(16, 64))),  # Q2_K
    11: _layout(11, (108,), _q3_k_codes()),  # Q3_K
    12: _layout(12, (0, 2), (*_six_bit_scales(4), *_nibbles(16, 128))),  # Q4_K
    13: _layout(13, (0, 2), (*_six_bit_scales(4), *_q5_k_codes())),  # Q5_K
    14: _layout(14, (208,), (*_q6_codes(), Codes(column=192, count=16, shift=0, bits=8))),  # Q6_K
    20: _layout(20, (0,), _nibbles(2, 16)),  # IQ4_NL
    23: _layout(23, (0,), (*_quarters(2, 2), *_nibbles(4, 132))),  # IQ4_XS
    30: _layout(30, (0,)),  # BF16
    39: _layout(39, (), (Codes(column=0, count=1, shift=0, bits=8), *_nibbles(1, 16))),  # MXFP4
}
