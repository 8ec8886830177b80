"""Deltas that lie: refused with one sentence, in bounded memory, and nothing is left of what they were to make."""

from __future__ import annotations

import io
import lzma
import struct
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.world.deltas import applied, apply_to, delta_of, written
from tests.world.files import default_members, plain, weights, write_tiny_file
from tests.world.models import DEFAULT_VALUES, STRING, tiny_gguf

from lfbuild.delta import model, programs, resolve, zstd
from lfbuild.delta.apply import DeltaStream
from lfbuild.delta.model import (
    Copied,
    Encoding,
    Made,
    PackedFrame,
    PlanesFrame,
    PrefixedFrame,
    ProgramFrame,
    RegionPart,
    StoredFrame,
    Zeroed,
)
from lfbuild.errors import FormatError, IntegrityError, LfbuildError
from lfbuild.formats.delta import Header

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lfbuild.delta.model import Frame, Plan, PlanPart

OLD = b"0123456789abcdef" * 4
NEW = OLD[:32] + b"something else" + OLD[40:]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return written(tmp_path, "old", OLD)


@pytest.fixture
def delta(tmp_path: Path, old: Path) -> bytes:
    return delta_of(old, written(tmp_path, "new", NEW))


def lying(
    delta: bytes,
    *,
    frame: Frame | None = None,
    data: bytes | None = None,
    parts: Sequence[PlanPart] | None = None,
    leaves: bytes | None = None,
    new_size: int | None = None,
    **plan: object,
) -> bytes:
    """A delta of one frame with something else in it, whose sizes fit together again."""
    stream = DeltaStream(io.BytesIO(delta), "x.lfdelta")
    head = stream.head()
    payload = stream.take(head.header.frames_bytes) if data is None else data
    if "frames" in plan:
        payload, leaves = b"", b""
    frames = [msgspec.structs.replace(frame or head.plan.frames[0], size_bytes=len(payload))]
    changed: Plan = msgspec.structs.replace(
        head.plan, parts=head.plan.parts if parts is None else tuple(parts), **{"frames": tuple(frames), **plan}
    )
    packed = zstd.packed(changed.to_bytes())
    header = replace(
        head.header,
        plan_stored=len(packed),
        plan_bytes=len(changed.to_bytes()),
        frames_bytes=sum(it.size_bytes for it in changed.frames),
        new=head.header.new if new_size is None else replace(head.header.new, size_bytes=new_size),
    )
    return header.to_bytes() + packed + (head.leaves if leaves is None else leaves) + head.stored_glue + payload


def refusal(old: Path, delta: bytes, tmp_path: Path) -> str:
    with pytest.raises(LfbuildError) as caught:
        applied(old, delta, folder=tmp_path)
    assert old.read_bytes() == OLD
    return str(caught.value)


def test_a_rebuilt_delta_that_does_not_lie_is_applied(tmp_path: Path, old: Path, delta: bytes) -> None:
    assert applied(old, lying(delta), folder=tmp_path) == NEW


def test_another_old_file_is_refused_before_anything_is_written(tmp_path: Path, delta: bytes) -> None:
    other = written(tmp_path, "other", OLD[:-1] + b"!")
    target = io.BytesIO()

    with pytest.raises(IntegrityError) as caught:
        apply_to(other, delta, target)

    assert str(caught.value) == f"{other}: is not the file that x.lfdelta was made for: that is old of 64 bytes"
    assert target.getvalue() == b""


def test_a_delta_is_not_applied_to_what_it_made(tmp_path: Path, delta: bytes) -> None:
    made = written(tmp_path, "made", NEW)

    with pytest.raises(IntegrityError, match=r"is already what x\.lfdelta makes"):
        applied(made, delta, folder=tmp_path)


def test_a_delta_that_is_cut_off_anywhere_is_refused(tmp_path: Path, old: Path, delta: bytes) -> None:
    told = {refusal(old, delta[:size], tmp_path) for size in range(len(delta))}

    assert told == {"x.lfdelta: is not a delta", "x.lfdelta: the delta ends too early"}


def test_any_changed_byte_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    longer = {**DEFAULT_VALUES, "tokenizer.chat_template": (STRING, "{{ messages }}{# and more #}")}
    before = write_tiny_file(tmp_path, name="before")
    members = (weights(data=tiny_gguf(longer)), *default_members()[1:], plain("more", b"more" * 99))
    after = write_tiny_file(tmp_path, name="after", members=members)
    delta = delta_of(before, after)
    expected = after.read_bytes()

    for position in range(len(delta)):
        damaged = delta[:position] + bytes([delta[position] ^ 0x41]) + delta[position + 1 :]
        try:
            assert applied(before, damaged, folder=tmp_path) == expected
        except LfbuildError:
            continue


def test_what_follows_the_last_frame_is_refused(tmp_path: Path, old: Path, delta: bytes) -> None:
    assert refusal(old, delta + b"x", tmp_path) == "x.lfdelta: the delta goes on behind its last frame"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"plan_bytes": 1 << 31}, "the sizes in the header of the delta cannot be"),
        ({"glue_bytes": 1 << 31}, "the sizes in the header of the delta cannot be"),
        ({"plan_stored": 1 << 20}, "the sizes in the header of the delta cannot be"),
        ({"glue_stored": 1 << 20}, "the sizes in the header of the delta cannot be"),
        ({"frames_bytes": 1 << 63}, "the sizes in the header of the delta cannot be"),
        ({"frames_bytes": 9}, "plan: its frames do not add up to what the header says"),
    ],
)
def test_a_header_that_lies_is_refused(
    tmp_path: Path, old: Path, delta: bytes, changes: dict[str, int], told: str
) -> None:
    header = Header.parse(delta, where="x")

    lie = replace(header, **changes).to_bytes() + delta[Header.LAYOUT.size :]

    assert refusal(old, lie, tmp_path).removeprefix("x.lfdelta: ") == told


def test_a_later_version_is_refused_with_the_way_to_update(delta: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        Header.parse(delta[:8] + b"\2" + delta[9:], where="x.lfdelta")

    assert str(caught.value) == "x.lfdelta: delta version 2 is not known, only 1"
    assert caught.value.hint == "update lfbuild: pip install -U lfbuild"


def one(*runs: Copied | Made | Zeroed) -> list[PlanPart]:
    return [RegionPart(runs)]


SIZE = len(NEW)
PARTS = one(Made(1, SIZE, SIZE))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"parts": one(Copied(1, 1)), "frames": ()}, "its plan copies block 1, and the old file has 1"),
        (
            {"parts": one(Copied(0, 1 << 40)), "frames": ()},
            "plan: has more than 2097152 blocks",
        ),
        (
            {"parts": one(Zeroed(1 << 21, 1 << 20, 1)), "frames": ()},
            "its plan does not make the file that its header promises",
        ),
        ({"parts": one(Zeroed(1, 5, 6)), "frames": ()}, "its plan has a last block that is larger than the others"),
        ({"parts": (*PARTS, model.GapPart(5))}, "its plan does not make the file that its header promises"),
        ({"parts": (*PARTS, model.GluePart(5))}, "its plan uses more bytes between blocks than there are"),
        ({"holes": ((0, 4),)}, "its plan uses more bytes between blocks than there are"),
        ({"leaves": bytes(32)}, "its plan does not make the file that its header promises"),
        ({"frame": StoredFrame(1, 0), "data": b"x"}, f"frame 0 has 1 bytes instead of {SIZE}"),
        ({"frame": PackedFrame(1, 0), "data": bytes(70_000)}, f"frame 0 is larger than the {SIZE} bytes that it makes"),
        (
            {"frame": PrefixedFrame(1, 0, 60, 9, False)},
            "frame 0 refers to 9 bytes at 60, outside of the old file",
        ),
        (
            {"frame": PrefixedFrame(1, 0, 0, 1 << 40, True)},
            "frame 0 refers to 1099511627776 bytes at once, more than 16777216",
        ),
        ({"frame": PlanesFrame(1, 0, 0, 99)}, "frame 0 is not made of whole blocks of the type 99"),
        ({"frame": PlanesFrame(1, 0, 0, 0)}, "frame 0 is not made of whole blocks of the type 0"),
        (
            {"frame": ProgramFrame(1, 0, 0, 64, 1 << 40, None)},
            "frame 0 decodes to more than 268435456 bytes",
        ),
        (
            {"frame": ProgramFrame(1, 0, 0, 64, 0, Encoding(1 << 40, "libdeflate", "1", 1))},
            "frame 0 decodes to more than 268435456 bytes",
        ),
        (
            {"frame": ProgramFrame(1, 0, 0, 1 << 40, 5, None)},
            "frame 0 refers to 1099511627776 bytes that would decode to 5",
        ),
        (
            {"frame": ProgramFrame(1, 0, 1 << 50, 64, 0, None)},
            "frame 0 refers to 64 bytes at 1125899906842624, outside of the old file",
        ),
    ],
)
def test_a_plan_that_lies_is_refused_before_anything_is_written(
    tmp_path: Path, old: Path, delta: bytes, changes: dict[str, object], told: str
) -> None:
    target = io.BytesIO()

    with pytest.raises(FormatError) as caught:
        apply_to(old, lying(delta, **changes), target)  # type: ignore[arg-type]  # each is one of its parameters

    assert str(caught.value) == f"x.lfdelta: {told}"
    assert target.getvalue() == b""


@pytest.mark.parametrize(
    ("version", "level", "told"),
    [
        ("0.9.0 --index-url https://example.org", 12, "Expected `str` matching regex"),
        ("0.9.0", 13, "Expected `int` <= 12"),
    ],
)
def test_a_version_that_nobody_should_type_and_a_level_that_is_none_are_refused(
    tmp_path: Path, old: Path, delta: bytes, version: str, level: int, told: str
) -> None:
    frame = ProgramFrame(1, 0, 0, 64, 0, Encoding(SIZE, "libdeflate", version, level))

    assert refusal(old, lying(delta, frame=frame), tmp_path).startswith(f"x.lfdelta: plan: is damaged: {told}")


@pytest.mark.parametrize("frame", [StoredFrame(1, 0), PackedFrame(1, 0), ProgramFrame(1, 0, 0, 64, 0, None)])
def test_no_frame_makes_more_than_is_held_in_memory(
    tmp_path: Path, old: Path, delta: bytes, frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "MOST_FRAME_BYTES", SIZE - 1)
    monkeypatch.setattr(resolve, "MOST_PROGRAM_BYTES", SIZE - 1)

    told = refusal(old, lying(delta, frame=frame, data=NEW), tmp_path)

    assert told == f"x.lfdelta: frame 0 makes {SIZE} bytes, more than {SIZE - 1}"


FRAME = "x.lfdelta: frame for the bytes at 0: "


@pytest.mark.parametrize(
    ("frame", "data", "told"),
    [
        (StoredFrame(1, 0), bytes(SIZE), "x.lfdelta: the frame for the block at 0 makes another one than promised"),
        (PackedFrame(1, 0), zstd.packed(NEW + b"x"), f"{FRAME}does not unpack to the {SIZE} bytes that it promises"),
        (PackedFrame(1, 0), zstd.packed(NEW[1:]), f"{FRAME}does not unpack to the {SIZE} bytes that it promises"),
        (PackedFrame(1, 0), zstd.packed(NEW) + b"x", f"{FRAME}does not unpack to the {SIZE} bytes that it promises"),
        (
            PackedFrame(1, 0),
            zstd.packed(bytes(100 << 20)),
            f"{FRAME}does not unpack to the {SIZE} bytes that it promises",
        ),
        (
            ProgramFrame(1, 0, 0, 64, 0, Encoding(64, "zopfli", "1", 1)),
            b"",
            f"{FRAME}ends in its first bytes",
        ),
        (ProgramFrame(1, 0, 0, 64, 5, None), b"", "OLD: a compressed member cannot be decompressed: "),
    ],
)
def test_a_frame_that_lies_is_refused(
    tmp_path: Path, old: Path, delta: bytes, frame: Frame, data: bytes, told: str
) -> None:
    assert refusal(old, lying(delta, frame=frame, data=data), tmp_path).startswith(told.replace("OLD", str(old)))


def peak_of_a_refusal(old: Path, lie: bytes, tmp_path: Path) -> tuple[str, int]:
    """How a lie is refused, and the memory that it took until then."""
    tracemalloc.start()
    try:
        return refusal(old, lie, tmp_path), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_leaves_of_blocks_without_number_are_not_read(tmp_path: Path, old: Path, delta: bytes) -> None:
    lie = lying(delta, parts=one(Made(1 << 30, 1, 1)), frame=StoredFrame(1 << 30, 0), leaves=bytes(32 << 20))

    told, peak = peak_of_a_refusal(old, lie, tmp_path)

    assert told == "x.lfdelta: plan: has more than 2097152 blocks"
    assert peak < 4 << 20


def test_covers_without_number_are_not_read(tmp_path: Path, old: Path, delta: bytes) -> None:
    control = programs._stream(bytes(3 << 22), programs._CONTROL)
    data = struct.pack("<III", 1 << 22, len(control), 0) + control

    told, peak = peak_of_a_refusal(old, lying(delta, frame=ProgramFrame(1, 0, 0, 64, 0, None), data=data), tmp_path)

    assert told == f"{FRAME}4194304 covers are more than a program of {SIZE} bytes needs"
    assert peak < 4 << 20


def test_bombs_take_no_memory(tmp_path: Path, old: Path, delta: bytes) -> None:
    window = lzma.compress(
        bytes(200 << 20), format=lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 24}]
    )
    stream = bytes([0, 24, 0]) + window
    empty = bytes([0, 12, 0, 0])
    head = (0).to_bytes(4, "little") + len(empty).to_bytes(4, "little") * 2
    bombs = [
        (PackedFrame(1, 0), zstd.packed(bytes(200 << 20))),
        (ProgramFrame(1, 0, 0, 64, 0, None), head + empty + empty + stream),
        (ProgramFrame(1, 0, 0, 64, 0, Encoding(SIZE, "libdeflate", "1", 1)), head + empty + empty + stream),
    ]
    for frame, data in bombs:
        _, peak = peak_of_a_refusal(old, lying(delta, frame=frame, data=data), tmp_path)
        assert peak < 24 << 20  # LZMA's dictionary is 16 MiB


def test_a_frame_that_asks_for_a_window_of_gigabytes_is_refused(tmp_path: Path, old: Path, delta: bytes) -> None:
    magic, window_of_2_gib = b"\x28\xb5\x2f\xfd", b"\x00" + bytes([21 << 3])
    raw_block = (SIZE << 3 | 1).to_bytes(3, "little") + NEW

    told = refusal(old, lying(delta, frame=PackedFrame(1, 0), data=magic + window_of_2_gib + raw_block), tmp_path)

    assert told.startswith(f"{FRAME}cannot be unpacked: ")


@pytest.mark.parametrize("data", [b"\xc1", b"\x93\x01\x02\x03", b"\x96" + b"\x91" * 5000, b""])
def test_a_plan_that_is_none_is_refused(tmp_path: Path, old: Path, delta: bytes, data: bytes) -> None:
    header = Header.parse(delta, where="x")
    packed = zstd.packed(data)
    lie = replace(header, plan_stored=len(packed), plan_bytes=len(data)).to_bytes() + packed + bytes(9999)

    assert refusal(old, lie, tmp_path).startswith("x.lfdelta: plan: is damaged: ")


def test_an_old_file_whose_weights_have_rotted_is_noticed(tmp_path: Path) -> None:
    before = write_tiny_file(tmp_path, name="before")
    after = write_tiny_file(tmp_path, name="after", members=(*default_members(), plain("more", b"more" * 99)))
    delta = delta_of(before, after)
    data = bytearray(before.read_bytes())
    data[2500] ^= 1
    before.write_bytes(data)

    with pytest.raises(IntegrityError) as caught:
        applied(before, delta, folder=tmp_path)

    assert str(caught.value) == f"{before}: the block at 2496 is not the one that was promised"
