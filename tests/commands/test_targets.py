"""`build` for several systems: one file with an engine for each, compressed once, signed where a recipe says so."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.commands.world import LONG_SIGNER, RECIPE, engine_of, keep_engines, write_signer
from tests.world.programs import tiny_launchers

import lfbuild.plan.files
from lfbuild.archive.reader import Reader
from lfbuild.cli import main
from lfbuild.formats.executable import certificate_table
from lfbuild.formats.head import HEAD_BYTES, TARGETS
from lfbuild.manifest.verify import load_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.manifest.model import Manifest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="the package ziglang is not installed"
)
Captured = pytest.CaptureFixture[str]
HOST = 'systems = ["host"]'
LEVELS = 'cpus = ["x86-64-v3", "armv8.2-a+dotprod"]\n'
ALL = f"systems = {json.dumps(list(TARGETS))}"


def write_recipe(world: Path, *, systems: str = ALL, more: str = "", head: str = "") -> None:
    """The recipe for other systems, with further tables at its end."""
    text = RECIPE.replace(HOST, systems).replace(LEVELS, LEVELS + head)
    (world / "chat.toml").write_text(text + more, encoding="utf-8")


def built(world: Path, capsys: Captured) -> Path:
    keep_engines(world, capsys)
    assert main(["chat.toml", "--quiet"]) == 0, capsys.readouterr().err
    return world / "chat.llamafile"


def manifest_of(path: Path) -> Manifest:
    with Reader.open(path) as reader:
        ours = load_manifest(reader)
        assert ours is not None
        return ours[0]


def test_one_file_has_an_engine_for_each_system_and_every_unzip_reads_it(world: Path, capsys: Captured) -> None:
    write_recipe(world)
    keys = keep_engines(world, capsys)

    assert main(["chat.toml", "--quiet"]) == 0

    file = world / "chat.llamafile"
    manifest = manifest_of(file)
    assert (manifest.head.kind, manifest.head.program, manifest.head.size_bytes) == ("launcher", "polyglot", HEAD_BYTES)
    assert manifest.engine is not None
    assert {item.target: item.key for item in manifest.engine.slices} == keys
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(f".lfbuild/engine/{name}") for name in TARGETS} == {
            name: engine_of(name) for name in TARGETS
        }
    assert subprocess.run(["unzip", "-tqq", file], check=False).returncode == 0
    assert main(["verify", str(file), "--quiet"]) == 0


def test_each_launcher_stands_in_the_head(world: Path, capsys: Captured) -> None:
    write_recipe(world)
    head = built(world, capsys).read_bytes()[:HEAD_BYTES]

    for target, launcher in tiny_launchers().items():
        assert target == "windows-x86_64" or launcher in head


@pytest.mark.parametrize(
    ("systems", "start"),
    [
        ('systems = ["linux-x86_64"]', b"\x7fELF"),
        ('systems = ["linux-x86_64", "macos-aarch64"]', b"#!/bin/sh\n"),
        ('systems = ["windows-x86_64"]', b"MZlfbuild='\n"),
    ],
)
def test_the_head_follows_the_systems(systems: str, start: bytes, world: Path, capsys: Captured) -> None:
    write_recipe(world, systems=systems)

    assert built(world, capsys).read_bytes().startswith(start)


def test_an_engine_by_itself_begins_the_file_as_it_is(world: Path, capsys: Captured) -> None:
    write_recipe(world, systems='systems = ["linux-x86_64"]', head='head = "engine"\n')
    file = built(world, capsys)

    engine = engine_of("linux-x86_64")
    assert file.read_bytes().startswith(engine)
    manifest = manifest_of(file)
    assert (manifest.head.kind, manifest.head.size_bytes) == ("engine", len(engine))
    assert manifest.engine is not None
    assert (manifest.engine.cpus, manifest.engine.slices) == (("x86-64-v3",), ())


def test_the_same_recipe_gives_the_same_bytes_also_from_an_empty_cache(world: Path, capsys: Captured) -> None:
    write_recipe(world)
    first = built(world, capsys).read_bytes()
    (world / "cache").rename(world / "old cache")

    assert built(world, capsys).read_bytes() == first


def test_an_engine_is_compressed_once(world: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    write_recipe(world)
    first = built(world, capsys).read_bytes()
    monkeypatch.setattr("lfbuild.commands.slices.deflate", lambda _: pytest.fail("it is in the cache"))

    assert main(["chat.toml", "--quiet"]) == 0

    assert (world / "chat.llamafile").read_bytes() == first


def test_a_compressed_engine_that_was_damaged_in_the_cache_is_made_again(world: Path, capsys: Captured) -> None:
    write_recipe(world, systems='systems = ["linux-x86_64"]')
    first = built(world, capsys).read_bytes()
    (blob,) = [path for path in (world / "cache" / "blobs").rglob("*") if path.is_file()]
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-1] + b"\x55")

    assert main(["chat.toml", "--quiet"]) == 0

    assert (world / "chat.llamafile").read_bytes() == first


def test_over_4_gib_there_are_two_files_and_both_verify(
    world: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lfbuild.plan.files, "WINDOWS_LIMIT_BYTES", 1000)
    write_recipe(world)
    keep_engines(world, capsys)

    assert main(["chat.toml", "--json"]) == 0

    told = capsys.readouterr()
    assert json.loads(told.out)["beside"] == ["chat.exe"]
    assert "there are two: chat.llamafile with the weights, and chat.exe" in told.err
    for name in ("chat.llamafile", "chat.exe"):
        assert main(["verify", name, "--quiet"]) == 0
    with zipfile.ZipFile(world / "chat.exe") as archive:
        names = [name for name in archive.namelist() if not name.endswith(".blocks")]
        assert names == [
            ".lfbuild/engine/windows-x86_64",
            ".lfbuild/file",
            ".lfbuild/slices",
            ".lfbuild/manifest.json",
        ]
        assert archive.read(".lfbuild/file") == b"chat.llamafile\n"
    assert (world / "chat.exe").read_bytes().startswith(b"MZlfbuild")
    with zipfile.ZipFile(world / "chat.llamafile") as archive:
        assert ".lfbuild/engine/windows-x86_64" not in archive.namelist()
        assert "tiny.gguf" in archive.namelist()
    assert (world / "chat.llamafile").read_bytes().startswith(b"#!/bin/sh\n")


def test_weights_that_nothing_starts_are_not_told_how_to_be_run(
    world: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lfbuild.plan.files, "WINDOWS_LIMIT_BYTES", 1000)
    write_recipe(world, systems='systems = ["windows-x86_64"]')
    keep_engines(world, capsys)

    assert main(["chat.toml", "--quiet"]) == 0

    told = capsys.readouterr().out
    assert "run it" not in told
    assert "runs on" not in told
    assert "for Windows  chat.exe" in told
    assert manifest_of(world / "chat.llamafile").engine is None
    assert main(["verify", "chat.llamafile", "--quiet"]) == 0


def test_a_second_file_is_not_written_over_a_source(
    world: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lfbuild.plan.files, "WINDOWS_LIMIT_BYTES", 1000)
    write_recipe(world, more='[[file]]\nname = "x"\nsource = { path = "chat.exe" }\n')
    (world / "chat.exe").write_bytes(b"mine")

    assert main(["chat.toml", "--quiet"]) == 2

    assert "chat.toml:17: file[0].source: is the file that would be written, chat.exe" in capsys.readouterr().err
    assert (world / "chat.exe").read_bytes() == b"mine"


def test_macos_programs_are_signed_before_they_are_packed(world: Path, capsys: Captured) -> None:
    write_signer(world)
    write_recipe(world, more='[sign]\nmacos = "./sign.sh {file}"\n')
    file = built(world, capsys)

    signed = (world / "signed").read_text(encoding="utf-8").split()
    assert [os.path.basename(name) for name in signed] == [  # noqa: PTH119  # texts, and the files are gone
        *("engine-macos-aarch64", "engine-macos-x86_64"),
        *("launcher-macos-aarch64", "launcher-macos-x86_64"),
    ]
    with zipfile.ZipFile(file) as archive:
        assert archive.read(".lfbuild/engine/macos-aarch64") == engine_of("macos-aarch64") + b"signed"
        assert archive.read(".lfbuild/engine/linux-aarch64") == engine_of("linux-aarch64")
    assert tiny_launchers()["macos-aarch64"] + b"signed" in file.read_bytes()[:HEAD_BYTES]
    assert main(["verify", str(file), "--quiet"]) == 0


def test_a_signing_command_that_fails_leaves_nothing_behind(world: Path, capsys: Captured) -> None:
    write_signer(world, "#!/bin/sh\necho no key for $2\necho go away >&2\nexit 7\n")
    for table in ("windows", "macos"):
        write_recipe(world, more=f'[sign]\n{table} = "./sign.sh {{file}} acme"\n')
        keep_engines(world, capsys)
        before = sorted(path.name for path in world.iterdir())

        assert main(["chat.toml", "--quiet"]) == 3

        said = capsys.readouterr().err
        assert said == (
            "lfbuild: ./sign.sh: signing failed with exit code 7: ./sign.sh {file} acme\n  no key for acme\n  go away\n"
        )
        assert sorted(path.name for path in world.iterdir()) == before


def test_a_signing_command_that_is_not_there_is_one_sentence(world: Path, capsys: Captured) -> None:
    write_recipe(world, more='[sign]\nwindows = "signtool-of-nobody {file}"\n')
    keep_engines(world, capsys)

    assert main(["chat.toml", "--quiet"]) == 3

    assert "lfbuild: signtool-of-nobody: there is no such program to sign with" in capsys.readouterr().err
    assert not (world / "chat.llamafile").exists()


def test_a_command_that_does_not_sign_but_spoil_is_refused(world: Path, capsys: Captured) -> None:
    write_signer(world)
    write_recipe(world, more='[sign]\nwindows = "./sign.sh {file}"\n')
    keep_engines(world, capsys)

    assert main(["chat.toml", "--quiet"]) == 3

    said = capsys.readouterr().err
    assert "./sign.sh: signing left a file that does not verify: end records: 6 bytes follow the end records" in said
    assert not (world / "chat.llamafile").exists()


@pytest.mark.parametrize("size", [49160, 70000])
def test_a_signature_that_is_too_long_is_refused(world: Path, capsys: Captured, size: int) -> None:
    write_signer(world, LONG_SIGNER.replace("{size}", str(size)))
    write_recipe(world, more='[sign]\nwindows = "./sign.sh {file}"\n')
    keep_engines(world, capsys)

    assert main(["chat.toml", "--quiet"]) == 3

    assert (
        f"lfbuild: ./sign.sh: its signature has {size} bytes, and at most 49152 leave the end to be found\n"
        "lfbuild: hint: sign with fewer certificates\n"
    ) in capsys.readouterr().err
    assert not (world / "chat.llamafile").exists()


def test_a_finished_file_may_be_left_as_it_is(world: Path, capsys: Captured) -> None:
    write_signer(world, '#!/bin/sh\ncp "$1" "{log}"\n')
    write_recipe(world, more='[sign]\nwindows = "./sign.sh {file}"\n')

    file = built(world, capsys)

    assert (world / "signed").read_bytes() == file.read_bytes()


@pytest.mark.skipif(
    shutil.which("osslsigncode") is None or shutil.which("openssl") is None,
    reason="osslsigncode or openssl is not installed",
)
def test_a_signature_for_windows_closes_the_file_and_verifies_on_both_sides(world: Path, capsys: Captured) -> None:
    words = ["-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Acme", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(["openssl", "req", *words], check=True, capture_output=True)
    write_signer(
        world, 'osslsigncode sign -certs cert.pem -key key.pem -in "$1" -out "$1.signed" && mv "$1.signed" "$1"'
    )
    write_recipe(world, more='[sign]\nwindows = "sh sign.sh {file}"\n')

    file = built(world, capsys)

    table = certificate_table(file.read_bytes()[:4096])
    assert table is not None
    assert 0 < table[1] <= 48 << 10
    assert sum(table) == file.stat().st_size
    assert main(["verify", str(file), "--quiet"]) == 0
    assert subprocess.run(["unzip", "-tqq", file], check=False).returncode == 0
    checked = subprocess.run(
        ["osslsigncode", "verify", "-CAfile", "cert.pem", "-in", file], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
    assert file.stat().st_mode & 0o100


@pytest.mark.parametrize(
    ("icon", "what"),
    [
        (None, "chat.ico does not exist"),
        (b"GIF89a", "is not an .ico file"),
        (bytes(300_000), "chat.ico is too big to be an icon (over 256 KiB)"),
    ],
)
def test_an_icon_that_cannot_be_one_is_told_before_anything_is_compiled(
    icon: bytes | None, what: str, world: Path, capsys: Captured
) -> None:
    write_recipe(world)
    text = (
        (world / "chat.toml").read_text(encoding="utf-8").replace('name = "chat"', 'name = "chat"\nicon = "chat.ico"')
    )
    (world / "chat.toml").write_text(text, encoding="utf-8")
    if icon is not None:
        (world / "chat.ico").write_bytes(icon)

    assert main(["chat.toml", "--quiet"]) == 2

    assert f"chat.toml:3: llamafile.icon: {what}" in capsys.readouterr().err
