"""What the hooks make of a project: read by `zipfile`, `tarfile` and Python's own importers."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.util
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest
from tests.backend.world import CHAT, LINUX, PYPROJECT, WHEEL
from tests.commands.world import engine_of, keep_engines

from lfbuild import backend
from lfbuild.cli import main

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="the package ziglang is not installed"
)
INFO = "acme_chat-1.2.dist-info"


def wheel_in(folder: Path, **settings: str) -> zipfile.ZipFile:
    out = folder / "dist"
    out.mkdir(exist_ok=True)
    return zipfile.ZipFile(out / backend.build_wheel(str(out), settings))


def test_a_wheel_has_the_file_as_a_program_and_says_on_which_machines_it_starts(project: Path) -> None:
    with wheel_in(project) as wheel:
        assert Path(str(wheel.filename)).name == WHEEL
        assert wheel.namelist() == [
            "acme_chat/__init__.py",
            "acme_chat/__main__.py",
            "acme_chat-1.2.data/scripts/Acme.Chat",
            f"{INFO}/METADATA",
            f"{INFO}/WHEEL",
            f"{INFO}/licenses/LICENSE",
            f"{INFO}/RECORD",
        ]
        assert wheel.getinfo("acme_chat-1.2.data/scripts/Acme.Chat").external_attr >> 16 == 0o100755
        tags = [line for line in wheel.read(f"{INFO}/WHEEL").decode().splitlines() if line.startswith("Tag")]
        assert tags == [f"Tag: py3-none-{platform}" for platform in LINUX]
        (project / "program").write_bytes(wheel.read("acme_chat-1.2.data/scripts/Acme.Chat"))
    assert main(["verify", str(project / "program"), "--quiet"]) == 0


def test_metadata_is_the_projects_and_names_the_licences_of_engine_and_model(project: Path) -> None:
    with wheel_in(project) as wheel:
        metadata = BytesParser().parsebytes(wheel.read(f"{INFO}/METADATA"))

    assert (metadata["Name"], metadata["Version"], metadata["Summary"]) == ("Acme.Chat", "1.2", "A tiny chat")
    assert metadata["License-Expression"] == "MIT AND Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert metadata.get_payload() == "# Acme\n"


def test_record_lists_every_file_with_its_digest(project: Path) -> None:
    with wheel_in(project) as wheel:
        rows = list(csv.reader(io.StringIO(wheel.read(f"{INFO}/RECORD").decode())))
        assert [row[0] for row in rows] == wheel.namelist()
        for name, digest, size in rows[:-1]:
            data = wheel.read(name)
            expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={expected}", str(len(data)))
        assert rows[-1] == [f"{INFO}/RECORD", "", ""]


def test_nothing_lies_between_the_files_of_a_wheel(project: Path) -> None:
    with wheel_in(project) as wheel:
        ends = [0]
        for info in wheel.infolist():
            assert info.header_offset == ends[-1]
            ends.append(info.header_offset + 30 + len(info.filename.encode()) + info.file_size)
        assert wheel.start_dir == ends[-1]


def test_prepared_metadata_is_the_wheels(project: Path) -> None:
    (project / "prepared").mkdir()
    name = backend.prepare_metadata_for_build_wheel(str(project / "prepared"))

    with wheel_in(project) as wheel:
        inside = {file: wheel.read(file) for file in wheel.namelist() if file.startswith(name)}
    del inside[f"{name}/RECORD"]
    written = {
        path.relative_to(project / "prepared").as_posix(): path.read_bytes()
        for path in (project / "prepared").rglob("*")
        if path.is_file()
    }
    assert written == inside


def test_an_sdist_rebuilds_the_same_wheel_elsewhere(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with wheel_in(project) as wheel:
        first = Path(str(wheel.filename)).read_bytes()
    assert main(["lock", "chat.toml", "--quiet"]) == 0
    name = backend.build_sdist(str(project / "dist"))

    with tarfile.open(project / "dist" / name) as archive:
        members = archive.getnames()
        archive.extractall(project / "elsewhere", filter="data")
    monkeypatch.chdir(project / "elsewhere" / "acme_chat-1.2")

    assert members == [
        f"acme_chat-1.2/{path}"
        for path in (
            "LICENSE",
            "README.md",
            "chat.lock",
            "chat.toml",
            "engine/common/arg.cpp",
            "engine/src/llama-arch.cpp",
            "pyproject.toml",
            "tiny.gguf",
            "PKG-INFO",
        )
    ]
    with wheel_in(Path.cwd()) as wheel:
        assert Path(str(wheel.filename)).read_bytes() == first


def test_the_same_project_gives_the_same_sdist(project: Path) -> None:
    (project / "one").mkdir()
    (project / "two").mkdir()
    name = backend.build_sdist(str(project / "one"))
    os.utime(project / "README.md", (1, 1))
    backend.build_sdist(str(project / "two"))

    assert (project / "one" / name).read_bytes() == (project / "two" / name).read_bytes()


def test_an_editable_wheel_starts_the_file_of_the_projects_folder(project: Path) -> None:
    (project / "dist").mkdir()
    name = backend.build_editable(str(project / "dist"))
    with zipfile.ZipFile(project / "dist" / name) as wheel:
        wheel.extractall(project / "site")  # noqa: S202  # made by us just now
    assert (project / "chat.llamafile").stat().st_mode & 0o100
    (project / "chat.llamafile").write_text("#!/bin/sh\necho started with $1\n", encoding="utf-8")

    started = subprocess.run(
        [sys.executable, "-m", "acme_chat", "word"], cwd=project / "site", capture_output=True, text=True, check=False
    )

    assert started.stdout == "started with word\n"
    points = (project / "site" / INFO / "entry_points.txt").read_text(encoding="utf-8")
    assert points == "[console_scripts]\nAcme.Chat = acme_chat.__main__:main\n"

    (project / "chat.llamafile").unlink()
    refused = subprocess.run(
        [sys.executable, "-m", "acme_chat"], cwd=project / "site", capture_output=True, text=True, check=False
    )
    words = "lfbuild build chat.toml --target linux-x86_64"
    path = project / "chat.llamafile"
    assert refused.stderr == f"Acme.Chat: {path} is not there; write it with: cd '{project}' && {words}\n"


def test_a_file_is_built_without_a_wheel_for_other_callers(project: Path) -> None:
    (project / "dist").mkdir()

    name = backend.build_llamafile(str(project / "dist"))

    assert name == "chat.llamafile"
    assert main(["verify", str(project / "dist" / name), "--quiet"]) == 0


def test_a_recipe_may_stand_in_pyproject_and_takes_name_and_version_from_project(project: Path) -> None:
    inline = CHAT.split("[engine]", 1)[1]
    tables = "[tool.lfbuild.engine]" + inline.replace("\n[[", "\n[[tool.lfbuild.").replace("\n[t", "\n[tool.lfbuild.t")
    text = PYPROJECT.replace('recipe = "chat.toml"\n', "").replace(
        'dynamic = ["version", "license"]', 'version = "1.2"\ndynamic = ["license"]'
    )
    (project / "pyproject.toml").write_text(text + tables.replace("\n[args", "\n[tool.lfbuild.args"), encoding="utf-8")

    with wheel_in(project) as wheel:
        file = project / "program"
        file.write_bytes(wheel.read("acme_chat-1.2.data/scripts/Acme.Chat"))
    assert main(["verify", str(file), "--quiet"]) == 0
    assert main(["build", "pyproject.toml", "-o", "again", "--quiet", "--target", "linux-x86_64"]) == 0
    assert (project / "again").read_bytes() == file.read_bytes()


def test_of_several_systems_a_wheel_is_for_this_machines_own(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    several = '["linux-x86_64", "windows-x86_64"]'
    (project / "chat.toml").write_text(CHAT.replace('["host"]', several), encoding="utf-8")
    keep_engines(project, capsys)

    with wheel_in(project) as wheel:
        assert Path(str(wheel.filename)).name == WHEEL
    with wheel_in(project, target="windows-x86_64") as wheel:
        assert Path(str(wheel.filename)).name == "acme_chat-1.2-py3-none-win_amd64.whl"
        program = wheel.read("acme_chat-1.2.data/scripts/Acme.Chat.exe")
    assert program.startswith(b"MZlfbuild='")
    assert engine_of("linux-x86_64")[:64] not in program
