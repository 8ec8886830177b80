"""What a registry is told of who asks, no other server hears."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.fetch.test_parallel import ALL, DATA, Hours, Judge
from tests.fetch.webserver import Page, WebServer

from lfbuild.errors import FetchError, FormatError
from lfbuild.fetch.network import Network
from lfbuild.fetch.oci import TITLE, Registries
from lfbuild.fetch.parallel import Manners, fetch_units
from lfbuild.fetch.places import Places

if TYPE_CHECKING:
    from collections.abc import Callable

    from lfbuild.fetch.ranges import Span

MANIFEST, BLOB = "/v2/chat/manifests/1", f"/v2/chat/blobs/sha256:{'0' * 64}"
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="https://auth.test/token"'}


@pytest.fixture
def blob(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> Page:
    """A layer of a registry that gives out a token to everybody who asks, another one each time."""
    layer = {"digest": f"sha256:{'0' * 64}", "size": len(DATA), "annotations": {TITLE: "a"}}
    server.pages[MANIFEST] = Page(
        data=json.dumps({"layers": [layer]}).encode(), statuses=[401], headers=dict(CHALLENGE)
    )
    server.pages[BLOB] = Page(data=DATA, headers=dict(CHALLENGE))
    tokens = iter(f"token-{number}" for number in range(1, 9))
    monkeypatch.setattr(Registries, "_token", lambda *_: next(tokens))
    return server.pages[BLOB]


def fetch(server: WebServer, judge: Callable[[Span, memoryview], bool]) -> None:
    hours = Hours()
    places = Places(Network(timeout_s=5), clock=hours.clock)
    remote = places.remote(f"oci://{server.url.removeprefix('http://')}/chat:1/a", size_bytes=len(DATA))
    fetch_units(remote, ALL, judge, manners=Manners(most_connections=1, clock=hours.clock, silence_s=5))


def said(server: WebServer, path: str) -> list[str | None]:
    """Who asked for a page, as they said."""
    return [asked.headers.get("authorization") for asked in server.asked if asked.path == path]


def test_where_a_layer_is_redirected_to_nobody_hears_the_token(server: WebServer, blob: Page) -> None:
    blob.redirect = f"{server.url.replace('127.0.0.1', 'localhost')}/store"
    server.pages["/store"] = Page(data=DATA)

    fetch(server, judge := Judge())

    assert sorted(judge.kept) == ALL
    assert said(server, BLOB) == ["Bearer token-1"]
    assert len(said(server, "/store")) > 1
    assert set(said(server, "/store")) == {None}


def test_a_token_that_expires_in_the_middle_of_a_download_is_asked_for_anew(server: WebServer, blob: Page) -> None:
    judge = Judge()

    def expire(span: Span, data: memoryview) -> bool:
        if not judge.kept:
            blob.statuses = [401]
        return judge(span, data)

    fetch(server, expire)

    assert sorted(judge.kept) == ALL
    assert said(server, BLOB)[:3] == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]
    assert set(said(server, BLOB)[2:]) == {"Bearer token-2"}


def test_a_registry_that_takes_no_token_is_asked_three_times_and_no_more(server: WebServer, blob: Page) -> None:
    blob.statuses = [401] * 9

    with pytest.raises(FetchError) as caught:
        fetch(server, Judge())

    assert caught.value.what == "the server wants to know anew who asks (401), at byte 0; tried 3 times"
    assert said(server, BLOB) == ["Bearer token-1", "Bearer token-2", "Bearer token-3"]


@pytest.mark.parametrize("how", ["stall_after", "cut_after"])
def test_a_manifest_that_does_not_come_whole_is_asked_for_again(server: WebServer, blob: Page, how: str) -> None:
    setattr(server.pages[MANIFEST], how, [3])
    hours = Hours()
    url = f"oci://{server.url.removeprefix('http://')}/chat:1/a"

    got = Places(Network(timeout_s=0.3), clock=hours.clock).read(url, limit_bytes=len(DATA))

    assert got.data == DATA
    assert len(hours.pauses) == 1


def test_a_manifest_without_end_of_its_lists_is_none(server: WebServer, blob: Page) -> None:
    server.pages[MANIFEST].data = b"[" * 200_000

    with pytest.raises(FormatError) as caught:
        fetch(server, Judge())

    assert caught.value.what == "is no release of lfbuild's: its manifest has no named files"


@pytest.mark.parametrize("page", [MANIFEST, BLOB])
def test_nobody_signs_in_where_another_server_says(server: WebServer, blob: Page, page: str) -> None:
    server.pages[page].redirect = f"{server.url.replace('127.0.0.1', 'localhost')}/store"
    server.pages["/store"] = Page(statuses=[401] * 9, headers=dict(CHALLENGE))

    with pytest.raises(FetchError) as caught:
        fetch(server, Judge())

    assert "401" in caught.value.what
    assert len(said(server, "/store")) == 1
    assert set(said(server, "/store")) == {None}
