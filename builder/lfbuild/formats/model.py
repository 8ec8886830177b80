"""What a user wants to know of a model, drawn from its GGUF header."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lfbuild.formats.ggml import element_block, mixture_name

if TYPE_CHECKING:
    from lfbuild.formats.gguf import GgufHeader

LARGEST_COUNT: Final = (1 << 62) - 1
"""No model has more of anything, and no manifest tells of more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """Facts of one GGUF, or of the first part of a split one."""

    kind: str
    """`model`, `adapter` (LoRA), `mmproj`, … as `general.type` says; `model` if it says nothing."""
    architecture: str
    name: str
    parameters: int
    """Number of tensor elements in this file; 0 if the header tells of more than any model has."""
    quantization: str
    """The mixture's name (`Q4_K_M`), or the element type that most bytes are in."""
    context_length: int
    """Tokens the model was trained on; 0 if it does not say, or nonsense."""
    chat_template_sha256: str
    """Empty if the model has no chat template."""
    license: str
    split_count: int
    """How many files the model is in; 1 for a whole one."""


def model_facts(header: GgufHeader) -> ModelFacts:
    """Draw the facts from a header."""
    architecture = header.text("general.architecture")
    template = header.text("tokenizer.chat_template")
    return ModelFacts(
        kind=header.text("general.type") or "model",
        architecture=architecture,
        name=header.text("general.name"),
        parameters=_count(sum(tensor.elements for tensor in header.tensors)),
        quantization=_quantization(header),
        context_length=_count(header.number(f"{architecture}.context_length")),
        chat_template_sha256=hashlib.sha256(template.encode()).hexdigest() if template else "",
        license=header.text("general.license"),
        split_count=max(header.number("split.count"), 1),
    )


def _count(number: int) -> int:
    """A number of things, 0 if it cannot be one."""
    return number if 0 <= number <= LARGEST_COUNT else 0


def _quantization(header: GgufHeader) -> str:
    named = mixture_name(header.number("general.file_type")) if "general.file_type" in header.values else ""
    if named:
        return named
    bytes_by_type: Counter[str] = Counter()
    for tensor in header.tensors:
        known = element_block(tensor.type)
        if known and tensor.size_bytes:
            bytes_by_type[known.name] += tensor.size_bytes
    return max(sorted(bytes_by_type), key=bytes_by_type.__getitem__) if bytes_by_type else ""
