"""A lock file says what each source was; one text for one lock; and a recipe either fits it or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbuild.errors import RecipeError
from lfbuild.recipe import LockedOrigin, LockFile, check_lock, load_lock, make_lock, recipe_digest, sources_digest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.recipe.conftest import Loads

    from lfbuild.recipe import Recipe

A, B = "a" * 64, "b" * 64
MODEL = '[[model]]\nsource = { path = "model.gguf" }\n'
ENGINE = LockedOrigin(identity="pypi llama-cpp-python==0.3.36", sha256=A, size=76, resolved="x.tar.gz")
WEIGHTS = LockedOrigin(identity="path model.gguf", sha256=B, size=98)


def lock_of(recipe: Recipe, *origins: LockedOrigin) -> LockFile:
    return make_lock(recipe, origins)


def test_a_lock_is_one_text_whatever_the_order(loads: Loads) -> None:
    recipe = loads(MODEL)

    text = lock_of(recipe, ENGINE, WEIGHTS).to_bytes()

    assert text == lock_of(recipe, WEIGHTS, ENGINE).to_bytes()
    assert (
        text.decode()
        == f"""\
# Written by `lfbuild lock`; `lfbuild build --locked` refuses anything else.
format = 1
recipe = "{sources_digest(recipe)}"

[[origin]]
identity = "path model.gguf"
sha256 = "{B}"
size = 98

[[origin]]
identity = "pypi llama-cpp-python==0.3.36"
sha256 = "{A}"
size = 76
resolved = "x.tar.gz"
"""
    )


@given(identity=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).filter(str.strip))
def test_any_identity_survives_the_text(identity: str) -> None:
    import tomllib

    origin = LockedOrigin(identity=identity, sha256=A, size=0)
    lock = LockFile.model_validate({"recipe": B, "origin": [origin]})

    assert LockFile.model_validate(tomllib.loads(lock.to_bytes().decode())) == lock


def test_a_lock_is_read_as_it_was_written(loads: Loads, tmp_path: Path) -> None:
    lock = lock_of(loads(MODEL), ENGINE, WEIGHTS)
    (tmp_path / "recipe.lock").write_bytes(lock.to_bytes())

    assert load_lock(tmp_path / "recipe.lock") == lock
    assert lock.find("path model.gguf") == WEIGHTS
    assert lock.find("path other.gguf") is None


def test_what_is_wrong_with_a_lock_file_is_told_with_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    path = Path("recipe.lock")
    path.write_text(f'format = 2\nrecipe = "{A}"\n[[origin]]\nidentity = "x"\nsha265 = ""\nsize = "1"\n')

    with pytest.raises(RecipeError) as caught:
        load_lock(path)

    assert str(caught.value).splitlines() == [
        "recipe.lock:1: format: must be 1, not 2",
        "recipe.lock:3: origin[0].sha256: is required",
        "recipe.lock:5: origin[0].sha265: unknown key, did you mean 'sha256'?",
        "recipe.lock:6: origin[0].size: must be a whole number, not '1'",
    ]


def test_a_recipe_fits_the_lock_that_was_made_from_it(loads: Loads) -> None:
    recipe = loads(MODEL)
    toolchain = LockedOrigin(identity="toolchain zig 0.17.1", sha256=A, size=1)

    assert check_lock(recipe, lock_of(recipe, ENGINE, WEIGHTS)) == ()
    assert check_lock(recipe, lock_of(recipe, ENGINE, WEIGHTS, toolchain)) == ()


def test_what_does_not_fit_is_told_source_by_source(loads: Loads) -> None:
    recipe = loads(
        f'[[model]]\nsource = {{ path = "model.gguf" }}\nsha256 = "{A}"\n[[file]]\nname = "x"\nsource.path = "x"\n'
    )
    old = LockedOrigin(identity="path old.gguf", sha256=A, size=1)

    assert [str(problem) for problem in check_lock(recipe, lock_of(recipe, ENGINE, WEIGHTS, old))] == [
        "recipe.toml:11: file[0].source: is not in the lock file",
        f"recipe.toml:7: model[0].source: wants sha256 {A}, but {B} is locked",
        "recipe.toml:1: the lock file has 'path old.gguf', which the recipe does not name",
    ]


def test_all_files_of_a_split_model_are_locked(loads: Loads) -> None:
    recipe = loads('[[model]]\nsource = { path = "m-00001-of-00002.gguf" }\n')
    first = LockedOrigin(identity="path m-00001-of-00002.gguf", sha256=A, size=1)

    assert [str(problem) for problem in check_lock(recipe, lock_of(recipe, ENGINE, first))] == [
        "recipe.toml:7: model[0].source: is not in the lock file"
    ]


def test_a_recipe_that_changed_in_what_is_fetched_does_not_fit(loads: Loads) -> None:
    old = loads(MODEL + "[toolchain]\nkind = 'zig'\n")
    lock = lock_of(old, ENGINE, WEIGHTS)

    assert [str(problem) for problem in check_lock(loads(MODEL), lock)] == [
        "recipe.toml:1: has changed since it was locked"
    ]


def test_comments_layout_names_and_arguments_do_not_count_for_the_lock(loads: Loads) -> None:
    plain, told = loads(MODEL), loads(MODEL + "# a comment\n[args]\ncommon = ['--temp', '0']\n")

    assert sources_digest(plain) == sources_digest(told)
    assert recipe_digest(plain) != recipe_digest(told)
    assert recipe_digest(plain) == recipe_digest(loads("\n# other layout\n" + MODEL))
