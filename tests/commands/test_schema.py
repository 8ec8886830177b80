from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING

import jsonschema
import pytest

from lfbuild.commands.schema import schema_text, write_schema
from lfbuild.errors import HostError

if TYPE_CHECKING:
    from pathlib import Path


def test_the_schema_is_a_schema_and_refuses_an_unknown_key() -> None:
    schema = json.loads(schema_text())

    jsonschema.Draft202012Validator.check_schema(schema)
    recipe = {"llamafile": {"name": "chat"}, "engine": {"source": {"path": "src"}}}
    assert jsonschema.Draft202012Validator(schema).is_valid(recipe)
    assert not jsonschema.Draft202012Validator(schema).is_valid({**recipe, "modle": []})


def test_a_full_disk_leaves_no_half_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pwrite

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        if offset:
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(descriptor, data[:100], offset)  # the system takes what still fits, and says so only by the count

    monkeypatch.setattr(os, "pwrite", pwrite)

    with pytest.raises(HostError) as caught:
        write_schema(tmp_path / "recipe.schema.json")

    assert str(caught.value) == f"{tmp_path / 'recipe.schema.json'}: the disk is full"
    assert list(tmp_path.iterdir()) == []


def test_the_schema_is_written_whole_in_place_of_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "recipe.schema.json"
    path.write_text("old")

    write_schema(path)

    assert path.read_text(encoding="utf-8") == schema_text()
