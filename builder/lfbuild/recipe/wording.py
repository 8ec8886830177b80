"""Puts what pydantic finds wrong with a recipe into the words of its user.

Everything comes out as `(key path, sentence)`, with the key that was meant where a key is unknown.
"""

from __future__ import annotations

import difflib
import typing
from typing import TYPE_CHECKING, Any

from lfbuild.recipe.places import TAG, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from lfbuild.recipe.arguments import Fault
    from lfbuild.recipe.locate import KeyPath

_TYPE_WORDS: dict[str, str] = {
    "string_type": "a text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dict_type": "a table",
    "tuple_type": "a list",
}


def validation_faults(error: ValidationError, document: object, *, root: type[Table]) -> Iterator[Fault]:
    """Each thing that is wrong, in the order in which pydantic found it."""
    for details in error.errors(include_url=False):
        if details["type"] == "too_short" and len(details["input"]) >= details["ctx"]["min_length"]:
            continue  # the list is long enough: pydantic counts only its right items, and the wrong ones are told
        key = _written_key(details["loc"], document)
        yield key, one_line(_sentence(details, key, root))


def did_you_mean(key: str, known: Iterable[str]) -> str:
    """What to say of a key that nothing has."""
    close = difflib.get_close_matches(key.lower(), sorted(known), n=1, cutoff=0.6)
    return f"unknown key, did you mean '{close[0]}'?" if close else f"unknown key; known are {', '.join(sorted(known))}"


def one_line(text: str) -> str:
    """A sentence that quotes a value stays one line, whatever is in the value."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _sentence(details: ErrorDetails, key: KeyPath, root: type[Table]) -> str:
    kind, value = details["type"], details["input"]
    if kind == "extra_forbidden":
        return did_you_mean(str(key[-1]), _known_keys(details["loc"][:-1], root))
    if kind == "missing":
        return "is required"
    if kind == "value_error":
        return str(details["ctx"]["error"])
    if kind in _TYPE_WORDS:
        return f"must be {_TYPE_WORDS[kind]}, not {_what_it_is(value)}"
    if kind == "literal_error":
        return f"must be {details['ctx']['expected']}, not {_shown(value)}"
    if kind == "too_short":
        return "must not be empty"
    if kind == "levels":
        return f"{details['msg']}, not {_what_it_is(value)}"
    if kind == "source_kind":
        return _source_sentence(details["msg"], value)
    if kind == "string_pattern_mismatch":
        return f"has characters that are not allowed here (pattern {details['ctx']['pattern']})"
    return details["msg"][:1].lower() + details["msg"][1:]


def _source_sentence(message: str, value: object) -> str:
    kinds = message.rpartition("keys ")[2].split(", ")
    if not isinstance(value, dict):
        return f"{message}, not {_what_it_is(value)}"
    named = [kind for kind in kinds if kind in value]
    if named:
        return f"{message}, not both '{named[0]}' and '{named[1]}'"
    for key in value:
        close = difflib.get_close_matches(key, kinds, n=1, cutoff=0.6)
        if close:
            return f"unknown key '{key}', did you mean '{close[0]}'?"
    return message


def _written_key(location: tuple[str | int, ...], document: object) -> KeyPath:
    """The path as it is written in the document: without pydantic's tags, and not below a single value."""
    path: KeyPath = ()
    value: Any = document
    for part in location:
        if part == "[key]" or (isinstance(part, str) and part.startswith(TAG)):
            continue
        if not isinstance(value, dict | list):
            break
        path = (*path, part)
        value = value.get(part) if isinstance(value, dict) else value[part] if isinstance(part, int) else None
    return path


def _known_keys(location: tuple[str | int, ...], root: type[Table]) -> set[str]:
    tables = [root]
    for part in location:
        if isinstance(part, int):
            continue
        if part.startswith(TAG):
            tables = [table for table in tables if part.removeprefix(TAG) in _fields(table)]
        else:
            tables = [inner for table in tables for inner in _tables_in(_fields(table).get(part))]
    return {name for table in tables for name in _fields(table)}


def _fields(table: type[Table]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in table.model_fields.items()}


def _tables_in(annotation: object) -> list[type[Table]]:
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return [annotation]
    return [table for inner in typing.get_args(annotation) for table in _tables_in(inner)]


def _what_it_is(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    return _shown(value) if isinstance(value, int | float) else f"{_shown(value)}"


def _shown(value: object) -> str:
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:56]}…'"
