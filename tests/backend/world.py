"""A project with a recipe of its own, beside a tiny model and an engine's tiny source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.commands.world import RECIPE, keep_engines

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PYPROJECT = """\
[build-system]
requires = ["lfbuild"]
build-backend = "lfbuild.backend"

[project]
name = "Acme.Chat"
dynamic = ["version", "license"]
description = "A tiny chat"
readme = "README.md"
license-files = ["LICENSE"]

[tool.lfbuild]
recipe = "chat.toml"
"""
CHAT = RECIPE.replace('name = "chat"\n', 'name = "chat"\nversion = "1.2"\n').replace(
    'path = "tiny.gguf" }\n', 'path = "tiny.gguf" }\nlicense = "Apache-2.0"\n'
)
LINUX = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "musllinux_1_1_x86_64")
WHEEL = f"acme_chat-1.2-py3-none-{'.'.join(LINUX)}.whl"


def make_project(folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Write the project, and keep the engine of its one target."""
    (folder / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (folder / "chat.toml").write_text(CHAT, encoding="utf-8")
    (folder / "README.md").write_text("# Acme\n", encoding="utf-8")
    (folder / "LICENSE").write_text("do as you like\n", encoding="utf-8")
    keep_engines(folder, capsys)
    return folder
