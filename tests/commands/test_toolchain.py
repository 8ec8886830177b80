from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lfbuild.commands import toolchain
from lfbuild.commands.settings import Settings
from lfbuild.commands.toolchain import FoundToolchain, install_toolchain, list_toolchains, where_toolchain
from lfbuild.engine.zig import Zig
from lfbuild.errors import FetchError, IntegrityError, ToolError
from lfbuild.fetch import Downloaded
from lfbuild.host.machine import Machine
from lfbuild.report import SilentReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from lfbuild.store import Store

SITE, MIRROR = "https://site.example/cosmocc.zip", "https://mirror.example/cosmocc.zip"
MACHINE = Machine(system="linux", architecture="x86_64", cpu_name="", cpu_features=frozenset(), cores=1, search_path="")


class Notes(SilentReport):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str, /) -> None:
        self.texts.append(text)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_folder=tmp_path / "cache", machine=MACHINE, jobs=1, now=0.0)


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What each address gives; one that is not in it cannot be reached. What arrives is installed without a look."""
    served: dict[str, bytes] = {}

    class Fetcher:
        def __init__(self, network: object, report: object) -> None:
            pass

        def download(self, url: str, partial: Path, *, sha256: str) -> Downloaded:
            if url not in served:
                raise FetchError(url, "the host was not found")
            partial.write_bytes(served[url])
            return Downloaded(path=partial, size_bytes=len(served[url]), sha256=sha256)

    def install(store: Store, *, download: Callable[[tuple[str, ...], str], Path]) -> Path:
        bundle = download((SITE, MIRROR), "0" * 64)
        with store.making("toolchains", "cosmocc-4.0.2") as folder:
            (folder / "bundle").write_bytes(bundle.read_bytes())
        return store.entry_path("toolchains", "cosmocc-4.0.2")

    monkeypatch.setattr("lfbuild.fetch.HttpFetcher", Fetcher)
    monkeypatch.setattr(toolchain, "install_cosmocc", install)
    return served


def test_toolchains_that_are_absent_are_listed_with_the_way_to_get_them(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(kind: str, **_: object) -> Zig:
        if kind == "zig":
            return Zig(program=Path("/opt/zig"), version="0.17.1")
        raise ToolError(kind, "version 4.0.2 is not installed", hint="get it")

    monkeypatch.setattr(toolchain, "find_toolchain", find)

    assert list_toolchains(settings) == (
        FoundToolchain(kind="cosmocc", problem="version 4.0.2 is not installed", hint="get it"),
        FoundToolchain(kind="zig", version="0.17.1", path=Path("/opt/zig")),
    )


def test_a_named_folder_that_is_no_cosmocc_is_told_with_its_path(tmp_path: Path) -> None:
    settings = Settings(cache_folder=tmp_path / "cache", cosmocc=tmp_path / "wrong", machine=MACHINE, jobs=1, now=0.0)

    cosmocc = list_toolchains(settings)[0]

    assert cosmocc.path is None
    assert cosmocc.problem.startswith(f"{tmp_path / 'wrong'}: is no cosmocc")


def test_where_refuses_what_is_not_there(settings: Settings) -> None:
    with pytest.raises(ToolError) as caught:
        where_toolchain("cosmocc", settings=settings)

    assert str(caught.value) == "cosmocc: version 4.0.2 is not installed"
    assert caught.value.hint == "install it with: lfbuild toolchain install cosmocc"


def test_cosmocc_is_downloaded_into_the_cache_and_its_zip_file_is_not_kept(
    settings: Settings, servers: dict[str, bytes]
) -> None:
    servers[SITE] = b"bundle"

    found = install_toolchain("cosmocc", archive=None, settings=settings, report=SilentReport())

    folder = settings.cache_folder / "toolchains" / "cosmocc-4.0.2"
    assert found == FoundToolchain(kind="cosmocc", version="4.0.2", path=folder)
    assert (folder / "bundle").read_bytes() == b"bundle"
    assert list((settings.cache_folder / "partial").iterdir()) == []


def test_the_second_address_is_tried_when_the_first_fails(settings: Settings, servers: dict[str, bytes]) -> None:
    servers[MIRROR] = b"bundle"
    notes = Notes()

    install_toolchain("cosmocc", archive=None, settings=settings, report=notes)

    assert notes.texts == [f"{SITE}: the host was not found; trying another address"]


def test_when_every_address_fails_the_last_one_is_told(settings: Settings, servers: dict[str, bytes]) -> None:
    with pytest.raises(FetchError) as caught:
        install_toolchain("cosmocc", archive=None, settings=settings, report=SilentReport())

    assert str(caught.value) == f"{MIRROR}: the host was not found"


def test_a_zip_file_that_is_not_the_pinned_one_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "cosmocc.zip").write_bytes(b"something else")

    with pytest.raises(IntegrityError) as caught:
        install_toolchain("cosmocc", archive=tmp_path / "cosmocc.zip", settings=settings, report=SilentReport())

    assert caught.value.where == str(tmp_path / "cosmocc.zip")
    assert not (settings.cache_folder / "toolchains").exists()


def test_zig_is_left_to_pip(settings: Settings) -> None:
    with pytest.raises(ToolError) as caught:
        install_toolchain("zig", archive=None, settings=settings, report=SilentReport())

    assert str(caught.value) == "zig: comes as a Python package, which lfbuild does not install by itself"
    assert caught.value.hint == "install it with: pip install 'lfbuild[zig]'"
