"""The tables of ggml's numbers, held against the package that is generated beside ggml."""

from __future__ import annotations

import gguf

from lfbuild.formats.ggml import element_block, mixture_name


def test_every_element_type_of_the_gguf_package_is_known_with_its_size() -> None:
    for kind in gguf.GGMLQuantizationType:
        block = element_block(int(kind))
        assert block is not None, kind.name
        elements, size_bytes = gguf.GGML_QUANT_SIZES[kind]
        assert (block.name, block.elements, block.size_bytes) == (kind.name, elements, size_bytes)


def test_every_mixture_of_the_gguf_package_has_its_name() -> None:
    for kind in gguf.LlamaFileType:
        if kind.name != "GUESSED":
            assert mixture_name(int(kind)) == kind.name.removeprefix("MOSTLY_").removeprefix("ALL_"), kind


def test_a_number_that_is_not_known_has_no_name() -> None:
    assert mixture_name(9999) == ""
    assert element_block(9999) is None
