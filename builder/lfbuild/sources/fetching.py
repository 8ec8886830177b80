"""Brings an origin's file to this machine, once: looked up in the store, else fetched, checked and kept.

A hash that was promised is always compared with the bytes. What is not promised is remembered, so that the next build
needs no network.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.errors import IntegrityError
from lfbuild.fetch import Fetcher, HttpFetcher, Network, without_secrets
from lfbuild.host.files import host_error
from lfbuild.sources.archives import chunks, opened_member
from lfbuild.sources.hub import find_hub_file
from lfbuild.sources.index import find_distribution
from lfbuild.sources.local import hash_local
from lfbuild.sources.origins import (
    FileOrigin,
    HfOrigin,
    JoinedOrigin,
    MemberOrigin,
    Origin,
    OriginKind,
    PathOrigin,
    PypiOrigin,
    UrlOrigin,
    file_name,
    origin_kind,
    origin_location,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lfbuild.report import Report
    from lfbuild.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A file that is here, and what is known of where it came from."""

    path: Path
    """Read-only in the store; for a local origin the file itself."""
    size_bytes: int
    sha256: str
    kind: OriginKind
    location: str
    """Where it came from, for the record: no secrets, no folders of this machine."""
    resolved: str = ""
    """What a moving or general name meant: a commit, or the file that an index gave."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Supplies:
    """What fetching takes."""

    store: Store
    network: Network
    fetcher: Fetcher
    report: Report
    now: float | None


def fetch_file(
    origin: Origin,
    *,
    sha256: str | None = None,
    store: Store,
    network: Network,
    report: Report,
    now: float | None = None,
) -> Fetched:
    """The file of `origin`, with the hash `sha256` if that is promised; `now` is noted as its last use.

    Raises:
        FetchError: it could not be fetched; what came is kept for the next time.
        IntegrityError: it is another file than was promised.
        FormatError: an archive that it should come out of is damaged.
        HostError: the disk is full, or a file cannot be read.
    """
    supplies = Supplies(store=store, network=network, fetcher=HttpFetcher(network, report), report=report, now=now)
    return fetch_with(supplies, origin, sha256)


def fetch_with(supplies: Supplies, origin: Origin, sha256: str | None = None) -> Fetched:
    """As `fetch_file`, with a fetcher of the caller's."""
    expected = sha256 or getattr(origin, "sha256", None)
    if isinstance(origin, PathOrigin):
        return _local(supplies, origin, expected)
    name = _fact_name(supplies, origin)
    found = _in_store(supplies, origin, name, expected)
    if found is not None:
        return found
    what = origin.describe()
    with supplies.store.lock(name, waiting=lambda: supplies.report.note(f"another lfbuild is fetching {what}")):
        found = _in_store(supplies, origin, name, expected)
        if found is not None:
            return found
        fetched = _bring(supplies, origin, name, expected)
        fact = {"sha256": fetched.sha256, "size_bytes": fetched.size_bytes, "resolved": fetched.resolved}
        supplies.store.remember(name, fact)
    return _used(supplies, fetched)


def _local(supplies: Supplies, origin: PathOrigin, expected: str | None) -> Fetched:
    hashed = hash_local(origin.path, store=supplies.store, report=supplies.report)
    _compare(origin, hashed.sha256, expected)
    return Fetched(
        path=hashed.path,
        size_bytes=hashed.size_bytes,
        sha256=hashed.sha256,
        kind=origin_kind(origin),
        location=origin_location(origin),
    )


def _fact_name(supplies: Supplies, origin: Origin) -> str:
    """Under what a result is remembered. A local file may change, so its content stands for it; an index or hub that
    is not the usual one is a part of the name."""
    match origin:
        case PathOrigin():
            return f"content {hash_local(origin.path, store=supplies.store, report=supplies.report).sha256}"
        case MemberOrigin():
            return f"{_fact_name(supplies, origin.archive)} member {origin.member}"
        case JoinedOrigin():
            return "parts [" + "; ".join(_fact_name(supplies, part) for part in origin.parts) + "]"
        case PypiOrigin():
            return f"{origin.identity()}{_at(supplies.network.pypi_index)}"
        case HfOrigin():
            return f"{origin.identity()}{_at(supplies.network.hf_endpoint)}"
        case UrlOrigin():
            return origin.identity()


def _at(address: str | None) -> str:
    return f" at {without_secrets(address)}" if address else ""


def _in_store(supplies: Supplies, origin: Origin, name: str, expected: str | None) -> Fetched | None:
    fact = supplies.store.recall(name) or {}
    sha256 = expected or fact.get("sha256")
    path = supplies.store.blob(sha256) if isinstance(sha256, str) else None
    if path is None or not isinstance(sha256, str):
        return None
    resolved = fact.get("resolved") if fact.get("sha256") == sha256 else ""
    fetched = Fetched(
        path=path,
        size_bytes=path.stat().st_size,
        sha256=sha256,
        kind=origin_kind(origin),
        location=origin_location(origin),
        resolved=resolved if isinstance(resolved, str) else "",
    )
    return _used(supplies, fetched)


def _used(supplies: Supplies, fetched: Fetched) -> Fetched:
    if supplies.now is not None:
        supplies.store.used(fetched.path, now=supplies.now)
    return fetched


def _bring(supplies: Supplies, origin: Origin, name: str, expected: str | None) -> Fetched:
    match origin:
        case UrlOrigin():
            return _download(supplies, origin, name, origin.url, expected=expected)
        case PypiOrigin():
            return _from_index(supplies, origin, name, expected)
        case HfOrigin():
            return _from_hub(supplies, origin, name, expected)
        case MemberOrigin():
            return _write(supplies, origin, (origin,), expected)
        case JoinedOrigin():
            return _write(supplies, origin, origin.parts, expected)
        case PathOrigin():
            return _local(supplies, origin, expected)


def _from_index(supplies: Supplies, origin: PypiOrigin, name: str, expected: str | None) -> Fetched:
    found = find_distribution(origin, network=supplies.network, fetcher=supplies.fetcher, report=supplies.report)
    if found.sha256:
        _compare(origin, found.sha256, expected)
    return _download(
        supplies,
        origin,
        name,
        found.url,
        expected=expected or found.sha256,
        size_bytes=found.size_bytes,
        resolved=found.file_name,
    )


def _from_hub(supplies: Supplies, origin: HfOrigin, name: str, expected: str | None) -> Fetched:
    found = find_hub_file(origin, network=supplies.network)
    if found.sha256:
        _compare(origin, found.sha256, expected)
    token = supplies.network.hf_token
    return _download(
        supplies,
        origin,
        name,
        found.url,
        expected=expected or found.sha256,
        size_bytes=found.size_bytes,
        resolved=f"commit {found.commit}",
        headers={"Authorization": f"Bearer {token}"} if token else None,
    )


def _download(
    supplies: Supplies,
    origin: Origin,
    name: str,
    url: str,
    *,
    expected: str | None,
    size_bytes: int | None = None,
    resolved: str = "",
    headers: dict[str, str] | None = None,
) -> Fetched:
    downloaded = supplies.fetcher.download(
        url, supplies.store.partial(name), size_bytes=size_bytes, sha256=expected, headers=headers
    )
    return Fetched(
        path=supplies.store.take(downloaded.path, downloaded.sha256),
        size_bytes=downloaded.size_bytes,
        sha256=downloaded.sha256,
        kind=origin_kind(origin),
        location=origin_location(origin),
        resolved=resolved,
    )


def _write(supplies: Supplies, origin: Origin, parts: tuple[FileOrigin, ...], expected: str | None) -> Fetched:
    """Write the parts one after the other into the store; all archives are fetched before the first byte is written."""
    archives = [_archive(supplies, part) for part in parts]
    sha256, size_bytes = hashlib.sha256(), 0
    with supplies.store.adopting() as incoming:
        with _disk_trouble_in_words(supplies), incoming.path.open("wb", buffering=0) as file:
            for part, archive in zip(parts, archives, strict=True):
                for data in _content(supplies, part, archive.path):
                    sha256.update(data)
                    file.write(data)
                    size_bytes += len(data)
        _compare(origin, sha256.hexdigest(), expected)
        path = incoming.commit(sha256.hexdigest())
    resolved = ", ".join(dict.fromkeys(archive.resolved for archive in archives if archive.resolved))
    return Fetched(
        path=path,
        size_bytes=size_bytes,
        sha256=sha256.hexdigest(),
        kind=origin_kind(origin),
        location=origin_location(origin),
        resolved=resolved,
    )


def _archive(supplies: Supplies, part: FileOrigin) -> Fetched:
    return fetch_with(supplies, part.archive if isinstance(part, MemberOrigin) else part)


def _content(supplies: Supplies, part: FileOrigin, path: Path) -> Iterator[bytes]:
    with contextlib.ExitStack() as stack:
        if isinstance(part, MemberOrigin):
            stream, size_bytes = stack.enter_context(opened_member(path, part.member))
        else:
            stream, size_bytes = stack.enter_context(path.open("rb")), path.stat().st_size
        step = stack.enter_context(supplies.report.step(f"unpack {file_name(part)}", total=size_bytes))
        for data in chunks(stream):
            step.advance(len(data))
            yield data


@contextlib.contextmanager
def _disk_trouble_in_words(supplies: Supplies) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise host_error(supplies.store.root, error) from error


def _compare(origin: Origin, actual: str, expected: str | None) -> None:
    if expected is not None and actual != expected:
        hint = "the file was changed at its source, or the promised hash is wrong"
        raise IntegrityError(origin.describe(), f"has sha256 {actual}, but {expected} was promised", hint=hint)
