"""Source trees: unpacked from an archive into the store, or used where they are; each with a digest of what it holds.

Only plain files, folders and links that stay inside are written. Modes come down to "may be run or not", and every
file gets the same date, so that an archive always unpacks to the same tree.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from lfbuild.errors import FetchError, FormatError
from lfbuild.host.files import host_error
from lfbuild.report import size_words
from lfbuild.sources.archives import ArchiveMember, chunks, damage_in_words, members

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lfbuild.report import Report
    from lfbuild.store import Store

MAX_TREE_BYTES = 16 * 1024**3
FILE_DATE = 315_532_800
"""1980-01-01: the date of every unpacked file."""


def tree_key(archive_sha256: str, subfolder: str | None) -> str:
    """The identity of what an archive's folder unpacks to."""
    return hashlib.sha256(f"tree 1\n{archive_sha256}\n{subfolder or ''}\n".encode()).hexdigest()


def unpack_tree(archive: Path, sha256: str, *, subfolder: str | None = None, store: Store, report: Report) -> Path:
    """The tree in `subfolder` of an archive whose hash is known, unpacked into the store once.

    Without `subfolder` it is the whole archive, less a single top folder around all of it.

    Raises:
        FetchError: there is no such folder in it.
        FormatError: it is damaged, or has something in it that could be written outside.
        HostError: the cache cannot be written.
    """
    key = tree_key(sha256, subfolder)
    found = store.entry("trees", key)
    if found is not None:
        return found
    with store.lock(f"trees/{key}", waiting=lambda: report.note(f"another lfbuild is unpacking {archive.name}")):
        found = store.entry("trees", key)
        if found is not None:
            return found
        with store.making("trees", key) as folder, report.step("unpack the source tree", unit="steps") as step:
            try:
                with damage_in_words(archive):
                    for name in _unpack(archive, folder, subfolder):
                        step.advance(1, detail=name)
            except OSError as error:
                raise host_error(store.root, error) from error
        return store.entry_path("trees", key)


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeDigest:
    """What a folder holds, as one hash."""

    sha256: str
    size_bytes: int


def digest_tree(folder: Path) -> TreeDigest:
    """Hash the names, kinds and contents of everything in a folder but `.git`; dates and owners do not count.

    Raises:
        HostError: something in it cannot be read.
    """
    total, size_bytes = hashlib.sha256(b"lfbuild tree 1\n"), 0
    try:
        for name, path in sorted(_files(folder)):
            if path.is_symlink():
                kind, content = "link", hashlib.sha256(os.fsencode(path.readlink())).hexdigest()
            else:
                kind = "run" if path.stat().st_mode & 0o100 else "file"
                with path.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
                size_bytes += path.stat().st_size
            total.update(f"{kind} {content} ".encode() + os.fsencode(name) + b"\0")
    except OSError as error:
        raise host_error(folder, error) from error
    return TreeDigest(sha256=total.hexdigest(), size_bytes=size_bytes)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for parent, folders, files in os.walk(folder, onerror=_raise):
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        folders[:] = [name for name in folders if name != ".git" and name not in links]
        for name in (*files, *links):
            path = Path(parent) / name
            if path.is_symlink() or path.is_file():  # sockets and the like are no source
                yield path.relative_to(folder).as_posix(), path


def _raise(error: OSError) -> None:
    raise error


def _unpack(archive: Path, folder: Path, subfolder: str | None) -> Iterator[str]:
    """Write everything, links last so that nothing is ever written through one; yields each name."""
    links: list[tuple[PurePosixPath, str]] = []
    prefix: PurePosixPath | None = None if subfolder else PurePosixPath()
    wanted = PurePosixPath(subfolder or "")
    size_bytes = 0
    for member in members(archive):
        path = _safe_path(archive, member.name)
        if prefix is None:
            prefix = _prefix(path, wanted)
        if prefix is None or not path.is_relative_to(prefix) or path == prefix:
            continue
        size_bytes += member.size_bytes
        if size_bytes > MAX_TREE_BYTES:
            raise FormatError(archive, f"unpacks to more than {size_words(MAX_TREE_BYTES)}")
        relative = path.relative_to(prefix)
        if member.kind == "link":
            links.append((relative, member.link_target))
        else:
            _write(archive, member, folder, relative)
        yield str(relative)
    if prefix is None:
        raise FetchError(archive, f"has no folder '{subfolder}'", hint="look at `folder` of the engine's source")
    _make_links(archive, folder, links)
    if not subfolder:
        _drop_top_folder(folder)


def _safe_path(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise FormatError(archive, f"has a member '{name}' that would be written outside of its folder")
    return path


def _prefix(path: PurePosixPath, wanted: PurePosixPath) -> PurePosixPath | None:
    """Where the wanted folder begins, if `path` lies in it: as it is named, or below one top folder."""
    if path.is_relative_to(wanted):
        return wanted
    below_top = PurePosixPath(*path.parts[:1]) / wanted
    return below_top if path.is_relative_to(below_top) else None


def _write(archive: Path, member: ArchiveMember, folder: Path, relative: PurePosixPath) -> None:
    path = folder / relative
    if member.kind == "other":
        raise FormatError(archive, f"has a member '{member.name}' that is a hard link or a device, not a file")
    try:
        if member.kind == "folder":
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
            return
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with path.open("xb") as file, member.open() as stream:
            for data in chunks(stream):
                file.write(data)
    except (FileExistsError, NotADirectoryError) as error:
        raise FormatError(archive, f"has '{member.name}' twice, or as a file and as a folder") from error
    path.chmod(0o755 if member.is_executable else 0o644)
    os.utime(path, (FILE_DATE, FILE_DATE))


def _make_links(archive: Path, folder: Path, links: list[tuple[PurePosixPath, str]]) -> None:
    """All links, each checked once all are there, as one may lead through another."""
    for relative, target in links:
        if not target or target.startswith("/") or "\\" in target or "\0" in target:
            raise _link_outside(archive, relative)
        try:
            (folder / relative).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            (folder / relative).symlink_to(target)
        except FileExistsError as error:
            raise FormatError(archive, f"has '{relative}' twice, or as a file and as a folder") from error
    root = Path(os.path.realpath(folder))
    for relative, _ in links:
        if not Path(os.path.realpath(folder / relative)).is_relative_to(root):
            raise _link_outside(archive, relative)


def _link_outside(archive: Path, relative: PurePosixPath) -> FormatError:
    return FormatError(archive, f"has a link '{relative}' that points outside of its folder")


def _drop_top_folder(folder: Path) -> None:
    """An archive usually has one folder around everything; the tree is what is in it."""
    inside = list(folder.iterdir())
    if len(inside) != 1 or not inside[0].is_dir() or inside[0].is_symlink():
        return
    top = inside[0].rename(folder / f"{inside[0].name}.top")
    for path in list(top.iterdir()):
        path.rename(folder / path.name)
    top.rmdir()
