"""Addresses of every kind are opened by one door, and small files come whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.fetch.test_parallel import Hours
from tests.fetch.webserver import Page, WebServer

from lfbuild.errors import FetchError, HostError
from lfbuild.fetch.answers import ChangedError, NotThereError
from lfbuild.fetch.connection import Connections
from lfbuild.fetch.network import Network
from lfbuild.fetch.places import Places
from lfbuild.fetch.ranges import Span

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def hours() -> Hours:
    return Hours()


@pytest.fixture
def places(hours: Hours) -> Places:
    return Places(Network(timeout_s=5), clock=hours.clock)


def test_a_small_file_comes_whole_after_trouble_that_passed(server: WebServer, places: Places, hours: Hours) -> None:
    server.pages["/a"] = Page(data=b"small", statuses=[500, 503], headers={"Retry-After": "3"})

    assert places.read(f"{server.url}/a", limit_bytes=5).data == b"small"
    assert hours.pauses == [3, 3]


def test_a_small_file_is_asked_for_three_times_and_no_more(server: WebServer, places: Places, hours: Hours) -> None:
    server.pages["/a"] = Page(data=b"small", cut_after=[1, 2, 3, 4])

    with pytest.raises(FetchError) as caught:
        places.read(f"{server.url}/a", limit_bytes=5)

    assert str(caught.value) == f"{server.url}/a: the connection broke off; tried 3 times"
    assert caught.value.hint == "check the network, and HTTPS_PROXY if there is a proxy"
    assert len(server.asked) == 3
    assert len(hours.pauses) == 2


def test_a_small_file_that_is_larger_is_refused_wherever_it_is(
    server: WebServer, places: Places, tmp_path: Path
) -> None:
    server.pages["/a"] = Page(data=b"larger")
    (tmp_path / "a").write_bytes(b"larger")

    for url in (f"{server.url}/a", str(tmp_path / "a")):
        with pytest.raises(FetchError) as caught:
            places.read(url, limit_bytes=5)
        assert str(caught.value) == f"{url}: is bigger than the 5 B that such a file may have"


def test_a_file_of_a_folder_is_there_and_of_its_size(places: Places, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")

    with places.remote(str(tmp_path / "a"), size_bytes=5).open(Span(1, 3)) as body:
        assert (body.read(9), body.read(9), body.size_bytes) == (b"234", b"", 5)
    with pytest.raises(ChangedError) as changed, places.remote(str(tmp_path / "a"), size_bytes=6).open(None):
        pytest.fail("a file of another size is opened")
    with pytest.raises(NotThereError) as absent, places.remote(str(tmp_path / "b")).open(None):
        pytest.fail("an absent file is opened")
    with pytest.raises(HostError) as folder, places.remote(str(tmp_path)).open(None):
        pytest.fail("a folder is opened")

    assert str(changed.value) == f"{tmp_path}/a: has 5 bytes, but 6 were promised"
    assert str(absent.value) == f"{tmp_path}/b: is not there"
    assert str(folder.value) == f"{tmp_path}: is a folder, not a file"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://a.test/x", "ftp://a.test/x: is not an http://, https://, s3:// or oci:// address"),
        ("oci://me:secret@a.test/x:1/a", "oci://a.test/x:1/a: is no address in a registry"),
        ("s3://me:secret@bucket/a", "s3://bucket/a: is no address in a store"),
        ("s3://[x/a", "an address that cannot be read: is no address in a store"),
        ("http://[x", "an address that cannot be read: is not an http:// or https:// address"),
        ("file:///a%00b", "file:///a%00b: can be the name of no file"),
        ("/folder/a\0b", "/folder/a%00b: can be the name of no file"),
    ],
)
def test_an_address_of_no_kind_is_refused_without_its_password(places: Places, url: str, said: str) -> None:
    with pytest.raises(FetchError) as caught:
        places.remote(url)

    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("url", "endpoint", "is_told"),
    [
        ("https://huggingface.co/acme/chat/resolve/main/chat.llamafile", None, True),
        ("https://HuggingFace.co/acme/chat/resolve/main/chat.llamafile", None, True),
        ("http://huggingface.co/acme/chat", None, False),
        ("https://huggingface.co.evil.test/acme/chat", None, False),
        ("https://evil.test/huggingface.co", None, False),
        ("https://huggingface.co@evil.test/acme/chat", None, False),
        ("https://huggingface.co:8443/acme/chat", None, False),
        ("https://hub.acme.test:8443/acme/chat", "https://hub.acme.test:8443/", True),
        ("https://huggingface.co/acme/chat", "https://hub.acme.test:8443/", False),
        ("http://hub.acme.test/acme/chat", "http://hub.acme.test", False),
    ],
)
def test_the_token_of_the_hub_goes_to_the_hub_alone(
    url: str, endpoint: str | None, is_told: bool, hours: Hours, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str | None] = []

    def refuse(_connections: object, _url: str, headers: dict[str, str]) -> None:
        said.append(headers.get("Authorization"))
        raise FetchError(url, "is not asked in a test")

    monkeypatch.setattr(Connections, "get", refuse)
    network = Network(hf_token="hf-7", hf_endpoint=endpoint)  # noqa: S106  # nobody's
    with pytest.raises(FetchError, match="is not asked in a test"):
        Places(network, clock=hours.clock).read(url, limit_bytes=9)

    assert said == ["Bearer hf-7" if is_told else None]


def test_a_hub_whose_address_cannot_be_read_is_told_where_it_matters() -> None:
    url = "https://example.org/x"

    assert Network(hf_endpoint="http://[x").hub_login(url) == {}
    with pytest.raises(FetchError) as caught:
        Network(hf_token="hf-7", hf_endpoint="http://[x").hub_login(url)  # noqa: S106  # nobody's

    assert str(caught.value) == "HF_ENDPOINT: is not an http:// or https:// address"
    assert caught.value.hint == "correct or unset it"
