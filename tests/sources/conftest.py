"""A world for sources: an empty store, a web server on loopback, and a network that never waits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.fetch.webserver import WebServer, web_server

from lfbuild.fetch import Network
from lfbuild.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


@pytest.fixture
def network(server: WebServer) -> Network:
    return Network(timeout_s=5, attempts=1, pypi_index=f"{server.url}/simple/", hf_endpoint=server.url)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
