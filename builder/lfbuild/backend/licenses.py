"""The licences of all that is in a wheel, as one SPDX expression.

A recipe may call a model's licence by a name that SPDX does not list; that becomes a `LicenseRef-`, as SPDX and the
packaging specifications have it for such.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lfbuild.recipe import Recipe

ENGINE_LICENSES: Final = ("MIT", "Apache-2.0")
"""Of llama.cpp, and of lfbuild's own layer, which is compiled into every engine."""


def parts_of(recipe: Recipe) -> dict[str, str]:
    """Each part of the file and its licence: the engine, and the models that are packed and say one."""
    engine = {f"llama.cpp {recipe.engine_version}".strip(): " AND ".join(ENGINE_LICENSES)}
    return engine | {
        model.file_name: spdx(model.license) for model in recipe.models if model.license and not model.external
    }


def spdx(name: str) -> str:
    """A licence as SPDX writes it."""
    try:
        return canonicalize_license_expression(name)
    except InvalidLicenseExpression:
        return "LicenseRef-" + (re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-") or "unnamed")


def joined(expressions: Iterable[str]) -> str:
    """One expression that stands for all of them."""
    parts = [part for text in expressions if text for part in _conjuncts(text)]
    return " AND ".join(dict.fromkeys(parts))


def unmentioned(expression: str, parts: dict[str, str]) -> dict[str, str]:
    """Those parts whose licence an expression does not name, with what it lacks."""
    named = set(re.split(r"[\s()]+", expression)) - {"AND", "OR", "WITH", ""}
    lacking = {
        part: [it for it in _conjuncts(text) if not set(re.split(r"[\s()]+", it)) - {"AND", "OR", "WITH", ""} <= named]
        for part, text in parts.items()
    }
    return {part: " AND ".join(items) for part, items in lacking.items() if items}


def _conjuncts(expression: str) -> list[str]:
    """The parts of an expression that has only ANDs; what has an OR stays whole, in brackets."""
    if re.search(r"\bOR\b|\(", expression):
        return [f"({expression})"]
    return expression.split(" AND ")
