from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.fetch.webserver import WebServer, web_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as server:
        yield server
