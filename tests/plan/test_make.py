"""Plans are made from values alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lfbuild.archive.source import BytesSource
from lfbuild.engine.cosmocc import Cosmocc
from lfbuild.engine.zig import Zig
from lfbuild.errors import RecipeError
from lfbuild.formats.blocks import Cuts
from lfbuild.manifest.model import Origin
from lfbuild.plan import SuppliedFile, Supplies, make_plan, unknown_flags
from lfbuild.recipe import load_recipe

if TYPE_CHECKING:
    from lfbuild.engine.toolchain import Toolchain
    from lfbuild.plan import Plan
    from lfbuild.recipe import Recipe

RECIPE = """\
[llamafile]
name = "chat"
[engine]
source = { pypi = "llama-cpp-python==0.3.36", folder = "vendor/llama.cpp" }
options = { GGML_LTO = true }
[toolchain]
kind = "zig"
[targets]
cpus = ["x86-64-v3"]
[[model]]
source = { path = "tiny.gguf" }
license = "MIT"
[[file]]
name = "docs/prompt.txt"
source = { path = "prompt.txt" }
mode = "0755"
[args]
common = ["--temp", "0"]
[args.serve]
arguments = ["--host", "127.0.0.1"]
[archive]
engine-room = "50 %"
"""


def recipe_of(folder: Path, text: str = RECIPE) -> Recipe:
    path = folder / "chat.toml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path)


def supplied(name: str, size: int = 1000) -> SuppliedFile:
    return SuppliedFile(
        name=name,
        path=Path("/somewhere") / name,
        size_bytes=size,
        origin=Origin(kind="path", location=name),
        cuts=Cuts.plain(size),
    )


ZIG = Zig(program=Path("/somewhere/zig"), version="0.17.1")
COSMOCC = Cosmocc(root=Path("/somewhere/cosmocc"), version="4.0.2", sha256="cd" * 32)


def supplies(*, target: str = "linux-x86_64", size: int = 1000, toolchain: Toolchain = ZIG) -> Supplies:
    return Supplies(
        source=Path("/somewhere/llama.cpp"),
        source_sha256="ab" * 32,
        folder="vendor/llama.cpp",
        toolchain=toolchain,
        target=target,
        models=((supplied("tiny.gguf", size),),),
        files=(supplied("docs/prompt.txt"),),
    )


def plan_of(recipe: Recipe, given: Supplies | None = None) -> Plan:
    return make_plan(
        recipe, given or supplies(), text=b"the text", output=Path("chat.llamafile"), epoch=315532800, launcher=None
    )


def test_members_come_in_the_order_of_the_file_with_weights_first(tmp_path: Path) -> None:
    plan = plan_of(recipe_of(tmp_path))

    assert [(member.name, member.place, member.role) for member in plan.members] == [
        ("tiny.gguf", "aligned", "weights"),
        ("docs/prompt.txt", "body", "file"),
        (".args", "tail", "args"),
        (".lfbuild/args/serve", "tail", "args"),
        (".lfbuild/args/completion", "tail", "args"),
        (".lfbuild/args/bench", "tail", "args"),
        (".lfbuild/recipe.toml", "tail", "recipe"),
    ]
    assert plan.members[1].mode == 0o755
    assert plan.members[0].license == "MIT"


def test_default_arguments_begin_with_the_verb_and_name_the_model_inside(tmp_path: Path) -> None:
    plan = plan_of(recipe_of(tmp_path))

    contents = {member.name: member.source.data for member in plan.members if isinstance(member.source, BytesSource)}
    assert contents[".args"] == b"cli\n-m\n/zip/tiny.gguf\n--temp\n0\n...\n"
    assert contents[".lfbuild/args/serve"] == b"-m\n/zip/tiny.gguf\n--temp\n0\n--host\n127.0.0.1\n...\n"
    assert contents[".lfbuild/args/bench"] == b"-m\n/zip/tiny.gguf\n...\n"
    assert contents[".lfbuild/recipe.toml"] == b"the text"


def test_cmake_options_are_written_as_cmake_reads_them(tmp_path: Path) -> None:
    assert plan_of(recipe_of(tmp_path)).engine_job.options == (("GGML_LTO", "ON"),)


def test_a_toolchain_for_another_architecture_than_the_recipes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        plan_of(recipe_of(tmp_path), supplies(target="linux-aarch64"))

    assert str(caught.value) == (
        f"{tmp_path}/chat.toml:9: targets.cpus: names x86-64-v3, but zig compiles for aarch64 here"
    )


def test_a_flag_that_the_engine_does_not_have_is_told_with_the_one_that_was_meant(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, RECIPE.replace("--temp", "--tempp"))

    problems = [str(problem) for problem in unknown_flags(recipe, frozenset({"--temp", "--host", "-m"}))]

    assert problems == [
        f"{tmp_path}/chat.toml:18: args.common: llama.cpp 0.3.36 has no flag '--tempp', did you mean '--temp'?"
    ]


def test_numbers_below_zero_and_a_lone_dash_are_no_flags(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, RECIPE.replace('"--temp", "0"', '"--temp", "-1", "-", "..."'))

    assert list(unknown_flags(recipe, frozenset({"--temp", "--host"}))) == []


def test_nothing_is_said_of_flags_where_the_engines_own_are_not_known(tmp_path: Path) -> None:
    assert list(unknown_flags(recipe_of(tmp_path), frozenset())) == []


def test_a_file_for_windows_over_4_gib_is_told_at_plan_time(tmp_path: Path) -> None:
    both = recipe_of(tmp_path, RECIPE.replace('["x86-64-v3"]', '["x86-64-v3", "armv8.2-a+dotprod"]'))

    plan = plan_of(both, supplies(target="cosmo", size=5 << 30, toolchain=COSMOCC))

    assert plan.notes == (
        "the file will be over 4 GiB, so Windows cannot start it; keep the weights outside with external = true",
    )
    assert plan_of(both, supplies(target="cosmo", toolchain=COSMOCC)).notes == ()
