"""Makes the vectors of the file format: `python -m tests.vectors.make`. What they are says README.md beside this."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from blake3 import blake3
from tests.manifest.test_manifest_model import FULL
from tests.world.files import places_of, verified, write_tiny_file
from tests.world.programs import tiny_elf, unix_launchers
from tests.world.slices import tiny_launcher

from lfbuild.errors import LfbuildError
from lfbuild.formats.blocks import BlockIndex, Cuts, Run
from lfbuild.formats.head import make_head
from lfbuild.formats.seal import Seal
from lfbuild.formats.shell import BLOCK_BYTES
from lfbuild.formats.slices import Slice, parse_slices, slices_to_bytes
from lfbuild.manifest.model import parse_manifest

FOLDER = Path(__file__).parent
DIGEST = blake3(b"lfbuild").hexdigest()
_LEAVES = b"".join(blake3(bytes([number])).digest() for number in range(6))
_SLICE = Slice(
    target="linux-x86_64",
    cpus=("x86-64-v4", "x86-64-v3", "x86-64-v2"),
    member=".lfbuild/engine/linux-x86_64",
    method=8,
    stored_size=4_194_304,
    decoded_size=11_534_336,
    digest=DIGEST,
)
_RUNS = (
    Run(size_bytes=100, block_bytes=64, label="kv"),
    Run(size_bytes=50, block_bytes=18, label="blk.0.attn_q.weight", tensor_type=2),
    Run(size_bytes=7),
)
FILES = ("file/tiny", "file/launcher")
DAMAGE: dict[str, tuple[int, ...]] = {
    "seal/clean": (0, 8, 10, 27, 33, 97),
    "blocks/tiny.blocks": (0, 8, 12, 16, 24, 32, 36, 64, 72, 76, 84, 136),
    "slices/two.slices": (0, 17, 60, 200, -2, -1),
    "manifest/full.json": (0, 2, -2),
}
"""Where one byte of a vector is replaced by 0xff; negative offsets count from the end."""


def vectors() -> dict[str, bytes]:
    """Every vector and its bytes."""
    with tempfile.TemporaryDirectory() as folder:
        whole = write_tiny_file(Path(folder), head=tiny_elf(), align_bytes=64, room_bytes=70).read_bytes()
        launcher = write_tiny_file(Path(folder), head=tiny_launcher(), align_bytes=64, room_bytes=70).read_bytes()
    return {
        "seal/clean": Seal(generation=1, state="clean", manifest_digest=DIGEST).to_bytes(),
        "seal/redo": Seal(generation=41, state="redo", manifest_digest=DIGEST).to_bytes(),
        "blocks/tiny.blocks": BlockIndex(cuts=Cuts(runs=_RUNS), leaves=_LEAVES).to_bytes(),
        "slices/two.slices": slices_to_bytes((_SLICE, Slice(**_other()))),
        "manifest/full.json": FULL.to_bytes(),
        "file/tiny": whole,
        "file/launcher": launcher,
        "head/script": make_head("script", unix_launchers())[:BLOCK_BYTES].rstrip(b"\0"),
    }


def read_vector(name: str, data: bytes) -> None:
    """Read a vector as its format.

    Raises:
        LfbuildError: it is damaged.
    """
    kind = name.partition("/")[0]
    if kind == "seal":
        Seal.parse(data, where=name)
    elif kind == "blocks":
        BlockIndex.parse(data, where=name)
    elif kind == "slices":
        parse_slices(data, where=name)
    elif kind == "manifest":
        parse_manifest(data, where=name)


def damaged(data: bytes, offset: int) -> bytes:
    """The same bytes with 0xff at one offset."""
    copy = bytearray(data)
    copy[offset] = 0xFF
    return bytes(copy)


def corruption_points() -> list[dict[str, object]]:
    """Each damaged byte, and what is said of it."""
    made = vectors()
    points: list[dict[str, object]] = []
    for name, offsets in DAMAGE.items():
        for offset in offsets:
            try:
                read_vector(name, damaged(made[name], offset))
                refusal = ""
            except LfbuildError as error:
                refusal = str(error)
            points.append({"vector": name, "offset": offset % len(made[name]), "refusal": refusal})
    return points + [point for name in FILES for point in _points_of_file(name, made[name])]


def _points_of_file(name: str, whole: bytes) -> list[dict[str, object]]:
    """The first byte of every part of a whole file, and the subjects that verification names."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny"
        path.write_bytes(whole)
        places = places_of(path)
        points: list[dict[str, object]] = []
        for place in places:
            if place.end > place.start:
                path.write_bytes(damaged(whole, place.start))
                subjects = sorted({finding.subject for finding in verified(path)})
                points.append({"vector": name, "offset": place.start, "subjects": subjects})
    return points


def _other() -> dict[str, object]:
    fields = {name: getattr(_SLICE, name) for name in _SLICE.__slots__}
    aarch64 = {"target": "linux-aarch64", "cpus": ("armv8.2-a+dotprod",), "member": ".lfbuild/engine/linux-aarch64"}
    return fields | aarch64 | {"method": 0, "stored_size": _SLICE.decoded_size}


def main() -> None:
    """Write every vector and the list of damage."""
    for name, data in vectors().items():
        (FOLDER / name).parent.mkdir(exist_ok=True)
        (FOLDER / name).write_bytes(data)
    text = json.dumps(corruption_points(), indent=1, ensure_ascii=False) + "\n"
    (FOLDER / "damage.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
