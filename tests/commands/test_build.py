"""`build`, `plan` and `lock` on a tiny world: a model of a few KB, and an engine that is in the cache already."""

from __future__ import annotations

import importlib.util
import json
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from tests.commands.world import RECIPE, keep_engines, keep_launchers
from tests.world.models import tiny_gguf

from lfbuild.cli import main

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="the package ziglang is not installed"
)
Captured = pytest.CaptureFixture[str]


def test_a_recipe_becomes_a_file_that_verifies_and_says_what_it_is(world: Path, capsys: Captured) -> None:
    keep_engines(world, capsys)

    assert main(["chat.toml", "--quiet"]) == 0

    file = world / "chat.llamafile"
    assert main(["verify", str(file), "--quiet"]) == 0
    capsys.readouterr()
    assert main(["inspect", str(file), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["manifest"]["head"]["kind"], document["manifest"]["head"]["program"]) == ("launcher", "elf")
    assert document["arguments"] == ["cli", "-m", "/zip/tiny.gguf", "--temp", "0", "..."]
    assert document["models"][0]["data_offset"] % 65536 == 0
    assert file.stat().st_mode & 0o100


def test_an_engine_and_a_launcher_that_are_built_with_count_as_used(world: Path, capsys: Captured) -> None:
    (key,) = keep_engines(world, capsys).values()
    keep_launchers(world, "linux-x86_64")
    entries = [world / "cache" / "engines" / key, next((world / "cache" / "launchers").iterdir())]
    for entry in entries:
        os.utime(entry, (0, 0))

    assert main(["chat.toml", "--quiet"]) == 0

    assert all(entry.stat().st_mtime > 0 for entry in entries)


def test_the_same_recipe_gives_the_same_bytes_in_another_folder(
    world: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_engines(world, capsys)
    assert main(["chat.toml", "--quiet"]) == 0
    other = world / "somewhere else"
    other.mkdir()
    for name in ("chat.toml", "tiny.gguf", "engine"):
        (world / name).rename(other / name)
    monkeypatch.chdir(other)

    assert main(["chat.toml", "--quiet"]) == 0

    assert (other / "chat.llamafile").read_bytes() == (world / "chat.llamafile").read_bytes()


def test_plan_tells_sizes_and_writes_nothing(world: Path, capsys: Captured) -> None:
    keep_engines(world, capsys)

    assert main(["plan", "chat.toml", "--json", "--quiet"]) == 0

    planned = json.loads(capsys.readouterr().out)
    assert [source["here"] for source in planned["sources"]] == [True, True]
    (engine,), (file,) = planned["engines"], planned["files"]
    assert engine["compiled"] is True
    assert (file["path"], file["head"], file["targets"]) == ("chat.llamafile", "elf", [engine["target"]])
    assert file["members"][0] == {"name": "tiny.gguf", "role": "weights", "size_bytes": len(tiny_gguf())}
    assert planned["total_bytes"] > 4000
    assert not (world / "chat.llamafile").exists()


@pytest.mark.parametrize("verb", ["plan", "build"])
@pytest.mark.parametrize(
    ("words", "ui", "said"),
    [
        (("--launcher", "icecc"), "false", "icecc: the compiler launcher is not installed"),
        ((), "true", "npm: is not installed, and the chat page is built with it"),
    ],
)
def test_a_missing_tool_is_told_before_anything_is_fetched(
    world: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    words: tuple[str, ...],
    ui: str,
    said: str,
) -> None:
    monkeypatch.setenv("PATH", str(world))
    recipe = RECIPE.replace("[toolchain]", f"ui = {ui}\n[toolchain]").replace(
        'path = "tiny.gguf"', 'pypi = "none==1", member = "tiny.gguf"'
    )
    (world / "chat.toml").write_text(recipe, encoding="utf-8")

    assert main([verb, "chat.toml", *words, "--quiet"]) == 3

    assert capsys.readouterr().err.startswith(f"lfbuild: {said}")
    assert not (world / "cache").exists()


def test_a_locked_build_refuses_a_model_that_was_changed(world: Path, capsys: Captured) -> None:
    keep_engines(world, capsys)
    assert main(["lock", "chat.toml", "--quiet"]) == 0
    assert main(["chat.toml", "--locked", "--quiet"]) == 0
    (world / "tiny.gguf").write_bytes(tiny_gguf()[:-1] + b"\x55")

    assert main(["chat.toml", "--locked", "--quiet"]) == 5

    assert "was promised" in capsys.readouterr().err


def test_a_locked_build_without_a_lock_says_what_is_missing(world: Path, capsys: Captured) -> None:
    assert main(["chat.toml", "--locked", "--quiet"]) == 2

    assert "chat.lock: does not exist" in capsys.readouterr().err


def test_a_truncated_model_is_refused_before_anything_is_compiled(world: Path, capsys: Captured) -> None:
    (world / "tiny.gguf").write_bytes(tiny_gguf()[:-200])

    assert main(["chat.toml", "--quiet"]) == 4

    said = capsys.readouterr().err
    assert said.startswith("lfbuild: chat.toml: tiny.gguf: the tensor ")
    assert "past the end of the file" in said


def test_a_model_that_the_engine_has_no_code_for_is_refused(world: Path, capsys: Captured) -> None:
    (world / "engine" / "src" / "llama-arch.cpp").write_text('{ LLM_ARCH_GPT2, "gpt2" },\n', encoding="utf-8")

    assert main(["chat.toml", "--quiet"]) == 4

    assert "llama.cpp 1.0 does not know the architecture 'llama'" in capsys.readouterr().err


def test_an_argument_that_the_engine_does_not_know_is_told_with_its_line(world: Path, capsys: Captured) -> None:
    (world / "chat.toml").write_text(RECIPE.replace("--temp", "--tmp"), encoding="utf-8")

    assert main(["chat.toml", "--quiet"]) == 2

    said = capsys.readouterr().err
    assert "chat.toml:14: args.common: llama.cpp 1.0 has no flag '--tmp', did you mean '--temp'?" in said


@pytest.mark.parametrize("output", ["tiny.gguf", "chat.toml", "chat.lock"])
def test_a_build_never_writes_over_its_own_sources(world: Path, capsys: Captured, output: str) -> None:
    assert main(["lock", "chat.toml", "--quiet"]) == 0
    before = (world / output).read_bytes()

    assert main(["build", "chat.toml", "-o", output, "--quiet"]) == 2

    assert "is the file that would be written" in capsys.readouterr().err
    assert (world / output).read_bytes() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "none/x"], "lfbuild: none: is no folder, so nothing can be written there\n"),
        (["-o", "cache"], "lfbuild: cache: is a folder, so no file can be written there\n"),
        (["--depfile", "none/x"], "lfbuild: none: is no folder, so nothing can be written there\n"),
    ],
)
@pytest.mark.parametrize("verb", ["build", "plan"])
def test_an_output_that_cannot_be_written_is_told_before_anything_is_compiled(
    world: Path, capsys: Captured, verb: str, words: list[str], said: str
) -> None:
    (world / "cache").mkdir(exist_ok=True)

    assert main([verb, "chat.toml", *words, "--quiet"]) == 8

    assert capsys.readouterr().err.startswith(said)


def test_a_model_that_the_disk_has_no_room_for_is_told_before_anything_is_compiled(
    world: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=1000, f_frsize=1, f_flag=0))
    monkeypatch.setattr("lfbuild.host.room.can_share", lambda *_: False)

    assert main(["build", "chat.toml", "--quiet"]) == 8  # no engine is kept: compiling would come next

    assert capsys.readouterr().err.startswith(f"lfbuild: {world}: the new file needs ")


def test_a_model_that_is_not_there_is_one_sentence_also_for_plan(world: Path, capsys: Captured) -> None:
    (world / "tiny.gguf").unlink()

    for verb in ("build", "plan"):
        assert main([verb, "chat.toml", "--quiet"]) == 7
        assert f"{world}/tiny.gguf: " in capsys.readouterr().err


def test_a_recipe_that_names_no_toolchain_is_told_that_there_are_two(
    world: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(world))
    recipe = RECIPE.replace('[toolchain]\nkind = "zig"\n', "")
    (world / "chat.toml").write_text(recipe.replace('systems = ["host"]\n', ""), encoding="utf-8")

    assert main(["build", "chat.toml", "--quiet"]) == 3

    way = "[toolchain] kind = \"zig\" in chat.toml, and pip install 'lfbuild[zig]'"
    assert capsys.readouterr().err == (
        "lfbuild: cosmocc: version 4.0.2 is not installed\n"
        f"lfbuild: hint: install it with: lfbuild toolchain install cosmocc; or have zig compile: {way}\n"
    )
