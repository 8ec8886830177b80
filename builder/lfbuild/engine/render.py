"""Fills in the templates of this room: CMake files and compiler wrappers, as text.

Decides nothing and writes nothing. A name that a template uses and nobody gave is an error, not an empty string.
"""

from __future__ import annotations

import functools
import hashlib
import shlex
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

    import jinja2


def render(template: str, /, **values: object) -> str:
    """The text of `templates/TEMPLATE.j2` with these values; filters: `sh` and `cmake` quote for their language."""
    return _environment().get_template(f"{template}.j2").render(values)


def templates_sha256() -> str:
    """The digest of all templates, as 64 hexadecimal digits."""
    return hashlib.sha256(templates_text()).hexdigest()


def templates_text() -> bytes:
    """All templates as one byte string: what they say decides an engine's bytes."""
    return b"".join(f"{name}\0".encode() + text for name, text in sorted(_texts_below(_templates(), "")))


def _texts_below(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _texts_below(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".j2"):
            yield prefix + entry.name, entry.read_bytes()


def _templates() -> Traversable:
    return resources.files(__package__) / "templates"


def cmake_quoted(text: object) -> str:
    """A value as one argument of a CMake command, whatever it holds."""
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2

    folder = _templates()
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  # shell and CMake, not HTML; each value goes through its own quoting filter
    )
    environment.filters["sh"] = lambda value: shlex.quote(str(value))
    environment.filters["cmake"] = cmake_quoted
    return environment
