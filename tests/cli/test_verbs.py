"""What a user sees of the verbs that need no file of ours."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from lfbuild.cli.reports import PlainReport
from lfbuild.commands import toolchain
from lfbuild.commands.choice import Choice
from lfbuild.commands.settings import Settings
from lfbuild.commands.toolchain import FoundToolchain
from lfbuild.host.machine import look_at_machine
from lfbuild.store import Store

if TYPE_CHECKING:
    from conftest import Lfbuild

HERE = look_at_machine(search_path="").target
ZIG = FoundToolchain(kind="zig", version="0.17.1", path=Path("/opt/zig"))
NO_COSMOCC = FoundToolchain(kind="cosmocc", problem="is not here", hint="lfbuild toolchain install cosmocc")


@pytest.fixture
def kept(tmp_path: Path) -> str:
    """The sha256 of a download of 2 KiB, last used in 1970."""
    data = bytes(2048)
    sha256 = hashlib.sha256(data).hexdigest()
    store = Store(tmp_path / "cache")
    with store.adopting() as incoming:
        incoming.path.write_bytes(data)
        store.used(incoming.commit(sha256), now=0.0)
    return sha256


def test_an_empty_cache_is_told_in_a_sentence(lfbuild: Lfbuild, tmp_path: Path) -> None:
    told = lfbuild("cache", "list")

    assert (told.code, told.err) == (0, "")
    assert told.out == f"{tmp_path / 'cache'} is empty: nothing was fetched or compiled yet\n"


def test_the_cache_is_listed_with_its_sum(lfbuild: Lfbuild, tmp_path: Path, kept: str) -> None:
    told = lfbuild("cache", "list")

    title, row, total = told.out.splitlines()
    assert title.split() == ["kind", "size", "last", "used", "key", "what"]
    assert row.startswith("download  2.0 KiB  ")
    assert row.endswith(f" days ago       {kept}")
    assert total == f"2.0 KiB in 1 entry in {tmp_path / 'cache'}"


def test_an_engine_is_listed_with_what_swap_takes_as_its_key(lfbuild: Lfbuild, tmp_path: Path) -> None:
    key = "0123456789abcdef" * 4
    with Store(tmp_path / "cache").making("engines", key) as folder:
        (folder / "engine.json").write_text("{")

    _, row, _ = lfbuild("cache", "list").out.splitlines()

    assert row.endswith("  0123456789ab  damaged")


def test_the_cache_folder_is_chosen_by_an_option_before_the_environment(lfbuild: Lfbuild, kept: str) -> None:
    told = lfbuild("cache", "list", "--json", "--cache-dir", "elsewhere")

    assert json.loads(told.out) == {"folder": str(Path("elsewhere").absolute()), "kept": [], "size_bytes": 0}


def test_pruning_without_saying_what_is_refused(lfbuild: Lfbuild, kept: str) -> None:
    told = lfbuild("cache", "prune")

    assert told.code == 2
    assert told.err == (
        "lfbuild: cache prune: what may go is missing\n"
        "lfbuild: hint: add --older-than AGE, --max-size SIZE or --all (and --dry-run)\n"
    )


def test_a_dry_run_says_what_pruning_would_free(lfbuild: Lfbuild, kept: str) -> None:
    assert lfbuild("cache", "prune", "--older-than", "30d", "-n").out.splitlines()[-1] == (
        "would free 2.0 KiB of 1 entry; 0 B left"
    )
    assert lfbuild("cache", "prune", "--older-than", "30d").out.splitlines()[-1] == "freed 2.0 KiB of 1 entry; 0 B left"
    assert lfbuild("cache", "prune", "--all").out == "freed 0 B of 0 entries; 0 B left\n"


def test_pruning_tells_the_same_as_json(lfbuild: Lfbuild, kept: str) -> None:
    told = json.loads(lfbuild("cache", "prune", "--max-size", "1K", "--json").out)

    assert (told["dry_run"], told["freed_bytes"], told["left_bytes"]) == (False, 2048, 0)
    assert [it["name"] for it in told["removed"]] == [kept]


def test_toolchains_are_listed_with_what_to_do_about_one_that_lacks(
    lfbuild: Lfbuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolchain, "list_toolchains", lambda _settings: (ZIG, NO_COSMOCC))

    told = lfbuild("toolchain", "list")

    assert told.out.splitlines() == [
        "kind     version           where",
        "zig      0.17.1   ok       /opt/zig",
        "cosmocc           lacking  is not here; lfbuild toolchain install cosmocc",
    ]


@pytest.mark.parametrize("action", ["install", "where"])
def test_a_toolchain_has_to_be_named(lfbuild: Lfbuild, action: str) -> None:
    told = lfbuild("toolchain", action)

    assert told.code == 2
    assert told.err == f"lfbuild: toolchain {action}: the kind is missing\nlfbuild: hint: add zig or cosmocc\n"


def test_the_doctor_says_what_can_be_built(lfbuild: Lfbuild, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lfbuild.commands.doctor.list_toolchains", lambda _settings: (ZIG, NO_COSMOCC))

    told = lfbuild("doctor")

    assert told.code == 0
    assert "ok  zig              0.17.1\n" in told.out
    assert "-   cosmocc          is not here\n" in told.out
    assert told.out.splitlines()[-1] == "this machine can build, with zig"


def test_the_doctor_has_an_exit_code_for_a_machine_that_can_build_nothing(
    lfbuild: Lfbuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lfbuild.commands.doctor.list_toolchains", lambda _settings: (NO_COSMOCC,))

    told = lfbuild("doctor")

    assert told.code == 3
    assert told.out.splitlines()[-2:] == [
        "this machine cannot build anything yet",
        "to do: install cosmocc: lfbuild toolchain install cosmocc",
    ]
    assert json.loads(lfbuild("doctor", "--json").out)["can_build"] == []


def test_a_new_recipe_is_told_with_what_comes_next(lfbuild: Lfbuild, tmp_path: Path) -> None:
    key, value = b"general.architecture", b"llama"
    pair = len(key).to_bytes(8, "little") + key + b"\x08\0\0\0" + len(value).to_bytes(8, "little") + value
    (tmp_path / "my model.gguf").write_bytes(b"GGUF\x03\0\0\0" + bytes(8) + (1).to_bytes(8, "little") + pair)

    told = lfbuild("new", "my model.gguf")

    assert told.code == 0
    assert told.out == (
        "recipe  my model.toml\n"
        "model   llama, 0 parameters, without a chat template\n"
        "verb    completion\n"
        "next    lfbuild 'my model.toml'\n"
    )


def test_the_schema_goes_to_stdout_or_into_a_file(lfbuild: Lfbuild, tmp_path: Path) -> None:
    printed = lfbuild("schema")
    written = lfbuild("schema", "-o", "recipe.schema.json")

    assert json.loads(printed.out)["title"] == "lfbuild recipe"
    assert written.out == "recipe.schema.json\n"
    assert (tmp_path / "recipe.schema.json").read_text(encoding="utf-8") == printed.out


@pytest.mark.parametrize("words", [["chat.toml"], ["build", "chat.toml"]])
def test_a_build_tells_where_the_file_is_and_how_to_run_it(
    lfbuild: Lfbuild, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str]
) -> None:
    made = Path("my chat.llamafile")
    (tmp_path / made).write_bytes(bytes(2048))
    built = SimpleNamespace(path=made, targets=(HERE,), beside=())
    monkeypatch.setattr("lfbuild.commands.build.build", lambda _recipe, **_: built)

    told = lfbuild(*words)

    assert told.code == 0
    assert told.out == "made    my chat.llamafile\nsize    2.0 KiB\nrun it  './my chat.llamafile'\n"
    assert json.loads(lfbuild(*words, "--json").out) == {
        "path": "my chat.llamafile",
        "size_bytes": 2048,
        "beside": [],
    }


@pytest.mark.parametrize(
    ("name", "targets", "told"),
    [
        ("chat.llamafile", ("windows-x86_64",), "runs on  windows-x86_64 (on Windows as chat.exe)"),
        ("chat.exe", ("windows-x86_64",), "runs on  windows-x86_64"),
        ("chat.llamafile", ("macos-aarch64", "macos-x86_64"), "runs on  macos-aarch64, macos-x86_64"),
        ("chat.llamafile", ("windows-x86_64", HERE), "run it  ./chat.llamafile"),
        ("chat.llamafile", ("cosmo",), "run it  ./chat.llamafile"),
    ],
)
def test_a_file_that_does_not_start_here_is_told_with_where_it_does(
    lfbuild: Lfbuild,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    targets: tuple[str, ...],
    told: str,
) -> None:
    (tmp_path / name).write_bytes(b"")
    built = SimpleNamespace(path=Path(name), targets=targets, beside=())
    monkeypatch.setattr("lfbuild.commands.build.build", lambda _recipe, **_: built)

    assert lfbuild("chat.toml").out.splitlines()[-1] == told


def test_a_build_is_told_everything_that_was_asked_for(
    lfbuild: Lfbuild, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict[str, object] = {}

    def build(recipe: Path, **options: object) -> SimpleNamespace:
        asked.update(options, recipe=recipe)
        return SimpleNamespace(path=Path("/bin/sh"))

    monkeypatch.setattr("lfbuild.commands.build.build", build)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")

    words = ("--launcher", "ccache", "--target", "linux-x86_64", "--depfile", "out.d")
    lfbuild("--offline", "chat.toml", "-o", "out", "--locked", "-j", "3", *words)

    settings, report = asked.pop("settings"), asked.pop("report")
    assert asked == {
        "recipe": Path("chat.toml"),
        "output": Path("out"),
        "locked": True,
        "jobs": 3,
        "choice": Choice(systems=("linux-x86_64",), launcher="ccache"),
        "depfile": Path("out.d"),
        "epoch": 1700000000,
    }
    assert isinstance(settings, Settings)
    assert settings.offline
    assert isinstance(report, PlainReport)


def test_an_installed_toolchain_is_told_with_its_place(lfbuild: Lfbuild, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "install_toolchain", lambda _kind, **_: ZIG)
    monkeypatch.setattr(toolchain, "where_toolchain", lambda _kind, **_: ZIG)

    assert lfbuild("toolchain", "install", "zig").out == "zig 0.17.1 is in /opt/zig\n"
    assert lfbuild("toolchain", "where", "zig").out == "/opt/zig\n"
    assert json.loads(lfbuild("toolchain", "where", "zig", "--json").out)["path"] == "/opt/zig"
