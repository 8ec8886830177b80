"""Releases in a registry: put there whole, read by the block. With Debian's docker-registry, and with small servers."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from tests.commands.world import RECIPE, keep_engines
from tests.fetch.webserver import Page, web_server

from lfbuild.cli import main
from lfbuild.errors import FetchError, FormatError
from lfbuild.fetch.network import Network
from lfbuild.fetch.oci import OciAddress
from lfbuild.fetch.pace import Clock
from lfbuild.fetch.places import Places

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Captured = pytest.CaptureFixture[str]
needs_zig = pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="ziglang is not installed")
needs_registry = pytest.mark.skipif(shutil.which("docker-registry") is None, reason="docker-registry is not installed")


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("oci://registry.example/acme/chat:1.2", "https://registry.example/v2/acme/chat"),
        ("oci://127.0.0.1:5000/chat:latest/a b.llamafile", "http://127.0.0.1:5000/v2/chat"),
        ("oci://localhost/a/b/c:v1/", "http://localhost/v2/a/b/c"),
    ],
)
def test_an_address_has_a_host_a_repository_a_tag_and_perhaps_a_name(url: str, base: str) -> None:
    assert OciAddress.parse(url).base == base


def test_a_name_in_a_registrys_address_is_written_as_in_any_address() -> None:
    assert OciAddress.parse("oci://ghcr.io/me/chat:1.0/a%23b%3Fc").name == "a#b?c"


@pytest.mark.parametrize("url", ["oci://host/chat", "oci://host/Chat:1", "oci://host/a:b:c/d/e", "oci:///a:1"])
def test_what_is_no_address_says_how_one_looks(url: str) -> None:
    with pytest.raises(FetchError) as caught:
        OciAddress.parse(url)

    assert (str(caught.value), caught.value.hint) == (
        f"{url}: is no address in a registry",
        "oci://HOST/REPOSITORY:TAG",
    )


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """A real registry on this machine; its host and port."""
    with _running(tmp_path, {}) as address:
        yield address


@pytest.fixture
def private_registry(tmp_path: Path) -> Iterator[str]:
    """One that only acme may ask, by the password chat-7b."""
    users = tmp_path / "users"
    users.write_text("acme:$2y$05$fR6VygiPN8fiSBQgi2GxDublEQB3ZJ4Qu5EDN/8ejqm4Z2aOh.M2i\n", encoding="ascii")
    with _running(tmp_path, {"auth": {"htpasswd": {"realm": "acme", "path": str(users)}}}) as address:
        yield address


@contextlib.contextmanager
def _running(tmp_path: Path, more: dict[str, object]) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": f"127.0.0.1:{port}"},
        **more,
    }
    (tmp_path / "registry.yml").write_text(json.dumps(settings), encoding="utf-8")
    server = subprocess.Popen(
        ["docker-registry", "serve", tmp_path / "registry.yml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/v2/", server)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310  # a server of our own
        except urllib.error.HTTPError:
            return  # it runs, and asks who asks
        except OSError:
            pass
        else:
            return
        time.sleep(0.05)
    pytest.fail("the registry did not start")


@needs_zig
@needs_registry
def test_a_release_is_put_into_a_registry_and_updates_come_from_it_by_the_block(
    world: Path, registry: str, capsys: Captured
) -> None:
    keep_engines(world, capsys)
    target = f"oci://{registry}/acme/chat:1"
    assert main(["release", "chat.toml", "-o", "one", "--push", target, "--quiet"]) == 0
    assert f"{target} names sha256:" in capsys.readouterr().out
    assert main(["update", "chat.llamafile", f"{target}/", "--quiet"]) == 0
    assert (world / "chat.llamafile").read_bytes() == (world / "one" / "chat.llamafile").read_bytes()

    (world / "chat.toml").write_text(RECIPE.replace('"0"]', '"1"]'), encoding="utf-8")
    assert main(["release", "chat.toml", "-o", "two", "--push", target, "--quiet"]) == 0
    capsys.readouterr()
    assert main(["update", "chat.llamafile", f"{target}/", "--json", "--quiet"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert (world / "chat.llamafile").read_bytes() == (world / "two" / "chat.llamafile").read_bytes()
    assert 0 < told["body_bytes"] < 100_000 < told["size_bytes"]


@needs_zig
@needs_registry
def test_a_name_that_is_not_in_the_release_is_told(world: Path, registry: str, capsys: Captured) -> None:
    keep_engines(world, capsys)
    target = f"oci://{registry}/acme/chat:1"
    assert main(["release", "chat.toml", "-o", "one", "--push", target, "--quiet"]) == 0
    capsys.readouterr()

    assert main(["update", "other.llamafile", f"{target}/", "--quiet"]) == 7
    said = capsys.readouterr().err
    assert said.startswith(f"lfbuild: {target}/other.llamafile.lfindex: is not in the release under this tag\n")
    assert main(["update", "chat.llamafile", f"oci://{registry}/acme/chat:9/", "--quiet"]) == 7
    assert capsys.readouterr().err.startswith(f"lfbuild: oci://{registry}/acme/chat:9: is not there\n")


def test_a_client_that_is_not_installed_is_told_before_anything_is_made(
    world: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lfbuild.fetch.oci.find_spec", lambda _name: None)

    assert main(["release", "chat.toml", "-o", "one", "--push", "oci://localhost/acme/chat:1", "--quiet"]) == 3

    assert capsys.readouterr().err == (
        'lfbuild: oras: this Python package is needed for oci:// addresses\nlfbuild: hint: pip install "lfbuild[oci]"\n'
    )
    assert not (world / "one").exists()


@needs_zig
@needs_registry
def test_a_private_registry_takes_and_gives_to_who_signed_in(
    world: Path, private_registry: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_engines(world, capsys)
    target = f"oci://{private_registry}/acme/chat:1"
    monkeypatch.setenv("HOME", str(world))  # where nobody signed in
    assert main(["release", "chat.toml", "-o", "one", "--push", target, "--quiet"]) == 7
    assert f"{target}: the registry lets nobody in who is not signed in\n" in capsys.readouterr().err

    login = base64.b64encode(b"acme:chat-7b").decode()
    (world / ".docker").mkdir()
    (world / ".docker" / "config.json").write_text(json.dumps({"auths": {private_registry: {"auth": login}}}))
    assert main(["release", "chat.toml", "-o", "two", "--push", target, "--quiet"]) == 0
    assert main(["update", "chat.llamafile", f"{target}/", "--quiet"]) == 0
    assert (world / "chat.llamafile").read_bytes() == (world / "two" / "chat.llamafile").read_bytes()

    monkeypatch.setenv("HOME", str(world / "elsewhere"))
    assert main(["update", "new.llamafile", f"{target}/chat.llamafile", "--quiet"]) == 7
    assert capsys.readouterr().err.startswith(f"lfbuild: {target}: the registry refuses (401)\n")


@needs_zig
def test_a_registry_that_is_down_is_one_sentence_and_the_folder_stays_to_be_pushed(
    world: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_engines(world, capsys)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    assert main(["release", "chat.toml", "-o", "one", "--push", f"oci://127.0.0.1:{port}/chat:1", "--quiet"]) == 7

    said = capsys.readouterr().err
    assert said.startswith(f"lfbuild: oci://127.0.0.1:{port}/chat:1: no connection to 127.0.0.1 (")
    target = f"oci://127.0.0.1:{port}/chat:1"
    assert said.endswith(f"; one is whole: lfbuild release -o one --push {target} goes on\n")
    assert (world / "one" / "SHA256SUMS").is_file()

    with _stand_in(monkeypatch) as pushed:
        assert main(["release", "-o", "one", "--push", target, "--quiet"]) == 0
        assert pushed == [(target, sorted(path.name for path in (world / "one").iterdir()))]
        (world / "one" / "RELEASE.md").write_text("another", encoding="utf-8")
        capsys.readouterr()
        assert main(["release", "-o", "one", "--push", target, "--quiet"]) == 5
    assert len(pushed) == 1
    assert capsys.readouterr().err == (
        "lfbuild: one: is not the release that its SHA256SUMS tells of\n"
        "lfbuild: hint: it holds what was released, and nothing else: sha256sum -c SHA256SUMS\n"
    )


@needs_zig
def test_a_release_that_is_pushed_again_is_the_same_artifact_whatever_its_files_are_called(
    world: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_engines(world, capsys)
    (world / "z.toml").write_text(RECIPE.replace('name = "chat"', 'name = "a"\noutput = "z.bin"'), encoding="utf-8")
    pushed = []

    def push(files: Sequence[Path], _: OciAddress, *, annotations: dict[str, str], **__: object) -> str:
        pushed.append(([path.name for path in files], annotations))
        return "sha256:7"

    monkeypatch.setattr("lfbuild.commands.release.push", push)
    words = ["-o", "one", "--push", "oci://localhost/acme/chat:1", "--quiet"]

    assert main(["release", "z.toml", "chat.toml", *words]) == 0
    assert main(["release", *words]) == 0

    first, again = pushed
    assert first == again
    assert first[0] == sorted(path.name for path in (world / "one").iterdir())
    assert first[1] == {"org.opencontainers.image.title": "chat 0.1.0, a 0.1.0"}


@needs_zig
def test_a_folder_with_more_than_what_was_released_is_not_pushed(
    world: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_engines(world, capsys)
    assert main(["release", "chat.toml", "-o", "one", "--quiet"]) == 0
    (world / "one" / "more").mkdir()
    capsys.readouterr()

    with _stand_in(monkeypatch) as pushed:
        assert main(["release", "-o", "one", "--push", "oci://localhost/acme/chat:1", "--quiet"]) == 5

    assert pushed == []
    assert capsys.readouterr().err.startswith("lfbuild: one: is not the release that its SHA256SUMS tells of\n")


@contextlib.contextmanager
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, list[str]]]]:
    """Instead of a registry: what would have been pushed where."""
    pushed = list[tuple[str, list[str]]]()

    def push(files: Sequence[Path], address: OciAddress, **_: object) -> str:
        pushed.append((str(address), sorted(path.name for path in files)))
        return "sha256:7"

    with monkeypatch.context() as patch:
        patch.setattr("lfbuild.commands.release.push", push)
        yield pushed


def test_a_release_of_nothing_is_refused(world: Path, capsys: Captured) -> None:
    assert main(["release", "-o", "one", "--quiet"]) == 2

    assert capsys.readouterr().err == (
        "lfbuild: release: no recipe was named\nlfbuild: hint: lfbuild release RECIPE… -o FOLDER\n"
    )
    assert not (world / "one").exists()


@needs_zig
def test_what_is_no_registry_is_told_so(world: Path, capsys: Captured) -> None:
    keep_engines(world, capsys)
    with web_server() as server:
        host = server.url.removeprefix("http://")
        assert main(["release", "chat.toml", "-o", "one", "--push", f"oci://{host}/chat:1", "--quiet"]) == 7

    assert f"oci://{host}/chat:1: is no registry: it answers 404\n" in capsys.readouterr().err


FOREIGN = {"layers": [{"digest": "../../x", "size": 1, "annotations": {"org.opencontainers.image.title": "a"}}]}


@pytest.mark.parametrize("manifest", [FOREIGN, {"layers": 7}, []])
def test_a_manifest_that_is_none_of_ours_is_refused(manifest: object) -> None:
    with web_server() as server:
        server.pages["/v2/chat/manifests/1"] = Page(data=json.dumps(manifest).encode())
        url = f"oci://{server.url.removeprefix('http://')}/chat:1"

        with pytest.raises(FormatError) as caught:
            Places(Network(), clock=Clock(now=lambda: 0.0)).read(f"{url}/a", limit_bytes=10)

    assert str(caught.value) == f"{url}: is no release of lfbuild's: its manifest has no named files"
