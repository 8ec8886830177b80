"""Where a file or a source tree comes from, as plain values.

`identity` is the same text for the same origin on every machine (but for local paths); `describe` is for people.
Nothing here opens or fetches anything, and recipes are not known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

from lfbuild.fetch import without_secrets

DistributionKind = Literal["wheel", "sdist"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PathOrigin:
    """A file, or for an engine a folder, on this machine."""

    path: Path
    """Absolute."""
    sha256: str | None = None

    def describe(self) -> str:
        """For people."""
        return str(self.path)

    def identity(self) -> str:
        """The same text for the same origin."""
        return f"path {self.path}"


@dataclass(frozen=True, kw_only=True, slots=True)
class UrlOrigin:
    """A file on a web server."""

    url: str
    sha256: str | None = None

    def describe(self) -> str:
        """For people: without a password or signature."""
        return without_secrets(self.url)

    def identity(self) -> str:
        """The same text for the same origin."""
        return f"url {self.url}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PypiOrigin:
    """A wheel or sdist of one version of a package."""

    package: str
    version: str
    kind: DistributionKind | None = None
    """None takes what `prefer` says, or the other if there is only that."""
    prefer: DistributionKind = "wheel"
    file: str | None = None
    """One of several wheels, by its file name."""
    sha256: str | None = None

    def describe(self) -> str:
        """For people."""
        return f"{self.package}=={self.version}"

    def identity(self) -> str:
        """The same text for the same origin."""
        package = re.sub(r"[-_.]+", "-", self.package).lower()
        kind = self.kind or f"{self.prefer} first"
        return " ".join(filter(None, (f"pypi {package}=={self.version}", kind, self.file)))


@dataclass(frozen=True, kw_only=True, slots=True)
class HfOrigin:
    """A file of a Hugging Face repository."""

    repo: str
    file: str
    revision: str = "main"
    sha256: str | None = None

    def describe(self) -> str:
        """For people."""
        return f"{self.repo}/{self.file} at {self.revision}"

    def identity(self) -> str:
        """The same text for the same origin."""
        return f"hf {self.repo}@{self.revision} {self.file}"


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberOrigin:
    """A member of an archive: a ZIP file, a wheel, or the tar file of an sdist."""

    archive: ArchiveOrigin
    member: str

    def describe(self) -> str:
        """For people."""
        return f"{self.member} in {self.archive.describe()}"

    def identity(self) -> str:
        """The same text for the same origin."""
        return f"{self.archive.identity()} member {self.member}"


@dataclass(frozen=True, kw_only=True, slots=True)
class JoinedOrigin:
    """A file in parts, to be joined in this order."""

    parts: tuple[FileOrigin, ...]

    def describe(self) -> str:
        """For people."""
        return f"{len(self.parts)} parts, the first {self.parts[0].describe()}"

    def identity(self) -> str:
        """The same text for the same origin."""
        return "parts [" + "; ".join(part.identity() for part in self.parts) + "]"


@dataclass(frozen=True, kw_only=True, slots=True)
class GitOrigin:
    """A source tree in a git repository."""

    url: str
    revision: str

    def describe(self) -> str:
        """For people."""
        return f"{without_secrets(self.url) if '://' in self.url else self.url} at {self.revision}"

    def identity(self) -> str:
        """The same text for the same origin."""
        return f"git {self.url}@{self.revision}"


ArchiveOrigin = PathOrigin | UrlOrigin | PypiOrigin | HfOrigin
FileOrigin = ArchiveOrigin | MemberOrigin
Origin = FileOrigin | JoinedOrigin
TreeOrigin = PathOrigin | UrlOrigin | PypiOrigin | GitOrigin


def file_name(origin: Origin) -> str:
    """What the file is called at its origin, for titles of progress."""
    match origin:
        case PathOrigin():
            return origin.path.name
        case UrlOrigin():
            return PurePosixPath(unquote(urlsplit(origin.url).path)).name or origin.describe()
        case HfOrigin():
            return PurePosixPath(origin.file).name
        case MemberOrigin():
            return PurePosixPath(origin.member).name
        case JoinedOrigin():
            return file_name(origin.parts[0])
        case PypiOrigin():
            return origin.describe()


OriginKind = Literal["path", "url", "pypi", "hf", "parts", "git"]


def origin_kind(origin: Origin | GitOrigin) -> OriginKind:
    """The kind of place that it comes from; for a member that of its archive."""
    match origin:
        case PathOrigin():
            return "path"
        case UrlOrigin():
            return "url"
        case PypiOrigin():
            return "pypi"
        case HfOrigin():
            return "hf"
        case MemberOrigin():
            return origin_kind(origin.archive)
        case JoinedOrigin():
            return "parts"
        case GitOrigin():
            return "git"


def origin_location(origin: Origin | GitOrigin) -> str:
    """Where it comes from, for the record: without secrets, and without the folders of this machine, so that the same
    build in another folder records the same."""
    match origin:
        case PathOrigin():
            return origin.path.name
        case MemberOrigin():
            return f"{origin.member} in {origin_location(origin.archive)}"
        case JoinedOrigin():
            return "; ".join(origin_location(part) for part in origin.parts)
        case _:
            return origin.describe()
