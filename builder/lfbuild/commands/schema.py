"""`schema`: the recipe's grammar as JSON Schema, as text or as a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lfbuild.host.files import replacing
from lfbuild.recipe import recipe_schema

if TYPE_CHECKING:
    from pathlib import Path


def schema_text() -> str:
    """The JSON Schema of a recipe."""
    return json.dumps(recipe_schema(), indent=2, ensure_ascii=False) + "\n"


def write_schema(path: Path) -> None:
    """Write it to `path`, in place of what was there: it is only ever generated."""
    with replacing(path) as file:
        file.write(schema_text().encode())
