"""What a thin wheel's program does: starts its file, which it fetches once.

The file lies under its own digest, so another version of the program has another file, and one that is there is whole:
it got its name when its last block had been checked. What an older version has left serves as a source of blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfbuild.backend.words import hook

if TYPE_CHECKING:
    from pathlib import Path


@hook
def fetched(index: Path, *, root: str, name: str) -> Path:
    """The file of a release whose control file is `index`; its `root` is known, as it need not be read to start.

    Raises:
        Refused: it could not be fetched, or what came is not what was promised.
    """
    import platformdirs

    folder = platformdirs.user_data_path("lfbuild", appauthor=False) / "programs"
    path = folder / root[:32] / name
    if not path.is_file():
        _fetch(path, index, seeds=folder)
    return path


def _fetch(path: Path, index: Path, *, seeds: Path) -> None:
    import os
    import time
    from urllib.request import getproxies

    from lfbuild.backend.words import LineReport
    from lfbuild.commands.settings import read_settings
    from lfbuild.commands.update import UpdateOrder, update
    from lfbuild.fetch.pace import Clock
    from lfbuild.fetch.parallel import Manners

    path.parent.mkdir(parents=True, exist_ok=True)
    offline = os.environ.get("LFBUILD_OFFLINE", "") not in ("", "0")
    settings = read_settings(os.environ, proxies=getproxies(), cache_folder=None, offline=offline, now=time.time())
    older = tuple(folder for folder in sorted(seeds.iterdir()) if folder.is_dir() and folder != path.parent)
    report = LineReport()
    report.note(f"{path.name} is fetched now; the next start is at once")
    update(
        UpdateOrder(path=path, url=str(index), seeds=older),
        network=settings.network(),
        manners=Manners(clock=Clock(now=time.monotonic)),
        threads=settings.machine.cores,
        report=report,
    )
