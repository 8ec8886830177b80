"""`swap`, through the command line: every kind of engine, every change, and what the user is told."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3
from tests.commands.world import engine_of, keep_engines
from tests.world.edits import LARGER_ENGINE, NEW_ENGINE, engine_file, launcher_file, new_slice
from tests.world.files import MODEL_NAME, default_members, manifest_of, sign_file, verified, weights, write_tiny_file
from tests.world.models import DEFAULT_TENSORS, STRING, tiny_gguf
from tests.world.mozilla import MODEL, mozilla_engine, write_mozilla_file
from tests.world.programs import tiny_elf, tiny_macho
from tests.world.slices import LINUX, WINDOWS, WINDOWS_ENGINE, tiny_launcher

import lfbuild.commands.swap
from lfbuild.archive.reader import Reader
from lfbuild.cli import main
from lfbuild.host.inplace import used

if TYPE_CHECKING:
    from pathlib import Path

Captured = pytest.CaptureFixture[str]


def swapped(capsys: Captured, *words: str | Path) -> dict[str, object]:
    """What `swap` tells as JSON."""
    capsys.readouterr()
    code = main(["swap", *map(str, words), "--json", "--quiet"])
    told = capsys.readouterr()
    assert code == 0, told.err
    answer: dict[str, object] = json.loads(told.out)
    return answer


def refusal(capsys: Captured, *words: str | Path, code: int) -> str:
    capsys.readouterr()
    assert main(["swap", *map(str, words), "--quiet"]) == code
    return capsys.readouterr().err


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.startswith(".lfbuild/")}


def engine_in(path: Path, target: str = LINUX) -> bytes:
    with Reader.open(path) as reader:
        return reader.read(f".lfbuild/engine/{target}")


def mozilla_with_args(world: Path, args: bytes) -> Path:
    """A file of Mozilla's with these default arguments."""
    return write_mozilla_file(world / "moz.llamafile", {MODEL: tiny_gguf(), ".args": args})


@pytest.mark.parametrize("in_place", [False, True])
def test_the_engine_of_another_file_of_ours(world: Path, capsys: Captured, in_place: bool) -> None:
    path = launcher_file(world)
    other = launcher_file(world, name="other.llamafile", slices=(new_slice(),))
    before = members_of(path)

    told = swapped(capsys, path, "--engine", other, *(["--in-place"] if in_place else []))

    assert verified(path) == []
    assert members_of(path) == before
    assert engine_in(path) == engine_in(other) == NEW_ENGINE
    assert told["way"] == ("appended tail" if in_place else "new file, copied")
    assert [change["how"] for change in told["changes"]] == (  # type: ignore[attr-defined]
        ["in the spare slot"] if in_place else ["new file"]
    ) * len(told["changes"])  # type: ignore[arg-type]


def test_an_engine_too_large_for_the_room_is_told_before_it_is_written(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)
    other = launcher_file(world, name="other.llamafile", slices=(new_slice(LARGER_ENGINE),))
    old = path.read_bytes()

    told = swapped(capsys, path, "--engine", other, "--in-place", "--dry-run")

    assert path.read_bytes() == old
    assert (told["way"], told["done"]) == ("journal", False)
    assert told["changes"][0]["how"] == "behind the weights, by journal"  # type: ignore[index]
    assert int(str(told["written_bytes"])) < 2 * (len(LARGER_ENGINE) + 20_000)


def test_a_journal_that_cannot_be_read_back_is_no_success(
    world: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = launcher_file(world)
    other = launcher_file(world, name="other.llamafile", slices=(new_slice(LARGER_ENGINE),))
    monkeypatch.setattr("lfbuild.archive.journal.finish_journal", lambda *_: "undone")

    told = refusal(capsys, path, "--engine", other, "--in-place", code=5)

    assert f"{path}: its journal is not what was written there; the old version stays" in told


def test_the_engine_that_a_recipe_compiles(world: Path, capsys: Captured) -> None:
    (target,) = keep_engines(world, capsys)
    path = launcher_file(world)

    told = swapped(capsys, path, "--engine", "chat.toml")

    assert verified(path) == []
    assert engine_in(path, target) == engine_of(target)
    assert engine_in(path, WINDOWS) == WINDOWS_ENGINE
    assert "the engine for windows-x86_64 stays the old one: llama.cpp 1.0 of chat.toml has none" in str(told["notes"])


def test_an_engine_in_the_cache_by_the_beginning_of_its_key(world: Path, capsys: Captured) -> None:
    keys = keep_engines(world, capsys)
    (target,) = keys
    path = launcher_file(world)

    told = swapped(capsys, path, "--engine", keys[target][:12])

    assert verified(path) == []
    assert engine_in(path) == engine_of(target)
    assert f"llama.cpp 1.0, {target}, in the cache" in str(told["changes"])
    assert manifest_of(path).engine.slices[0].key == keys[target]  # type: ignore[union-attr]


def test_a_bare_program_takes_the_place_of_the_engine_for_its_machine(world: Path, capsys: Captured) -> None:
    path, program = launcher_file(world), world / "llama"
    program.write_bytes(tiny_elf(20) + b"bare llama.cpp\n" * 30)

    swapped(capsys, path, "--engine", program)

    assert verified(path) == []
    assert engine_in(path) == program.read_bytes()
    assert manifest_of(path).engine.slices[0].cpus == ("x86-64",)  # type: ignore[union-attr]
    assert engine_in(path, WINDOWS) != program.read_bytes()


def test_an_engine_for_another_machine_is_refused(world: Path, capsys: Captured) -> None:
    path, program = launcher_file(world), world / "llama"
    program.write_bytes(tiny_macho(700))

    said = refusal(capsys, path, "--engine", program, code=2)

    assert said == (
        f"lfbuild: {path}: --engine: llama is for macos-aarch64, and the file is for linux-x86_64, windows-x86_64\n"
    )


def test_mozillas_engine_begins_the_file_from_then_on(world: Path, capsys: Captured) -> None:
    path, other = launcher_file(world), write_mozilla_file(world / "moz.llamafile")
    before = members_of(path)

    told = swapped(capsys, path, "--engine", other)

    assert verified(path) == []
    assert path.read_bytes().startswith(mozilla_engine()[:300])
    assert {name: members_of(path)[name] for name in before} == before
    assert manifest_of(path).head.kind == "engine"
    assert manifest_of(path).engine.version == "0.9.3"  # type: ignore[union-attr]
    assert "the file begins with its engine from now on, no longer with launchers" in str(told["notes"])


@pytest.mark.parametrize("in_place", [False, True])
def test_an_engine_head_is_replaced_by_a_bare_program(world: Path, capsys: Captured, in_place: bool) -> None:
    path, program = engine_file(world), world / "llama"
    program.write_bytes(tiny_elf(800))

    told = swapped(capsys, path, "--engine", program, *(["--in-place"] if in_place else []))

    assert verified(path) == []
    assert path.read_bytes().startswith(program.read_bytes())
    assert told["way"] == ("journal" if in_place else "new file, copied")


def test_a_launcher_file_lends_its_whole_head_to_a_file_that_begins_with_its_engine(
    world: Path, capsys: Captured
) -> None:
    path, other = engine_file(world), launcher_file(world, name="other.llamafile")

    swapped(capsys, path, "--engine", other)

    assert verified(path) == []
    assert manifest_of(path).head.kind == "launcher"


def test_a_foreign_llamafile_keeps_all_its_members(world: Path, capsys: Captured) -> None:
    path = write_mozilla_file(world / "moz.llamafile", deflated=("web/index.html",))
    program = world / "newer"
    program.write_bytes(mozilla_engine(version="0.10.6", flags=("-m", "-c", "--load-mode")))
    subprocess.run(["unzip", "-qt", path], check=True)
    before = members_of(path)

    told = swapped(capsys, path, "--engine", program)

    subprocess.run(["unzip", "-qt", path], check=True)
    assert verified(path) == []
    after = members_of(path)
    assert {name: data for name, data in after.items() if name != ".args"} == {
        name: data for name, data in before.items() if name != ".args"
    }
    assert after[".args"] == b"-m\n/zip/tiny.Q4_0.gguf\n...\n"
    assert told["notes"][:2] == [  # type: ignore[index]
        ".args: --nobrowser is dropped: newer engines open no browser",
        ".args: -m tiny.Q4_0.gguf becomes -m /zip/tiny.Q4_0.gguf: engines look for a bare name outside of the file",
    ]
    assert manifest_of(path).engine.version == "0.10.6"  # type: ignore[union-attr]


def test_a_foreign_llamafile_with_an_engine_of_ours_gets_a_verb(world: Path, capsys: Captured) -> None:
    path = write_mozilla_file(world / "moz.llamafile")
    keep_engines(world, capsys)

    told = swapped(capsys, path, "--engine", "chat.toml")

    assert verified(path) == []
    assert members_of(path)[".args"] == b"cli\n-m\n/zip/tiny.Q4_0.gguf\n...\n"
    assert ".args: begins with the verb cli from now on: the engine starts nothing without one" in str(told["notes"])


def test_arguments_in_one_line_are_those_of_the_new_engine_too(world: Path, capsys: Captured) -> None:
    path = mozilla_with_args(world, b"-m /zip/tiny.Q4_0.gguf --server --nobrowser\n")
    keep_engines(world, capsys)

    told = swapped(capsys, path, "--engine", "chat.toml")

    assert members_of(path)[".args"] == b"serve\n-m\n/zip/tiny.Q4_0.gguf\n"
    assert ".args: --server is dropped: the verb says so" in str(told["notes"])
    assert "arguments are changed for the engine" in str(told["changes"])


def test_arguments_that_are_left_as_they_are_are_not_told_as_changed(world: Path, capsys: Captured) -> None:
    path = mozilla_with_args(world, b"# mine\n-m /zip/tiny.Q4_0.gguf --server\n")
    keep_engines(world, capsys)

    told = swapped(capsys, path, "--engine", "chat.toml")

    assert members_of(path)[".args"] == b"serve\n# mine\n-m /zip/tiny.Q4_0.gguf --server\n"
    assert ".args: --server should be dropped: the verb says so" in str(told["notes"])
    assert "so the file may not start: set it with --args '…'" in str(told["notes"])
    assert "arguments are changed" not in str(told["changes"])


def args_of(path: Path) -> dict[str, bytes]:
    """The arguments of every verb but the default one."""
    with Reader.open(path) as reader:
        members = [name for name in reader.records if name.startswith(".lfbuild/args/")]
        return {name.rpartition("/")[2]: reader.read(name) for name in members}


def test_every_everyday_verb_knows_the_models_of_a_foreign_llamafile(world: Path, capsys: Captured) -> None:
    path = mozilla_with_args(world, b"-m tiny.Q4_0.gguf --mmproj /zip/eye.gguf --server # mine\n")
    keep_engines(world, capsys)

    told = swapped(capsys, path, "--engine", "chat.toml")

    assert verified(path) == []
    both = b"-m\n/zip/tiny.Q4_0.gguf\n--mmproj\n/zip/eye.gguf\n...\n"
    assert args_of(path) == {"cli": both, "completion": both, "bench": b"-m\n/zip/tiny.Q4_0.gguf\n...\n"}
    assert "arguments of bench: -m /zip/tiny.Q4_0.gguf ..." in str(told["changes"])


def test_arguments_that_are_given_with_an_engine_know_the_model_too(world: Path, capsys: Captured) -> None:
    path = mozilla_with_args(world, b"-m tiny.Q4_0.gguf\n")
    keep_engines(world, capsys)

    swapped(capsys, path, "--engine", "chat.toml", "--args", "serve=--temp 0")

    assert set(args_of(path)) == {"completion", "serve", "bench"}
    assert args_of(path)["serve"] == b"-m\n/zip/tiny.Q4_0.gguf\n--temp\n0\n...\n"


def test_no_arguments_are_made_up_for_a_file_that_has_a_verb(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)
    keep_engines(world, capsys)

    swapped(capsys, path, "--engine", "chat.toml")

    assert args_of(path) == {}


def test_arguments_of_a_foreign_llamafile_keep_its_model_and_get_no_verb(world: Path, capsys: Captured) -> None:
    path = write_mozilla_file(world / "moz.llamafile")

    told = swapped(capsys, path, "--args", "--temp 0")

    assert members_of(path)[".args"] == b"-m\ntiny.Q4_0.gguf\n--temp\n0\n...\n"
    assert told["changes"][0]["what"] == "arguments: -m tiny.Q4_0.gguf --temp 0 ..."  # type: ignore[index]


def test_arguments_that_name_a_foreign_llamafiles_model_bare_follow_it(world: Path, capsys: Captured) -> None:
    path, model = write_mozilla_file(world / "moz.llamafile"), world / "other.gguf"
    model.write_bytes(tiny_gguf(tensors=DEFAULT_TENSORS[:2]))

    swapped(capsys, path, "--model", model)

    assert members_of(path)[".args"] == b"-m\nother.gguf\n--nobrowser\n...\n"


def test_a_foreign_llamafile_without_its_model_is_told(world: Path, capsys: Captured) -> None:
    path = write_mozilla_file(world / "moz.llamafile")

    told = swapped(capsys, path, "--remove", "tiny.Q4_0.gguf")

    assert ".args still names tiny.Q4_0.gguf, which is no longer there" in str(told["notes"])


def test_a_file_of_ours_without_arguments_gets_them_with_a_verb(world: Path, capsys: Captured) -> None:
    path = write_tiny_file(world, members=default_members()[:1])

    swapped(capsys, path, "--args", "-m /zip/Tiny.Q4_0.gguf")

    assert members_of(path)[".args"] == b"cli\n-m\n/zip/Tiny.Q4_0.gguf\n...\n"


def test_a_foreign_llamafile_is_not_changed_in_place(world: Path, capsys: Captured) -> None:
    path = write_mozilla_file(world / "moz.llamafile")

    said = refusal(capsys, path, "--name", "x", "--in-place", code=4)

    assert said == f"lfbuild: {path}: is somebody else's file\nlfbuild: hint: lfbuild import {path}\n"


def test_another_model_and_the_arguments_that_name_it(world: Path, capsys: Captured) -> None:
    path, model = launcher_file(world), world / "other.gguf"
    model.write_bytes(tiny_gguf(tensors=DEFAULT_TENSORS[:2]))

    told = swapped(capsys, path, "--model", model)

    assert verified(path) == []
    members = members_of(path)
    assert MODEL_NAME not in members
    assert members["other.gguf"] == model.read_bytes()
    assert members[".args"] == b"cli\n-m\n/zip/other.gguf\n...\n"
    assert told["changes"][0]["what"] == f"model {MODEL_NAME} becomes {model}"  # type: ignore[index]


def test_another_model_under_the_old_name_in_place(world: Path, capsys: Captured) -> None:
    path, model = launcher_file(world), world / "other.gguf"
    model.write_bytes(tiny_gguf(tensors=DEFAULT_TENSORS[:2]))

    swapped(capsys, path, "--model", f"{MODEL_NAME}={model}", "--in-place")

    assert verified(path) == []
    assert members_of(path)[MODEL_NAME] == model.read_bytes()


def test_a_model_does_not_take_the_name_of_another_member(world: Path, capsys: Captured) -> None:
    lora = replace(weights("tuned.gguf"), role="lora")
    path = write_tiny_file(world, members=(*default_members(), lora), align_bytes=65536)
    (world / "tuned.gguf").write_bytes(tiny_gguf(tensors=DEFAULT_TENSORS[:2]))
    before = path.read_bytes()

    assert refusal(capsys, path, "--model", "tuned.gguf", code=2) == (
        f"lfbuild: {path}: --model: the file has a tuned.gguf beside {MODEL_NAME}, which would be lost\n"
        "lfbuild: hint: replace that one by --file tuned.gguf=PATH, or give tuned.gguf another name\n"
    )
    assert path.read_bytes() == before
    swapped(capsys, path, "--file", "tuned.gguf=tuned.gguf")
    assert set(members_of(path)) == {MODEL_NAME, "tuned.gguf", "prompts/hello.txt", "empty", ".args"}


def test_a_model_without_the_ending_of_weights_gets_it(world: Path, capsys: Captured) -> None:
    path, model = launcher_file(world), world / "sha256-5f4c"
    model.write_bytes(tiny_gguf(tensors=DEFAULT_TENSORS[:2]))

    told = swapped(capsys, path, "--model", model)

    members = members_of(path)
    assert members["sha256-5f4c.gguf"] == model.read_bytes()
    assert members[".args"] == b"cli\n-m\n/zip/sha256-5f4c.gguf\n...\n"
    assert told["notes"][0] == (  # type: ignore[index]
        "sha256-5f4c is called sha256-5f4c.gguf in the file: weights are found by that ending"
    )


def test_a_model_that_is_none_is_refused(world: Path, capsys: Captured) -> None:
    path, model = launcher_file(world), world / "other.gguf"
    model.write_bytes(b"no model at all")

    assert f"{path}: {model}: " in refusal(capsys, path, "--model", model, code=4)


def test_arguments_of_the_default_verb_and_of_another(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)

    swapped(capsys, path, "--args", "-c 8192 -p 'Hello there'", "--args", "serve=--port 9000", "--in-place")

    assert verified(path) == []
    assert members_of(path)[".args"] == b"cli\n-m\n/zip/Tiny.Q4_0.gguf\n-c\n8192\n-p\n'Hello there'\n...\n"
    with Reader.open(path) as reader:
        assert reader.read(".lfbuild/args/serve") == b"-m\n/zip/Tiny.Q4_0.gguf\n--port\n9000\n...\n"


def file_that_knows(world: Path, *texts: str) -> Path:
    """A file whose engine for Linux has these texts in its bytes."""
    program = NEW_ENGINE + b"\0" + b"".join(text.encode() + b"\0" for text in texts)
    return launcher_file(world, slices=(new_slice(program),))


def test_arguments_are_held_against_the_engine_that_the_file_has(world: Path, capsys: Captured) -> None:
    path = file_that_knows(world, "-m", "-c", "--load-mode")

    told = swapped(capsys, path, "--args", "-c 64 --frobnicate 3 --no-mmap")

    assert members_of(path)[".args"].split() == (
        b"cli -m /zip/Tiny.Q4_0.gguf -c 64 --frobnicate 3 --load-mode none ...".split()
    )
    assert ".args: --frobnicate may be refused: the engine's bytes have no such text" in str(told["notes"])
    assert ".args: --no-mmap becomes --load-mode none: --load-mode has taken its place" in str(told["notes"])


def test_only_arguments_that_are_given_are_held_against_the_engine_that_the_file_has(
    world: Path, capsys: Captured
) -> None:
    path = file_that_knows(world, "-c")

    told = swapped(capsys, path, "--name", "x")

    assert "may be refused" not in str(told["notes"])


def test_arguments_of_a_verb_that_no_engine_has_are_refused(world: Path, capsys: Captured) -> None:
    path = file_that_knows(world, "perplexity")
    before = path.read_bytes()

    assert refusal(capsys, path, "--args", "bogusverb=-c 1", code=2) == (
        f"lfbuild: {path}: --args: llama.cpp 0.5.0 of the file has no verb bogusverb that takes default arguments\n"
        "lfbuild: hint: every engine of lfbuild's has cli, completion, serve, bench\n"
    )
    assert path.read_bytes() == before
    swapped(capsys, path, "--args", "perplexity=-c 1")


def test_another_spelling_of_a_verb_is_refused_as_nothing_is_looked_for_under_it(world: Path, capsys: Captured) -> None:
    path = file_that_knows(world, "server")

    told = refusal(capsys, path, "--args", "server=-c 1", code=2)
    assert "has no verb server that takes default arguments, did you mean 'serve'?\n" in told
    told = refusal(capsys, path, "--args", "quantize=-c 1", code=2)
    assert "has no verb quantize that takes default arguments\n" in told


@pytest.mark.parametrize("first", ["serve=", "cli=", ""])
def test_arguments_that_are_given_twice_are_refused(world: Path, capsys: Captured, first: str) -> None:
    path, verb = launcher_file(world), first.rstrip("=") or "cli"

    assert refusal(capsys, path, "--args", f"{first}-c 1", "--args", f"{verb}=-c 2", code=2) == (
        f"lfbuild: {path}: --args: the arguments of {verb} are given more than once\n"
        "lfbuild: hint: all of them are one text\n"
    )


@pytest.mark.parametrize("option", ["--engine", "--name", "--version", "--description", "--license", "--update-url"])
def test_what_a_file_has_one_of_is_given_once(world: Path, capsys: Captured, option: str) -> None:
    path = launcher_file(world)

    told = refusal(capsys, path, option, "x", option, "x", code=2)

    assert told.startswith(f"lfbuild: swap: {option} is given more than once\n")


def test_arguments_that_begin_with_a_dash_are_told_how_to_be_given(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)

    assert refusal(capsys, path, "--args", "--jinja", code=2) == (
        "lfbuild: swap: argument --args: expected one argument\n"
        "lfbuild: hint: a value that begins with a dash follows an equals sign, as in --args='-…'; "
        "`lfbuild swap --help` shows what can stand here\n"
    )


def test_mozillas_engine_has_no_verbs(world: Path, capsys: Captured) -> None:
    path = write_mozilla_file(world / "moz.llamafile")

    told = refusal(capsys, path, "--args", "serve=-c 1", code=2)
    assert "llamafile 0.9.3 of the file has no verb serve that takes default arguments\n" in told


def test_arguments_that_name_what_is_not_in_the_file_are_told(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)

    told = swapped(capsys, path, "--args", "serve=-m /zip/nothere.gguf", "--args", "--path /zip/prompts")

    assert ".lfbuild/args/serve names /zip/nothere.gguf, which is not in the file" in str(told["notes"])
    assert "/zip/prompts" not in str(told["notes"])


@pytest.mark.parametrize("words", ["completion --temp 0", "serve=completion --temp 0"])
def test_arguments_that_begin_with_a_verb_are_refused(world: Path, capsys: Captured, words: str) -> None:
    path = launcher_file(world)

    assert refusal(capsys, path, "--args", words, code=2) == (
        f"lfbuild: {path}: --args: 'completion --temp 0' begins with 'completion', and no verb takes that: its "
        "arguments begin with a flag\nlfbuild: hint: a verb stands before an equals sign: --args completion='…'\n"
    )


def test_files_come_and_go_and_arguments_that_name_one_are_told(world: Path, capsys: Captured) -> None:
    path, text = launcher_file(world), world / "license.txt"
    text.write_text("MIT\n", encoding="utf-8")

    told = swapped(capsys, path, "--file", f"LICENSE={text}", "--remove", MODEL_NAME, "--remove", "empty")

    assert verified(path) == []
    assert set(members_of(path)) == {"LICENSE", "prompts/hello.txt", ".args"}
    assert f".args still names /zip/{MODEL_NAME}, which is no longer there" in str(told["notes"])


@pytest.mark.parametrize("words", [("--remove", ".args"), ("--file", ".args=tiny.gguf")])
def test_arguments_are_no_file_to_put_or_remove(world: Path, capsys: Captured, words: tuple[str, str]) -> None:
    path = launcher_file(world)

    assert refusal(capsys, path, *words, code=2) == (
        f"lfbuild: {path}: {words[0]}: .args is made by lfbuild itself\nlfbuild: hint: --args changes arguments\n"
    )


def test_quiet_tells_no_notes_of_a_dry_run_either(world: Path, capsys: Captured) -> None:
    words = ["swap", str(launcher_file(world)), "--args", "-m /zip/nothere.gguf", "--dry-run"]
    capsys.readouterr()

    assert main(words) == 0
    assert "note: .args names /zip/nothere.gguf, which is not in the file\n" in capsys.readouterr().out
    assert main([*words, "--quiet"]) == 0
    assert "note: " not in capsys.readouterr().out


def test_what_is_made_anew_with_every_edit_is_not_removed(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)

    told = refusal(capsys, path, "--remove", ".lfbuild/manifest.json", code=2)

    what = ".lfbuild/manifest.json is made by lfbuild itself, and follows what is in the file"
    assert told == f"lfbuild: {path}: --remove: {what}\n"


def test_names_and_the_address_of_updates(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)

    swapped(capsys, path, "--name", "chat", "--version", "2.0", "--update-url", "https://example.com/c", "--in-place")

    manifest = manifest_of(path)
    assert (manifest.release.name, manifest.release.version, manifest.update_url) == (
        "chat", "2.0", "https://example.com/c",
    )  # fmt: skip


def other_model(path: Path, *, name: str = "Other", architecture: str = "gemma3") -> Path:
    """A model that calls itself so."""
    values = {"general.architecture": (STRING, architecture), "general.name": (STRING, name)}
    path.write_bytes(tiny_gguf(values, tensors=DEFAULT_TENSORS[:2]))
    return path


def test_a_description_and_a_licence_that_stay_with_another_model_are_told(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)
    swapped(capsys, path, "--description", "Tiny, for tests")

    told = swapped(capsys, path, "--model", other_model(world / "other.gguf"))

    assert (
        "description and license still tell of Tiny (llama), and Other (gemma3) takes its place: "
        "set what is so now with --description and --license"
    ) in str(told["notes"])


def test_of_the_same_model_in_another_quantization_nothing_has_to_be_told(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)

    told = swapped(capsys, path, "--model", other_model(world / "q8.gguf", name="Tiny", architecture="llama"))

    assert "takes its place" not in str(told["notes"])


def test_description_and_licence_come_with_the_model(world: Path, capsys: Captured) -> None:
    path, model = launcher_file(world), other_model(world / "other.gguf")

    told = swapped(capsys, path, "--model", model, "--description", "Other", "--license", "LicenseRef-Gemma")

    release = manifest_of(path).release
    assert (release.description, release.license, release.version) == ("Other", "LicenseRef-Gemma", "1")
    assert "takes its place" not in str(told["notes"])
    assert "no license" in str(swapped(capsys, path, "--license", "")["changes"])


def test_another_output_leaves_the_file_as_it_is(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)
    old = path.read_bytes()

    swapped(capsys, path, "--name", "chat", "-o", world / "new.llamafile")

    assert path.read_bytes() == old
    assert verified(world / "new.llamafile") == []
    assert manifest_of(world / "new.llamafile").release.name == "chat"


def test_a_file_in_use_is_replaced_and_never_written_under(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)
    old = path.read_bytes()

    with used(path) as running:
        assert refusal(capsys, path, "--name", "x", "--in-place", code=8) == (
            f"lfbuild: {path}: is in use, or another lfbuild is changing it\nlfbuild: hint: stop it, and try again\n"
        )
        swapped(capsys, path, "--name", "x")
        assert running.read() == old
    assert manifest_of(path).release.name == "x"


def test_a_signed_file_is_refused_in_place_and_told_otherwise(world: Path, capsys: Captured) -> None:
    path = write_tiny_file(world, head=tiny_launcher(), align_bytes=65536, sign=sign_file)

    assert refusal(capsys, path, "--name", "x", "--in-place", code=8) == (
        f"lfbuild: {path}: is signed, and a signature does not survive a change in place\n"
        "lfbuild: hint: without --in-place a new file is written, which can be signed again\n"
    )
    told = swapped(capsys, path, "--name", "x")
    assert "the file was signed for Windows, and the new one is not: sign it again" in str(told["notes"])
    assert verified(path) == []


def test_a_full_disk_is_told_with_the_ways_out_that_there_are(
    world: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, foreign = launcher_file(world), write_mozilla_file(world / "moz.llamafile")
    monkeypatch.setattr(lfbuild.commands.swap, "can_share", lambda *_: False)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=1, f_frsize=512))

    told = {path: refusal(capsys, path, "--name", "x", code=8).splitlines() for path in (ours, foreign)}

    for lines in told.values():
        assert lines[0].startswith(f"lfbuild: {world}: the new file needs ")
        assert lines[0].endswith(", and 512 B are free")
    assert told[ours][1:] == ["lfbuild: hint: --in-place needs no second copy; or free some space"]
    assert told[foreign][1:] == ["lfbuild: hint: free some space"]


def test_a_disk_too_full_for_a_change_in_place_is_told_before_it_begins(
    world: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = launcher_file(world)
    old = path.read_bytes()
    (world / "long.txt").write_bytes(bytes(9000))
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=1, f_frsize=512))

    told = refusal(capsys, path, "--file", f"long.txt={world / 'long.txt'}", "--in-place", code=8).splitlines()

    assert told[0].startswith(f"lfbuild: {world}: the change in place needs ")
    assert told[0].endswith(", and 512 B are free")
    assert told[1:] == ["lfbuild: hint: free some space"]
    assert path.read_bytes() == old


def test_spare_room_of_a_file_takes_nothing_of_the_disk_until_an_engine_stands_there(
    world: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = launcher_file(world, room_bytes=200_000)
    old = path.read_bytes()
    (world / "bare").write_bytes(tiny_elf(20) + blake3(b"an engine").digest(100_000))
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=90_000, f_frsize=1))

    told = refusal(capsys, path, "--engine", world / "bare", "--in-place", code=8)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=110_000, f_frsize=1))
    (change,) = swapped(capsys, path, "--engine", world / "bare", "--in-place", "--dry-run")["changes"]  # type: ignore[misc]

    assert told.startswith(f"lfbuild: {world}: the change in place needs ")
    assert change["how"] == "in the spare slot"
    assert path.read_bytes() == old


def test_nothing_to_change_is_refused(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)

    assert refusal(capsys, path, code=2) == (
        f"lfbuild: {path}: nothing is to be changed: name an --engine, a --model, --args, a --file, or another name\n"
        "lfbuild: hint: `lfbuild swap --help`\n"
    )


def test_an_engine_that_is_nowhere_is_refused(world: Path, capsys: Captured) -> None:
    assert refusal(capsys, launcher_file(world), "--engine", "nowhere", code=2) == (
        "lfbuild: --engine: 'nowhere' is no recipe, no file, and no key of an engine in the cache\n"
        "lfbuild: hint: lfbuild cache list\n"
    )


@pytest.mark.parametrize("how", [[], ["--in-place"], ["--dry-run"], ["-o", "tiny.llamafile"]])
def test_what_the_file_has_already_is_told_and_nothing_is_written(
    world: Path, capsys: Captured, how: list[str]
) -> None:
    path = launcher_file(world)
    other = launcher_file(world, name="other.llamafile")
    (world / "new.gguf").write_bytes(tiny_gguf())
    swapped(capsys, path, "--model", f"{MODEL_NAME}=new.gguf", "--name", "x", "--args", "--temp 1")
    same = ["--engine", other, "--model", f"{MODEL_NAME}=new.gguf", "--name", "x", "--args", "--temp 1"]
    before, facts = path.read_bytes(), path.stat()

    told = swapped(capsys, path, *same, *how)

    assert (told["way"], told["changes"], told["written_bytes"], told["generation"]) == ("nothing", [], 0, 2)
    assert "the file has llama.cpp 0.5.0 of other.llamafile already, so its engine stays" in str(told["notes"])
    assert (path.read_bytes(), path.stat()) == (before, facts)
    assert main(["swap", str(path), *map(str, same), *how, "--quiet"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{told['output']}: is so already, nothing is written"


def test_a_copy_is_made_where_another_file_is_named_though_nothing_changes(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)

    told = swapped(capsys, path, "--name", "tiny", "-o", "copy.llamafile")

    assert told["done"]
    assert verified(world / "copy.llamafile") == []


def test_another_mode_of_a_file_is_a_change(world: Path, capsys: Captured) -> None:
    path, script = launcher_file(world), world / "run.sh"
    script.write_bytes(b"true\n")
    swapped(capsys, path, "--file", "run.sh=run.sh")
    script.chmod(0o755)

    assert swapped(capsys, path, "--file", "run.sh=run.sh")["done"]


@pytest.mark.parametrize("words", [["swap", "--name", "x"], ["swap", "--name", "x", "--in-place"], ["compact"]])
def test_there_is_no_generation_after_the_last_one(world: Path, capsys: Captured, words: list[str]) -> None:
    path = launcher_file(world, generation=10**16 - 1)
    before = path.read_bytes()
    capsys.readouterr()

    assert main([words[0], str(path), *words[1:], "--quiet"]) == 4

    assert capsys.readouterr().err == (
        f"lfbuild: {path}: is of generation 9999999999999999, the last one\n"
        "lfbuild: hint: `lfbuild convert-back`, then `lfbuild import`, begin at 1 again\n"
    )
    assert path.read_bytes() == before
    assert verified(path) == []


def test_an_interrupted_edit_is_told_and_finished_first(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)
    path.write_bytes(path.read_bytes() + b"a tail without end")

    assert main(["swap", str(path), "--name", "x"]) == 0

    assert "note: tiny.llamafile: an edit had been interrupted, and what it left was cleared" in capsys.readouterr().err
    assert verified(path) == []


def test_a_look_at_what_an_interrupted_edit_left_says_who_clears_it(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)
    path.write_bytes(path.read_bytes() + b"a tail without end")
    before = path.read_bytes()

    assert main(["swap", str(path), "--name", "x", "--dry-run", "-q"]) == 5

    what = "an edit of this file was interrupted, and left bytes that belong to nothing"
    assert capsys.readouterr().err == (f"lfbuild: {path}: end records: {what}\nlfbuild: hint: lfbuild recover {path}\n")
    assert path.read_bytes() == before


def test_what_would_be_done_reads_like_a_table(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)
    assert main(["swap", str(path), "--name", "x", "--in-place", "-n", "-q"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["change", "how", "size"]
    assert lines[1].split() == ["name", "becomes", "x", "appended", "tail"]
    assert lines[-1].startswith(f"{path}: generation 2, appended tail: ")
    assert lines[-1].endswith(" would be written")


@pytest.mark.parametrize(
    "words", [["--model", "new.gguf"], ["--model", f"{MODEL_NAME}=new.gguf"], ["--file", "x=new.gguf"]]
)
def test_a_new_file_is_never_written_over_what_it_is_made_of(world: Path, capsys: Captured, words: list[str]) -> None:
    path, model = launcher_file(world), world / "new.gguf"
    model.write_bytes(tiny_gguf())
    refused = "lfbuild: {}: is one of the files that are read\nlfbuild: hint: -o names another\n"

    assert refusal(capsys, path, *words, "-o", "new.gguf", code=8) == refused.format("new.gguf")
    assert refusal(capsys, path, *words, "-o", "new.gguf", "--dry-run", code=8) == refused.format("new.gguf")

    assert model.read_bytes() == tiny_gguf()


@pytest.mark.parametrize("verb", ["swap", "convert-back"])
def test_an_engine_is_never_written_over(world: Path, capsys: Captured, verb: str) -> None:
    path, engine = launcher_file(world), world / "engine.bin"
    engine.write_bytes(NEW_ENGINE)
    capsys.readouterr()

    assert main([verb, str(path), "--engine", "engine.bin", "-o", "engine.bin", "--quiet"]) == 8

    assert capsys.readouterr().err == (
        "lfbuild: engine.bin: is one of the files that are read\nlfbuild: hint: -o names another\n"
    )
    assert engine.read_bytes() == NEW_ENGINE


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--file", "../x=tiny.gguf"], ["--file: the name '../x' leads out of the folder"]),
        (["--file", "/abs/x=tiny.gguf"], ["--file: the name '/abs/x' is absolute"]),
        (["--file", "a=x", "--file", "a=y"], ["--file: a is given more than once"]),
        (["--remove", "a", "--remove", "a"], ["--remove: a is given more than once"]),
        (["--file", "a=x", "--remove", "a"], ["--file: a is to be put in, and removed by --remove"]),
        (["--model", "x@y.gguf"], ["--model: the name 'x@y.gguf' contains '@', which separates file and member"]),
        (["--model", "a=x", "--remove", "a", "--name", ""], [
            "--model: a is to be put in, and removed by --remove", "--name: must have 1 to 200 bytes",
        ]),
    ],
)  # fmt: skip
def test_words_that_cannot_be_meant_are_refused_before_anything_is_read(
    world: Path, capsys: Captured, words: list[str], told: list[str]
) -> None:
    said = refusal(capsys, "nowhere.llamafile", "--engine", "nowhere", *words, code=2)

    assert said == "".join(f"lfbuild: nowhere.llamafile: {problem}\n" for problem in told)


def test_a_member_that_is_not_there_is_not_removed(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)

    assert refusal(capsys, path, "--remove", "nothere", code=2) == (
        f"lfbuild: {path}: --remove: the file has no member nothere\nlfbuild: hint: lfbuild list {path}\n"
    )


@pytest.mark.parametrize("words", [["swap", "--name", "x"], ["compact"]])
def test_weights_that_are_damaged_are_told_with_the_file_to_verify(
    world: Path, capsys: Captured, words: list[str]
) -> None:
    path = launcher_file(world)
    with Reader.open(path) as reader:
        at = reader.data_offset(reader.record(MODEL_NAME))
    data = bytearray(path.read_bytes())
    data[at + 9] ^= 1
    path.write_bytes(data)
    capsys.readouterr()

    assert main([words[0], str(path), *words[1:], "-o", "new.llamafile", "--quiet"]) == 5

    assert capsys.readouterr().err == (
        f"lfbuild: {path}: {MODEL_NAME}: its bytes are not the ones that were promised; nothing was changed\n"
        f"lfbuild: hint: lfbuild verify {path} tells which block is wrong\n"
    )


@pytest.mark.parametrize(
    ("option", "value", "what"),
    [
        ("--name", "", "must have 1 to 200 bytes"),
        ("--name", "a/b", "must be usable as a file name: no slash, colon, quote, or '.', '-' at its start"),
        ("--version", "", "must not be empty"),
        ("--version", "1\n2", "must be one line, without control characters"),
        ("--update-url", "nonsense", "must be an http://, https://, s3:// or oci:// address"),
        ("--update-url", "ftp://x/", "must be an http://, https://, s3:// or oci:// address"),
    ],
)
def test_what_a_recipe_would_refuse_is_refused(
    world: Path, capsys: Captured, option: str, value: str, what: str
) -> None:
    path = launcher_file(world)
    before = path.read_bytes()

    assert refusal(capsys, path, option, value, code=2) == f"lfbuild: {path}: {option}: {what}\n"

    assert path.read_bytes() == before


def test_all_of_it_is_told_at_once_before_an_engine_is_looked_for(world: Path, capsys: Captured) -> None:
    path = launcher_file(world)

    said = refusal(capsys, path, "--engine", "none", "--name", "a/b", "--update-url", "x", code=2)

    assert [line.split(": ")[2] for line in said.splitlines()] == ["--name", "--update-url"]


@pytest.mark.parametrize("address", ["s3://bucket/chat", "oci://registry.example/acme/chat:1/", ""])
def test_updates_may_come_from_whatever_update_reads(world: Path, capsys: Captured, address: str) -> None:
    path = launcher_file(world)

    swapped(capsys, path, "--name", "x", "--update-url", address)

    assert manifest_of(path).update_url == address
