"""`schema`: the recipe's grammar as JSON Schema, for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfbuild.host.files import replacing
from lfbuild.host.moving import write_all
from lfbuild.recipe import schema_text

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["schema_text", "write_schema"]


def write_schema(path: Path) -> None:
    """Write the schema to `path`, in place of what was there: it is only ever generated."""
    with replacing(path) as file:
        write_all(file.fileno(), schema_text().encode(), 0)
