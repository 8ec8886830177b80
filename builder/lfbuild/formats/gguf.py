"""GGUF header walker: the facts of a model and where its tensors lie, without numpy and without reading a vocabulary.

    magic `GGUF` | u32 version | u64 tensors | u64 key-values
    values:       string key | u32 type | value (string: u64 length, bytes; array: u32 type, u64 count, values)
    tensor infos: string name | u32 dimensions | u64 × dimensions | u32 type | u64 offset from the start of the data
    padding to `general.alignment` (32) | data

Source: the GGUF specification (ggml, docs/gguf.md), versions 2 and 3, little-endian. Arrays are stepped over, not
parsed, so a header with a vocabulary of 262,144 words costs tens of milliseconds and a few MiB. Every length is
checked against the size of the file before it is used.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lfbuild.errors import FormatError
from lfbuild.formats.blocks import BLOCK_BYTES, MOST_LABEL_BYTES, NO_TENSOR, Cuts, Run
from lfbuild.formats.ggml import element_block

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lfbuild.formats.zip import ReadAt

MAGIC: Final = b"GGUF"
Scalar = int | float | bool | str

_VERSIONS = (2, 3)
_WINDOW_BYTES = 1 << 20
_MOST_DIMENSIONS = 4
_LONGEST_KEY_BYTES = 65535
_LONGEST_TEXT_BYTES = 16 << 20
"""A chat template has some KiB; a longer value is a lie, or nothing that lfbuild needs."""
_MOST_TEXT_BYTES = 64 << 20
"""All keys, names and texts together: what a header keeps in memory is bounded, whatever the file says."""
_MOST_TENSORS = 1 << 18
_MOST_KEY_VALUES = 1 << 16
"""Large models have a few thousand tensors and a hundred key-values."""

_UINT32, _STRING, _ARRAY, _UINT64 = 4, 8, 9, 10
_SCALARS: dict[int, struct.Struct] = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_LENGTH = struct.Struct("<Q")
_NUMBER = struct.Struct("<I")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensor:
    """One tensor as the header describes it."""

    name: str
    shape: tuple[int, ...]
    """Number of elements along each dimension, the fastest-varying first (ggml's order)."""
    type: int
    """ggml's number of the element type."""
    offset: int
    """From the start of the tensor data, in bytes."""

    @property
    def elements(self) -> int:
        """How many elements it has."""
        count = 1
        for extent in self.shape:
            count *= extent
        return count

    @property
    def size_bytes(self) -> int | None:
        """Bytes of its data; None for an element type that this lfbuild does not know."""
        known = element_block(self.type)
        return None if known is None else self.elements // known.elements * known.size_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class GgufHeader:
    """Everything before the tensor data, but for arrays."""

    version: int
    values: Mapping[str, Scalar]
    tensors: tuple[Tensor, ...]
    key_values_end: int
    """Offset of the first byte behind the key-values."""
    infos_end: int
    data_offset: int
    size_bytes: int
    """Of the whole file."""

    def text(self, key: str) -> str:
        """A string value, empty where the key is absent or no string."""
        value = self.values.get(key, "")
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int:
        """An integer value, 0 where the key is absent or no integer; `true` is none."""
        value = self.values.get(key, 0)
        return value if isinstance(value, int) and not isinstance(value, bool) else 0


def read_gguf(read: ReadAt, size: int, *, where: str) -> GgufHeader:
    """Walk the header of a GGUF of `size` bytes.

    Raises:
        FormatError: not a GGUF, of an unknown version, truncated, or with a tensor past the end of the file.
    """
    walk = _Walk(read, size, where)
    if walk.take(4) != MAGIC:
        raise FormatError(where, "not a GGUF model: it does not begin with GGUF")
    version = walk.unpack(_NUMBER)
    if version not in _VERSIONS:
        big = version and version & 0xFFFF == 0
        raise FormatError(where, "big-endian GGUF is not supported" if big else f"GGUF version {version} is not known")
    tensor_count, value_count = walk.unpack(_LENGTH), walk.unpack(_LENGTH)
    walk.check_count(value_count, 13, "key-values", most=_MOST_KEY_VALUES)
    walk.check_count(tensor_count, 24, "tensors", most=_MOST_TENSORS)
    values = _read_values(walk, value_count)
    key_values_end = walk.position
    tensors = _read_tensors(walk, tensor_count)
    alignment = _alignment(values, where)
    header = GgufHeader(
        version=version,
        values=values,
        tensors=tensors,
        key_values_end=key_values_end,
        infos_end=walk.position,
        data_offset=-(-walk.position // alignment) * alignment,
        size_bytes=size,
    )
    _check_tensors(header, where)
    return header


def cut_gguf(header: GgufHeader, *, block_bytes: int = BLOCK_BYTES) -> Cuts:
    """Where to cut a GGUF into blocks: key-values, infos, and each tensor in pieces of whole quantization blocks."""
    runs = [Run(size_bytes=header.key_values_end, label="kv", block_bytes=block_bytes)]
    position = header.key_values_end
    if header.infos_end > position:
        runs.append(Run(size_bytes=header.infos_end - position, label="infos", block_bytes=block_bytes))
        position = header.infos_end
    for tensor in sorted(header.tensors, key=lambda item: (item.offset, item.name)):
        start = header.data_offset + tensor.offset
        if not tensor.size_bytes or start < position:
            continue  # an unknown type, nothing inside, or shared bytes: what follows covers it as padding
        if start > position:
            runs.append(Run(size_bytes=start - position, block_bytes=block_bytes))
        runs.append(_tensor_run(tensor, tensor.size_bytes, block_bytes))
        position = start + tensor.size_bytes
    if header.size_bytes > position:
        runs.append(Run(size_bytes=header.size_bytes - position, block_bytes=block_bytes))
    return Cuts(runs=tuple(runs))


def _tensor_run(tensor: Tensor, size: int, block_bytes: int) -> Run:
    known = element_block(tensor.type)
    unit = known.size_bytes if known else 1
    tensor_type = min(tensor.type, NO_TENSOR)
    whole_units = block_bytes // unit * unit
    label = tensor.name.encode()[:MOST_LABEL_BYTES].decode(errors="ignore")
    return Run(size_bytes=size, block_bytes=whole_units, label=label, tensor_type=tensor_type)


class _Walk:
    """Reads a header from the front through a window, so that 262,144 short strings are not as many reads."""

    def __init__(self, read: ReadAt, size: int, where: str) -> None:
        self._read, self.size, self.where = read, size, where
        self._window, self._start = b"", 0
        self._text_bytes = 0
        self.position = 0

    def take(self, length: int) -> bytes:
        """The next bytes."""
        self.ensure(length)
        begin = self.position - self._start
        self.position += length
        return self._window[begin : begin + length]

    def unpack(self, record: struct.Struct) -> int:
        """The next number."""
        (value,) = record.unpack(self.take(record.size))
        return int(value)

    def skip(self, length: int) -> None:
        """Step over bytes without reading them."""
        if self.position + length > self.size:
            raise self.truncated()
        self.position += length

    def skip_strings(self, count: int) -> None:
        """Step over an array of strings."""
        self.check_count(count, 8, "strings in an array")
        unpack_from = _LENGTH.unpack_from
        left = count
        while left:
            self.ensure(8)
            window, begin = self._window, self.position - self._start
            end = len(window) - 8
            while left and begin <= end:
                begin += 8 + unpack_from(window, begin)[0]
                left -= 1
            self.position = self._start + begin
            if self.position > self.size:
                raise self.truncated()

    def ensure(self, length: int) -> None:
        """Have `length` bytes from the current position in the window."""
        if self.position + length > self.size:
            raise self.truncated()
        begin = self.position - self._start
        if begin < 0 or begin + length > len(self._window):
            self._start = self.position
            wanted = min(max(length, _WINDOW_BYTES), self.size - self.position)
            self._window = self._read(self._start, wanted)
            if len(self._window) < length:
                raise self.truncated()

    def check_count(self, count: int, least_bytes: int, what: str, *, most: int | None = None) -> None:
        """Refuse a count that the rest of the file cannot hold, or more than `most`."""
        if count * least_bytes > self.size - self.position:
            raise FormatError(self.where, f"{count} {what} cannot fit into a file of {self.size} bytes")
        if most is not None and count > most:
            raise FormatError(self.where, f"{count} {what} are more than the {most} that any model has")

    def take_text(self, limit: int, what: str) -> str:
        """The next string, of at most `limit` bytes; what is no UTF-8 in it is replaced."""
        length = self.unpack(_LENGTH)
        if length > limit:
            raise FormatError(self.where, f"{what} of {length} bytes at {self.position} is too long")
        self._text_bytes += length
        if self._text_bytes > _MOST_TEXT_BYTES:
            raise FormatError(self.where, f"the header has more than {_MOST_TEXT_BYTES} bytes of text")
        return self.take(length).decode("utf-8", "replace")

    def truncated(self) -> FormatError:
        """The sentence for a header that ends in mid-air."""
        return FormatError(
            self.where,
            f"truncated: the GGUF header goes on past the end of the file ({self.size} bytes)",
            hint="download it again",
        )


def _read_values(walk: _Walk, count: int) -> dict[str, Scalar]:
    values: dict[str, Scalar] = {}
    keys: set[str] = set()
    for _ in range(count):
        key = walk.take_text(_LONGEST_KEY_BYTES, "a key")
        kind = walk.unpack(_NUMBER)
        if key in keys:
            raise FormatError(walk.where, f"the key {key!r} stands twice")
        keys.add(key)
        if kind == _ARRAY:
            _skip_array(walk, key)
        else:
            values[key] = _read_scalar(walk, key, kind)
    return values


def _read_scalar(walk: _Walk, key: str, kind: int) -> Scalar:
    if kind == _STRING:
        return walk.take_text(_LONGEST_TEXT_BYTES, f"the value of {key!r}")
    record = _SCALARS.get(kind)
    if record is None:
        raise FormatError(walk.where, f"the key {key!r} has a value of the unknown type {kind}")
    (value,) = record.unpack(walk.take(record.size))
    return value if isinstance(value, (bool, float)) else int(value)


def _skip_array(walk: _Walk, key: str) -> None:
    kind, count = walk.unpack(_NUMBER), walk.unpack(_LENGTH)
    if kind == _STRING:
        walk.skip_strings(count)
    elif (record := _SCALARS.get(kind)) is not None:
        walk.check_count(count, record.size, f"values of {key!r}")
        walk.skip(count * record.size)
    else:
        raise FormatError(walk.where, f"the array {key!r} has elements of the unsupported type {kind}")


def _read_tensors(walk: _Walk, count: int) -> tuple[Tensor, ...]:
    tensors: dict[str, Tensor] = {}
    for _ in range(count):
        tensor = _read_tensor(walk)
        if tensor.name in tensors:
            raise FormatError(walk.where, f"the tensor {tensor.name!r} stands twice")
        tensors[tensor.name] = tensor
    return tuple(tensors.values())


def _read_tensor(walk: _Walk) -> Tensor:
    name = walk.take_text(_LONGEST_KEY_BYTES, "a tensor name")
    dimensions = walk.unpack(_NUMBER)
    if dimensions > _MOST_DIMENSIONS:
        raise FormatError(walk.where, f"the tensor {name!r} has {dimensions} dimensions, more than {_MOST_DIMENSIONS}")
    shape = tuple(walk.unpack(_LENGTH) for _ in range(dimensions))
    return Tensor(name=name, shape=shape, type=walk.unpack(_NUMBER), offset=walk.unpack(_LENGTH))


def _alignment(values: Mapping[str, Scalar], where: str) -> int:
    alignment = values.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment <= 0 or alignment.bit_count() != 1 or alignment > BLOCK_BYTES:
        raise FormatError(where, f"general.alignment is {alignment!r}, not a power of two")
    return alignment


def _check_tensors(header: GgufHeader, where: str) -> None:
    for tensor in header.tensors:
        start = header.data_offset + tensor.offset
        if start + (tensor.size_bytes or 0) > header.size_bytes:
            raise FormatError(
                where,
                f"the tensor {tensor.name!r} ends at {start + (tensor.size_bytes or 0)}, past the end of the file"
                f" ({header.size_bytes} bytes)",
                hint="the download was cut off: get it again",
            )
