"""Wheels of engines: from one that is installed, files are built without a compiler; one that does not fit is told."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.backend.world import CHAT, PYPROJECT
from tests.commands.world import engine_of, keep_engines
from tests.world.programs import tiny_launchers

from lfbuild import backend
from lfbuild.cli import main
from lfbuild.engine import zig as zig_module
from lfbuild.engine.installed import find_installed
from lfbuild.errors import ToolError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="the package ziglang is not installed"
)
Captured = pytest.CaptureFixture[str]
ENGINES = PYPROJECT.replace('"Acme.Chat"', '"lfbuild-engine-tiny"').replace(
    'dynamic = ["version", "license"]', 'dynamic = ["version", "license", "dependencies"]'
)


@pytest.fixture
def installed(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of packages in which an engine wheel was unpacked; the cache is empty, and no compiler is here."""
    (project / "pyproject.toml").write_text(ENGINES + '[tool.lfbuild.wheel]\nkind = "engine"\n', encoding="utf-8")
    (project / "dist").mkdir()
    with zipfile.ZipFile(project / "dist" / backend.build_wheel(str(project / "dist"))) as wheel:
        wheel.extractall(project / "site")  # made by us just now
    monkeypatch.syspath_prepend(str(project / "site"))
    monkeypatch.setenv("LFBUILD_CACHE", str(project / "empty"))
    hide_the_compiler(monkeypatch)
    return project / "site"


def hide_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(version: str | None) -> object:
        raise ToolError("zig", "the package 'ziglang' is not installed beside lfbuild", hint=zig_module.INSTALL_HINT)

    def never(*_: object, **__: object) -> bytes:
        raise AssertionError("nothing may be compiled")

    monkeypatch.setattr("lfbuild.engine.toolchains.find_zig", none)
    monkeypatch.setattr("lfbuild.commands.programs.compile_launcher", never)
    monkeypatch.setattr("lfbuild.commands.programs.compile_engine", never)


def test_an_engine_wheel_is_data_for_every_machine_and_needs_the_lfbuild_it_was_made_by(installed: Path) -> None:
    (wheel,) = (installed.parent / "dist").iterdir()
    assert wheel.name == "lfbuild_engine_tiny-1.2-py3-none-any.whl"
    info = installed / "lfbuild_engine_tiny-1.2.dist-info"
    metadata = (info / "METADATA").read_text(encoding="utf-8")
    assert "Requires-Dist: lfbuild[pack]==0.1.0\n" in metadata
    assert (info / "entry_points.txt").read_text(encoding="utf-8") == (
        "[lfbuild.engines]\nlfbuild_engine_tiny = lfbuild_engine_tiny\n"
    )


def test_an_installed_engine_is_found_without_running_its_package(installed: Path) -> None:
    (installed / "lfbuild_engine_tiny" / "__init__.py").write_text("raise SystemExit('was run')\n", encoding="utf-8")

    (engine,) = find_installed()

    assert (engine.package, engine.facts.target) == ("lfbuild-engine-tiny 1.2", "linux-x86_64")
    assert engine.load().path.read_bytes() == engine_of("linux-x86_64")
    assert engine.launcher() == tiny_launchers()["linux-x86_64"]
    assert "lfbuild_engine_tiny" not in sys.modules


def test_a_file_is_built_from_an_installed_engine_without_a_compiler(installed: Path, capsys: Captured) -> None:
    assert main(["build", "chat.toml", "-o", "from-package", "--quiet"]) == 0

    assert main(["verify", "from-package", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["plan", "chat.toml", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["engines"][0]["compiled"] is True


def test_the_same_bytes_come_of_an_installed_engine_as_of_a_compiled_one(
    project: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    assert main(["build", "chat.toml", "-o", "compiled", "--quiet"]) == 0
    request.getfixturevalue("installed")

    assert main(["build", "chat.toml", "-o", "from-package", "--quiet"]) == 0

    assert (project / "from-package").read_bytes() == (project / "compiled").read_bytes()


def test_an_engine_that_does_not_fit_is_told_by_what_differs(installed: Path, capsys: Captured) -> None:
    (installed.parent / "chat.toml").write_text(CHAT.replace('"x86-64-v3"', '"x86-64-v2"'), encoding="utf-8")

    assert main(["build", "chat.toml", "--quiet"]) == 3

    assert capsys.readouterr().err == (
        "lfbuild: engine: no installed engine for linux-x86_64 is the one that is asked for: lfbuild-engine-tiny 1.2 "
        "has CPU levels x86-64-v3 and not x86-64-v2\n"
        "lfbuild: hint: change the recipe, or compile: pip install 'lfbuild[zig]'\n"
    )


def test_without_any_engine_the_compiler_is_what_is_missing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    hide_the_compiler(monkeypatch)

    assert main(["build", "chat.toml", "--quiet"]) == 3

    assert capsys.readouterr().err.startswith("lfbuild: zig: the package 'ziglang' is not installed beside lfbuild\n")


@pytest.mark.parametrize("name", ["engine", "launcher"])
def test_an_installed_engine_that_was_changed_is_refused(installed: Path, capsys: Captured, name: str) -> None:
    file = installed / "lfbuild_engine_tiny" / "linux-x86_64" / name
    file.write_bytes(file.read_bytes()[:-1] + b"\x55")

    assert main(["build", "chat.toml", "--quiet"]) == 5

    assert capsys.readouterr().err == (
        f"lfbuild: lfbuild-engine-tiny 1.2: {file} is not what was installed\n"
        "lfbuild: hint: install the package again\n"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "lfbuild-engine-tiny 1.2: its list of engines cannot be read: "),
        (None, "lfbuild-engine-tiny 1.2: its list of engines cannot be read: "),
    ],
)
def test_a_damaged_package_of_engines_is_told(installed: Path, capsys: Captured, text: str | None, said: str) -> None:
    shelf = installed / "lfbuild_engine_tiny" / "engines.json"
    shelf.unlink()
    if text is not None:
        shelf.write_text(text, encoding="utf-8")

    assert main(["build", "chat.toml", "--quiet"]) == 4

    assert capsys.readouterr().err.startswith(f"lfbuild: {said}")


def test_the_source_of_a_pinned_engine_need_not_be_fetched(
    project: Path, capsys: Captured, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["lock", "chat.toml", "--quiet"]) == 0
    installed = request.getfixturevalue("installed")
    monkeypatch.setattr("lfbuild.commands.prepare.fetch_tree", lambda *_, **__: pytest.fail("the source was asked for"))

    assert main(["build", "chat.toml", "--locked", "--quiet"]) == 0
    assert installed.is_dir()


def test_a_wheel_asks_for_no_compiler_where_engines_are_installed(
    project: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    known = ["blake3", "pydantic>=2.9; extra == 'pack'", "pydantic>=2.9; extra == 'wheel'", "cmake; extra == 'build'"]
    known += ["pydantic>=2.9; extra == 'zig'", "cmake; extra == 'zig'", "ziglang==0.17.1; extra == 'zig'"]
    monkeypatch.setattr("lfbuild.backend.needs.importlib.metadata.requires", lambda _name: known)

    assert backend.get_requires_for_build_wheel() == ["pydantic>=2.9", "cmake", "ziglang==0.17.1"]
    assert backend.get_requires_for_build_sdist() == ["pydantic>=2.9"]
    request.getfixturevalue("installed")
    assert backend.get_requires_for_build_wheel() == ["pydantic>=2.9"]


def test_engines_of_all_systems_go_into_one_wheel(project: Path, capsys: Captured) -> None:
    (project / "pyproject.toml").write_text(ENGINES + '[tool.lfbuild.wheel]\nkind = "engine"\n', encoding="utf-8")
    (project / "chat.toml").write_text(CHAT.replace('["host"]', '["linux-x86_64", "windows-x86_64"]'), encoding="utf-8")
    keep_engines(project, capsys)
    (project / "dist").mkdir()

    with zipfile.ZipFile(project / "dist" / backend.build_wheel(str(project / "dist"))) as wheel:
        names = wheel.namelist()

    assert names[:6] == [
        "lfbuild_engine_tiny/__init__.py",
        "lfbuild_engine_tiny/engines.json",
        "lfbuild_engine_tiny/linux-x86_64/engine",
        "lfbuild_engine_tiny/windows-x86_64/engine",
        "lfbuild_engine_tiny/linux-x86_64/launcher",
        "lfbuild_engine_tiny/windows-x86_64/launcher",
    ]


def test_a_package_of_engines_is_not_installed_for_editing(project: Path, capsys: Captured) -> None:
    (project / "pyproject.toml").write_text(ENGINES + '[tool.lfbuild.wheel]\nkind = "engine"\n', encoding="utf-8")

    with pytest.raises(backend.Refused):
        backend.build_editable(str(project))

    assert capsys.readouterr().err == (
        "lfbuild: wheel: a package of engines has nothing that could be edited; install its wheel\n"
    )
