"""The build backend: what pip, build, uv and other frontends call (PEP 517, PEP 660), and `build_llamafile`.

    [build-system]
    requires = ["lfbuild"]
    build-backend = "lfbuild.backend"

A front door, as the command line is: it alone reads the environment and asks the time. Every hook runs in the project's
folder. What cannot be carried out is one sentence on stderr, and `Refused`. See docs/backend.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.backend.words import Refused, hook

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lfbuild.backend.order import Order

    ConfigSettings = Mapping[str, str | Sequence[str]]

__all__ = [
    "Refused",
    "build_editable",
    "build_llamafile",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]


@hook
def get_requires_for_build_wheel(config_settings: ConfigSettings | None = None) -> list[str]:
    """What has to be installed before a wheel is built: a compiler only where no compiled engine is installed."""
    from lfbuild.backend.needs import needs_of_wheel
    from lfbuild.backend.wishes import read_wishes

    read_wishes(config_settings)
    return needs_of_wheel(Path.cwd())


@hook
def get_requires_for_build_sdist(config_settings: ConfigSettings | None = None) -> list[str]:
    """What has to be installed before an sdist is built."""
    from lfbuild.backend.needs import needs_of_sdist
    from lfbuild.backend.wishes import read_wishes

    read_wishes(config_settings)
    return needs_of_sdist()


get_requires_for_build_editable = get_requires_for_build_wheel


@hook
def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: ConfigSettings | None = None) -> str:
    """Write the wheel's metadata, and build nothing; returns the name of its folder."""
    return _write_metadata(Path(metadata_directory), _order(config_settings), editable=False)


@hook
def prepare_metadata_for_build_editable(metadata_directory: str, config_settings: ConfigSettings | None = None) -> str:
    """Write the editable wheel's metadata, and build nothing; returns the name of its folder."""
    return _write_metadata(Path(metadata_directory), _order(config_settings), editable=True)


@hook
def build_wheel(
    wheel_directory: str,
    config_settings: ConfigSettings | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Build the file, and the wheel that has it as a program on PATH; returns the wheel's name."""
    del metadata_directory  # the same metadata is made again
    from lfbuild.backend.made import make_wheel

    return make_wheel(_order(config_settings), Path(wheel_directory)).name


@hook
def build_editable(
    wheel_directory: str,
    config_settings: ConfigSettings | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Build the file in the project's folder, and a wheel whose program starts it there; returns the wheel's name."""
    del metadata_directory
    from lfbuild.backend.made import make_editable

    return make_editable(_order(config_settings), Path(wheel_directory)).name


@hook
def build_sdist(sdist_directory: str, config_settings: ConfigSettings | None = None) -> str:
    """Write the archive that the same wheel can be built from; returns its name."""
    from lfbuild.backend.sdist import write_sdist

    order = _order(config_settings)
    return write_sdist(order.project, Path(sdist_directory), epoch=order.settings.epoch).name


@hook
def build_llamafile(output_directory: str, config_settings: ConfigSettings | None = None) -> str:
    """Build the file itself, without a wheel; returns its name in `output_directory`.

    For callers that are no installers: they call it in the project's folder as they would any hook above, with the same
    settings. Where Windows would not start one file of that size, the program that it starts lies beside it.
    """
    from lfbuild.backend.made import make_file

    return make_file(_order(config_settings), Path(output_directory)).path.name


def _order(config_settings: ConfigSettings | None) -> Order:
    """The project in this folder, with the environment, the clock and the settings that this hook was given."""
    import os
    import time
    from urllib.request import getproxies

    from lfbuild.backend.order import make_order
    from lfbuild.backend.wishes import read_wishes
    from lfbuild.backend.words import LineReport
    from lfbuild.commands.settings import read_settings

    wishes = read_wishes(config_settings)
    offline = os.environ.get("LFBUILD_OFFLINE", "") not in ("", "0") if wishes.offline is None else wishes.offline
    settings = read_settings(
        os.environ, proxies=getproxies(), cache_folder=wishes.cache_dir, offline=offline, now=time.time()
    )
    return make_order(Path.cwd(), wishes, settings=settings, report=LineReport())


def _write_metadata(folder: Path, order: Order, *, editable: bool) -> str:
    from lfbuild.backend.order import dist_info

    name = order.project.names.dist_info
    for file, data in dist_info(order, editable=editable).files().items():
        path = folder / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return name
