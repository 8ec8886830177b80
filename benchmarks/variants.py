"""Variants of a model: what a release of it may have changed. Run as a child: numpy and a whole model in memory.

Tuning must not flatter any tool. A model that is dequantized and quantized again falls onto the same codes, and a small
change to it would change nearly none. So the base is the dequantized model plus uniform noise of one quantization step:
a float tensor as it may have been before. OLD is the base, quantized; NEW is the base plus Gaussian noise of the
given share of the weights' own root mean square, quantized.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import numpy as np
    from gguf import ReaderTensor

_BITS = {"Q4_0": 4, "Q4_1": 4, "Q5_0": 5, "Q5_1": 5, "Q8_0": 8}
"""What the gguf package can quantize; tensors of other types stay as they are."""
_HAS_MINIMUM = ("Q4_1", "Q5_1")
_BLOCK = 32
TEMPLATE_EDIT = "{# The second release answers in the language it was asked in. #}"


def tuned(source: Path, target: Path, *, share: float, layers: Collection[int] | None = None) -> None:
    """Write `source` with noise in its tensors: all of them, or those of some layers; `share` 0 is the base."""
    import numpy as np
    from gguf import GGUFReader, quants

    data = bytearray(source.read_bytes())
    for number, tensor in enumerate(GGUFReader(source).tensors):
        if tensor.tensor_type.name not in _BITS:
            continue
        weights = _base(tensor, np.random.default_rng([1, number]))
        if share and _is_in(tensor.name, layers):
            size = np.sqrt(np.mean(weights**2)) * share
            weights += size * np.random.default_rng([2, number]).standard_normal(weights.shape, dtype=np.float32)
        made = quants.quantize(weights, tensor.tensor_type).tobytes()
        data[tensor.data_offset : tensor.data_offset + len(made)] = made
    target.write_bytes(data)


def with_template(source: Path, target: Path) -> None:
    """Write `source` with a longer chat template."""
    _rewrite(source, target, template=True, kinds={})


def requantized(source: Path, target: Path, kinds: dict[str, str]) -> None:
    """Write `source` with tensors of some types in others."""
    _rewrite(source, target, template=False, kinds=kinds)


def _base(tensor: ReaderTensor, chance: np.random.Generator) -> np.ndarray:
    """The float tensor that this one may have been quantized from."""
    import numpy as np
    from gguf import quants

    weights = quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
    name = tensor.tensor_type.name
    blocks = weights.reshape(-1, _BLOCK)
    if name in _HAS_MINIMUM:
        step = (blocks.max(axis=1) - blocks.min(axis=1)) / (2 ** _BITS[name] - 1)
    else:
        step = np.abs(blocks).max(axis=1) / (2 ** (_BITS[name] - 1) - (name == "Q8_0"))
    blocks += (chance.random(blocks.shape, dtype=np.float32) - 0.5) * step[:, None]
    return weights


def _is_in(name: str, layers: Collection[int] | None) -> bool:
    return layers is None or any(name.startswith(f"blk.{layer}.") for layer in layers)


def _rewrite(source: Path, target: Path, *, template: bool, kinds: dict[str, str]) -> None:
    """Write a GGUF anew with gguf's own script for that, which keeps all other values and tensors."""
    from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, Keys, quants
    from gguf.scripts.gguf_new_metadata import MetadataDetails, copy_with_new_metadata, get_field_data

    reader = GGUFReader(source)
    changes = {}
    if template:
        text = get_field_data(reader, Keys.Tokenizer.CHAT_TEMPLATE) or "{{ messages }}"
        changes[Keys.Tokenizer.CHAT_TEMPLATE] = MetadataDetails(GGUFValueType.STRING, text + TEMPLATE_EDIT)
    for number, tensor in enumerate(reader.tensors):
        if wanted := kinds.get(tensor.tensor_type.name):
            kind = GGMLQuantizationType[wanted]
            data = quants.quantize(quants.dequantize(tensor.data, tensor.tensor_type), kind)
            reader.tensors[number] = tensor._replace(tensor_type=kind, data=data, n_bytes=data.nbytes)
    writer = GGUFWriter(target, arch=get_field_data(reader, Keys.General.ARCHITECTURE), endianess=reader.endianess)
    copy_with_new_metadata(reader, writer, changes, [])


def _tune(source: str, target: str, share: str, layers: str = "") -> None:
    chosen = {int(layer) for layer in layers.split(",")} if layers else None
    tuned(Path(source), Path(target), share=float(share), layers=chosen)


def _requantize(source: str, target: str, *kinds: str) -> None:
    requantized(Path(source), Path(target), dict(kind.split("=") for kind in kinds))


ACTS: dict[str, Callable[..., None]] = {
    "tune": _tune,
    "template": lambda source, target: with_template(Path(source), Path(target)),
    "requantize": _requantize,
}

if __name__ == "__main__":
    ACTS[sys.argv[1]](*sys.argv[2:])
