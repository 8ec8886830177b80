"""What else has to be installed for a hook: told before it is there, so by Python's own library alone.

The answer is written out (`cmake>=3.28`), not as an extra of lfbuild: installers take a package that is there for
satisfied, and look at no extra of it.
"""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from typing import TYPE_CHECKING, Any

from lfbuild.engine.installed import ENTRY_POINTS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_EXTRA = re.compile(r"""(.+?)\s*;\s*extra == ['"]([^'"]+)['"]""")


def needs_of_wheel(folder: Path) -> list[str]:
    """For a wheel: what packing needs, and a compiler with all that it wants, unless compiled engines are installed."""
    if list(importlib.metadata.entry_points(group=ENTRY_POINTS)):
        return requirements("wheel")
    return requirements("wheel", "zig" if _toolchain(folder) == "zig" else "build")


def needs_of_sdist() -> list[str]:
    """For an sdist: what reads the project and its recipe."""
    return requirements("wheel")


def requirements(*extras: str) -> list[str]:
    """The requirements of lfbuild's own extras, without a word twice."""
    return list(dict.fromkeys(_of_extras(importlib.metadata.requires("lfbuild") or [], extras)))


def _of_extras(lines: Iterable[str], extras: tuple[str, ...]) -> Iterable[str]:
    for line in lines:
        found = _EXTRA.fullmatch(line)
        if found and found[2] in extras:
            yield found[1]


def _toolchain(folder: Path) -> str:
    """The kind that the recipe names. What cannot be read here is told by the hook that builds, which knows more."""
    tools = _document(folder / "pyproject.toml").get("tool", {}).get("lfbuild", {})
    recipe = _document(folder / str(tools["recipe"])) if "recipe" in tools else tools
    kind: object = recipe.get("toolchain", {}).get("kind", "cosmocc")
    return str(kind)


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
