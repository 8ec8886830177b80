"""The facts that a user wants to know of a model."""

from __future__ import annotations

import hashlib

import pytest
from tests.world.models import DEFAULT_VALUES, F32, Q8_0, STRING, UINT16, UINT32, TinyTensor, tiny_gguf

from lfbuild.formats.gguf import read_gguf
from lfbuild.formats.model import ModelFacts, model_facts


def facts_of(data: bytes) -> ModelFacts:
    return model_facts(read_gguf(lambda offset, length: data[offset : offset + length], len(data), where="m.gguf"))


def test_the_facts_of_a_model() -> None:
    assert facts_of(tiny_gguf()) == ModelFacts(
        kind="model",
        architecture="llama",
        name="Tiny",
        parameters=128 + 1024 + 512 + 33,
        quantization="Q4_0",
        context_length=2048,
        chat_template_sha256=hashlib.sha256(b"{{ messages }}").hexdigest(),
        license="apache-2.0",
        split_count=1,
    )


def test_a_model_that_says_nothing() -> None:
    assert facts_of(tiny_gguf({}, ())) == ModelFacts(
        kind="model",
        architecture="",
        name="",
        parameters=0,
        quantization="",
        context_length=0,
        chat_template_sha256="",
        license="",
        split_count=1,
    )


@pytest.mark.parametrize("values", [{}, {"general.file_type": (UINT32, 1024)}])
def test_without_a_known_mixture_the_type_of_most_bytes_names_the_quantization(
    values: dict[str, tuple[int, object]],
) -> None:
    data = tiny_gguf(values, (TinyTensor("a", (64,), Q8_0), TinyTensor("b", (64,), F32)))

    assert facts_of(data).quantization == "F32"


def test_an_adapter_and_a_part_of_a_split_model_say_so() -> None:
    facts = facts_of(tiny_gguf(DEFAULT_VALUES | {"general.type": (STRING, "adapter"), "split.count": (UINT16, 3)}))

    assert (facts.kind, facts.split_count) == ("adapter", 3)
