"""The shape of a recipe for editors (JSON Schema) and for people (the tables of docs/recipe.md).

Both are made from the model, and a test checks that the files in the repository are what is made here.
"""

from __future__ import annotations

import json
import typing
from typing import TYPE_CHECKING, Any

from lfbuild.recipe import places
from lfbuild.recipe.model import Recipe, VerbTable
from lfbuild.recipe.places import Table

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def recipe_schema() -> dict[str, Any]:
    """The JSON Schema of a recipe."""
    schema = Recipe.model_json_schema(by_alias=True)
    return {"$schema": SCHEMA_DIALECT, "title": "lfbuild recipe", **{k: v for k, v in schema.items() if k != "title"}}


def schema_text() -> str:
    """The file `recipe.schema.json`."""
    return json.dumps(recipe_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def reference_text() -> str:
    """The tables of docs/recipe.md, as Markdown."""
    parts = [_section(_heading(name, field), field) for name, field in Recipe.model_fields.items()]
    kinds = (
        places.PathSource,
        places.UrlSource,
        places.PypiSource,
        places.HfSource,
        places.ZipSource,
        places.PartsSource,
    )
    engines = (
        places.EnginePypiSource,
        places.EngineUrlSource,
        places.EngineGitSource,
        places.EnginePathSource,
    )
    parts.append("## `source` of a model or file\n")
    parts += [_table(f"### `{next(iter(kind.model_fields))}`", kind) for kind in kinds]
    parts.append("## `source` of the engine\n")
    parts += [_table(f"### `{_kind_key(kind)}`", kind) for kind in engines]
    return "\n".join(parts)


def _heading(name: str, field: FieldInfo) -> str:
    alias = field.alias or name
    return f"## `[[{alias}]]`" if alias != name else f"## `[{alias}]`"


def _section(heading: str, field: FieldInfo) -> str:
    (table,) = _tables(field.annotation)
    need = "Required. " if field.is_required() else ""
    text = _table(heading, table, need)
    if any(VerbTable in _tables(inner.annotation) for inner in table.model_fields.values()):
        text += "\n" + _table("### `[args.VERB]`", VerbTable)
    return text


def _table(heading: str, table: type[Table], need: str = "") -> str:
    rows = [
        f"| `{field.alias or name}` | {_default(field)} | {_cell(field.description or '')} |"
        for name, field in table.model_fields.items()
    ]
    lines = [
        heading,
        "",
        f"{need}{' '.join((table.__doc__ or '').split())}",
        "",
        "| key | default | meaning |",
        "|---|---|---|",
    ]
    return "\n".join([*lines, *rows, ""])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, bool | int):
        return f"`{str(value).lower()}`"
    if isinstance(value, str) and value:
        return f'`"{value}"`'
    if isinstance(value, tuple) and value:
        return f"`{json.dumps(value)}`"
    return "–"


def _kind_key(table: type[Table]) -> str:
    return next(key for key in ("pypi", "url", "git", "path") if key in table.model_fields)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _tables(annotation: object) -> list[type[Table]]:
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return [annotation]
    return [table for inner in typing.get_args(annotation) for table in _tables(inner)]
