"""Takes the official cosmocc bundle into the store: fetched, compared with its pinned sha256, unpacked."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile, ZipInfo

from lfbuild.engine.cosmocc import VERSION, read_version
from lfbuild.errors import IntegrityError, ToolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lfbuild.store import Store

SHA256 = "85b8c37a406d862e656ad4ec14be9f6ce474c1b436b9615e91a55208aced3f44"
URLS = (
    f"https://cosmo.zip/pub/cosmocc/cosmocc-{VERSION}.zip",
    f"https://github.com/jart/cosmopolitan/releases/download/{VERSION}/cosmocc-{VERSION}.zip",
)
"""Its own site, then the project's releases: the same file."""


def install_cosmocc(store: Store, *, download: Callable[[tuple[str, ...], str], Path], sha256: str = SHA256) -> Path:
    """The unpacked bundle in the store; `download(urls, sha256)` fetches it when it is not there yet.

    Raises:
        IntegrityError: what came is not the pinned file.
        ToolError: the pinned file is not a cosmocc of this version.
    """
    key = f"cosmocc-{VERSION}"
    with store.lock(f"toolchains/{key}"):
        kept = store.entry("toolchains", key)
        if kept is None:
            bundle = download(URLS, sha256)
            _refuse_other_bytes(bundle, sha256)
            with store.making("toolchains", key) as folder:
                _unpack(bundle, folder)
                _refuse_other_version(folder, bundle)
            kept = store.entry_path("toolchains", key)
    return kept


def _refuse_other_bytes(bundle: Path, expected: str) -> None:
    with bundle.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != expected:
        what = f"its sha256 is {actual}, not the pinned {expected}"
        raise IntegrityError(bundle, what, hint="nothing was installed; the server may hand out something else")


def _refuse_other_version(folder: Path, bundle: Path) -> None:
    try:
        found = read_version(folder)
    except OSError as error:
        raise ToolError(bundle, "is no cosmocc bundle", hint="nothing was installed") from error
    if found != VERSION:
        raise ToolError(bundle, f"holds cosmocc {found}, not {VERSION}", hint="nothing was installed")


def _unpack(bundle: Path, folder: Path) -> None:
    """All members with their permissions; zipfile alone would drop these, and turn links into text files."""
    try:
        with ZipFile(bundle) as archive:
            for member in sorted(archive.infolist(), key=lambda member: member.filename):
                _unpack_member(archive, member, folder)
    except BadZipFile as error:
        raise ToolError(bundle, f"cannot be unpacked ({error})", hint="nothing was installed") from error


def _unpack_member(archive: ZipFile, member: ZipInfo, folder: Path) -> None:
    name = PurePosixPath(member.filename)
    mode = member.external_attr >> 16
    if name.is_absolute() or ".." in name.parts:
        raise ToolError(archive.filename or "", f"has a member outside its folder: {name}")
    target = folder / name
    if member.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISLNK(mode):
        _unpack_link(archive, member, target, folder)
        return
    with archive.open(member) as source, target.open("xb") as file:
        while piece := source.read(1 << 20):
            file.write(piece)
    target.chmod(0o755 if mode & 0o111 else 0o644)


def _unpack_link(archive: ZipFile, member: ZipInfo, target: Path, folder: Path) -> None:
    destination = archive.read(member).decode()
    if not (target.parent / destination).resolve().is_relative_to(folder.resolve()):
        raise ToolError(archive.filename or "", f"has a link that leaves its folder: {member.filename}")
    target.symlink_to(destination)
