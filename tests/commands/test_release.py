"""`release` and `reproduce` on the tiny world: everything in one folder, and the same bytes again."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.commands.world import LONG_SIGNER, RECIPE, keep_engines, write_signer
from tests.world.models import tiny_gguf
from tests.world.zips import Stored, write_zip

from lfbuild.cli import main
from lfbuild.engine.compile import load_engine
from lfbuild.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.engine.job import Engine, EngineJob

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="the package ziglang is not installed"
)
Captured = pytest.CaptureFixture[str]
NAMES = [
    "RELEASE.md",
    "SHA256SUMS",
    "chat.llamafile",
    "chat.llamafile.cdx.json",
    "chat.llamafile.intoto.json",
    "chat.llamafile.lfindex",
    "index.html",
]


@pytest.fixture
def released(world: Path, capsys: Captured) -> Path:
    """The tiny world with a release of its recipe in `out`."""
    keep_engines(world, capsys)
    assert main(["release", "chat.toml", "-o", "out", "--quiet"]) == 0
    capsys.readouterr()
    return world


def test_a_release_is_a_folder_with_all_that_goes_with_a_file(released: Path) -> None:
    assert sorted(path.name for path in (released / "out").iterdir()) == NAMES

    checked = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=released / "out", capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0
    assert checked.stdout == "".join(f"{name}: OK\n" for name in NAMES if name != "SHA256SUMS")


def test_a_release_made_elsewhere_has_the_same_bytes(released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = released / "some where"
    other.mkdir()
    for name in ("chat.toml", "tiny.gguf", "engine"):
        (released / name).rename(other / name)
    monkeypatch.chdir(other)
    monkeypatch.setenv("TZ", "Asia/Tokyo")

    assert main(["release", "chat.toml", "-o", "again", "--quiet"]) == 0

    for name in NAMES:
        assert (other / "again" / name).read_bytes() == (released / "out" / name).read_bytes(), name


def test_the_provenance_names_the_file_its_recipe_and_its_sources_by_digest(released: Path) -> None:
    statement = json.loads((released / "out" / "chat.llamafile.intoto.json").read_text(encoding="utf-8"))
    file = (released / "out" / "chat.llamafile").read_bytes()

    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["subject"] == [{"name": "chat.llamafile", "digest": {"sha256": hashlib.sha256(file).hexdigest()}}]
    definition = statement["predicate"]["buildDefinition"]
    recipe = hashlib.sha256((released / "chat.toml").read_bytes()).hexdigest()
    assert definition["externalParameters"]["recipe"] == {"sha256": recipe}
    assert definition["externalParameters"]["epoch"] == 1700000000
    model = hashlib.sha256(tiny_gguf()).hexdigest()
    assert {
        "name": "tiny.gguf",
        "digest": {"sha256": model},
        "annotations": {"kind": "path", "location": "tiny.gguf"},
    } in (definition["resolvedDependencies"])


def test_the_bill_of_materials_is_one_and_has_engine_compiler_and_model(released: Path) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = (released / "out" / "chat.llamafile.cdx.json").read_text(encoding="utf-8")

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = json.loads(text)
    found = {part["bom-ref"]: (part["type"], part["name"]) for part in bom["components"]}
    assert found == {
        "engine": ("application", "llama.cpp"),
        "toolchain": ("application", "zig"),
        "member:tiny.gguf": ("machine-learning-model", "tiny.gguf"),
    }
    (engine,) = (part for part in bom["components"] if part["bom-ref"] == "engine")
    assert engine["licenses"] == [{"expression": "MIT AND Apache-2.0"}]


def test_notes_and_page_say_what_changed_since_earlier_releases(released: Path) -> None:
    (released / "chat.toml").write_text(
        RECIPE.replace('name = "chat"', 'name = "chat"\nversion = "0.2.0"\ndescription = "<b>bold</b>"').replace(
            '"0"]', '"1"]'
        ),
        encoding="utf-8",
    )

    assert main(["release", "chat.toml", "-o", "next", "--previous", "out", "--tag", "v0.2.0", "--quiet"]) == 0

    notes = (released / "next" / "RELEASE.md").read_text(encoding="utf-8")
    assert notes.startswith("# chat 0.2.0\n\n## chat.llamafile\n\n\\<b\\>bold\\</b\\>\n\n* size: ")
    assert "### Since 0.1.0\n" in notes
    assert "* arguments: cli -m /zip/tiny.gguf --temp 0 ... → cli -m /zip/tiny.gguf --temp 1 ...\n" in notes
    assert "* arguments of serve: -m /zip/tiny.gguf --temp 0 ... → -m /zip/tiny.gguf --temp 1 ...\n" in notes
    assert "* description: <b>bold</b>, which is new\n" in notes.replace("\\", "")
    assert "* engine" not in notes.partition("### Since")[2]
    page = (released / "next" / "index.html").read_text(encoding="utf-8")
    assert "<p>&lt;b&gt;bold&lt;/b&gt;</p>" in page
    assert "<h3>Since 0.1.0</h3>" in page
    assert "<li>arguments: cli -m /zip/tiny.gguf --temp 0 ... → cli -m /zip/tiny.gguf --temp 1 ...</li>" in page


def test_what_a_release_calls_itself_is_no_markup_of_its_notes(released: Path) -> None:
    recipe = RECIPE.replace('name = "chat"', 'name = "chat [1]"\nversion = "<b>"')
    (released / "chat.toml").write_text(recipe, encoding="utf-8")
    assert main(["release", "chat.toml", "-o", "first", "--quiet"]) == 0

    assert main(["release", "chat.toml", "-o", "next", "--previous", "first", "--quiet"]) == 0

    notes = (released / "next" / "RELEASE.md").read_text(encoding="utf-8")
    assert notes.startswith("# chat \\[1\\] \\<b\\>\n\n## chat \\[1\\].llamafile\n")
    assert "\n### Since \\<b\\>\n" in notes


def test_a_difference_from_an_earlier_release_makes_the_new_one_of_it(released: Path, capsys: Captured) -> None:
    (released / "chat.toml").write_text(RECIPE.replace('"0"]', '"1"]'), encoding="utf-8")

    assert main(["release", "chat.toml", "-o", "next", "--previous", "out", "--quiet"]) == 0

    (delta,) = (released / "next").glob("*.lfdelta")
    assert delta.stat().st_size < 10_000
    made = released / "made.llamafile"
    words = [str(released / "out" / "chat.llamafile"), str(delta), "-o", str(made)]
    assert main(["apply", *words, "--quiet"]) == 0
    assert made.read_bytes() == (released / "next" / "chat.llamafile").read_bytes()
    assert delta.name in (released / "next" / "SHA256SUMS").read_text(encoding="utf-8")


def test_an_older_file_is_updated_from_a_release_folder(released: Path) -> None:
    (released / "chat.toml").write_text(RECIPE.replace('"0"]', '"1"]'), encoding="utf-8")
    assert main(["release", "chat.toml", "-o", "next", "--previous", "out", "--quiet"]) == 0
    file = released / "chat.llamafile"
    shutil.copy(released / "out" / "chat.llamafile", file)

    assert main(["update", str(file), f"{released / 'next'}/", "--quiet"]) == 0

    assert file.read_bytes() == (released / "next" / "chat.llamafile").read_bytes()


def test_the_same_release_again_has_no_differences(released: Path) -> None:
    assert main(["release", "chat.toml", "-o", "next", "--previous", "out", "--quiet"]) == 0

    assert not list((released / "next").glob("*.lfdelta"))
    assert "### Since 0.1.0\n\nThe same file.\n" in (released / "next" / "RELEASE.md").read_text(encoding="utf-8")


def test_a_release_that_cannot_be_made_leaves_nothing(released: Path, capsys: Captured) -> None:
    (released / "tiny.gguf").unlink()

    assert main(["release", "chat.toml", "-o", "next", "--quiet"]) == 7

    assert not [path for path in released.iterdir() if "next" in path.name]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--tag", "v2"), "chat.toml:1: llamafile.version: is 0.1.0, but the tag is v2\n"),
        (("--previous", "engine"), "engine: holds no .llamafile, no .exe and nothing with its "),
        (("--previous", "none"), "none: is no folder, so it holds no release\n"),
        (("-o", "out"), "out: is there already, and is never written over\n"),
        (("-o", "no/where"), "no: is no folder, so nothing can be written there\n"),
    ],
)
def test_what_does_not_fit_a_release_is_told(
    released: Path, capsys: Captured, words: tuple[str, ...], said: str
) -> None:
    assert main(["release", "chat.toml", "-o", "next", *words, "--quiet"]) in {2, 4, 8}

    assert capsys.readouterr().err.startswith(f"lfbuild: {said}")
    assert not (released / "next").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("--tag", "v9.9"),
        ("--previous", "out"),
        ("--target", "linux-x86_64"),
        ("--builder", "urn:me"),
        ("--launcher", "ccache"),
        ("--jobs", "3"),
    ],
)
def test_what_decides_how_a_release_is_made_has_no_place_where_none_is_made(
    world: Path, capsys: Captured, words: tuple[str, str]
) -> None:
    assert main(["release", "-o", "out", "--push", "oci://localhost/a:1", *words]) == 2

    assert capsys.readouterr().err == (
        f"lfbuild: release: without a recipe nothing is made, so {words[0]} has no place beside --push\n"
        "lfbuild: hint: name a recipe, or leave it out\n"
    )


def test_two_recipes_that_make_one_name_are_refused(released: Path, capsys: Captured) -> None:
    assert main(["release", "chat.toml", "chat.toml", "-o", "next", "--quiet"]) == 2

    assert capsys.readouterr().err == (
        "lfbuild: release: two of the recipes make chat.llamafile\nlfbuild: hint: give one another 'output'\n"
    )
    assert not (released / "next").exists()


def test_a_file_is_reproduced_from_what_is_in_it(released: Path, capsys: Captured) -> None:
    moved = released / "elsewhere.llamafile"
    shutil.move(released / "out" / "chat.llamafile", moved)
    (released / "chat.toml").unlink()

    assert main(["reproduce", str(moved), "--quiet"]) == 0

    assert capsys.readouterr().out == f"{moved}: its recipe gives the same bytes\n"


def test_a_member_that_was_changed_is_named(released: Path, capsys: Captured) -> None:
    file = released / "out" / "chat.llamafile"
    data = bytearray(file.read_bytes())
    at = data.index(tiny_gguf()[-64:]) + 8
    data[at] ^= 1
    file.write_bytes(data)

    assert main(["reproduce", "out/chat.llamafile", "--quiet"]) == 5

    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("out/chat.llamafile: tiny.gguf: ")
    assert said[-1] == "out/chat.llamafile: its recipe gives other bytes"


def test_a_source_that_is_another_now_is_the_reason(released: Path, capsys: Captured) -> None:
    changed = tiny_gguf()[:-1] + b"\x55"
    (released / "tiny.gguf").write_bytes(changed)

    assert main(["reproduce", "out/chat.llamafile", "--quiet"]) == 5

    old, new = (hashlib.sha256(data).hexdigest()[:16] for data in (tiny_gguf(), changed))
    assert capsys.readouterr().out.splitlines() == [
        "out/chat.llamafile: tiny.gguf: is another than a new build gives",
        "out/chat.llamafile: .lfbuild/blocks/tiny.gguf.blocks: is another than a new build gives",
        f"reason: the source of tiny.gguf was {old}, and is {new} now",
        "out/chat.llamafile: its recipe gives other bytes",
    ]


def test_an_edit_since_the_build_is_told_as_a_reason(released: Path, capsys: Captured) -> None:
    file = "out/chat.llamafile"
    assert main(["swap", file, "--args", "--temp 0.5", "--quiet"]) == 0
    capsys.readouterr()

    assert main(["reproduce", file, "--quiet"]) == 5

    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if line.startswith("reason: ")] == [
        "reason: it was edited since it was built, and is of generation 2: its recipe does not know that"
    ]


def test_a_file_of_one_of_several_systems_is_reproduced_for_that_one(world: Path, capsys: Captured) -> None:
    several = RECIPE.replace('["host"]', '["linux-x86_64", "windows-x86_64"]')
    (world / "chat.toml").write_text(several, encoding="utf-8")
    keep_engines(world, capsys)
    assert main(["build", "chat.toml", "--target", "windows-x86_64", "-o", "chat.exe", "--quiet"]) == 0

    assert main(["reproduce", "chat.exe", "--quiet"]) == 0


def write_signed(world: Path, capsys: Captured, system: str, table: str, signer: str) -> None:
    """A file for one system that its recipe signs, and then nobody's command any more: it would leave `ran`."""
    recipe = RECIPE.replace('["host"]', f'["{system}"]') + f'[sign]\n{table} = "./sign.sh {{file}}"\n'
    (world / "chat.toml").write_text(recipe, encoding="utf-8")
    write_signer(world, signer)
    keep_engines(world, capsys)
    assert main(["build", "chat.toml", "-o", "chat.exe", "--quiet"]) == 0, capsys.readouterr().err
    capsys.readouterr()
    write_signer(world, "#!/bin/sh\ntouch ran\nexit 7\n")


def test_a_signed_file_is_reproduced_without_its_key_and_its_signing_command_is_not_run(
    world: Path, capsys: Captured
) -> None:
    write_signed(world, capsys, "windows-x86_64", "windows", LONG_SIGNER.replace("{size}", "4096"))

    assert main(["reproduce", "chat.exe", "--quiet"]) == 0

    said = "chat.exe: its recipe gives the same bytes, all but those of its signature, which takes a key\n"
    assert capsys.readouterr().out == said
    assert not (world / "ran").exists()


def test_a_byte_of_a_signed_file_that_was_changed_is_told(world: Path, capsys: Captured) -> None:
    write_signed(world, capsys, "windows-x86_64", "windows", LONG_SIGNER.replace("{size}", "4096"))
    file = world / "chat.exe"
    data = bytearray(file.read_bytes())
    data[data.index(tiny_gguf()[-64:]) + 8] ^= 1
    file.write_bytes(data)

    assert main(["reproduce", "chat.exe", "--quiet"]) == 5

    assert capsys.readouterr().out.splitlines()[-1] == "chat.exe: its recipe gives other bytes"


def test_programs_for_macos_that_were_signed_are_told_as_what_takes_the_key(world: Path, capsys: Captured) -> None:
    write_signed(world, capsys, "macos-aarch64", "macos", '#!/bin/sh\nprintf signed >> "$1"\n')

    assert main(["reproduce", "chat.exe", "--quiet"]) == 5

    reason = (
        "its programs for macOS were signed before they were packed, which takes the key: "
        "they, the head and all that tells of their bytes cannot be made again"
    )
    assert capsys.readouterr().out.splitlines() == [
        "chat.exe: head: is another than a new build gives",
        "chat.exe: .lfbuild/engine/macos-aarch64: is another than a new build gives",
        "chat.exe: .lfbuild/slices: is another than a new build gives",
        "chat.exe: .lfbuild/head.blocks: is another than a new build gives",
        f"reason: {reason}",
        "chat.exe: its recipe gives other bytes",
    ]
    assert not (world / "ran").exists()


def test_a_compiler_launcher_that_is_not_here_keeps_no_file_from_being_reproduced(
    world: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = RECIPE.replace('kind = "zig"', 'kind = "zig"\nlauncher = "icecc"')
    (world / "chat.toml").write_text(recipe, encoding="utf-8")
    (world / "bin").mkdir()
    (world / "bin" / "icecc").touch(mode=0o755)
    with monkeypatch.context() as had:
        had.setenv("PATH", str(world / "bin"), prepend=os.pathsep)
        keep_engines(world, capsys)
        assert main(["build", "chat.toml", "--quiet"]) == 0

    assert main(["reproduce", "chat.llamafile", "--quiet"]) == 0


def test_what_is_not_ours_cannot_be_reproduced(world: Path, capsys: Captured) -> None:
    write_zip(world / "other.zip", Stored("a.txt", b"words"))

    assert main(["reproduce", "other.zip", "--quiet"]) == 4

    assert capsys.readouterr().err == (
        "lfbuild: other.zip: has no recipe of lfbuild in it, so it cannot be built again\n"
    )


def test_six_recipes_with_one_engine_compile_it_once(
    world: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_engines(world, capsys)
    names = [f"chat{number}" for number in range(6)]
    for name in names:
        (world / f"{name}.toml").write_text(RECIPE.replace('name = "chat"', f'name = "{name}"'), encoding="utf-8")
    (engine,) = (world / "cache" / "engines").iterdir()
    engine.rename(world / "kept")
    compiled: list[str] = []

    def compile_engine(job: EngineJob, **_: object) -> Engine:
        compiled.append(job.target)
        (world / "kept").rename(engine)
        made = load_engine(Store(world / "cache"), job.key())
        assert made is not None
        return made

    monkeypatch.setattr("lfbuild.commands.programs.compile_engine", compile_engine)

    assert main(["release", *(f"{name}.toml" for name in names), "-o", "out", "--quiet"]) == 0

    assert len(compiled) == 1
    assert sorted(path.name for path in (world / "out").glob("*.llamafile")) == [f"{name}.llamafile" for name in names]
