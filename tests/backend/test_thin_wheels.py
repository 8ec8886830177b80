"""A wheel without weights: its program fetches the file of exactly this release, from wherever it is published."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.backend.world import CHAT, LINUX, PYPROJECT
from tests.fetch.webserver import Page, WebServer, web_server
from tests.world.models import tiny_gguf

import lfbuild
from lfbuild import backend
from lfbuild.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="the package ziglang is not installed"
)
Captured = pytest.CaptureFixture[str]
THIN = PYPROJECT.replace('"license"]', '"license", "dependencies"]') + "[tool.lfbuild.wheel]\nembed = false\n"


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as serving:
        yield serving


@pytest.fixture
def thin(project: Path, server: WebServer) -> Path:
    """The folder in which a thin wheel was unpacked; its file is not published yet."""
    (project / "pyproject.toml").write_text(THIN, encoding="utf-8")
    (project / "chat.toml").write_text(CHAT + f'[update]\nurl = "{server.url}/chat/"\n', encoding="utf-8")
    (project / "dist").mkdir()
    with zipfile.ZipFile(project / "dist" / backend.build_wheel(str(project / "dist"))) as wheel:
        wheel.extractall(project / "site")  # made by us just now
    return project / "site"


def publish(thin: Path, server: WebServer) -> Path:
    """Build the file and put it where the wheel expects it, as `lfbuild publish` lays it out."""
    world = thin.parent
    assert main(["build", "chat.toml", "--quiet"]) == 0
    assert main(["publish", "chat.llamafile", str(world / "shelf"), "--quiet"]) == 0
    for path in (world / "shelf").rglob("*"):
        if path.is_file():
            server.pages[f"/chat/{path.relative_to(world / 'shelf').as_posix()}"] = Page(data=path.read_bytes())
    return world / "chat.llamafile"


def start(thin: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Start the program; the file is no program of this machine's, so its path is asked for instead."""
    package = Path(lfbuild.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(package), "XDG_DATA_HOME": str(thin.parent / "data")}
    code = "import acme_chat; print(acme_chat.program())"
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=thin, env=environment, capture_output=True, text=True, check=False
    )


def test_a_thin_wheel_has_no_weights_and_needs_what_fetches_them(thin: Path) -> None:
    (wheel,) = (thin.parent / "dist").iterdir()
    info = thin / "acme_chat-1.2.dist-info"

    assert wheel.name == f"acme_chat-1.2-py3-none-{'.'.join(LINUX)}.whl"
    assert wheel.stat().st_size < 20_000
    assert "Requires-Dist: lfbuild>=0.1.0\n" in (info / "METADATA").read_text(encoding="utf-8")
    points = (info / "entry_points.txt").read_text(encoding="utf-8")
    assert points == "[console_scripts]\nAcme.Chat = acme_chat.__main__:main\n"


def test_its_program_fetches_the_file_once_and_has_it_then(thin: Path, server: WebServer) -> None:
    file = publish(thin, server)

    first = start(thin)
    assert first.returncode == 0, first.stderr
    fetched = Path(first.stdout.strip())
    assert (fetched.name, fetched.read_bytes()) == ("Acme.Chat", file.read_bytes())
    assert fetched.stat().st_mode & 0o100
    assert "lfbuild: note: Acme.Chat is fetched now; the next start is at once\n" in first.stderr

    server.pages.clear()
    assert start(thin).stdout == first.stdout


def test_another_file_at_the_address_is_refused(thin: Path, server: WebServer) -> None:
    publish(thin, server)
    (name,) = (name for name in server.pages if name.endswith("/chat.llamafile"))
    data = bytearray(server.pages[name].data)
    data[data.index(tiny_gguf()[-64:])] ^= 1
    server.pages[name] = Page(data=bytes(data))

    started = start(thin)

    assert started.returncode == 5, started.stderr
    assert not list((thin.parent / "data").rglob("Acme.Chat"))


def test_a_server_without_the_file_is_one_sentence(thin: Path, server: WebServer) -> None:
    started = start(thin)

    assert started.returncode == 7
    assert started.stderr.splitlines()[-1].startswith("lfbuild: ")
    assert "Traceback" not in started.stderr


def test_a_recipe_without_an_address_cannot_be_thin(project: Path, capsys: Captured) -> None:
    (project / "pyproject.toml").write_text(THIN, encoding="utf-8")

    with pytest.raises(backend.Refused):
        backend.build_wheel(str(project))

    assert capsys.readouterr().err == (
        f"lfbuild: {project}/chat.toml: has no [update] url, from which a thin wheel could fetch the file\n"
    )


def test_an_address_that_is_no_web_server_s_cannot_be_thin(project: Path, capsys: Captured) -> None:
    (project / "pyproject.toml").write_text(THIN, encoding="utf-8")
    recipe = (project / "chat.toml").read_text(encoding="utf-8")
    (project / "chat.toml").write_text(f'{recipe}[update]\nurl = "s3://bucket/chat"\n', encoding="utf-8")

    with pytest.raises(backend.Refused):
        backend.build_wheel(str(project))

    what = "update.url: is s3://bucket/chat, and a thin wheel fetches its file from a web server"
    assert f": {what}\n" in capsys.readouterr().err


def test_a_project_that_does_not_say_what_a_thin_wheel_needs_is_told(project: Path, capsys: Captured) -> None:
    with pytest.raises(backend.Refused):
        backend.prepare_metadata_for_build_wheel(str(project), {"embed": "no"})

    assert capsys.readouterr().err == (
        f"lfbuild: {project}/pyproject.toml:5: project.dependencies: this wheel needs lfbuild>=0.1.0; "
        'add "dependencies" to dynamic\n'
    )
