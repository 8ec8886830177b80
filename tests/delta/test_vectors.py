"""The vectors of `.lfdelta` are read as they were when the format was made."""

from __future__ import annotations

from pathlib import Path

from blake3 import blake3
from tests.world.deltas import applied

from lfbuild.delta.apply import DeltaStream
from lfbuild.delta.model import Frame, PlanPart, RegionPart

VECTORS = Path(__file__).parent.parent / "vectors" / "delta"
DELTA = "every.lfdelta"


def test_the_vector_makes_its_new_file(tmp_path: Path) -> None:
    delta = (VECTORS / DELTA).read_bytes()

    assert applied(VECTORS / "every.old", delta, folder=tmp_path) == (VECTORS / "every.new").read_bytes()


def test_the_vectors_have_not_changed() -> None:
    digests = {path.name: blake3(path.read_bytes()).hexdigest()[:16] for path in sorted(VECTORS.iterdir())}

    assert digests == {
        "every.lfdelta": "c140e27303b2eb08",
        "every.new": "6340b101b5e828e1",
        "every.old": "89cfd31b11232066",
    }


def test_the_vector_has_every_kind_of_part_run_and_frame() -> None:
    with (VECTORS / DELTA).open("rb") as file:
        plan = DeltaStream(file, DELTA).head().plan
    runs = [run for part in plan.parts if isinstance(part, RegionPart) for run in part.runs]

    assert {type(part) for part in plan.parts} == set(PlanPart.__args__)
    assert len({type(run) for run in runs}) == 3
    assert {type(frame) for frame in plan.frames} == set(Frame.__args__)
    assert plan.holes == ((20, 4),)
