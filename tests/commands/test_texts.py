"""Names of files that are no UTF-8: refused where they would stand in what is written, before anything is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.world.edits import launcher_file
from tests.world.models import tiny_gguf
from tests.world.mozilla import write_mozilla_file

from lfbuild.cli import main

if TYPE_CHECKING:
    from pathlib import Path

ODD = "\udcff"
"""A byte that is no UTF-8, as Python has it in paths."""


@pytest.fixture
def files(world: Path) -> list[str]:
    (world / f"{ODD}.gguf").write_bytes(tiny_gguf())
    launcher_file(world)
    write_mozilla_file(world / f"{ODD}.llamafile")
    return sorted(path.name for path in world.iterdir())


@pytest.mark.parametrize(
    ("words", "where", "place"),
    [
        (["index", f"{ODD}.gguf"], f"{ODD}.gguf", "a control file"),
        (["index", "tiny.gguf", "--delta", f"{ODD}.gguf"], f"{ODD}.gguf", "a control file"),
        (["publish", f"{ODD}.gguf", "www"], f"{ODD}.gguf", "a control file"),
        (["diff", f"{ODD}.gguf", "tiny.gguf"], f"{ODD}.gguf", "a difference"),
        (["diff", "tiny.gguf", f"{ODD}.gguf", "-o", "d"], f"{ODD}.gguf", "a difference"),
        (["swap", "tiny.llamafile", "--file", f"x.gguf={ODD}.gguf"], f"{ODD}.gguf", "a manifest"),
        (["swap", f"{ODD}.llamafile", "--version", "2"], f"{{world}}/{ODD}.llamafile", "a manifest"),
        (["import", f"{ODD}.llamafile"], f"{{world}}/{ODD}.llamafile", "a manifest"),
        (["new", f"{ODD}.gguf"], f"{ODD}.gguf", "a recipe"),
    ],
)
def test_a_name_that_is_no_utf_8_is_refused_where_it_would_be_written_down(
    world: Path, files: list[str], capsys: pytest.CaptureFixture[str], words: list[str], where: str, place: str
) -> None:
    assert main([*words, "--quiet"]) == 2

    shown = where.format(world=world).replace(ODD, "\\udcff")
    assert capsys.readouterr().err == (
        f"lfbuild: {shown}: its name is not UTF-8, as all text in {place} is\nlfbuild: hint: rename it\n"
    )
    assert sorted(path.name for path in world.iterdir()) == files


def test_a_model_of_such_a_name_gets_none_in_a_file(
    world: Path, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["swap", "tiny.llamafile", "--model", f"{ODD}.gguf", "--quiet"]) == 2

    sentence = "lfbuild: tiny.llamafile: --model: the name '\\udcff.gguf' is not valid Unicode\n"
    assert capsys.readouterr().err == sentence
    assert sorted(path.name for path in world.iterdir()) == files


def test_a_file_of_such_a_name_is_imported_under_another(world: Path, files: list[str]) -> None:
    assert main(["import", f"{ODD}.llamafile", "--name", "chat", "--quiet"]) == 0
