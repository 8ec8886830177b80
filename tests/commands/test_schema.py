from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jsonschema

from lfbuild.commands.schema import schema_text, write_schema

if TYPE_CHECKING:
    from pathlib import Path


def test_the_schema_is_a_schema_and_refuses_an_unknown_key() -> None:
    schema = json.loads(schema_text())

    jsonschema.Draft202012Validator.check_schema(schema)
    recipe = {"llamafile": {"name": "chat"}, "engine": {"source": {"path": "src"}}}
    assert jsonschema.Draft202012Validator(schema).is_valid(recipe)
    assert not jsonschema.Draft202012Validator(schema).is_valid({**recipe, "modle": []})


def test_the_schema_is_written_whole_in_place_of_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "recipe.schema.json"
    path.write_text("old")

    write_schema(path)

    assert path.read_text(encoding="utf-8") == schema_text()
