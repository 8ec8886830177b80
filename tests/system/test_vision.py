"""An mmproj inside the file: `clip.cpp` reads it by a stream of its own. Ours is made up; it sees nothing."""

from __future__ import annotations

import base64
import shutil
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

import pytest
from tests.system.conftest import run_file, run_lfbuild
from tests.system.test_smollm2 import MODEL, serving

if TYPE_CHECKING:
    from pathlib import Path

    import openai

pytestmark = pytest.mark.real

IMAGE_TOKENS = 16
"""64 pixels in patches of 16, each way."""


def write_mmproj(path: Path, *, projector: str = "janus_pro") -> Path:
    """A vision tower of one layer, with random weights, that ends in vectors as long as SmolLM2's."""
    import gguf
    import numpy

    width, inner, model = 32, 64, 576
    random = numpy.random.default_rng(2)
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", projector)
    for name, value in {
        "image_size": 64,
        "patch_size": 16,
        "embedding_length": width,
        "feed_forward_length": inner,
    }.items():
        writer.add_uint32(f"clip.vision.{name}", value)
    for name, value in {"block_count": 1, "projection_dim": model, "attention.head_count": 2}.items():
        writer.add_uint32(f"clip.vision.{name}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    shapes = {
        "v.patch_embd.weight": (width, 3, 16, 16),
        "v.position_embd.weight": (IMAGE_TOKENS, width),
        **{f"v.blk.0.attn_{part}.weight": (width, width) for part in ("q", "k", "v", "out")},
        **{f"v.blk.0.ln{number}.{part}": (width,) for number in (1, 2) for part in ("weight", "bias")},
        "v.blk.0.ffn_up.weight": (inner, width),
        "v.blk.0.ffn_down.weight": (width, inner),
        "mm.0.weight": (model, width),
        "mm.0.bias": (model,),
        "mm.1.weight": (model, model),
        "mm.1.bias": (model,),
    }
    for name, shape in shapes.items():
        writer.add_tensor(name, (random.standard_normal(shape) / 8).astype(numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def picture() -> str:
    """A red square, as a data URL."""
    side = 64
    rows = b"".join(b"\0" + b"\xff\0\0" * side for _ in range(side))
    chunks = {b"IHDR": struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0), b"IDAT": zlib.compress(rows), b"IEND": b""}
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    )
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def packed_with(mmproj: Path, smollm2: Path) -> Path:
    """SmolLM2 and the mmproj in one file, with the engine that is in the cache."""
    folder = mmproj.parent
    with zipfile.ZipFile(smollm2) as archive:
        recipe = archive.read(".lfbuild/recipe.toml").decode()
        with archive.open(MODEL) as member, (folder / MODEL).open("wb") as out:
            shutil.copyfileobj(member, out)
    engine = recipe[recipe.index("[engine]") : recipe.index("[[model]]")]
    models = f'[[model]]\nsource = {{ path = "{MODEL}" }}\n'
    models += f'[[model]]\nrole = "mmproj"\nsource = {{ path = "{mmproj.name}" }}\n'
    (folder / "vision.toml").write_text(f'[llamafile]\nname = "vision"\n{engine}{models}', encoding="utf-8")
    assert "compiling" not in run_lfbuild("build", "vision.toml", cwd=folder).stderr
    return folder / "vision.llamafile"


def answer_of(address: str) -> openai.types.chat.ChatCompletion:
    import openai

    image = {"type": "image_url", "image_url": {"url": picture()}}
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", timeout=60) as client:
        return client.chat.completions.create(
            model="vision",
            messages=[{"role": "user", "content": [image, {"type": "text", "text": "What is this?"}]}],
            max_tokens=8,
            temperature=0,
        )


# The gguf package leaves the file it maps to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_picture_is_seen_through_the_file_as_through_a_plain_mmproj(smollm2: Path, tmp_path: Path) -> None:
    mmproj = write_mmproj(tmp_path / "mmproj-tiny.gguf")
    file = packed_with(mmproj, smollm2)
    with serving(file) as (address, _):
        inside = answer_of(address)
    with serving(file, "--mmproj", str(mmproj)) as (address, _):
        outside = answer_of(address)

    assert inside.choices[0].message.content == outside.choices[0].message.content
    assert inside.usage is not None
    assert outside.usage is not None
    assert inside.usage.prompt_tokens == outside.usage.prompt_tokens > IMAGE_TOKENS


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_mmproj_of_an_unknown_kind_is_refused_for_what_it_is(smollm2: Path, tmp_path: Path) -> None:
    file = packed_with(write_mmproj(tmp_path / "mmproj-odd.gguf", projector="crystal-ball"), smollm2)

    said = run_file(file, "serve", "--port", "0").stderr

    assert "unknown projector type: crystal-ball" in said
