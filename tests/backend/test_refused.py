"""What a project, a recipe or a frontend can get wrong: one sentence each, and nothing is written."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest
from tests.backend.world import CHAT, PYPROJECT

from lfbuild import backend
from lfbuild.backend.wishes import Wishes, read_wishes
from lfbuild.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

needs_zig = pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="ziglang is not installed")
Captured = pytest.CaptureFixture[str]


def said_by(hook: Callable[[], object], capsys: Captured) -> tuple[int, str]:
    """The exit code and the words of a hook that refuses."""
    with pytest.raises(backend.Refused) as caught:
        hook()
    return int(str(caught.value.code)), capsys.readouterr().err


def wheel_of(project: Path, **settings: str) -> Callable[[], str]:
    (project / "dist").mkdir(exist_ok=True)
    return lambda: backend.build_wheel(str(project / "dist"), settings)


def test_settings_become_values() -> None:
    given = {"target": ["linux-x86_64,linux-aarch64", "macos-x86_64"], "embed": "no", "locked": "", "jobs": "3"}

    assert read_wishes(given) == Wishes(
        target=("linux-x86_64", "linux-aarch64", "macos-x86_64"), embed=False, locked=True, jobs=3
    )
    assert read_wishes({"cache-dir": "x"}) == read_wishes({"cache_dir": "x"})


def test_every_wrong_setting_is_told_at_once_with_the_one_that_was_meant() -> None:
    with pytest.raises(RecipeError) as caught:
        read_wishes(
            {"targt": "linux-x86_64", "--global-option": "x", "embed": "maybe", "jobs": "0", "recipe": ["a", "b"]}
        )

    known = "target, toolchain, recipe, embed, locked, limit, launcher, jobs, offline, cache-dir"
    assert str(caught.value).splitlines() == [
        "config settings: targt: unknown setting, did you mean 'target'?",
        f"config settings: --global-option: unknown setting; known are {known}",
        "config settings: embed: must be yes or no, not 'maybe'",
        "config settings: jobs: must be a whole number from 1 up, not '0'",
        "config settings: recipe: must have one value",
    ]


@pytest.mark.parametrize("hook", [backend.get_requires_for_build_wheel, backend.get_requires_for_build_sdist])
def test_an_unknown_setting_is_refused_before_anything_is_installed_for_it(
    project: Path, capsys: Captured, hook: Callable[[dict[str, str]], object]
) -> None:
    code, said = said_by(lambda: hook({"embd": "no"}), capsys)

    assert (code, said) == (2, "lfbuild: config settings: embd: unknown setting, did you mean 'embed'?\n")


WRONG = {
    ('"Acme.Chat"', '"acme chat"'): (6, "name"),
    ('["version", "license"]', '["version", "authors"]'): (
        7,
        "project.dynamic: 'authors' cannot be had from a recipe, only version, description, license, dependencies can",
    ),
    ('["version", "license"]', '["license"]'): (
        5,
        'Field "version" missing and \'version\' not specified in "dynamic"',
    ),
    ('["version", "license"]', '["license"]\nversion = "2.0"'): (
        8,
        'project.version: is 2.0, but chat.toml makes version 1.2; write dynamic = ["version"] instead',
    ),
    ('readme = "README.md"', 'readme = "NONE.md"'): (9, "Readme file not found"),
    ('recipe = "chat.toml"', 'recpe = "chat.toml"'): (13, "tool.lfbuild.recpe: unknown key, did you mean 'recipe'?"),
    ('recipe = "chat.toml"', 'recipe = "../chat.toml"'): (
        13,
        "tool.lfbuild.recipe: ../chat.toml is outside of the project, so an sdist could not have it",
    ),
    ('recipe = "chat.toml"', 'recipe = "chat.toml"\n[tool.lfbuild.wheel]\nlimt = 1'): (
        15,
        "tool.lfbuild.wheel.limt: unknown key, did you mean 'limit'?",
    ),
}


@pytest.mark.parametrize(("change", "told"), WRONG.items())
def test_a_wrong_pyproject_is_told_with_its_line(
    project: Path, capsys: Captured, change: tuple[str, str], told: tuple[int, str]
) -> None:
    (project / "pyproject.toml").write_text(PYPROJECT.replace(*change), encoding="utf-8")

    code, said = said_by(lambda: backend.prepare_metadata_for_build_wheel(str(project)), capsys)

    line, what = told
    assert code == 2
    assert said.startswith(f"lfbuild: {project}/pyproject.toml:{line}: ")
    assert what in said


def test_a_pyproject_without_a_recipe_says_what_to_add(project: Path, capsys: Captured) -> None:
    (project / "pyproject.toml").write_text(PYPROJECT.replace("[tool.lfbuild]", "[tool.other]"), encoding="utf-8")

    code, said = said_by(lambda: backend.prepare_metadata_for_build_wheel(str(project)), capsys)

    assert code == 2
    assert said == (
        f"lfbuild: {project}/pyproject.toml: has no [tool.lfbuild], so there is no recipe to build\n"
        'lfbuild: hint: add: [tool.lfbuild] and in it recipe = "chat.toml"\n'
    )


def test_a_recipe_that_is_not_there_is_told_by_its_name(project: Path, capsys: Captured) -> None:
    (project / "chat.toml").unlink()

    code, said = said_by(lambda: backend.build_sdist(str(project)), capsys)

    assert (code, said) == (2, f"lfbuild: {project}/chat.toml: does not exist\n")


def test_a_model_outside_of_the_project_cannot_be_in_an_sdist(project: Path, capsys: Captured) -> None:
    (project / "chat.toml").write_text(CHAT.replace('"tiny.gguf"', '"../tiny.gguf"'), encoding="utf-8")

    code, said = said_by(lambda: backend.build_sdist(str(project)), capsys)

    where = f"{project}/chat.toml:13: model[0].source"
    assert code == 2
    assert said == (
        f"lfbuild: {where}: ../tiny.gguf is outside of the project, so an sdist could not rebuild the wheel\n"
        "lfbuild: hint: move it into the project, or name a url, hf or pypi source\n"
    )
    assert not list(project.glob("*.tar.gz"))


@needs_zig
def test_a_wheel_over_the_limit_is_refused_before_anything_is_compiled(project: Path, capsys: Captured) -> None:
    code, said = said_by(wheel_of(project, limit="1 MiB"), capsys)

    assert code == 2
    assert said == (
        "lfbuild: wheel: the wheel would have 1.0 MiB at least, and the index takes 1.0 MiB\n"
        "lfbuild: hint: -C embed=no makes a wheel of some KiB, whose program fetches the 1.0 MiB at its first start, "
        "from the address that [update] url of the recipe then names\n"
    )
    assert not list((project / "dist").iterdir())


@needs_zig
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"target": "linux-aarch64"}, "chat.toml: linux-aarch64 is none of its systems, which are linux-x86_64"),
        ({"target": "linux-x86"}, "chat.toml: linux-x86 is none of its systems, which are linux-x86_64"),
        ({"toolchain": "gcc"}, "chat.toml: there is no toolchain 'gcc', only zig and cosmocc"),
        ({"limit": "1 MB"}, "config settings: limit: the unit 'MB' may mean two things; use B, KiB, MiB, GiB or TiB"),
        ({"recipe": "none.toml"}, "none.toml: does not exist"),
    ],
)
def test_what_a_recipe_cannot_give_is_told(
    project: Path, capsys: Captured, settings: dict[str, str], said: str
) -> None:
    code, told = said_by(wheel_of(project, **settings), capsys)

    assert code == 2
    assert said in told


@needs_zig
def test_windows_is_not_put_into_one_wheel_with_others(project: Path, capsys: Captured) -> None:
    (project / "chat.toml").write_text(CHAT.replace('["host"]', '["linux-x86_64", "windows-x86_64"]'), encoding="utf-8")

    code, said = said_by(wheel_of(project, target="linux-x86_64,windows-x86_64"), capsys)

    assert code == 2
    assert said == (
        "lfbuild: target: a wheel for windows-x86_64 is for nothing else, as a program's name ends in .exe there\n"
        "lfbuild: hint: make a wheel of each: -C target=TARGET\n"
    )


def test_a_machine_that_is_none_of_the_systems_has_to_be_told_which(project: Path, capsys: Captured) -> None:
    (project / "chat.toml").write_text(
        CHAT.replace('["host"]', '["macos-aarch64", "windows-x86_64"]'), encoding="utf-8"
    )

    code, said = said_by(wheel_of(project), capsys)

    what = "the recipe has macos-aarch64, windows-x86_64, and this machine is linux-x86_64: which of them"
    assert (code, said) == (2, f"lfbuild: target: {what} is the wheel for?\nlfbuild: hint: -C target=macos-aarch64\n")


def test_a_licence_that_the_metadata_does_not_name_is_told(project: Path) -> None:
    from lfbuild.backend.project import load_project

    text = PYPROJECT.replace('"version", "license"', '"version"').replace("[tool", 'license = "MIT"\n\n[tool')
    (project / "pyproject.toml").write_text(text, encoding="utf-8")

    (note,) = load_project(project).notes
    assert note == (
        "project.license does not name the licence of llama.cpp 1.0 (Apache-2.0); tiny.gguf (Apache-2.0); "
        "write 'MIT AND Apache-2.0', or make it dynamic"
    )


def test_a_model_under_a_licence_of_its_own_has_a_name_that_spdx_allows(project: Path) -> None:
    from lfbuild.backend.project import load_project

    text = CHAT.replace('license = "Apache-2.0"', 'license = "Gemma Terms (v2)"')
    (project / "chat.toml").write_text(text, encoding="utf-8")

    assert load_project(project).metadata.license == "MIT AND Apache-2.0 AND LicenseRef-Gemma-Terms-v2"


def test_a_pyproject_with_a_recipe_and_a_name_of_one_is_refused(project: Path, capsys: Captured) -> None:
    text = PYPROJECT + "[tool.lfbuild.engine]\nversion = '1'\n"
    (project / "pyproject.toml").write_text(text, encoding="utf-8")

    from lfbuild.cli import main

    assert main(["plan", "pyproject.toml", "--quiet"]) == 2
    said = capsys.readouterr().err
    assert "pyproject.toml:13: tool.lfbuild.recipe: names a recipe, but there is one here too (engine)" in said
