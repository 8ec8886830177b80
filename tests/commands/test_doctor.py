from __future__ import annotations

import dataclasses
import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lfbuild.commands import doctor
from lfbuild.commands.doctor import diagnose, file_system_of
from lfbuild.commands.settings import Settings
from lfbuild.commands.toolchain import FoundToolchain
from lfbuild.engine.cpu import parse_cpu
from lfbuild.errors import ToolError
from lfbuild.host.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = 1_800_000_000.0
V3 = Machine(
    system="linux",
    architecture="x86_64",
    cpu_name="A CPU",
    cpu_features=parse_cpu("x86-64-v3+avxvnni").features,
    cores=4,
    search_path="",
)
ZIG = FoundToolchain(kind="zig", version="0.17.1", path=Path("/opt/zig"))
NO_ZIG = FoundToolchain(kind="zig", problem="is not installed", hint="get zig")
NO_COSMOCC = FoundToolchain(kind="cosmocc", problem="is not here", hint="get cosmocc")

MOUNTS = """\
21 27 0:21 / /proc rw,relatime - proc proc rw
27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 27 8:2 / /data rw shared:2 master:3 - btrfs /dev/sdb1 rw
41 40 8:3 / /data/with\\040space rw - xfs /dev/sdc1 rw
broken line
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_folder=tmp_path / "cache", machine=V3, jobs=4, now=NOON)


@pytest.fixture(autouse=True)
def arrange(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A machine on which everything but cosmocc is installed, or another one."""

    def arrange(*toolchains: FoundToolchain, cmake: bool = True, lacking: tuple[str, ...] = ()) -> None:
        def find_cmake() -> Path:
            if not cmake:
                raise ToolError("cmake", "is not installed beside lfbuild")
            return Path("/opt/cmake")

        def version(name: str) -> str:
            if name in lacking:
                raise importlib.metadata.PackageNotFoundError(name)
            return "1.0"

        monkeypatch.setattr(doctor, "list_toolchains", lambda _settings: toolchains)
        monkeypatch.setattr(doctor, "find_cmake", find_cmake)
        monkeypatch.setattr(doctor, "find_ninja", lambda: Path("/opt/ninja"))
        requirements = ["rich>=1", "cmake>=3; extra == 'build'", "pydantic>=2; extra == 'build'"]
        monkeypatch.setattr(importlib.metadata, "requires", lambda _name: requirements)
        monkeypatch.setattr(importlib.metadata, "version", version)

    arrange(ZIG, NO_COSMOCC)
    return arrange


def test_a_machine_with_zig_can_build_and_is_told_nothing_to_do(settings: Settings) -> None:
    diagnosis = diagnose(settings)

    assert diagnosis.can_build == ("zig",)
    assert diagnosis.advice == ()
    assert (diagnosis.target, diagnosis.cpu_level, diagnosis.cores) == ("linux-x86_64", "x86-64-v3+avxvnni", 4)
    states = {check.name: (check.state, check.finding) for check in diagnosis.checks}
    assert states["Python packages"] == ("here", "all 2 that building needs")
    assert states["cmake"] == ("here", "1.0")
    assert states["zig"] == ("here", "0.17.1")
    assert states["cosmocc"] == ("optional", "is not here")
    assert states["npm"] == ("optional", "not here; needed only for the chat page, [engine] ui = true")
    assert states["ccache"] == ("optional", "not here; needed only for --launcher ccache")


def test_without_a_toolchain_nothing_can_be_built_and_both_ways_out_are_told(
    settings: Settings, arrange: Callable[..., None]
) -> None:
    arrange(NO_ZIG, NO_COSMOCC)

    diagnosis = diagnose(settings)

    assert diagnosis.can_build == ()
    assert diagnosis.advice == ("install zig: get zig", "install cosmocc: get cosmocc")


def test_without_its_building_half_lfbuild_tells_how_to_install_it(
    settings: Settings, arrange: Callable[..., None]
) -> None:
    arrange(ZIG, NO_COSMOCC, cmake=False, lacking=("pydantic",))

    diagnosis = diagnose(settings)

    assert diagnosis.can_build == ()
    assert diagnosis.advice == ('install what building needs: pip install "lfbuild[zig]"',)
    assert [(it.name, it.finding) for it in diagnosis.checks if it.state == "lacking"] == [
        ("Python packages", "not installed: pydantic"),
        ("cmake", "is not installed beside lfbuild"),
    ]


def test_a_processor_below_the_default_level_is_warned_of(settings: Settings) -> None:
    old = dataclasses.replace(V3, cpu_features=parse_cpu("x86-64-v2").features)

    diagnosis = diagnose(dataclasses.replace(settings, machine=old))

    (sentence,) = diagnosis.advice
    assert sentence == (
        "this processor is below x86-64-v3, which cosmocc and the example recipes compile for; "
        "x86-64-v2 is what it can run"
    )


def test_how_the_network_is_reached_is_told_without_addresses(settings: Settings) -> None:
    secret = dataclasses.replace(
        settings,
        proxies=(("https", "http://me:secret@proxy"), ("no", "localhost")),
        pypi_index="https://me:secret@index",
    )

    diagnosis = diagnose(secret)

    assert diagnosis.network == "through a proxy for https; Python packages from another index than PyPI's"
    assert "secret" not in repr(diagnosis)


def test_the_cache_that_is_not_there_yet_is_measured_where_it_would_be(settings: Settings) -> None:
    cache = diagnose(settings).cache

    assert (cache.path, cache.size_bytes) == (settings.cache_folder, 0)
    assert cache.free_bytes > 0
    assert not settings.cache_folder.exists()


@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_a_cache_that_others_may_write_to_is_told_with_what_mends_it(settings: Settings, mode: int) -> None:
    settings.cache_folder.mkdir()
    settings.cache_folder.chmod(mode)

    assert diagnose(settings).advice == (
        (
            "others may write to the cache, so files that are started place their engines elsewhere: "
            f"chmod go-w {settings.cache_folder}"
        ),
    )

    settings.cache_folder.chmod(0o755)
    assert diagnose(settings).advice == ()


@pytest.mark.parametrize(
    ("folder", "file_system"),
    [
        ("/home/me", "ext4"),
        ("/data", "btrfs"),
        ("/data/with space/x", "xfs"),
        ("/database", "ext4"),
        ("/proc/1", "proc"),
    ],
)
def test_the_file_system_of_a_folder_is_that_of_its_nearest_mount(folder: str, file_system: str) -> None:
    assert file_system_of(Path(folder), MOUNTS) == file_system


def test_where_the_system_does_not_tell_its_mounts_the_file_system_is_unknown() -> None:
    assert file_system_of(Path("/home"), "") == ""
