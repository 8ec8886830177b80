"""Small valid GGUFs, made by hand: the bytes of each are decided here and by no library."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from lfbuild.formats.ggml import element_block

F32, Q4_0, Q8_0, Q4_K = 0, 2, 8, 12
UINT8, INT8, UINT16, INT16, UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY, UINT64, INT64, FLOAT64 = range(13)
_NUMBERS = {
    UINT8: "<B", INT8: "<b", UINT16: "<H", INT16: "<h", UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?",
    UINT64: "<Q", INT64: "<q", FLOAT64: "<d",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Values:
    """The content of an array."""

    kind: int
    items: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class TinyTensor:
    """A tensor; its data is a pattern that depends on its name."""

    name: str
    shape: tuple[int, ...]
    type: int = F32

    @property
    def data(self) -> bytes:
        known = element_block(self.type)
        assert known is not None
        elements = 1
        for extent in self.shape:
            elements *= extent
        size = elements // known.elements * known.size_bytes
        seed = sum(self.name.encode())
        return bytes((seed + 7 * index) % 251 for index in range(size))


DEFAULT_VALUES: dict[str, tuple[int, object]] = {
    "general.architecture": (STRING, "llama"),
    "general.name": (STRING, "Tiny"),
    "general.file_type": (UINT32, 2),
    "general.license": (STRING, "apache-2.0"),
    "llama.context_length": (UINT32, 2048),
    "llama.rope.freq_base": (FLOAT32, 10000.0),
    "tokenizer.ggml.add_bos_token": (BOOL, True),
    "tokenizer.ggml.tokens": (ARRAY, Values(STRING, ("<s>", "", "Grüße", "</s>"))),
    "tokenizer.ggml.scores": (ARRAY, Values(FLOAT32, (0.0, -1.0, -2.0, -3.0))),
    "tokenizer.chat_template": (STRING, "{{ messages }}"),
}
DEFAULT_TENSORS = (
    TinyTensor("token_embd.weight", (32, 4), Q8_0),
    TinyTensor("blk.0.attn_q.weight", (32, 32), Q4_0),
    TinyTensor("blk.0.ffn_up.weight", (256, 2), Q4_K),
    TinyTensor("output_norm.weight", (33,), F32),
)


def tiny_gguf(
    values: dict[str, tuple[int, object]] | None = None,
    tensors: tuple[TinyTensor, ...] = DEFAULT_TENSORS,
    *,
    alignment: int = 32,
    version: int = 3,
) -> bytes:
    """A whole GGUF of a few KB."""
    table = DEFAULT_VALUES if values is None else values
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(table))
    body = b"".join(text(key) + struct.pack("<I", kind) + encoded(kind, value) for key, (kind, value) in table.items())
    infos, data = bytearray(), bytearray()
    for tensor in tensors:
        infos += tensor_info(tensor.name, tensor.shape, tensor.type, len(data))
        data += tensor.data
        data += bytes(-len(data) % alignment)
    start = head + body + bytes(infos)
    return start + bytes(-len(start) % alignment) + bytes(data)


def text(value: str) -> bytes:
    """A string as GGUF has it."""
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def encoded(kind: int, value: object) -> bytes:
    """A value as GGUF has it."""
    if kind == STRING:
        assert isinstance(value, str)
        return text(value)
    if kind == ARRAY:
        assert isinstance(value, Values)
        items = b"".join(encoded(value.kind, item) for item in value.items)
        return struct.pack("<IQ", value.kind, len(value.items)) + items
    return struct.pack(_NUMBERS[kind], value)


def tensor_info(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    """A tensor's entry in the header."""
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
