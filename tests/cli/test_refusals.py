from __future__ import annotations

import ast
import errno
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import lfbuild as lfbuild_package
from lfbuild import errors
from lfbuild.cli import refusals
from lfbuild.cli.verbs import doctor
from lfbuild.errors import FROM_THE_BEGINNING, KEPT, FormatError, LfbuildError, Problem, RecipeError, command

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Lfbuild

    FailWith = Callable[[BaseException], None]

PACKAGES = {"cyclonedx": "cyclonedx_python_lib", "backports": "backports.zstd"}
"""What a package is called where it is not called as it is imported."""
BROUGHT_ALONG = {"botocore", "packaging", "pydantic_core", "requests"}
"""Come with a package that is imported before them."""
IN_PYTHON_314 = {"compression"}


@pytest.fixture
def fail_with(monkeypatch: pytest.MonkeyPatch) -> FailWith:
    """Makes `lfbuild doctor` raise."""

    def arrange(error: BaseException) -> None:
        def run(arguments: object, context: object) -> int:
            raise error

        monkeypatch.setattr(doctor, "run", run)

    return arrange


def test_what_a_hint_tells_to_type_is_quoted_for_a_shell_where_it_has_to_be() -> None:
    assert command("recover", Path("models/chat.llamafile")) == "lfbuild recover models/chat.llamafile"
    assert command("update", Path("my chat.llamafile"), "URL") == "lfbuild update 'my chat.llamafile' URL"


def test_every_class_of_refusal_has_an_exit_code_of_its_own() -> None:
    classes = [it for it in vars(errors).values() if isinstance(it, type) and issubclass(it, LfbuildError)]
    codes = [it.exit_code for it in classes]
    reserved = [refusals.INTERRUPTED_EXIT_CODE, refusals.BROKEN_PIPE_EXIT_CODE, refusals.TERMINATED_EXIT_CODE]

    assert len(classes) == 8
    assert len({0, *codes, *reserved}) == 1 + len(codes) + len(reserved)


def test_a_refusal_is_one_sentence_and_a_hint_on_stderr(lfbuild: Lfbuild, fail_with: FailWith) -> None:
    fail_with(FormatError("chat.llamafile", "truncated at byte 7", hint="fetch it again"))

    told = lfbuild("doctor")

    assert told.code == 4
    assert told.out == ""
    assert told.err == "lfbuild: chat.llamafile: truncated at byte 7\nlfbuild: hint: fetch it again\n"


def test_each_problem_of_a_recipe_has_a_line(lfbuild: Lfbuild, fail_with: FailWith) -> None:
    problems = [
        Problem(where="chat.toml:3", key="llamafile.nmae", what="unknown key, did you mean 'name'?"),
        Problem(where="chat.toml:9", key="args.verb", what="must be text"),
    ]
    fail_with(RecipeError("chat.toml", problems))

    told = lfbuild("doctor")

    assert told.code == 2
    assert told.err == (
        "lfbuild: chat.toml:3: llamafile.nmae: unknown key, did you mean 'name'?\n"
        "lfbuild: chat.toml:9: args.verb: must be text\n"
    )


def test_the_last_lines_of_a_compiler_stand_below_the_sentence(lfbuild: Lfbuild, fail_with: FailWith) -> None:
    fail_with(LfbuildError("ninja", "a compile failed:\na.c:1: error\n1 error"))

    assert lfbuild("doctor").err == "lfbuild: ninja: a compile failed:\n  a.c:1: error\n  1 error\n"


def test_a_name_out_of_a_file_cannot_move_the_cursor(lfbuild: Lfbuild, fail_with: FailWith) -> None:
    fail_with(FormatError("evil\x1b[2J\u202egnp.exe", "is damaged"))

    assert lfbuild("doctor").err == "lfbuild: evil\\x1b[2J\\u202egnp.exe: is damaged\n"


def test_with_json_a_refusal_is_one_object(lfbuild: Lfbuild, fail_with: FailWith) -> None:
    fail_with(RecipeError("a.toml", [Problem(where="a.toml:1", key="k", what="is wrong")], hint="h"))

    told = lfbuild("doctor", "--json")

    assert told.code == 2
    assert json.loads(told.err) == {
        "event": "error",
        "error": {
            "kind": "RecipeError",
            "where": "a.toml",
            "what": "a.toml:1: k: is wrong",
            "hint": "h",
            "exit_code": 2,
            "problems": [{"where": "a.toml:1", "key": "k", "what": "is wrong"}],
        },
    }


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "permission denied"),
        (errno.ENAMETOOLONG, "the name is too long for this file system"),
    ],
)
def test_what_the_system_refuses_is_told_with_the_path(
    lfbuild: Lfbuild, fail_with: FailWith, number: int, sentence: str
) -> None:
    fail_with(OSError(number, os.strerror(number), "out/chat.llamafile"))

    told = lfbuild("doctor")

    assert told.code == 8
    assert told.err.splitlines()[0] == f"lfbuild: out/chat.llamafile: {sentence}"


def test_a_refusal_of_the_system_without_a_path_is_told_too(lfbuild: Lfbuild, fail_with: FailWith) -> None:
    fail_with(OSError(errno.ENOSPC, "No space left on device"))

    told = lfbuild("doctor")

    assert told.code == 8
    assert told.err.splitlines()[0] == "lfbuild: this machine: the disk is full"


def test_an_interrupt_is_one_line(lfbuild: Lfbuild, fail_with: FailWith) -> None:
    fail_with(KeyboardInterrupt())

    told = lfbuild("doctor", "--verbose")

    assert told.code == 130
    assert told.err == "lfbuild: interrupted: the work was stopped, and what was unfinished is removed\n"


@pytest.mark.parametrize(
    ("words", "notes", "told", "hint"),
    [
        (
            ["update", "F"],
            [KEPT],
            "the work was stopped, and what came is kept",
            "run it again, and it goes on from there; or give it up: lfbuild update FILE --give-up",
        ),
        (
            ["update", "F"],
            [FROM_THE_BEGINNING, KEPT],
            "the work was stopped, and what came is kept",
            f"run it again: {FROM_THE_BEGINNING}; or give it up: lfbuild update FILE --give-up",
        ),
        (["update", "F"], [FROM_THE_BEGINNING], "the work was stopped, and what was unfinished is removed", ""),
        (["update", "F", "--check"], [], "the work was stopped, and what was unfinished is removed", ""),
        (
            ["swap", "F", "--in-place"],
            [],
            "the work was stopped, and an edit that did not count yet is dropped",
            "lfbuild recover FILE finishes an edit that counts already",
        ),
        (["swap", "F", "--name", "x"], [], "the work was stopped, and what was unfinished is removed", ""),
        (
            ["swap", "F", "--engine=chat.toml"],
            [],
            "the work was stopped, and what was unfinished is removed, but for what was fetched",
            "run it again, and it goes on from there",
        ),
        (
            ["--cache-dir", "update", "chat.toml"],
            [],
            "the work was stopped, and what was unfinished is removed, but for what was fetched",
            "run it again, and it goes on from there",
        ),
    ],
)
def test_an_interrupt_tells_what_the_verb_keeps(words: list[str], notes: list[str], told: str, hint: str) -> None:
    stopped = refusals.Terminated()
    for note in notes:
        stopped.add_note(note)

    refusal = refusals.as_refusal(stopped, words)

    assert (str(refusal), refusal.hint) == (f"terminated: {told}", hint)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
@pytest.mark.parametrize("words", [("schema",), ("cache", "list")])  # more than is kept in memory, and less
def test_standard_output_that_takes_nothing_is_told_by_its_name(tmp_path: Path, words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "lfbuild", *words, "--cache-dir", str(tmp_path)]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert (ended.returncode, ended.stderr) == (
        8,
        "lfbuild: standard output: the disk is full\nlfbuild: hint: send it elsewhere, or make room where it goes\n",
    )


def test_a_termination_unwinds_like_an_interrupt(lfbuild: Lfbuild, monkeypatch: pytest.MonkeyPatch) -> None:
    cleaned_up = []

    def run(arguments: object, context: object) -> int:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            cleaned_up.append("yes")
        return 0

    monkeypatch.setattr(doctor, "run", run)
    before = signal.getsignal(signal.SIGTERM)

    told = lfbuild("doctor")

    assert told.code == 143
    assert cleaned_up == ["yes"]
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("module", "package", "command"),
    [
        ("pydantic.types", "pydantic", 'pip install "lfbuild[zig]"'),
        ("cyclonedx", "cyclonedx", 'pip install "lfbuild[release]"'),
        ("blake3", "blake3", "pip install lfbuild"),
    ],
)
def test_a_package_that_is_not_installed_is_told_with_what_installs_it(
    lfbuild: Lfbuild, fail_with: FailWith, module: str, package: str, command: str
) -> None:
    fail_with(ModuleNotFoundError(f"No module named '{module}'", name=module))

    told = lfbuild("doctor")

    assert told.code == 3
    assert told.err == (
        f"lfbuild: {package}: this Python package is needed here and is not installed\n"
        f"lfbuild: hint: {command} installs it and what is needed beside it\n"
    )


def test_the_extra_that_is_named_for_a_package_brings_it() -> None:
    extras = _project()["optional-dependencies"]

    for module, extra in refusals.EXTRAS.items():
        assert PACKAGES.get(module, module) in _brought_by(extra, extras)


def test_an_extra_is_named_for_every_package_that_only_an_extra_brings() -> None:
    always = {_name_of(requirement) for requirement in _project()["dependencies"]}

    for module in _imported() - BROUGHT_ALONG - IN_PYTHON_314:
        assert module in refusals.EXTRAS or PACKAGES.get(module, module) in always, module


def _project() -> dict[str, Any]:
    text = (Path(lfbuild_package.__path__[0]).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    project: dict[str, Any] = tomllib.loads(text)["project"]
    return project


def _name_of(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return name[0].replace("-", "_").lower()


def _brought_by(extra: str, extras: dict[str, list[str]]) -> set[str]:
    """The packages of an extra, and of those of ours that it names."""
    brought: set[str] = set()
    for requirement in extras[extra]:
        ours = re.match(r"lfbuild\[(.*?)\]", requirement)
        brought |= (
            set().union(*(_brought_by(it, extras) for it in ours[1].split(","))) if ours else {_name_of(requirement)}
        )
    return brought


def _imported() -> set[str]:
    """The first word of every import in the package that is neither ours nor Python's."""
    names: set[str] = set()
    for path in Path(lfbuild_package.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"lfbuild"}


def test_a_mistake_of_ours_is_one_sentence_and_a_request(lfbuild: Lfbuild, fail_with: FailWith) -> None:
    fail_with(ZeroDivisionError("division by zero"))

    told = lfbuild("doctor")

    assert told.code == 1
    assert told.err == (
        "lfbuild: a mistake in lfbuild: ZeroDivisionError: division by zero\n"
        "lfbuild: hint: please report it, with what this shows when --verbose is added\n"
    )


@pytest.mark.parametrize("asked_by", ["option", "environment"])
def test_a_traceback_is_shown_when_it_is_asked_for(
    lfbuild: Lfbuild, fail_with: FailWith, monkeypatch: pytest.MonkeyPatch, asked_by: str
) -> None:
    fail_with(ZeroDivisionError("division by zero"))
    if asked_by == "environment":
        monkeypatch.setenv("LFBUILD_DEBUG", "1")

    told = lfbuild("doctor", *(["--verbose"] if asked_by == "option" else []))

    assert told.code == 1
    assert told.err.startswith("Traceback (most recent call last):\n")


@pytest.mark.parametrize("epoch", ["yesterday", "-1", "0", "4354819200", "\u0661"])
def test_an_epoch_that_a_zip_cannot_hold_is_refused(
    lfbuild: Lfbuild, monkeypatch: pytest.MonkeyPatch, epoch: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)

    told = lfbuild("import", "chat.llamafile")

    assert told.code == 2
    assert told.err.startswith("lfbuild: SOURCE_DATE_EPOCH: ")
    assert told.err.endswith("lfbuild: hint: unset it, or set 315532800 for 1980-01-01\n")


@pytest.mark.parametrize("words", [("cache", "list"), ("doctor",), ("toolchain", "list")])
def test_who_dates_nothing_does_not_look_at_the_epoch(
    lfbuild: Lfbuild, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "x")

    assert "SOURCE_DATE_EPOCH" not in lfbuild(*words).err
