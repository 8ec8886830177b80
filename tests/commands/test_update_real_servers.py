"""Updates from nginx, lighttpd and Apache as Debian has them, with compression switched on where they can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.commands.test_update import updated
from tests.fetch.real_servers import NAMES, real_server
from tests.world.files import verified
from tests.world.releases import write_new, write_old

from lfbuild.errors import FetchError
from lfbuild.fetch.network import Network
from lfbuild.fetch.pace import Clock
from lfbuild.fetch.parallel import Manners, fetch_units
from lfbuild.fetch.places import Places
from lfbuild.fetch.ranges import Line, Span

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.real


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    for above in tmp_path.parents[:2]:  # Apache gives up root, and must still get here
        above.chmod(0o755)
    folder = tmp_path / "served"
    write_new(folder)
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_updated(name: str, folder: Path, tmp_path: Path) -> None:
    old = write_old(tmp_path / "here")

    with real_server(name, folder, tmp_path / name) as url:
        outcome = updated(old, f"{url}/tiny.llamafile")

    assert old.read_bytes() == (folder / "tiny.llamafile").read_bytes()
    assert verified(old) == []
    assert outcome.body_bytes == outcome.wanted_bytes


@pytest.mark.parametrize("name", NAMES)
def test_a_thousand_scattered_stretches_arrive(name: str, folder: Path, tmp_path: Path) -> None:
    data = bytes(range(251)) * 40_000
    (folder / "data.bin").write_bytes(data)
    units = [Span(at, 100) for at in range(0, len(data), 10_000)]

    def accept(span: Span, found: memoryview) -> bool:
        return bytes(found) == data[span.offset : span.end]

    with real_server(name, folder, tmp_path / name) as url:
        manners = Manners(clock=Clock(now=lambda: 0.0))
        remote = Places(Network(), clock=manners.clock).remote(f"{url}/data.bin", size_bytes=len(data))
        line = Line(round_trip_s=0.0, bytes_per_s=1e9)
        assert fetch_units(remote, units, accept, manners=manners, line=line).body_bytes == 100 * len(units)


@pytest.mark.parametrize("name", NAMES)
def test_a_release_that_is_replaced_under_the_server_is_noticed(name: str, folder: Path, tmp_path: Path) -> None:
    old = write_old(tmp_path / "here")
    before = old.read_bytes()

    with real_server(name, folder, tmp_path / name) as url:
        (folder / "tiny.llamafile").write_bytes(bytes(50_000))
        with pytest.raises(FetchError) as caught:
            updated(old, f"{url}/tiny.llamafile")

    assert caught.value.what.startswith("has 50000 bytes, but ")
    assert old.read_bytes() == before
