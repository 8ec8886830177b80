"""The GGUF walker against the `gguf` package, and against headers that lie."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.world.models import (
    ARRAY,
    BOOL,
    DEFAULT_TENSORS,
    DEFAULT_VALUES,
    F32,
    FLOAT32,
    INT8,
    Q4_K,
    STRING,
    UINT8,
    UINT32,
    UINT64,
    TinyTensor,
    Values,
    tensor_info,
    text,
    tiny_gguf,
)

from lfbuild.errors import FormatError
from lfbuild.formats import gguf as walker
from lfbuild.formats.blocks import BLOCK_BYTES, BlockIndex
from lfbuild.formats.ggml import element_block
from lfbuild.formats.gguf import GgufHeader, cut_gguf, read_gguf

if TYPE_CHECKING:
    from pathlib import Path

KNOWN_TYPES = sorted(int(kind) for kind in gguf.GGMLQuantizationType)


def walked(data: bytes) -> GgufHeader:
    return read_gguf(lambda offset, length: data[offset : offset + length], len(data), where="m.gguf")


def refusal(data: bytes) -> str:
    with pytest.raises(FormatError) as caught:
        walked(data)
    return str(caught.value)


def raw_gguf(values: int, tensors: int, body: bytes = b"", *, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, values) + body


def test_the_facts_of_a_hand_made_model_are_read() -> None:
    header = walked(tiny_gguf())

    assert header.version == 3
    assert header.text("general.architecture") == "llama"
    assert header.number("llama.context_length") == 2048
    assert header.values["llama.rope.freq_base"] == 10000.0
    assert header.values["tokenizer.ggml.add_bos_token"] is True
    assert "tokenizer.ggml.tokens" not in header.values
    assert [(tensor.name, tensor.shape, tensor.type) for tensor in header.tensors] == [
        (tensor.name, tensor.shape, tensor.type) for tensor in DEFAULT_TENSORS
    ]
    assert header.data_offset % 32 == 0


def test_a_key_of_another_type_or_none_counts_as_absent() -> None:
    header = walked(tiny_gguf())

    assert (header.text("llama.context_length"), header.text("none")) == ("", "")
    assert (header.number("general.name"), header.number("none")) == (0, 0)


def test_tensor_data_lies_where_the_header_says() -> None:
    data = tiny_gguf()
    header = walked(data)

    for found, made in zip(header.tensors, DEFAULT_TENSORS, strict=True):
        start = header.data_offset + found.offset
        assert found.size_bytes is not None
        assert data[start : start + found.size_bytes] == made.data


@pytest.mark.parametrize("alignment", [8, 64, 4096])
def test_the_models_own_alignment_counts(alignment: int) -> None:
    data = tiny_gguf(DEFAULT_VALUES | {"general.alignment": (UINT32, alignment)}, alignment=alignment)

    assert walked(data).data_offset % alignment == 0


def test_version_2_is_read_as_well() -> None:
    assert walked(tiny_gguf(version=2)).version == 2


def write_with_the_package(path: Path) -> None:
    """Every kind of value, arrays of each, and a tensor of every quantization type."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Größe")
    writer.add_context_length(4096)
    writer.add_float64("x.f64", 0.5)
    for name, value in {"u8": 200, "u16": 60000, "u32": 1 << 31, "u64": 1 << 63}.items():
        getattr(writer, f"add_uint{name[1:]}")(f"x.{name}", value)
    for name, value in {"i8": -100, "i16": -30000, "i32": -(1 << 31), "i64": -(1 << 63)}.items():
        getattr(writer, f"add_int{name[1:]}")(f"x.{name}", value)
    writer.add_bool("x.bool", False)
    writer.add_array("tokenizer.ggml.tokens", [f"wörd-{number}" for number in range(3000)] + [""])
    writer.add_array("x.ints", list(range(999)))
    writer.add_array("x.floats", [0.25] * 77)
    writer.add_array("x.bools", [True, False, True])
    writer.add_chat_template("{% for m in messages %}{{ m }}{% endfor %}")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_K_M)
    for kind in gguf.GGMLQuantizationType:
        _, size_bytes = gguf.GGML_QUANT_SIZES[kind]
        data = np.full((3, 2 * size_bytes), int(kind), dtype=np.uint8)
        writer.add_tensor(f"blk.{int(kind)}.weight", data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_the_package_and_the_walker_read_the_same(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    write_with_the_package(path)
    data = path.read_bytes()

    header = walked(data)

    theirs = gguf.GGUFReader(path)
    fields = {name: field for name, field in theirs.fields.items() if not name.startswith("GGUF.")}
    contents = {name: field.contents() for name, field in fields.items()}
    assert header.values == {name: value for name, value in contents.items() if not isinstance(value, list)}
    assert header.data_offset == theirs.data_offset
    assert len(header.tensors) == len(theirs.tensors) == len(KNOWN_TYPES)
    for mine, other in zip(header.tensors, theirs.tensors, strict=True):
        assert (mine.name, mine.type, list(mine.shape)) == (other.name, int(other.tensor_type), list(other.shape))
        assert header.data_offset + mine.offset == other.data_offset
        assert (mine.elements, mine.size_bytes) == (other.n_elements, other.n_bytes)


def test_the_package_reads_a_hand_made_model(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(tiny_gguf())

    theirs = gguf.GGUFReader(path)

    assert [tensor.name for tensor in theirs.tensors] == [tensor.name for tensor in DEFAULT_TENSORS]
    assert [bytes(tensor.data.tobytes()) for tensor in theirs.tensors] == [tensor.data for tensor in DEFAULT_TENSORS]


def test_a_header_that_is_cut_off_anywhere_is_refused() -> None:
    data = tiny_gguf()
    end = walked(data).infos_end

    for length in range(end):
        message = refusal(data[:length])
        assert message.startswith("m.gguf: truncated: the GGUF header goes on past") or " cannot fit into " in message


def test_a_model_that_is_cut_off_in_its_data_is_refused_with_the_tensor() -> None:
    data = tiny_gguf(tensors=(TinyTensor("a", (32,)), TinyTensor("b", (32,))))
    end = walked(data).data_offset + 256

    assert len(data) == end
    assert refusal(data[:-1]) == (f"m.gguf: the tensor 'b' ends at {end}, past the end of the file ({end - 1} bytes)")


def test_a_file_that_ends_while_it_is_read_is_truncated() -> None:
    data = tiny_gguf()
    with pytest.raises(FormatError) as caught:
        read_gguf(lambda offset, length: data[offset : offset + length][:10], len(data), where="m.gguf")

    assert str(caught.value) == (
        f"m.gguf: truncated: the GGUF header goes on past the end of the file ({len(data)} bytes)"
    )
    assert caught.value.hint == "download it again"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\3\4" + bytes(30), "not a GGUF model: it does not begin with GGUF"),
        (raw_gguf(0, 0, version=1), "GGUF version 1 is not known"),
        (raw_gguf(0, 0, version=0), "GGUF version 0 is not known"),
        (raw_gguf(0, 0, version=3 << 24), "big-endian GGUF is not supported"),
        (raw_gguf(1 << 63, 0), f"{1 << 63} key-values cannot fit into a file of 24 bytes"),
        (raw_gguf(0, 1 << 63), f"{1 << 63} tensors cannot fit into a file of 24 bytes"),
        (raw_gguf(1, 0, struct.pack("<Q", 65536) + bytes(99)), "a key of 65536 bytes at 32 is too long"),
        (
            raw_gguf(1, 0, text("k") + struct.pack("<IQ", STRING, (16 << 20) + 1)),
            "the value of 'k' of 16777217 bytes at 45 is too long",
        ),
        (raw_gguf(1, 0, text("k") + struct.pack("<I", 13)), "the key 'k' has a value of the unknown type 13"),
        (
            raw_gguf(1, 0, text("k") + struct.pack("<IIQ", ARRAY, ARRAY, 1) + bytes(20)),
            "the array 'k' has elements of the unsupported type 9",
        ),
        (
            raw_gguf(1, 0, text("k") + struct.pack("<IIQ", ARRAY, UINT64, 1 << 61)),
            f"{1 << 61} values of 'k' cannot fit into a file of 49 bytes",
        ),
        (
            raw_gguf(1, 0, text("k") + struct.pack("<IIQ", ARRAY, STRING, 1 << 61)),
            f"{1 << 61} strings in an array cannot fit into a file of 49 bytes",
        ),
        (
            raw_gguf(1, 0, text("k") + struct.pack("<IIQQ", ARRAY, STRING, 1, 1 << 63)),
            "truncated: the GGUF header goes on past the end of the file (57 bytes)",
        ),
        (
            raw_gguf(2, 0, (text("k") + struct.pack("<IB", UINT8, 1)) * 2),
            "the key 'k' stands twice",
        ),
        (
            raw_gguf(2, 0, text("k") + struct.pack("<IIQ", ARRAY, INT8, 0) + text("k")
                     + struct.pack("<IB", UINT8, 1)),
            "the key 'k' stands twice",
        ),
        (raw_gguf(0, 1, text("t") + struct.pack("<I", 5) + bytes(90)), "the tensor 't' has 5 dimensions, more than 4"),
        (
            raw_gguf(0, 2, tensor_info("t", (1,), F32, 0) + tensor_info("t", (1,), F32, 32) + bytes(99)),
            "the tensor 't' stands twice",
        ),
        (
            raw_gguf(0, 1, tensor_info("t", (1 << 62, 1 << 62), F32, 0) + bytes(99)),
            f"the tensor 't' ends at {96 + (1 << 126)}, past the end of the file (164 bytes)",
        ),
        (
            raw_gguf(0, 1, tensor_info("t", (1,), F32, 1 << 63) + bytes(99)),
            f"the tensor 't' ends at {64 + (1 << 63) + 4}, past the end of the file (156 bytes)",
        ),
        (
            raw_gguf(0, 1, tensor_info("t", (1,), 999, 1 << 40) + bytes(99)),
            f"the tensor 't' ends at {64 + (1 << 40)}, past the end of the file (156 bytes)",
        ),
    ],
)  # fmt: skip
def test_a_header_that_lies_is_refused(data: bytes, message: str) -> None:
    assert refusal(data) == f"m.gguf: {message}"


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        (UINT32, 0, "0"),
        (UINT32, 33, "33"),
        (UINT32, 1 << 31, "2147483648"),
        (INT8, -8, "-8"),
        (STRING, "32", "'32'"),
        (FLOAT32, 32.0, "32.0"),
    ],
)
def test_an_absurd_alignment_is_refused(kind: int, value: object, told: str) -> None:
    data = tiny_gguf({"general.alignment": (kind, value)}, tensors=())

    assert refusal(data) == f"m.gguf: general.alignment is {told}, not a power of two"


def test_counts_that_no_model_has_are_refused_though_the_file_is_large_enough() -> None:
    size = 1 << 40
    start = raw_gguf(0, (1 << 18) + 1)

    with pytest.raises(FormatError) as caught:
        read_gguf(lambda offset, length: (start + bytes(length))[offset : offset + length], size, where="m.gguf")
    assert str(caught.value) == f"m.gguf: {(1 << 18) + 1} tensors are more than the {1 << 18} that any model has"

    start = raw_gguf((1 << 16) + 1, 0)
    with pytest.raises(FormatError) as caught:
        read_gguf(lambda offset, length: (start + bytes(length))[offset : offset + length], size, where="m.gguf")
    assert str(caught.value) == f"m.gguf: {(1 << 16) + 1} key-values are more than the {1 << 16} that any model has"


def test_texts_are_kept_up_to_a_bound_whatever_the_file_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walker, "_MOST_TEXT_BYTES", 100)

    data = tiny_gguf({f"key{number}": (STRING, "x" * 20) for number in range(9)}, tensors=())

    assert refusal(data) == "m.gguf: the header has more than 100 bytes of text"


def test_a_vocabulary_is_stepped_over_without_being_kept() -> None:
    words = Values(STRING, tuple(f"word{number}" * (1 + number % 7) for number in range(100_000)))
    data = tiny_gguf({"tokenizer.ggml.tokens": (ARRAY, words), "x": (BOOL, True)})
    reads: list[int] = []

    def read(offset: int, length: int) -> bytes:
        reads.append(length)
        return data[offset : offset + length]

    header = read_gguf(read, len(data), where="m.gguf")

    assert header.values == {"x": True}
    assert len(reads) <= 2 + len(data) // (1 << 20)


def test_a_word_longer_than_the_window_is_stepped_over() -> None:
    words = Values(STRING, ("a" * (3 << 20), "b", "c" * (2 << 20)))
    data = tiny_gguf({"words": (ARRAY, words), "x": (BOOL, True)}, tensors=())

    assert walked(data).values == {"x": True}


def test_a_model_is_cut_at_its_structure() -> None:
    header = walked(tiny_gguf())

    runs = cut_gguf(header).runs

    assert [run.label for run in runs if run.label] == ["kv", "infos", *(tensor.name for tensor in DEFAULT_TENSORS)]
    assert runs[0].size_bytes == header.key_values_end
    assert sum(run.size_bytes for run in runs) == header.size_bytes


def test_pieces_of_a_tensor_are_whole_quantization_blocks() -> None:
    header = walked(tiny_gguf(tensors=(TinyTensor("t", (256, 100), Q4_K),)))

    (run,) = [run for run in cut_gguf(header, block_bytes=1024).runs if run.label == "t"]

    assert (run.block_bytes, run.tensor_type) == (1024 // 144 * 144, Q4_K)


def test_a_longer_template_moves_every_tensor_and_changes_no_block_of_them() -> None:
    short, long = (
        tiny_gguf(DEFAULT_VALUES | {"tokenizer.chat_template": (STRING, template)})
        for template in ("{{ m }}", "x" * 99)
    )

    def tensor_blocks(data: bytes) -> list[bytes]:
        header = walked(data)
        cuts = cut_gguf(header, block_bytes=256)
        return [data[at : at + size] for at, size in cuts.blocks() if at >= header.data_offset]

    assert walked(short).data_offset != walked(long).data_offset
    assert tensor_blocks(short) == tensor_blocks(long)


def test_shared_and_unknown_tensors_are_covered_all_the_same() -> None:
    infos = b"".join(
        (
            tensor_info("a", (16,), F32, 0),
            tensor_info("b", (8,), F32, 32),
            tensor_info("unknown", (8,), 999, 64),
            tensor_info("empty", (0,), F32, 64),
        )
    )
    start = raw_gguf(0, 4, infos)
    data = start + bytes(-len(start) % 32) + bytes(200)

    cuts = cut_gguf(walked(data))

    assert cuts.size_bytes == len(data)
    assert [run.label for run in cuts.runs if run.label] == ["kv", "infos", "a"]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        (b"\xff" * 30_000, "\N{REPLACEMENT CHARACTER}" * 42),
        ("é".encode() * 30_000, "é" * 64),
        (b"a" + "é".encode() * 64, "a" + "é" * 63),
        (b"a" * 128, "a" * 128),
    ],
)
def test_a_tensor_name_of_any_length_becomes_a_label(name: bytes, label: str) -> None:
    info = struct.pack("<Q", len(name)) + name + struct.pack("<IQIQ", 1, 8, F32, 0)
    start = raw_gguf(0, 1, info)
    data = start + bytes(-len(start) % 32) + bytes(32)

    cuts = cut_gguf(walked(data))

    assert cuts.runs[-1].label == label
    index = BlockIndex(cuts=cuts, leaves=bytes(32 * cuts.leaves))
    assert BlockIndex.parse(index.to_bytes(), where="x") == index


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(KNOWN_TYPES), st.integers(0, 3), st.integers(1, 3)), max_size=6),
    st.sampled_from([8, 32, 256]),
    st.sampled_from([1024, 4096, BLOCK_BYTES]),
    st.integers(0, 99),
)
def test_cuts_cover_each_byte_of_any_model_exactly_once(
    shapes: list[tuple[int, int, int]], alignment: int, block_bytes: int, behind: int
) -> None:
    tensors = []
    for number, (kind, rows, blocks) in enumerate(shapes):
        known = element_block(kind)
        assert known is not None
        tensors.append(TinyTensor(f"t{number}", (known.elements * blocks, rows), kind))
    data = tiny_gguf({"general.alignment": (UINT32, alignment)}, tuple(tensors), alignment=alignment) + bytes(behind)

    cuts = cut_gguf(walked(data), block_bytes=block_bytes)

    position = 0
    for offset, size in cuts.blocks():
        assert offset == position
        assert 0 < size <= block_bytes
        position += size
    assert position == len(data) == cuts.size_bytes


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_header_with_any_flipped_bytes_is_read_or_refused_and_its_cuts_still_cover_it(data: st.DataObject) -> None:
    raw = bytearray(tiny_gguf())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, 700))] = data.draw(st.sampled_from([0, 1, 2, 8, 9, 0x7F, 0x80, 0xFF]))
    try:
        header = walked(bytes(raw))
    except FormatError:
        return
    assert cut_gguf(header).size_bytes == len(raw)
