"""The facts that a user wants to know of a model."""

from __future__ import annotations

import hashlib
import struct

import pytest
from tests.world.models import (
    BOOL,
    DEFAULT_VALUES,
    F32,
    INT32,
    Q8_0,
    STRING,
    UINT16,
    UINT32,
    UINT64,
    TinyTensor,
    tensor_info,
    tiny_gguf,
)

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


@pytest.mark.parametrize(
    ("value", "tokens"),
    [((INT32, -1), 0), ((UINT64, 1 << 62), 0), ((BOOL, True), 0), ((UINT64, (1 << 62) - 1), (1 << 62) - 1)],
)
def test_a_context_that_no_manifest_can_tell_of_is_unknown(value: tuple[int, object], tokens: int) -> None:
    facts = facts_of(tiny_gguf(DEFAULT_VALUES | {"llama.context_length": value}))

    assert facts.context_length == tokens
    assert type(facts.context_length) is int


@pytest.mark.parametrize("shape", [(1 << 62,), (1 << 63, 1 << 60)])
def test_more_parameters_than_a_manifest_can_tell_of_are_unknown(shape: tuple[int, ...]) -> None:
    unknown_type = 9999
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + tensor_info("a", shape, unknown_type, 0)

    assert facts_of(head + bytes(-len(head) % 32)).parameters == 0
