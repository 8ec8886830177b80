"""Finds the wheel or sdist of one version of a package in a Python package index.

The index's page is read with `pypi_simple`, which also knows where the public index is. Nothing is installed, and no
code of a package is run.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urldefrag, urlsplit

from lfbuild.errors import FetchError
from lfbuild.fetch import NotThereError, without_secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pypi_simple import DistributionPackage

    from lfbuild.fetch import Document, Fetcher, Network
    from lfbuild.report import Report
    from lfbuild.sources.origins import PypiOrigin

MAX_PAGE_BYTES = 128 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Distribution:
    """A file that the index names."""

    url: str
    file_name: str
    sha256: str | None
    size_bytes: int | None


def find_distribution(origin: PypiOrigin, *, network: Network, fetcher: Fetcher, report: Report) -> Distribution:
    """The one file that `origin` means.

    Raises:
        FetchError: the index has no such package, version or file, or has several.
    """
    import pypi_simple

    index = network.pypi_index or pypi_simple.PYPI_SIMPLE_ENDPOINT
    project = re.sub(r"[-_.]+", "-", origin.package).lower()
    url = f"{index.rstrip('/')}/{project}/"
    where = without_secrets(url)
    try:
        document = fetcher.read(url, limit_bytes=MAX_PAGE_BYTES, headers={"Accept": pypi_simple.ACCEPT_ANY})
    except NotThereError as error:
        raise FetchError(where, f"the index has no package '{origin.package}'", hint="check its name") from error
    packages = _read_page(document, project, where)
    chosen = _choose(origin, packages, where)
    if chosen.is_yanked:
        report.note(f"{chosen.filename} was withdrawn by its publisher: {chosen.yanked_reason or 'no reason given'}")
    return Distribution(
        url=_with_password_of(index, urldefrag(chosen.url).url),
        file_name=chosen.filename,
        sha256=(chosen.digests.get("sha256") or "").lower() or None,
        size_bytes=chosen.size,
    )


def _read_page(document: Document, project: str, where: str) -> Sequence[DistributionPackage]:
    import pypi_simple

    kind = document.content_type.partition(";")[0].strip().lower()
    try:
        if kind == "application/vnd.pypi.simple.v1+json":
            page = pypi_simple.ProjectPage.from_json_data(json.loads(document.data), document.url)
        else:
            page = pypi_simple.ProjectPage.from_html(project, document.data, document.url)
    except (ValueError, KeyError, RecursionError, pypi_simple.UnsupportedRepoVersionError) as error:
        raise FetchError(where, "the index's page cannot be understood", hint="is it a package index?") from error
    return page.packages


def _choose(origin: PypiOrigin, packages: Sequence[DistributionPackage], where: str) -> DistributionPackage:
    of_version = [package for package in packages if _same_version(package.version, origin.version)]
    if not of_version:
        versions = list(dict.fromkeys(package.version for package in packages if package.version))
        hint = f"the latest in the index is {versions[-1]}" if versions else "the index lists no files of it"
        raise FetchError(where, f"the index has no version {origin.version} of '{origin.package}'", hint=hint)
    if origin.file is not None:
        fitting = [package for package in of_version if package.filename == origin.file]
    else:
        fitting = _of_kind(origin, of_version)
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(sorted(package.filename for package in of_version))
    what = f"file '{origin.file}'" if origin.file else origin.kind or "wheel or sdist"
    if not fitting:
        raise FetchError(where, f"version {origin.version} has no {what}", hint=f"it has {names}")
    raise FetchError(where, f"version {origin.version} has several wheels", hint=f"name one with `file`: {names}")


def _of_kind(origin: PypiOrigin, packages: list[DistributionPackage]) -> list[DistributionPackage]:
    wheels = [package for package in packages if package.package_type == "wheel"]
    anywhere = [package for package in wheels if package.filename.endswith("-none-any.whl")]
    sdists = [package for package in packages if package.package_type == "sdist"]
    sdists = [package for package in sdists if package.filename.endswith(".tar.gz")] or sdists
    found = {"wheel": anywhere or wheels, "sdist": sdists}
    if origin.kind is not None:
        return found[origin.kind]
    return found[origin.prefer] or found["sdist" if origin.prefer == "wheel" else "wheel"]


def _same_version(told: str | None, wanted: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return told is not None and Version(told) == Version(wanted)
    except InvalidVersion:
        return told == wanted


def _with_password_of(index: str, url: str) -> str:
    """A private index asks for the password again when a file is fetched; other hosts never get it."""
    ours, theirs = urlsplit(index), urlsplit(url)
    if "@" not in ours.netloc or ours.netloc.rpartition("@")[2] != theirs.netloc or ours.scheme != theirs.scheme:
        return url
    return theirs._replace(netloc=ours.netloc).geturl()
