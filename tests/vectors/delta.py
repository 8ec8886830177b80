"""Makes the vectors of `.lfdelta`: `python -m tests.vectors.delta`.

A delta that has every kind of part, run and frame, and the two files that it is between. What compressors make of the
same bytes changes with their version, so that a test applies these files and does not make them again.
"""

from __future__ import annotations

import io
import random
from pathlib import Path

from lfbuild.archive.deflate import deflate
from lfbuild.delta import planes, programs, zstd
from lfbuild.delta.apply import DeltaStream, glue_prefix
from lfbuild.delta.layouts import layout_of
from lfbuild.delta.model import (
    Copied,
    Encoding,
    Frame,
    GapPart,
    GluePart,
    Made,
    PackedFrame,
    Plan,
    PlanesFrame,
    PrefixedFrame,
    ProgramFrame,
    RegionPart,
    StoredFrame,
    Zeroed,
)
from lfbuild.delta.programs import Cover
from lfbuild.delta.resolve import cuts_of
from lfbuild.delta.side import Side
from lfbuild.formats.blocks import BlockIndex
from lfbuild.formats.delta import Header, Identity
from lfbuild.manifest.filemap import Blocks, FileMap, Literal, Zeros
from lfbuild.report import SilentReport

FOLDER = Path(__file__).parent / "delta"
_CHANCE = random.Random(2026)  # noqa: S311  # nothing secret
Q4_0 = 2


def old_file() -> bytes:
    """A ZIP of one member behind a program: two blocks, and what is between them."""
    from tests.world.programs import tiny_pe
    from tests.world.zips import Stored, zip_of

    return zip_of(Stored("m", _CHANCE.randbytes(18 * 20) + b"the end of the old one"), start=tiny_pe(700))


def new_parts(old: bytes) -> list[tuple[str, bytes]]:
    """What NEW consists of, and how each part of it travels."""
    tensor = bytearray(old[731 : 731 + 18 * 20])
    for at in range(3, len(tensor), 7):
        tensor[at] ^= 1
    program = old[:300] + b"grown" + old[300:690]
    return [
        ("copied", old[731:1113]),
        ("stored", b"as it is"),
        ("packed", b"compressed " * 9),
        ("prefixed", b"the end of the old one, and of the new one"),
        ("planes", bytes(tensor)),
        ("program", program),
        ("encoded", deflate(program, level=12)),
        ("zeros", bytes(50)),
    ]


def main() -> None:
    """Write the three files."""
    FOLDER.mkdir(exist_ok=True)
    old = old_file()
    (FOLDER / "every.old").write_bytes(old)
    with Side.open(FOLDER / "every.old", threads=1, report=SilentReport()) as side:
        parts = new_parts(old)
        new_map = _new_map(parts)
        frames = _frames(parts, old)
        leaves = b"".join(new_map.table.leaf(number) for number in range(1, 7))
        plan = Plan(
            old_name="every.old",
            new_name="every.new",
            executable=True,
            parts=(
                GluePart(4),
                GapPart(9),
                RegionPart(
                    (Copied(1, 1), *(Made(1, len(data), len(data)) for _, data in parts[1:7]), Zeroed(1, 50, 50))
                ),
                GluePart(3),
            ),
            holes=((20, 4),),
            frames=tuple(frame for frame, _ in frames),
        )
        packed, glue = zstd.packed(plan.to_bytes()), zstd.packed(new_map.glue, prefix=glue_prefix(side.map, leaves))
        header = Header(
            old=Identity(size_bytes=side.map.size_bytes, root=side.map.root),
            new=Identity(size_bytes=new_map.size_bytes, root=new_map.root),
            plan_stored=len(packed),
            plan_bytes=len(plan.to_bytes()),
            glue_stored=len(glue),
            glue_bytes=len(new_map.glue),
            frames_bytes=sum(len(data) for _, data in frames),
        )
    payload = b"".join(data for _, data in frames)
    (FOLDER / "every.lfdelta").write_bytes(header.to_bytes() + packed + leaves + glue + payload)
    new = bytearray(b"GLUE" + bytes(9) + b"".join(data for _, data in parts) + b"end")
    new[20:24] = b"HOLE"
    (FOLDER / "every.new").write_bytes(new)
    DeltaStream(io.BytesIO((FOLDER / "every.lfdelta").read_bytes()), "every.lfdelta").head()


def _new_map(parts: list[tuple[str, bytes]]) -> FileMap:
    from blake3 import blake3

    data = b"".join(part for _, part in parts)
    leaves = b"".join(blake3(part).digest() for _, part in parts)
    index = BlockIndex(cuts=cuts_of(len(part) for _, part in parts), leaves=leaves)
    region = Blocks(offset=13, name="", index=index)
    return FileMap(
        parts=(
            Literal(offset=0, data=b"GLUE"),
            Zeros(offset=4, size_bytes=9),
            region,
            Literal(offset=13 + len(data), data=b"end"),
        ),
        holes=(Literal(offset=20, data=b"HOLE"),),
    )


def _frames(parts: list[tuple[str, bytes]], old: bytes) -> list[tuple[Frame, bytes]]:
    by_name = dict(parts)
    layout = layout_of(Q4_0)
    if layout is None:
        raise AssertionError("Q4_0 has a layout")
    plane = planes.packed(old[731 : 731 + 18 * 20], by_name["planes"], layout)
    covers = [Cover(old=0, new=0, size_bytes=300), Cover(old=300, new=305, size_bytes=390)]
    program = programs.packed(old[:700], by_name["program"], covers)
    packed = zstd.packed(by_name["packed"])
    prefixed = zstd.packed(by_name["prefixed"], prefix=old[1091:1113])
    encoding = Encoding(len(by_name["program"]), "libdeflate", "0.9.0", 12)
    return [
        (StoredFrame(1, 8), by_name["stored"]),
        (PackedFrame(1, len(packed)), packed),
        (PrefixedFrame(1, len(prefixed), 1091, 22, False), prefixed),
        (PlanesFrame(1, len(plane), 731, Q4_0), plane),
        (ProgramFrame(1, len(program), 0, 700, 0, None), program),
        (ProgramFrame(1, len(program), 0, 700, 0, encoding), program),
    ]


if __name__ == "__main__":
    main()
