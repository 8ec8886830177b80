"""Plans are made from values alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.plan.world import RECIPE, plan_of, recipe_of, supplies

from lfbuild.archive.source import BytesSource
from lfbuild.errors import RecipeError
from lfbuild.formats.resources import WindowsFacts
from lfbuild.plan import unknown_flags

if TYPE_CHECKING:
    from pathlib import Path


def test_members_come_in_the_order_of_the_file_with_weights_first(tmp_path: Path) -> None:
    plan = plan_of(recipe_of(tmp_path))

    assert [(member.name, member.place, member.role) for member in plan.files[0].members] == [
        ("tiny.gguf", "aligned", "weights"),
        ("docs/prompt.txt", "body", "file"),
        (".args", "tail", "args"),
        (".lfbuild/args/serve", "tail", "args"),
        (".lfbuild/args/completion", "tail", "args"),
        (".lfbuild/args/bench", "tail", "args"),
        (".lfbuild/recipe.toml", "tail", "recipe"),
    ]
    assert plan.files[0].members[1].mode == 0o755
    assert plan.files[0].members[0].license == "MIT"


def test_default_arguments_begin_with_the_verb_and_name_the_model_inside(tmp_path: Path) -> None:
    plan = plan_of(recipe_of(tmp_path))

    contents = {
        member.name: member.source.data for member in plan.files[0].members if isinstance(member.source, BytesSource)
    }
    assert contents[".args"] == b"cli\n-m\n/zip/tiny.gguf\n--temp\n0\n...\n"
    assert contents[".lfbuild/args/serve"] == b"-m\n/zip/tiny.gguf\n--temp\n0\n--host\n127.0.0.1\n...\n"
    assert contents[".lfbuild/args/bench"] == b"-m\n/zip/tiny.gguf\n...\n"
    assert contents[".lfbuild/recipe.toml"] == b"the text"


def test_cmake_options_are_written_as_cmake_reads_them(tmp_path: Path) -> None:
    assert plan_of(recipe_of(tmp_path)).engine_jobs[0].options == (("GGML_LTO", "ON"),)


def test_what_windows_is_told_of_the_program_comes_from_the_recipe(tmp_path: Path) -> None:
    assert plan_of(recipe_of(tmp_path)).windows == WindowsFacts(
        product="chat", description="chat", version="0.1.0", filename="chat.exe"
    )


def test_an_icon_that_is_none_is_told_before_anything_is_compiled(tmp_path: Path) -> None:
    text = RECIPE.replace('name = "chat"', 'name = "chat"\nicon = "chat.ico"').replace("linux-x86_64", "windows-x86_64")

    with pytest.raises(RecipeError) as caught:
        plan_of(recipe_of(tmp_path, text), supplies(icon=b"GIF89a"))

    assert str(caught.value) == f"{tmp_path}/chat.toml:3: llamafile.icon: is not an .ico file"


def test_a_flag_that_the_engine_does_not_have_is_told_with_the_one_that_was_meant(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, RECIPE.replace("--temp", "--tempp"))

    problems = [str(problem) for problem in unknown_flags(recipe, frozenset({"--temp", "--host", "-m"}))]

    assert problems == [
        f"{tmp_path}/chat.toml:19: args.common: llama.cpp 0.3.36 has no flag '--tempp', did you mean '--temp'?"
    ]


def test_numbers_below_zero_and_a_lone_dash_are_no_flags(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, RECIPE.replace('"--temp", "0"', '"--temp", "-1", "-", "..."'))

    assert list(unknown_flags(recipe, frozenset({"--temp", "--host"}))) == []


def test_nothing_is_said_of_flags_where_the_engines_own_are_not_known(tmp_path: Path) -> None:
    assert list(unknown_flags(recipe_of(tmp_path), frozenset())) == []
