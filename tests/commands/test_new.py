from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.world.models import STRING, UINT32, tiny_gguf

from lfbuild.commands.new import ENGINE_FOLDER, ENGINE_PIN, ENGINE_SHA256, NewRecipe, facts_words, new_recipe
from lfbuild.errors import FormatError, HostError, RecipeError
from lfbuild.recipe import EnginePypiSource, default_arguments, load_recipe

CHAT: dict[str, str | int] = {
    "general.architecture": "llama",
    "general.name": 'A "tiny" model',
    "general.license": "apache-2.0",
    "llama.context_length": 2048,
    "tokenizer.chat_template": "{{ messages }}",
}


def _gguf(values: dict[str, str | int]) -> bytes:
    return tiny_gguf({key: (STRING if isinstance(it, str) else UINT32, it) for key, it in values.items()}, ())


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def _write(folder: Path, values: dict[str, str | int], *, name: str = "tiny.Q4_1.gguf") -> Path:
    path = folder / name
    path.write_bytes(_gguf(values))
    return path.relative_to(folder)


def _new(model: Path, *, output: Path | None = None, toolchain: str = "zig") -> tuple[NewRecipe, dict[str, Any]]:
    written = new_recipe(model, output=output, toolchain=toolchain)
    return written, tomllib.loads(written.path.read_text(encoding="utf-8"))


def test_a_recipe_for_a_chat_model_begins_with_a_chat(tmp_path: Path) -> None:
    written, recipe = _new(_write(tmp_path, CHAT))

    assert str(written.path) == "tiny.Q4_1.toml"
    assert recipe == {
        "llamafile": {
            "name": "tiny.Q4_1",
            "version": "0.1.0",
            "description": 'A "tiny" model, 0 parameters',
            "license": "apache-2.0",
        },
        "engine": {"source": {"pypi": ENGINE_PIN, "folder": ENGINE_FOLDER, "sha256": ENGINE_SHA256}},
        "toolchain": {"kind": "zig"},
        "targets": {"systems": ["host"], "cpus": ["x86-64-v3", "armv8.2-a+dotprod"]},
        "model": [{"source": {"path": "tiny.Q4_1.gguf"}}],
        "args": {"verb": "cli", "common": []},
    }


def test_a_recipe_is_one_that_lfbuild_takes(tmp_path: Path) -> None:
    written, _ = _new(_write(tmp_path, CHAT))

    recipe = load_recipe(written.path)

    assert recipe.output_name == "tiny.Q4_1.llamafile"
    assert default_arguments(recipe, "cli") == ("-m", "/zip/tiny.Q4_1.gguf", "...")


def test_a_model_without_a_chat_template_goes_on_with_a_text(tmp_path: Path) -> None:
    _, recipe = _new(_write(tmp_path, {"general.architecture": "llama"}))

    assert recipe["args"] == {"verb": "completion", "common": []}
    assert "license" not in recipe["llamafile"]


def test_a_model_of_embeddings_is_served(tmp_path: Path) -> None:
    written, recipe = _new(_write(tmp_path, {"general.architecture": "bert", "bert.pooling_type": 1}))

    assert recipe["args"] == {"verb": "serve", "common": [], "serve": {"arguments": ["--embedding"]}}
    assert load_recipe(written.path).args.verb == "serve"


def test_a_long_context_is_kept_to_what_fits_an_ordinary_machine(tmp_path: Path) -> None:
    _, recipe = _new(_write(tmp_path, {**CHAT, "llama.context_length": 131072}))

    assert recipe["args"]["common"] == ["-c", "8192"]


def test_the_toolchain_that_was_asked_for_is_written(tmp_path: Path) -> None:
    _, recipe = _new(_write(tmp_path, CHAT), toolchain="cosmocc")

    assert recipe["toolchain"] == {"kind": "cosmocc"}


def test_a_relative_path_is_told_from_where_the_recipe_is(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()

    _, recipe = _new(_write(tmp_path, CHAT), output=tmp_path / "recipes" / "chat.toml")

    assert recipe["model"] == [{"source": {"path": "../tiny.Q4_1.gguf"}}]


def test_an_absolute_path_stays_one(tmp_path: Path) -> None:
    _write(tmp_path, CHAT)

    _, recipe = _new(tmp_path / "tiny.Q4_1.gguf")

    assert recipe["model"] == [{"source": {"path": str(tmp_path / "tiny.Q4_1.gguf")}}]


def test_a_split_model_is_named_by_its_first_part(tmp_path: Path) -> None:
    model = _write(tmp_path, {**CHAT, "split.count": 3}, name="big-00001-of-00003.gguf")

    written, recipe = _new(model)

    assert str(written.path) == "big.toml"
    assert recipe["llamafile"]["name"] == "big"
    assert recipe["model"] == [{"source": {"path": "big-00001-of-00003.gguf"}}]
    assert load_recipe(written.path).output_name == "big.llamafile"


def test_a_later_part_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    model = _write(tmp_path, {**CHAT, "split.count": 3}, name="big-00002-of-00003.gguf")

    with pytest.raises(RecipeError) as caught:
        new_recipe(model, output=None, toolchain="zig")

    assert str(caught.value) == "big-00002-of-00003.gguf: is part 2 of 3"
    assert caught.value.hint == "name the first part, big-00001-of-00003.gguf"


@pytest.mark.parametrize(("kind", "role"), [("mmproj", "mmproj"), ("adapter", "lora")])
def test_what_goes_beside_a_model_is_refused_with_its_role(tmp_path: Path, kind: str, role: str) -> None:
    model = _write(tmp_path, {"general.architecture": "llama", "general.type": kind})

    with pytest.raises(RecipeError) as caught:
        new_recipe(model, output=None, toolchain="zig")

    assert str(caught.value) == f"tiny.Q4_1.gguf: is not a model by itself: its metadata says '{kind}'"
    assert caught.value.hint == f'write a recipe for its model, and add it there as a [[model]] with role = "{role}"'


def test_a_name_that_cannot_stand_in_the_file_is_given_another(tmp_path: Path) -> None:
    model = _write(tmp_path, CHAT, name="sha256:abc@1")

    written, recipe = _new(model)

    assert recipe["llamafile"]["name"] == "sha256-abc-1"
    assert recipe["model"] == [{"name": "sha256-abc-1.gguf", "source": {"path": "sha256:abc@1"}}]
    assert load_recipe(written.path).models[0].file_name == "sha256-abc-1.gguf"


def test_metadata_cannot_break_out_of_its_text(tmp_path: Path) -> None:
    name = '"\n[engine]\nx\\ \x7f\x1b[2J é'

    _, recipe = _new(_write(tmp_path, {**CHAT, "general.architecture": "a\nb", "general.name": name}))

    assert recipe["llamafile"]["description"] == f"{name}, 0 parameters"


def test_a_recipe_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "tiny.Q4_1.toml").write_text("mine")

    with pytest.raises(RecipeError) as caught:
        new_recipe(_write(tmp_path, CHAT), output=None, toolchain="zig")

    assert str(caught.value) == "tiny.Q4_1.toml: is there already"
    assert caught.value.hint == "choose another name with -o, or remove it"
    assert (tmp_path / "tiny.Q4_1.toml").read_text() == "mine"


def test_a_link_that_points_nowhere_is_not_replaced_either(tmp_path: Path) -> None:
    (tmp_path / "tiny.Q4_1.toml").symlink_to("elsewhere")

    with pytest.raises(RecipeError):
        new_recipe(_write(tmp_path, CHAT), output=None, toolchain="zig")


def test_something_else_than_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.gguf").write_bytes(b"\xff\xd8\xff" * 20)

    with pytest.raises(FormatError) as caught:
        _new((tmp_path / "photo.gguf").relative_to(tmp_path))

    assert str(caught.value) == "photo.gguf: not a GGUF model: it does not begin with GGUF"
    assert not list(tmp_path.glob("*.toml"))


def test_a_model_that_is_absent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        _new(tmp_path / "absent.gguf")

    assert str(caught.value) == f"{tmp_path / 'absent.gguf'}: does not exist"


def test_a_name_that_is_not_utf8_cannot_be_written_down(tmp_path: Path) -> None:
    model = tmp_path / os.fsdecode(b"caf\xe9.gguf")
    model.write_bytes(_gguf(CHAT))

    with pytest.raises(RecipeError) as caught:
        new_recipe(model, output=tmp_path / "cafe.toml", toolchain="zig")

    assert caught.value.what.endswith("its name is not UTF-8, as all text in a recipe is")
    assert not (tmp_path / "cafe.toml").exists()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [(950, "950 parameters"), (134_515_008, "135 M parameters"), (1_540_000_000, "1.5 B parameters")],
)
def test_the_facts_are_told_in_one_line(tmp_path: Path, parameters: int, words: str) -> None:
    from dataclasses import replace

    written, _ = _new(_write(tmp_path, CHAT))

    told = facts_words(replace(written.facts, parameters=parameters, quantization="Q4_1"))

    assert told == f"llama, {words}, Q4_1, trained on 2048 tokens, with a chat template"


def test_new_recipes_have_the_engine_that_the_example_recipes_are_tested_with() -> None:
    recipes = Path(__file__).parents[2] / "recipes"

    source = load_recipe(recipes / "smollm2.toml").engine.source

    assert isinstance(source, EnginePypiSource)
    assert (source.pypi, source.folder, source.sha256) == (ENGINE_PIN, ENGINE_FOLDER, ENGINE_SHA256)
