from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lfbuild import __version__
from lfbuild.cli import words
from lfbuild.cli.verbs.completion import completers

if TYPE_CHECKING:
    from conftest import Lfbuild

FREE_TEXT = {
    *("ADDRESS", "AGE", "COMMAND", "LICENSE", "MEMBER", "N", "NAME", "NAME=PATH", "PROGRAM", "RATE", "SIZE", "TAG"),
    *("TARGET", "TEXT", "URI", "URL", "VERSION", "[NAME=]PATH", "[VERB=]WORDS"),
}


@pytest.mark.parametrize("verb", words.VERBS)
def test_the_help_of_every_verb_has_examples_and_the_options_that_hold_everywhere(lfbuild: Lfbuild, verb: str) -> None:
    told = lfbuild(verb, "--help")

    assert told.code == 0
    assert told.err == ""
    assert f"\nexamples:\n  lfbuild {verb} " in told.out or f"\n  lfbuild {verb} " in told.out
    assert "options that hold everywhere:" in told.out


def test_the_help_names_every_verb(lfbuild: Lfbuild) -> None:
    told = lfbuild("--help")

    assert told.code == 0
    assert all(f"\n    {verb} " in told.out for verb in words.VERBS)


def test_the_version_is_told(lfbuild: Lfbuild) -> None:
    told = lfbuild("--version")

    assert (told.code, told.out) == (0, f"lfbuild {__version__}\n")


def test_without_a_word_the_way_to_the_help_is_told(lfbuild: Lfbuild) -> None:
    told = lfbuild()

    assert told.code == 2
    assert told.out == ""
    assert told.err == (
        "lfbuild: command line: a verb or a recipe is missing\n"
        "lfbuild: hint: `lfbuild --help` shows what can stand here\n"
    )


def test_a_misspelled_verb_is_met_with_the_one_that_was_meant(lfbuild: Lfbuild) -> None:
    told = lfbuild("biuld", "chat.toml")

    assert told.code == 2
    assert told.err == (
        "lfbuild: command line: 'biuld' is neither a verb nor a recipe, did you mean 'build'?\n"
        "lfbuild: hint: `lfbuild --help` shows what can stand here\n"
    )


def test_a_misspelled_option_is_met_with_the_one_that_was_meant(lfbuild: Lfbuild) -> None:
    told = lfbuild("build", "chat.toml", "--lokced")

    assert told.code == 2
    assert told.err.startswith("lfbuild: build: unknown option '--lokced', did you mean '--locked'?\n")


def test_an_abbreviated_option_is_not_guessed(lfbuild: Lfbuild) -> None:
    told = lfbuild("build", "chat.toml", "--lock")

    assert told.code == 2
    assert told.err.startswith("lfbuild: build: unknown option '--lock', did you mean '--locked'?\n")


def test_a_word_too_many_is_named(lfbuild: Lfbuild) -> None:
    told = lfbuild("list", "one.llamafile", "two.llamafile")

    assert told.code == 2
    assert told.err.startswith("lfbuild: list: 'two.llamafile' is one word too many\n")


def test_a_word_too_few_is_named(lfbuild: Lfbuild) -> None:
    told = lfbuild("list")

    assert told.code == 2
    assert told.err.startswith("lfbuild: list: the following arguments are required: FILE\n")


def test_a_model_is_no_recipe_and_the_hint_says_how_to_get_one(lfbuild: Lfbuild) -> None:
    told = lfbuild("model.gguf")

    assert told.code == 2
    assert told.err == (
        "lfbuild: model.gguf: this is a model, and lfbuild builds from a recipe\n"
        "lfbuild: hint: `lfbuild new model.gguf` writes one for it\n"
    )


def test_a_folder_is_no_recipe(lfbuild: Lfbuild, tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()

    told = lfbuild("recipes")

    assert told.code == 2
    assert told.err.startswith("lfbuild: recipes: this is a folder, and lfbuild builds from a recipe\n")


@pytest.mark.parametrize(
    "given",
    [
        ["chat.toml"],
        ["chat.toml", "-o", "out", "--locked"],
        ["--json", "chat.toml"],
        ["--cache-dir", "kept", "chat.toml"],
        ["-o", "out.toml", "-j", "2", "chat.toml"],
    ],
)
def test_a_recipe_as_the_first_word_is_built(given: list[str]) -> None:
    arguments = words.parse(given)

    assert arguments.verb == "build"
    assert str(arguments.recipe) == "chat.toml"


def test_a_recipe_may_have_any_name_when_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "recipe").write_text("")

    assert words.parse(["recipe"]).verb == "build"


def test_a_file_that_is_named_as_a_verb_is_not_taken_for_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "doctor").write_text("")

    assert words.parse(["doctor"]).verb == "doctor"


def test_the_options_whose_value_is_skipped_are_those_of_build_that_take_one() -> None:
    _, subparsers = words.make_parser()
    with_value = {
        option
        for action in subparsers.parsers["build"]._actions
        if action.nargs is None
        for option in action.option_strings
    }

    assert with_value == words.VALUE_OPTIONS


def test_every_word_that_is_no_free_text_is_completed() -> None:
    _, subparsers = words.make_parser()
    wordy = [it for verb in subparsers.parsers.values() for it in verb._actions if it.nargs != 0 and not it.choices]

    assert {str(it.metavar) for it in wordy} == {*completers(), *FREE_TEXT}


def test_what_is_written_is_called_alike_everywhere() -> None:
    _, subparsers = words.make_parser()
    outputs = [it.metavar for verb in subparsers.parsers.values() for it in verb._actions if "-o" in it.option_strings]

    assert set(outputs) == {"OUT", "FOLDER"}


@pytest.mark.parametrize("given", [["--json", "doctor"], ["doctor", "--json"], ["--json", "doctor", "--json"]])
def test_an_option_that_holds_everywhere_stands_before_or_behind_the_verb(given: list[str]) -> None:
    arguments = words.parse(given)

    assert arguments.json is True
    assert arguments.quiet is False


@pytest.mark.parametrize(("text", "size_bytes"), [("4096", 4096), ("1.5K", 1536), ("20G", 20 << 30), ("2MiB", 2 << 20)])
def test_a_size_is_written_in_powers_of_1024(text: str, size_bytes: int) -> None:
    assert words.parse(["cache", "prune", "--max-size", text]).max_size == size_bytes


@pytest.mark.parametrize(("text", "seconds"), [("90m", 5400), ("12h", 43200), ("30d", 30 * 86400), ("1w", 604800)])
def test_an_age_is_written_with_its_unit(text: str, seconds: float) -> None:
    assert words.parse(["cache", "prune", "--older-than", text]).older_than == seconds


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            "cache prune --max-size much",
            "cache: argument --max-size: 'much' is not a size; write it as 500k, 2M or 10G",
        ),
        ("cache prune --older-than 30", "cache: argument --older-than: '30' is not an age; write it as 12h, 30d or 8w"),
        ("build a.toml -j 0", "build: argument -j/--jobs: '0' is not a whole number from 1 up"),
    ],
)
def test_a_value_that_cannot_be_understood_is_told_with_how_to_write_it(
    lfbuild: Lfbuild, given: str, told: str
) -> None:
    refused = lfbuild(*given.split())

    assert refused.code == 2
    assert refused.err.splitlines()[0] == f"lfbuild: {told}"


@pytest.mark.parametrize(
    "given",
    [
        ["swap", "a", "--name"],
        ["swap", "a", "--version"],
        ["swap", "a", "--args"],
        ["swap", "a", "--update-url"],
        ["import", "a", "--name"],
        ["import", "a", "--version"],
        ["index", "a", "--file-url"],
        ["release", "a", "-o", "b", "--builder"],
    ],
)
def test_text_that_is_to_be_written_has_to_be_utf_8(lfbuild: Lfbuild, given: list[str]) -> None:
    refused = lfbuild(*given, "\udcff")

    assert refused.code == 2
    assert refused.err.splitlines()[0] == f"lfbuild: {given[0]}: argument {given[-1]}: '\\udcff' is not UTF-8"


def test_a_command_that_signs_has_its_quotes_closed(lfbuild: Lfbuild) -> None:
    refused = lfbuild("swap", "a", "--name", "x", "--sign", "true '")

    assert refused.code == 2
    assert refused.err.splitlines() == [
        "lfbuild: swap: argument --sign: 'true '' has a quote that is never closed",
        "lfbuild: hint: as in --sign 'signtool sign {file}'",
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("toolchain install --from x cosmocc", {"kind": "cosmocc", "archive": Path("x")}),
        ("toolchain --json install cosmocc", {"action": "install", "kind": "cosmocc", "json": True}),
        ("update F --check URL", {"url": "URL", "check": True}),
        ("extract F -d q MEMBER", {"members": ["MEMBER"], "directory": Path("q")}),
        ("extract F one -dq two --force three", {"members": ["one", "two", "three"], "directory": Path("q")}),
        ("extract F one -qd q two", {"members": ["one", "two"], "directory": Path("q"), "quiet": True}),
        ("extract F -- -d q", {"members": ["-d", "q"], "directory": None}),
        ("release a.toml -o r b.toml", {"recipes": [Path("a.toml"), Path("b.toml")], "output": Path("r")}),
        ("release a.toml --output=r b.toml", {"recipes": [Path("a.toml"), Path("b.toml")], "output": Path("r")}),
        ("apply OLD -o NEW -", {"old": Path("OLD"), "deltas": ["-"]}),
    ],
)
def test_options_may_stand_between_other_words(given: str, expected: dict[str, object]) -> None:
    arguments = vars(words.parse(given.split()))

    assert {name: arguments[name] for name in expected} == expected


def test_text_with_a_dash_and_spaces_is_a_value() -> None:
    arguments = words.parse(["swap", "F", "--args", "-c 9", "--args=-c 9", "--name", "x"])

    assert (arguments.args, arguments.name) == (["-c 9", "-c 9"], "x")
