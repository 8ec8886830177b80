"""The golden bytes of the format, and what is said of each damaged byte."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.vectors.make import FILES, FOLDER, corruption_points, damaged, read_vector, vectors
from tests.world.files import verified

from lfbuild.errors import LfbuildError

if TYPE_CHECKING:
    from pathlib import Path

NAMES = (
    "seal/clean",
    "seal/redo",
    "blocks/tiny.blocks",
    "slices/two.slices",
    "manifest/full.json",
    "head/script",
    *FILES,
)
POINTS = json.loads((FOLDER / "damage.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_today_has_the_golden_bytes(name: str) -> None:
    assert vectors()[name] == (FOLDER / name).read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_the_golden_bytes_are_read(name: str) -> None:
    read_vector(name, (FOLDER / name).read_bytes())


@pytest.mark.parametrize("name", FILES)
def test_the_golden_file_is_true(name: str, tmp_path: Path) -> None:
    (tmp_path / "tiny").write_bytes((FOLDER / name).read_bytes())

    assert verified(tmp_path / "tiny") == []


def test_the_list_of_damage_is_complete() -> None:
    assert corruption_points() == POINTS


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point['vector']}-{point['offset']}")
def test_each_damaged_byte_is_refused_as_the_list_says(point: dict[str, object], tmp_path: Path) -> None:
    name, offset = str(point["vector"]), point["offset"]
    assert isinstance(offset, int)
    data = damaged((FOLDER / name).read_bytes(), offset)
    if name in FILES:
        (tmp_path / "tiny").write_bytes(data)
        assert sorted({finding.subject for finding in verified(tmp_path / "tiny")}) == point["subjects"]
    elif point["refusal"]:
        with pytest.raises(LfbuildError) as caught:
            read_vector(name, data)
        assert str(caught.value) == point["refusal"]
