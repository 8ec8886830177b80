"""An order's key sees everything that decides the bytes, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lfbuild
from lfbuild.engine.job import LLAMA_CPP, EngineJob, digest_folder, stubs_folder
from lfbuild.engine.zig import TRIPLES, Zig
from lfbuild.errors import ToolError

if TYPE_CHECKING:
    from lfbuild.engine.toolchain import Toolchain

ZIG = Zig(program=Path("/opt/zig"), version="0.17.1")


@pytest.fixture
def order(tmp_path: Path) -> EngineJob:
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    (stubs / "layer.c").write_text("int layer;\n", encoding="utf-8")
    (stubs / "tests").mkdir()
    return EngineJob(
        version="0.3.36",
        source=tmp_path / "source",
        source_sha256="5" * 64,
        target="linux-x86_64",
        cpus=("x86-64-v3",),
        toolchain=ZIG,
        stubs=stubs,
    )


def test_where_things_are_and_how_they_are_launched_is_not_in_the_key(order: EngineJob) -> None:
    elsewhere = replace(
        order,
        source=Path("/elsewhere"),
        launcher="ccache",
        toolchain=Zig(program=Path("/usr/lib/zig"), version="0.17.1"),
    )

    assert elsewhere.key() == order.key()


def test_two_spellings_of_a_level_are_one_order(order: EngineJob) -> None:
    assert replace(order, cpus=("x86-64-v2+fma",)).key() == replace(order, cpus=("x86-64-v2+fma+avx",)).key()


@pytest.mark.parametrize(
    "change",
    [
        {"version": "0.3.37"},
        {"source_sha256": "6" * 64},
        {"folder": "vendor/llama.cpp"},
        {"cpus": ("x86-64-v4",)},
        {"target": "linux-aarch64", "cpus": ("armv8-a",)},
        {"toolchain": Zig(program=Path("/opt/zig"), version="0.18.0")},
        {"options": (("GGML_CPU_REPACK", "OFF"),)},
        {"ui": True},
        {"project": replace(LLAMA_CPP, cmake_target="llama-cli")},
        {"project": replace(LLAMA_CPP, stubs=False)},
    ],
)
def test_what_decides_the_bytes_is_in_the_key(order: EngineJob, change: dict[str, object]) -> None:
    assert replace(order, **change).key() != order.key()  # type: ignore[arg-type]  # fields by name


def test_our_own_layer_is_in_the_key_but_its_tests_and_the_launcher_are_not(order: EngineJob) -> None:
    before = order.key()
    (order.stubs / "tests" / "test_layer.c").write_text("int test;\n", encoding="utf-8")
    (order.stubs / "launcher").mkdir()
    (order.stubs / "launcher" / "launcher.c").write_text("int main;\n", encoding="utf-8")
    assert order.key() == before

    (order.stubs / "layer.c").write_text("long layer;\n", encoding="utf-8")
    assert order.key() != before


def test_the_recipes_options_have_the_last_word(order: EngineJob) -> None:
    (goal,) = order.goals()
    options = replace(order, options=(("GGML_AVX2", "OFF"), ("LLAMA_OPENSSL", "ON"))).cmake_options(goal)

    assert (options["GGML_AVX2"], options["LLAMA_OPENSSL"], options["GGML_FMA"]) == ("OFF", "ON", "ON")


def test_build_number_and_commit_come_from_the_order_and_never_from_git(order: EngineJob) -> None:
    options = order.cmake_options(order.goals()[0])

    assert (options["LLAMA_BUILD_NUMBER"], options["LLAMA_BUILD_COMMIT"]) == ("0", "5" * 12)
    assert (options["LFBUILD_CPU"], options["LFBUILD_ENGINE_VERSION"]) == ("x86-64-v3", "llama.cpp 0.3.36")


@pytest.mark.parametrize(("target", "program"), [("linux-x86_64", "bin/llama"), ("windows-x86_64", "bin/llama.exe")])
def test_a_program_is_called_as_its_system_wants_it(order: EngineJob, target: str, program: str) -> None:
    assert replace(order, target=target).program == program


def test_the_verbs_other_spellings_are_compiled_in(order: EngineJob, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    table = """
    {"serve", "HTTP API server", {"server"}, false, llama_server},
    {"update", "Update llama", {}, true, llama_update},
    {"completion", "Text completion", {"complete", "text"}, true, llama_completion},
"""
    (tmp_path / "app" / "llama.cpp").write_text(table, encoding="utf-8")
    known = replace(order, source=tmp_path)

    assert known.cmake_options(known.goals()[0])["LFBUILD_VERB_ALIASES"] == (
        "server=serve,complete=completion,text=completion"
    )
    assert order.cmake_options(order.goals()[0])["LFBUILD_VERB_ALIASES"] == ""


def test_programs_come_in_the_order_of_the_targets_architectures(order: EngineJob, compiler: Toolchain) -> None:
    fat = replace(order, toolchain=compiler, target="both", cpus=("armv8-a", "x86-64-v2"))

    assert [goal.architecture for goal in fat.goals()] == ["x86_64", "aarch64"]


def test_the_levels_of_a_program_come_best_first_and_once(order: EngineJob) -> None:
    (goal,) = replace(order, cpus=("x86-64-v2", "x86-64-v4", "x86-64-v3", "x86-64-v2+avx2+bmi2+f16c+fma")).goals()

    assert [level.name for level in goal.levels] == ["x86-64-v4", "x86-64-v3", "x86-64-v2"]
    assert goal.least.name == "x86-64-v2"


def test_the_order_of_levels_is_not_in_the_key(order: EngineJob) -> None:
    one, other = ("x86-64-v2", "x86-64-v4"), ("x86-64-v4", "x86-64-v2")

    assert replace(order, cpus=one).key() == replace(order, cpus=other).key()
    assert replace(order, cpus=one).key() != replace(order, cpus=("x86-64-v2",)).key()


def test_each_level_is_told_to_cmake_by_its_tag(order: EngineJob) -> None:
    (goal,) = replace(order, cpus=("x86-64-v3", "x86-64-v2")).goals()
    options = replace(order, cpus=("x86-64-v3", "x86-64-v2")).cmake_options(goal)

    assert options["LFBUILD_VARIANTS"] == "x86_64_v3;x86_64_v2"
    assert (options["LFBUILD_CPU"], options["LFBUILD_LEVEL_x86_64_v3"]) == ("x86-64-v2", "x86-64-v3")
    assert options["LFBUILD_OPTIONS_x86_64_v2"] == options["LFBUILD_SCORED_x86_64_v2"] == "GGML_SSE42"
    assert options["GGML_AVX2"] == "OFF"


@pytest.mark.parametrize(
    ("target", "cpus", "what"),
    [
        ("freebsd-x86_64", ("x86-64-v3",), f"zig makes no files for it, only for {', '.join(TRIPLES)}"),
        ("linux-x86_64", ("armv8-a",), "needs CPU levels of x86_64, not armv8-a"),
        ("linux-x86_64", ("x86-64-v2", "armv8-a"), "needs CPU levels of x86_64, not x86-64-v2, armv8-a"),
        ("linux-x86_64", (), "needs CPU levels of x86_64, not none"),
    ],
)
def test_a_target_and_levels_that_do_not_fit_are_refused(
    order: EngineJob, target: str, cpus: tuple[str, ...], what: str
) -> None:
    with pytest.raises(ToolError) as caught:
        replace(order, target=target, cpus=cpus).goals()

    assert str(caught.value) == f"{target}: {what}"


def test_facts_tell_what_the_engine_was_made_from(order: EngineJob) -> None:
    facts = replace(order, cpus=("x86-64-v3+avx512vnni",)).facts()

    assert facts.cpus == ("x86-64-v4+avx512vnni",)
    assert (facts.toolchain.kind, facts.toolchain.version, facts.toolchain.sha256) == ("zig", "0.17.1", "")
    assert facts.stubs_sha256 == digest_folder(order.stubs)


def test_a_folders_digest_is_over_names_and_contents(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, name in ((first, "a"), (second, "b")):
        folder.mkdir()
        (folder / name).write_bytes(b"same")

    assert digest_folder(first) != digest_folder(second)
    (second / "b").rename(second / "a")
    assert digest_folder(first) == digest_folder(second)


def test_the_checkout_has_its_stubs_beside_the_package() -> None:
    assert stubs_folder() == Path(lfbuild.__file__).parents[2] / "stubs"
