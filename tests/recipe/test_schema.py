"""What editors and people read of a recipe is made from the model, and is current."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

from lfbuild.recipe import load_recipe, recipe_schema, schema_text
from lfbuild.recipe.schema import reference_text

if TYPE_CHECKING:
    from collections.abc import Iterable

REPOSITORY = Path(__file__).parents[2]
SCHEMA = REPOSITORY / "builder/lfbuild/recipe/recipe.schema.json"
EXAMPLES = sorted((REPOSITORY / "recipes").glob("*.toml"))
RENEW = "renew with: python -m tests.recipe.renew"


def named(paths: Iterable[Path]) -> list[object]:
    return [pytest.param(path, id=path.stem) for path in paths]


def test_the_shipped_schema_is_current() -> None:
    assert SCHEMA.read_text() == schema_text(), RENEW


def test_the_reference_is_current() -> None:
    page = (REPOSITORY / "docs/recipe.md").read_text()
    begin, end = "<!-- reference: made from the model -->\n", "<!-- end of reference -->\n"

    assert page.partition(begin)[2].partition(end)[0] == f"\n{reference_text()}\n", RENEW


def test_every_key_is_explained() -> None:
    def walk(node: object, path: str) -> None:
        if isinstance(node, dict):
            for name, value in node.get("properties", {}).items():
                assert value.get("description") or "$ref" in value, f"{path}.{name} has no description"
            for key, value in node.items():
                walk(value, f"{path}.{key}")
        elif isinstance(node, list):
            for value in node:
                walk(value, path)

    walk(recipe_schema(), "")


@pytest.mark.parametrize("path", named(EXAMPLES))
def test_each_example_is_a_recipe_for_us_and_for_editors(path: Path) -> None:
    text = path.read_text()

    recipe = load_recipe(path)

    first = text.partition("\n")[0]
    assert first == "#:schema ../builder/lfbuild/recipe/recipe.schema.json"
    assert (path.parent / first.removeprefix("#:schema ")).resolve() == SCHEMA.resolve()
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(tomllib.loads(text))
    assert recipe.llamafile.description


def test_the_promised_examples_are_there() -> None:
    promised = {"smollm2", "gemma3", "external-weights", "cosmo", "several-models", "portable", "unix", "linux"}
    assert {path.stem for path in EXAMPLES} >= promised


@pytest.mark.parametrize(
    "wrong",
    [
        '[llamafile]\nnmae = "x"\n',
        '[archive]\nalign = "64 KB"\n',
        '[[model]]\nsha256 = "abc"\n',
        '[[model]]\nrole = "weight"\n',
        '[[model]]\nsource = { path = "a", membr = "b" }\n',
        "[args]\nserv = {}\n",
        '[toolchain]\nkind = "gcc"\n',
        '[targets]\nsystems = ["linux"]\n',
        '[targets]\ncpus = "best"\n',
        '[targets]\ncpus = { linux = ["x86-64-v3"] }\n',
        '[targets]\nhead = "pe"\n',
    ],
)
def test_an_editor_sees_the_same_mistakes(wrong: str) -> None:
    head = '[engine]\nsource = { pypi = "p==1" }\n'
    if "[llamafile]" not in wrong:
        head += '[llamafile]\nname = "x"\n'

    errors = list(jsonschema.Draft202012Validator(recipe_schema()).iter_errors(tomllib.loads(head + wrong)))

    assert errors
