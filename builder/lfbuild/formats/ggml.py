"""Numbers that ggml gives to element types and to quantization mixtures.

Source: ggml.h (`enum ggml_type`), ggml-common.h (block sizes) and llama.h (`enum llama_ftype`) of llama.cpp 0.5.0; a
test holds both tables against the `gguf` package, which is generated beside them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ElementBlock:
    """How elements of one type are stored: so many of them in so many bytes."""

    name: str
    elements: int
    size_bytes: int


def element_block(number: int) -> ElementBlock | None:
    """The block of an element type; None for a type that is not known here."""
    return _ELEMENT_BLOCKS.get(number)


def mixture_name(number: int) -> str:
    """The name of a quantization mixture (`general.file_type`), such as `Q4_K_M`; empty if it is not known."""
    return _MIXTURES.get(number, "")


_ELEMENT_BLOCKS = {
    0: ElementBlock(name="F32", elements=1, size_bytes=4),
    1: ElementBlock(name="F16", elements=1, size_bytes=2),
    2: ElementBlock(name="Q4_0", elements=32, size_bytes=18),
    3: ElementBlock(name="Q4_1", elements=32, size_bytes=20),
    6: ElementBlock(name="Q5_0", elements=32, size_bytes=22),
    7: ElementBlock(name="Q5_1", elements=32, size_bytes=24),
    8: ElementBlock(name="Q8_0", elements=32, size_bytes=34),
    9: ElementBlock(name="Q8_1", elements=32, size_bytes=40),
    10: ElementBlock(name="Q2_K", elements=256, size_bytes=84),
    11: ElementBlock(name="Q3_K", elements=256, size_bytes=110),
    12: ElementBlock(name="Q4_K", elements=256, size_bytes=144),
    13: ElementBlock(name="Q5_K", elements=256, size_bytes=176),
    14: ElementBlock(name="Q6_K", elements=256, size_bytes=210),
    15: ElementBlock(name="Q8_K", elements=256, size_bytes=292),
    16: ElementBlock(name="IQ2_XXS", elements=256, size_bytes=66),
    17: ElementBlock(name="IQ2_XS", elements=256, size_bytes=74),
    18: ElementBlock(name="IQ3_XXS", elements=256, size_bytes=98),
    19: ElementBlock(name="IQ1_S", elements=256, size_bytes=50),
    20: ElementBlock(name="IQ4_NL", elements=32, size_bytes=18),
    21: ElementBlock(name="IQ3_S", elements=256, size_bytes=110),
    22: ElementBlock(name="IQ2_S", elements=256, size_bytes=82),
    23: ElementBlock(name="IQ4_XS", elements=256, size_bytes=136),
    24: ElementBlock(name="I8", elements=1, size_bytes=1),
    25: ElementBlock(name="I16", elements=1, size_bytes=2),
    26: ElementBlock(name="I32", elements=1, size_bytes=4),
    27: ElementBlock(name="I64", elements=1, size_bytes=8),
    28: ElementBlock(name="F64", elements=1, size_bytes=8),
    29: ElementBlock(name="IQ1_M", elements=256, size_bytes=56),
    30: ElementBlock(name="BF16", elements=1, size_bytes=2),
    34: ElementBlock(name="TQ1_0", elements=256, size_bytes=54),
    35: ElementBlock(name="TQ2_0", elements=256, size_bytes=66),
    39: ElementBlock(name="MXFP4", elements=32, size_bytes=17),
    40: ElementBlock(name="NVFP4", elements=64, size_bytes=36),
    41: ElementBlock(name="Q1_0", elements=128, size_bytes=18),
    42: ElementBlock(name="Q2_0", elements=64, size_bytes=18),
}

_MIXTURES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
    39: "NVFP4",
    40: "Q1_0",
    41: "Q2_0",
}
