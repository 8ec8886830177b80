"""A source tree tells its verbs, flags and architectures without being run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfbuild.engine.source import Verb, read_architectures, read_flags, read_verbs

if TYPE_CHECKING:
    from pathlib import Path

ARG_CPP = """
    add_opt(common_arg(
        {"-h", "--help", "--usage"},
        "print usage and exit, unlike \\"--no-such-flag\\"",
    add_opt(common_arg(
        {"--display-prompt"},
        {"--no-display-prompt"},
        string_format("whether to print"),
    ).set_examples({LLAMA_EXAMPLE_CLI}).set_env("LLAMA_ARG_X"));
    add_opt(common_arg({"-m"}, "FNAME", "model"));
"""
BENCH_CPP = """
    if (arg == "-h" || arg == "--n-gen") { }
    if (strcmp(argv[i], "--allow-requantize") == 0) { }
"""
APP_CPP = """
static const command cmds[] = {
    {"serve",         "HTTP API server",   {"server"},   false, llama_server},
    {"fit-params",    "Compute",           {},           true,  llama_fit_params},
};
"""


def write_tree(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_cpp", ".cpp")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_flags_are_those_of_the_common_parser_and_of_the_tools(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, common__arg_cpp=ARG_CPP, tools__bench__bench_cpp=BENCH_CPP)

    assert read_flags(tree) == {
        *("-h", "--help", "--usage", "--display-prompt", "--no-display-prompt", "-m"),
        *("--n-gen", "--allow-requantize"),
    }


def test_verbs_come_in_the_programs_order_with_their_aliases(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, app__llama_cpp=APP_CPP)

    assert read_verbs(tree) == (Verb(name="serve", aliases=("server",)), Verb(name="fit-params", aliases=()))


def test_a_tree_laid_out_otherwise_tells_nothing(tmp_path: Path) -> None:
    assert read_flags(tmp_path) == frozenset()
    assert read_verbs(tmp_path) == ()


def test_model_architectures_are_those_there_is_code_for(tmp_path: Path) -> None:
    table = '{ LLM_ARCH_LLAMA,  "llama"  },\n    { LLM_ARCH_GEMMA3, "gemma3" },\n'
    tree = write_tree(tmp_path)
    (tree / "src").mkdir()
    (tree / "src" / "llama-arch.cpp").write_text(table, encoding="utf-8")

    assert read_architectures(tree) == {"llama", "gemma3"}
    assert read_architectures(tmp_path / "elsewhere") == frozenset()
