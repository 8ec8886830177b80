"""`toolchain`: the compilers that engines are made with: which there are, where they are, and getting one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.engine.cosmocc import VERSION, Cosmocc
from lfbuild.engine.cosmocc_install import install_cosmocc
from lfbuild.engine.toolchains import KINDS, find_toolchain
from lfbuild.engine.zig import INSTALL_HINT, Zig
from lfbuild.errors import FetchError, ToolError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lfbuild.commands.settings import Settings
    from lfbuild.engine.toolchain import Toolchain
    from lfbuild.report import Report

_DOWNLOAD = "download cosmocc"


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundToolchain:
    """A toolchain, or why there is none."""

    kind: str
    version: str = ""
    path: Path | None = None
    """zig's program; the folder of an unpacked cosmocc."""
    problem: str = ""
    hint: str = ""


def list_toolchains(settings: Settings) -> tuple[FoundToolchain, ...]:
    """Every kind that lfbuild knows, found or not."""
    return tuple(_look_for(kind, settings) for kind in KINDS)


def where_toolchain(kind: str, *, settings: Settings) -> FoundToolchain:
    """The toolchain of that kind.

    Raises:
        ToolError: it is not on this machine, or is another version than this lfbuild is made for.
    """
    toolchain = find_toolchain(
        kind,
        version=None,
        machine=settings.machine,
        store=settings.store(),
        cosmocc_folder=settings.cosmocc,
    )
    return FoundToolchain(kind=kind, version=toolchain.version, path=_path_of(toolchain))


def install_toolchain(kind: str, *, archive: Path | None, settings: Settings, report: Report) -> FoundToolchain:
    """Put the version that this lfbuild is made for into the cache, unless it is there; `archive` saves the download.

    Raises:
        ToolError: this kind is installed by other means, which the hint names.
        FetchError: it cannot be downloaded.
        IntegrityError: what was downloaded, or given, is not what it should be.
    """
    if kind == "zig":
        raise ToolError(kind, "comes as a Python package, which lfbuild does not install by itself", hint=INSTALL_HINT)
    store = settings.store()
    if archive is not None:
        folder = install_cosmocc(store, download=lambda _urls, _sha256: archive)
        return FoundToolchain(kind=kind, version=VERSION, path=folder)
    with store.lock(_DOWNLOAD, waiting=lambda: report.note("another lfbuild is installing cosmocc; waiting for it")):
        partial = store.partial(_DOWNLOAD)
        folder = install_cosmocc(store, download=_downloader(partial, settings=settings, report=report))
        # Unpacked, it is not needed any more.
        for leftover in (partial, partial.with_suffix(".json")):
            leftover.unlink(missing_ok=True)
    return FoundToolchain(kind=kind, version=VERSION, path=folder)


def _downloader(partial: Path, *, settings: Settings, report: Report) -> Callable[[tuple[str, ...], str], Path]:
    """Tries one address after the other; they hold the same file, so the bytes of one go on with those of the next."""
    from lfbuild.fetch import HttpFetcher

    def download(urls: tuple[str, ...], sha256: str) -> Path:
        fetcher = HttpFetcher(settings.network(), report)
        *others, last = urls[:1] if settings.offline else urls
        for url in others:
            try:
                return fetcher.download(url, partial, sha256=sha256).path
            except FetchError as error:
                report.note(f"{error}; trying another address")
        return fetcher.download(last, partial, sha256=sha256).path

    return download


def _look_for(kind: str, settings: Settings) -> FoundToolchain:
    try:
        return where_toolchain(kind, settings=settings)
    except ToolError as error:
        return FoundToolchain(kind=kind, problem=error.what if error.where == kind else str(error), hint=error.hint)


def _path_of(toolchain: Toolchain) -> Path:
    match toolchain:
        case Zig():
            return toolchain.program
        case Cosmocc():
            return toolchain.root
        case _:
            raise ToolError(toolchain.kind, "is a toolchain that has no place")
