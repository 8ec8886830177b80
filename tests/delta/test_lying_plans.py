"""Plans that are well encoded, and lie: whatever they promise is refused, memory is bounded, the old file whole."""

from __future__ import annotations

import io
import tempfile
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.world.files import write_tiny_file

from lfbuild.archive.deflate import encoder_version
from lfbuild.commands.apply import DeltaSource, apply, apply_in_place_of
from lfbuild.delta import programs, zstd
from lfbuild.delta.apply import glue_prefix
from lfbuild.delta.model import (
    Copied,
    Encoding,
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
from lfbuild.delta.resolve import _Target
from lfbuild.delta.side import Side
from lfbuild.errors import FormatError, IntegrityError
from lfbuild.formats.delta import Header, Identity
from lfbuild.report import SilentReport

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

    from lfbuild.delta.model import BlockRun, Frame

LARGEST = (1 << 62) - 1
MOST_MEMORY_BYTES = 48 << 20
FEW = st.integers(1, 4)
SIZES = st.one_of(st.integers(1, 300), st.sampled_from((1 << 16, 1 << 20)))
PLACES = st.one_of(st.integers(0, 7000), st.sampled_from((1 << 20, 1 << 40, LARGEST)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Lie:
    """A plan, and what stands behind it in the delta."""

    plan: Plan
    glue: bytes
    frames: bytes


@st.composite
def runs(draw: DrawFn) -> BlockRun:
    """Blocks, few or many, small or large."""
    if draw(st.booleans()):
        return Copied(draw(st.one_of(st.integers(0, 12), PLACES)), draw(st.one_of(FEW, st.just(LARGEST))))
    kind, count = draw(st.sampled_from(((Made, FEW), (Zeroed, st.one_of(FEW, st.sampled_from((3000, 1 << 40)))))))
    size = draw(SIZES)
    return kind(draw(count), size, draw(st.one_of(st.just(size), SIZES)))


@st.composite
def frames_for(draw: DrawFn, made: list[int]) -> tuple[list[Frame], bytes]:
    """Frames that claim to make blocks of these sizes, and what is in them."""
    found: list[Frame] = []
    payload = b""
    while made:
        blocks = min(draw(FEW), len(made))
        size, made = sum(made[:blocks]), made[blocks:]
        frame, data = draw(one_frame(blocks, size))
        found.append(frame)
        payload += data
    return found, payload


@st.composite
def one_frame(draw: DrawFn, blocks: int, size: int) -> tuple[Frame, bytes]:
    content = draw(st.binary(min_size=1, max_size=40))
    whole = (content * (size // len(content) + 1))[: draw(st.sampled_from((size, size, size + 1, size - 1)))]
    made = draw(st.sampled_from((bytes, zstd.packed, a_program, lambda _: content)))
    data = made(whole)
    at, more = draw(PLACES), draw(st.one_of(st.integers(0, 600), PLACES))
    encoding = draw(st.sampled_from((None, Encoding(len(whole), "libdeflate", encoder_version(), 1))))
    frame: Frame = draw(
        st.sampled_from(
            (
                StoredFrame(blocks, len(data)),
                PackedFrame(blocks, len(data)),
                PrefixedFrame(blocks, len(data), at, more, draw(st.booleans())),
                PlanesFrame(blocks, len(data), at, draw(st.integers(0, 40))),
                ProgramFrame(blocks, len(data), at, more, draw(st.sampled_from((0, 5, more))), encoding),
            )
        )
    )
    return frame, data


def a_program(whole: bytes) -> bytes:
    """The difference of a program, with a cover that reaches further than most old programs do."""
    new = whole[:9000].ljust(600)
    return programs.packed(bytes(600), new, [Cover(old=100, new=3, size_bytes=500)])


@st.composite
def lies(draw: DrawFn) -> Lie:
    """Any plan of few words."""
    regions = st.lists(runs(), max_size=4).map(lambda found: RegionPart(tuple(found)))
    others = st.one_of(SIZES.map(GapPart), st.integers(1, 40).map(GluePart), st.just(GapPart(LARGEST)))
    parts = tuple(draw(st.lists(st.one_of(regions, others), max_size=4)))
    holes = tuple(draw(st.lists(st.tuples(PLACES, st.integers(1, 64)), max_size=2)))
    made = [
        size
        for part in parts
        if isinstance(part, RegionPart)
        for run in part.runs
        if isinstance(run, Made)
        for size in [run.block_bytes] * (run.count - 1) + [run.last_bytes]
    ]
    frames, payload = draw(frames_for(made))
    used = sum(part.size_bytes for part in parts if isinstance(part, GluePart)) + sum(size for _, size in holes)
    plan = Plan(old_name="old", new_name="new", executable=False, parts=parts, holes=holes, frames=tuple(frames))
    return Lie(plan=plan, glue=bytes(max(0, used + draw(st.sampled_from((0, 0, 0, 1, -1))))), frames=payload)


def delta_that_lies(lie: Lie, old: Side, new_size: int) -> bytes:
    """The delta of a plan, with the root in its header that the plan leads to, if it leads anywhere."""
    plan, leaves = lie.plan, bytes(32 * lie.plan.made_blocks)
    new = Identity(size_bytes=new_size, root=bytes(32))
    try:
        found = _Target(leaves, lie.glue, old.map, "x").map(plan) if _is_short(plan) else None
    except FormatError:
        found = None
    if found is not None:
        new = Identity(size_bytes=found.size_bytes, root=found.root)
    packed, glue = zstd.packed(plan.to_bytes()), zstd.packed(lie.glue, prefix=glue_prefix(old.map, leaves))
    header = Header(
        old=Identity(size_bytes=old.map.size_bytes, root=old.map.root),
        new=new,
        plan_stored=len(packed),
        plan_bytes=len(plan.to_bytes()),
        glue_stored=len(glue),
        glue_bytes=len(lie.glue),
        frames_bytes=sum(frame.size_bytes for frame in plan.frames),
    )
    return header.to_bytes() + packed + leaves + glue + lie.frames


def _is_short(plan: Plan) -> bool:
    gaps = all(part.size_bytes < LARGEST for part in plan.parts if isinstance(part, GapPart))
    return gaps and sum(run.count for run in plan.runs()) < 10_000


@pytest.mark.parametrize("in_place", [False, True], ids=["new file", "in place"])
@given(lie=lies(), new_size=st.integers(0, 9000))
@settings(max_examples=60, deadline=None)
def test_whatever_a_plan_promises_the_old_file_stays_whole(in_place: bool, lie: Lie, new_size: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        old = write_tiny_file(folder, name="old")
        before, names = old.read_bytes(), sorted(folder.iterdir())
        with Side.open(old, threads=1, report=SilentReport()) as side:
            delta = delta_that_lies(lie, side, new_size)
        source, report = DeltaSource(name="x.lfdelta", pipe=io.BytesIO(delta)), SilentReport()
        tracemalloc.start()
        try:
            if in_place:
                apply_in_place_of(old, [source], threads=1, report=report)
            else:
                apply(old, [source], folder / "made", force=False, threads=1, report=report)
        except (FormatError, IntegrityError):
            assert sorted(folder.iterdir()) == names
        else:  # no leaf is that of any block, so what was made has none that a frame made
            assert lie.plan.made_blocks == 0
            assert not in_place
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < MOST_MEMORY_BYTES
        assert old.read_bytes() == before
