"""A recipe in a folder of its own, and what is wrong with it as a list of sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from lfbuild.errors import RecipeError
from lfbuild.recipe import Recipe, load_recipe

if TYPE_CHECKING:
    from pathlib import Path

HEAD = """\
[llamafile]
name = "chat"

[engine]
source = { pypi = "llama-cpp-python==0.3.36", folder = "vendor/llama.cpp" }
"""
"""The five lines that every recipe has; what a test adds begins on line 6."""


class Write(Protocol):
    def __call__(self, text: str, *, head: str = HEAD) -> Path: ...


class Loads(Protocol):
    def __call__(self, text: str = "", *, head: str = HEAD) -> Recipe: ...


class Problems(Protocol):
    def __call__(self, text: str, *, head: str = HEAD) -> list[str]: ...


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)

    def write(text: str, *, head: str = HEAD) -> Path:
        (tmp_path / "recipe.toml").write_bytes((head + text).encode())
        return (tmp_path / "recipe.toml").relative_to(tmp_path)

    return write


@pytest.fixture
def loads(write: Write) -> Loads:
    return lambda text="", *, head=HEAD: load_recipe(write(text, head=head))


@pytest.fixture
def problems(write: Write) -> Problems:
    def problems(text: str, *, head: str = HEAD) -> list[str]:
        with pytest.raises(RecipeError) as caught:
            load_recipe(write(text, head=head))
        return str(caught.value).splitlines()

    return problems
