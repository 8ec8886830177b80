"""The example projects through the frontends that people use, each in an isolated environment of its own.

lfbuild itself comes from a wheel of this checkout, all else from the package index. Engines come from the user's cache.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from tests.fetch.webserver import Page, web_server
from tests.system.conftest import ROOT, TWO_MINUTES, run_lfbuild

pytestmark = pytest.mark.real
EXAMPLES = ROOT / "examples"
QUESTION = ("-p", "The capital of France is", "-n", "12")


def call(*words: str | Path, cwd: Path, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    finished = subprocess.run(
        list(map(str, words)),
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=10 * TWO_MINUTES,
    )
    if check:
        assert finished.returncode == 0, (finished.stdout + finished.stderr)[-4000:]
    return finished


def new_environment(folder: Path) -> Path:
    """A virtual environment with nothing but pip; returns its folder of programs."""
    venv.create(folder, with_pip=True)
    return folder / "bin"


def answer_of(program: Path, cwd: Path) -> str:
    return call(program, *QUESTION, cwd=cwd).stdout


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables by which pip and uv find this checkout's lfbuild."""
    folder = tmp_path_factory.mktemp("index")
    call(sys.executable, "-m", "build", "--wheel", "-o", folder, ROOT, cwd=folder)
    return {"PIP_FIND_LINKS": str(folder), "UV_FIND_LINKS": str(folder)}


@pytest.fixture(scope="session")
def acme(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Path:
    """A copy of `examples/acme-chat`; its engine is that of `smollm2.toml`, so it is in the cache."""
    return Path(shutil.copytree(EXAMPLES / "acme-chat", tmp_path_factory.mktemp("acme") / "acme-chat"))


@pytest.fixture(scope="session")
def built(acme: Path, index: dict[str, str]) -> Path:
    """The folder of sdist and wheel that `python -m build` made: the wheel from the sdist."""
    call(sys.executable, "-m", "build", acme, cwd=acme, **index)
    return acme / "dist"


def test_a_wheel_installs_a_program_that_answers(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    programs = new_environment(tmp_path / "venv")
    call(programs / "pip", "install", "--no-index", wheel, cwd=tmp_path)

    assert "Paris" in answer_of(programs / "acme-chat", tmp_path)
    assert "Paris" in call(programs / "python", "-m", "acme_chat", *QUESTION, cwd=tmp_path).stdout


def test_what_indexes_check_holds(built: Path) -> None:
    call(sys.executable, "-m", "twine", "check", "--strict", *built.iterdir(), cwd=built)
    call(sys.executable, "-m", "check_wheel_contents", *built.glob("*.whl"), cwd=built)


@pytest.mark.parametrize("frontend", [("uv", "build", "--wheel"), ("pip", "wheel", "--no-deps")])
def test_other_frontends_make_the_same_wheel(
    acme: Path, built: Path, index: dict[str, str], tmp_path: Path, frontend: tuple[str, ...]
) -> None:
    option = "-o" if frontend[0] == "uv" else "-w"
    call(sys.executable, "-m", *frontend, option, tmp_path / "dist", acme, cwd=tmp_path, **index)

    (wheel,) = built.glob("*.whl")
    assert (tmp_path / "dist" / wheel.name).read_bytes() == wheel.read_bytes()


def test_an_editable_install_starts_the_file_in_the_project(acme: Path, index: dict[str, str], tmp_path: Path) -> None:
    programs = new_environment(tmp_path / "venv")
    call(programs / "pip", "install", "-e", acme, cwd=tmp_path, **index)

    assert "Paris" in answer_of(programs / "acme-chat", tmp_path)
    assert (acme / "acme-chat.llamafile").is_file()


def test_an_engine_wheel_builds_files_in_an_environment_without_a_compiler(
    acme: Path, built: Path, index: dict[str, str], tmp_path: Path
) -> None:
    engine = shutil.copytree(EXAMPLES / "engine", tmp_path / "engine")
    call(sys.executable, "-m", "build", "--wheel", engine, cwd=tmp_path, **index)
    (wheel,) = (engine / "dist").glob("*.whl")
    call(sys.executable, "-m", "check_wheel_contents", wheel, cwd=tmp_path)
    programs = new_environment(tmp_path / "venv")
    call(programs / "pip", "install", wheel, cwd=tmp_path, **index)
    installed = call(programs / "pip", "list", cwd=tmp_path).stdout
    assert not {"ziglang", "cmake", "ninja"} & set(installed.split())

    empty = {"LFBUILD_CACHE": str(tmp_path / "empty")}
    target = next(name for name in ("linux-x86_64", "linux-aarch64") if name.endswith(os.uname().machine))
    words = ("build", acme / "acme-chat.toml", "-o", "chat", "--target", target)
    told = call(programs / "lfbuild", *words, cwd=tmp_path, **empty)

    assert "compiling" not in told.stderr
    assert not list((tmp_path / "empty" / "trees").glob("*"))
    assert "Paris" in answer_of(tmp_path / "chat", tmp_path)


def test_a_thin_wheel_fetches_its_file_at_the_first_start_and_answers(
    acme: Path, built: Path, index: dict[str, str], tmp_path: Path
) -> None:
    project = Path(shutil.copytree(acme, tmp_path / "project", ignore=shutil.ignore_patterns("dist", "*.llamafile")))
    text = (project / "pyproject.toml").read_text(encoding="utf-8").replace('"license"]', '"license", "dependencies"]')
    (project / "pyproject.toml").write_text(text, encoding="utf-8")
    with web_server() as server:
        with (project / "acme-chat.toml").open("a", encoding="utf-8") as recipe:
            recipe.write(f'\n[update]\nurl = "{server.url}/models/"\n')
        call(sys.executable, "-m", "build", "--wheel", "-C", "embed=no", project, cwd=tmp_path, **index)
        (wheel,) = (project / "dist").glob("*.whl")
        programs = new_environment(tmp_path / "venv")
        call(programs / "pip", "install", wheel, cwd=tmp_path, **index)
        run_lfbuild("build", "acme-chat.toml", "--target", "host", cwd=project)
        run_lfbuild("publish", "acme-chat.llamafile", tmp_path / "shelf", cwd=project)
        for path in (tmp_path / "shelf").rglob("*.llamafile"):
            server.pages[f"/models/{path.relative_to(tmp_path / 'shelf').as_posix()}"] = Page(data=path.read_bytes())

        here = {"XDG_DATA_HOME": str(tmp_path / "data")}
        first = call(programs / "acme-chat", *QUESTION, cwd=tmp_path, **here)
        assert "acme-chat is fetched now" in first.stderr
        assert "Paris" in first.stdout
    second = call(programs / "acme-chat", *QUESTION, cwd=tmp_path, **here)
    assert "Paris" in second.stdout
    assert "fetched" not in second.stderr
