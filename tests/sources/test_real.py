"""The public package index, as it is today, answers as our small one does."""

from __future__ import annotations

import os
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lfbuild.errors import FetchError
from lfbuild.fetch import Network
from lfbuild.report import SilentReport
from lfbuild.sources import MemberOrigin, PypiOrigin, fetch_file

if TYPE_CHECKING:
    from lfbuild.store import Store

SIX = "4ce39f422ee71467ccac8bed76beb05f8c321c7f0ceda9279ae2dfa3670106b3"


@pytest.mark.real
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_a_file_of_a_small_package_comes_from_the_public_index(store: Store, kind: str) -> None:
    certificates = os.environ.get("SSL_CERT_FILE")
    network = Network(
        proxies=urllib.request.getproxies(),
        ca_file=Path(certificates) if certificates else None,
        pypi_index=os.environ.get("PIP_INDEX_URL"),
        attempts=2,
    )
    origin = MemberOrigin(archive=PypiOrigin(package="six", version="1.16.0", kind=kind), member="six.py")  # type: ignore[arg-type]

    try:
        fetched = fetch_file(origin, sha256=SIX, store=store, network=network, report=SilentReport())
    except FetchError as error:
        pytest.skip(f"the package index cannot be reached: {error}")

    assert fetched.path.read_bytes().startswith(b"# Copyright")
