"""The source tree of an engine, from wherever it comes: a folder, an archive, a package or a git repository."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.errors import FetchError, IntegrityError
from lfbuild.sources.fetching import fetch_file
from lfbuild.sources.origins import GitOrigin, OriginKind, PathOrigin, TreeOrigin, origin_kind, origin_location
from lfbuild.sources.repositories import archive_commit
from lfbuild.sources.trees import digest_tree, tree_key, unpack_tree

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.fetch import Network
    from lfbuild.report import Report
    from lfbuild.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchedTree:
    """A source tree that is here."""

    path: Path
    """The folder that was asked for; in the store, or the user's own."""
    sha256: str
    """Hash of the archive that it came from; for a folder and for git, of the tree."""
    key: str
    """What identifies this very folder: the hash above and the folder inside."""
    size_bytes: int
    """Bytes of the archive, or of all files of the tree."""
    kind: OriginKind
    location: str
    """Where it came from, for the record."""
    resolved: str = ""
    """A commit, or the file that an index gave."""


def fetch_tree(
    origin: TreeOrigin,
    *,
    folder: str | None = None,
    sha256: str | None = None,
    store: Store,
    network: Network,
    report: Report,
    now: float | None = None,
) -> FetchedTree:
    """The source tree of `origin`, or its `folder`.

    Raises:
        FetchError: it could not be fetched, or has no such folder.
        IntegrityError: it is not what `sha256` promised.
        FormatError: an archive is damaged, or would write outside of its folder.
    """
    if isinstance(origin, GitOrigin):
        tree = _from_git(origin, folder, sha256, store, network, report)
    elif isinstance(origin, PathOrigin) and origin.path.is_dir():
        tree = _from_folder(origin, folder, sha256 or origin.sha256)
    else:
        fetched = fetch_file(origin, sha256=sha256, store=store, network=network, report=report, now=now)
        tree = FetchedTree(
            path=unpack_tree(fetched.path, fetched.sha256, subfolder=folder, store=store, report=report),
            sha256=fetched.sha256,
            key=tree_key(fetched.sha256, folder),
            size_bytes=fetched.size_bytes,
            kind=fetched.kind,
            location=fetched.location,
            resolved=fetched.resolved,
        )
    if now is not None and tree.path.is_relative_to(store.root):
        store.used(tree.path, now=now)
    return tree


def _from_folder(origin: PathOrigin, folder: str | None, expected: str | None) -> FetchedTree:
    path = origin.path / (folder or "")
    if not path.is_dir():
        raise FetchError(origin.path, f"has no folder '{folder}'", hint="look at `folder` of the engine's source")
    digest = digest_tree(path)
    _compare(origin, digest.sha256, expected)
    return FetchedTree(
        path=path,
        sha256=digest.sha256,
        key=tree_key(digest.sha256, None),
        size_bytes=digest.size_bytes,
        kind=origin_kind(origin),
        location=origin_location(origin),
    )


def _from_git(
    origin: GitOrigin, folder: str | None, expected: str | None, store: Store, network: Network, report: Report
) -> FetchedTree:
    name = origin.identity()
    with store.lock(name, waiting=lambda: report.note(f"another lfbuild is fetching {origin.describe()}")):
        known = store.recall(name) or {}
        archive = store.blob(known["archive"]) if "archive" in known else None
        if archive is None:
            known = _archive_to_store(origin, name, store, network, report)
            archive = store.blob_path(known["archive"])
    path = unpack_tree(archive, known["archive"], subfolder=folder, store=store, report=report)
    digest = digest_tree(path)
    _compare(origin, digest.sha256, expected)
    return FetchedTree(
        path=path,
        sha256=digest.sha256,
        key=tree_key(digest.sha256, None),
        size_bytes=digest.size_bytes,
        kind=origin_kind(origin),
        location=origin_location(origin),
        resolved=f"commit {known['commit']}",
    )


def _archive_to_store(origin: GitOrigin, name: str, store: Store, network: Network, report: Report) -> dict[str, str]:
    with store.incoming() as folder, report.step(f"fetch {origin.describe()}", unit="steps"):
        packed = archive_commit(origin, folder=folder, network=network)
        with packed.path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        store.take(packed.path, sha256)
    fact = {"archive": sha256, "commit": packed.commit}
    store.remember(name, fact)
    return fact


def _compare(origin: TreeOrigin, actual: str, expected: str | None) -> None:
    if expected is not None and actual != expected:
        hint = "it was changed at its source, or the promised hash is wrong"
        raise IntegrityError(origin.describe(), f"has sha256 {actual}, but {expected} was promised", hint=hint)
