"""The `source` tables of a recipe: where a model, a file or the engine comes from.

Which kind a table is, is told by its first key: `path`, `url`, `pypi`, `hf`, `zip`, `parts` or `git`. Nothing is
fetched here; `identity` is the text under which a lock file keeps what was found.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag

from lfbuild.recipe.values import Filled, Folder, Sha256, Url  # noqa: TC001  # pydantic evaluates annotations

_PIN = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?) ?== ?([A-Za-z0-9][A-Za-z0-9.!+_-]*)")
_HF_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
TAG = "kind of source: "
"""Begins the tags that pydantic puts into the path of a problem, so that they can be told from keys."""


def _check_pin(text: str) -> str:
    if not _PIN.fullmatch(text):
        raise ValueError('must pin one version, as in "package==1.2.3"')
    return re.sub(r" ?== ?", "==", text)


def _check_hf_repo(text: str) -> str:
    if not _HF_REPO.fullmatch(text):
        raise ValueError('must be a repository such as "organisation/model"')
    return text


def _check_git(text: str) -> str:
    if text.startswith(("-", "ext::")) or re.search(r"[\s\x00]", text) or not text:
        raise ValueError("must be an address that git can fetch from")
    return text


def _check_revision(text: str) -> str:
    if not re.fullmatch(r"[\w][\w./+-]*", text) or ".." in text:
        raise ValueError("must be a commit, tag or branch")
    return text


def _beside(path: str, name: str) -> str:
    return path[: path.rfind("/") + 1] + name


Pin = Annotated[str, AfterValidator(_check_pin)]
HfRepo = Annotated[str, AfterValidator(_check_hf_repo)]
GitUrl = Annotated[str, AfterValidator(_check_git)]
Revision = Annotated[str, AfterValidator(_check_revision)]


class Table(BaseModel):
    """A closed table: keys as in TOML, values that nobody changes."""

    model_config = ConfigDict(
        defer_build=True,  # one validator for a whole recipe, and none for each of its tables
        frozen=True,
        extra="forbid",
        alias_generator=lambda name: name.replace("_", "-"),
        use_attribute_docstrings=True,
    )


class PathSource(Table):
    """A file on this machine."""

    path: Filled
    """A file; a relative path is looked up from the recipe's folder."""
    sha256: Sha256 | None = None
    """Hash of that file."""

    @property
    def identity(self) -> str:
        """What a lock file calls this source."""
        return f"path {self.path}"

    @property
    def file_name(self) -> str:
        """What the file is called at its source."""
        return PurePosixPath(self.path).name

    def sibling(self, name: str) -> Self:
        """The file called `name` beside this one; its hash is another."""
        return self.model_copy(update={"path": _beside(self.path, name), "sha256": None})


class UrlSource(Table):
    """A file on a web server."""

    url: Url
    """An http:// or https:// address."""
    sha256: Sha256 | None = None
    """Hash of what is downloaded."""

    @property
    def identity(self) -> str:
        """What a lock file calls this source."""
        return f"url {self.url}"

    @property
    def file_name(self) -> str:
        """What the file is called at its source."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name

    def sibling(self, name: str) -> Self:
        """The file called `name` beside this one; its hash is another."""
        address = urlsplit(self.url)
        beside = address._replace(path=_beside(address.path, quote(name)))
        return self.model_copy(update={"url": urlunsplit(beside), "sha256": None})


class Distribution(Table):
    """What engines and models share when they come from a Python package index."""

    pypi: Pin
    """One version of a package: "package==1.2.3"."""
    kind: Literal["wheel", "sdist"] | None = None
    """Take the wheel or the source archive; a model is looked for in the wheel first, an engine in the sdist."""
    file: Filled | None = None
    """File name in the index, where a version has several wheels."""
    sha256: Sha256 | None = None
    """Hash of the wheel or sdist (the hash that the index tells is checked in any case)."""

    @property
    def package(self) -> str:
        """The package's name."""
        return self.pypi.partition("==")[0]

    @property
    def version(self) -> str:
        """The pinned version."""
        return self.pypi.partition("==")[2]

    @property
    def distribution_identity(self) -> str:
        """The wheel or sdist, without what is taken out of it."""
        package = re.sub(r"[-_.]+", "-", self.package).lower()
        return " ".join(filter(None, ("pypi", f"{package}=={self.version}", self.kind, self.file)))


class PypiSource(Distribution):
    """A file inside a wheel or sdist; no code of the package is run."""

    member: Filled
    """Path inside the wheel or sdist (the sdist's own top folder may be left out)."""

    @property
    def identity(self) -> str:
        """What a lock file calls this source."""
        return f"{self.distribution_identity} member {self.member}"

    @property
    def file_name(self) -> str:
        """What the file is called at its source."""
        return PurePosixPath(self.member).name

    def sibling(self, name: str) -> Self:
        """The member called `name` beside this one, in the same wheel or sdist."""
        return self.model_copy(update={"member": _beside(self.member, name)})


class HfSource(Table):
    """A file in a Hugging Face repository."""

    hf: HfRepo
    """The repository: "organisation/model"."""
    file: Filled
    """Path inside the repository."""
    revision: Revision = "main"
    """Commit, tag or branch; only a commit, or a sha256, always gives the same file."""
    sha256: Sha256 | None = None
    """Hash of what is downloaded."""

    @property
    def identity(self) -> str:
        """What a lock file calls this source."""
        return f"hf {self.hf}@{self.revision} {self.file}"

    @property
    def file_name(self) -> str:
        """What the file is called at its source."""
        return PurePosixPath(self.file).name

    def sibling(self, name: str) -> Self:
        """The file called `name` beside this one; its hash is another."""
        return self.model_copy(update={"file": _beside(self.file, name), "sha256": None})


def _kind(*kinds: str) -> Discriminator:
    """Choose the table by the one key that names its kind."""

    def choose(value: object) -> str | None:
        keys = value if isinstance(value, dict) else vars(value) if isinstance(value, BaseModel) else ()
        named = [kind for kind in kinds if kind in keys]
        return TAG + named[0] if len(named) == 1 else None

    return Discriminator(
        choose,
        custom_error_type="source_kind",
        custom_error_message=f"must be a table with exactly one of the keys {', '.join(kinds)}",
    )


ArchiveSource = Annotated[
    Annotated[PathSource, Tag(f"{TAG}path")]
    | Annotated[UrlSource, Tag(f"{TAG}url")]
    | Annotated[HfSource, Tag(f"{TAG}hf")],
    _kind("path", "url", "hf"),
]


class ZipSource(Table):
    """A member of a ZIP file, also of one that Windows compressed (Deflate64)."""

    zip: ArchiveSource
    """The ZIP file: a table with `path`, `url` or `hf`."""
    member: Filled
    """Name inside the ZIP file."""

    @property
    def identity(self) -> str:
        """What a lock file calls this source."""
        return f"zip {self.zip.identity} member {self.member}"

    @property
    def file_name(self) -> str:
        """What the file is called at its source."""
        return PurePosixPath(self.member).name

    def sibling(self, name: str) -> Self:
        """The member called `name` beside this one, in the same ZIP file."""
        return self.model_copy(update={"member": _beside(self.member, name)})


PartSource = Annotated[
    Annotated[PathSource, Tag(f"{TAG}path")]
    | Annotated[UrlSource, Tag(f"{TAG}url")]
    | Annotated[PypiSource, Tag(f"{TAG}pypi")]
    | Annotated[HfSource, Tag(f"{TAG}hf")]
    | Annotated[ZipSource, Tag(f"{TAG}zip")],
    _kind("path", "url", "pypi", "hf", "zip"),
]


class PartsSource(Table):
    """A file that its publisher cut into parts."""

    parts: Annotated[tuple[PartSource, ...], Field(min_length=1)]
    """Sources, joined in this order; `sha256` beside `source` is the hash of the whole."""

    @property
    def identity(self) -> str:
        """What a lock file calls this source."""
        return "parts [" + "; ".join(part.identity for part in self.parts) + "]"

    @property
    def file_name(self) -> str:
        """A joined file has no name of its own at its source."""
        return ""

    def sibling(self, name: str) -> Self:
        """Joined files have no siblings."""
        raise ValueError(f"no file {name} beside one that is joined from parts")


Source = Annotated[
    Annotated[PathSource, Tag(f"{TAG}path")]
    | Annotated[UrlSource, Tag(f"{TAG}url")]
    | Annotated[PypiSource, Tag(f"{TAG}pypi")]
    | Annotated[HfSource, Tag(f"{TAG}hf")]
    | Annotated[ZipSource, Tag(f"{TAG}zip")]
    | Annotated[PartsSource, Tag(f"{TAG}parts")],
    _kind("path", "url", "pypi", "hf", "zip", "parts"),
]


class EnginePathSource(PathSource):
    """A source tree, or an archive of one, on this machine."""

    folder: Folder | None = None
    """Folder inside it that has llama.cpp's CMakeLists.txt."""


class EngineUrlSource(UrlSource):
    """An archive of a source tree on a web server."""

    folder: Folder | None = None
    """Folder inside the archive that has llama.cpp's CMakeLists.txt (a single top folder may be left out)."""


class EnginePypiSource(Distribution):
    """A source archive from a Python package index, such as llama-cpp-python's, which carries llama.cpp."""

    folder: Folder | None = None
    """Folder inside the archive that has llama.cpp's CMakeLists.txt, such as vendor/llama.cpp."""

    @property
    def identity(self) -> str:
        """What a lock file calls this source."""
        return self.distribution_identity


class EngineGitSource(Table):
    """A git repository; submodules are not fetched."""

    git: GitUrl
    """Address that git fetches from."""
    revision: Revision
    """Commit, tag or branch; only a commit always gives the same tree."""
    folder: Folder | None = None
    """Folder inside the repository that has llama.cpp's CMakeLists.txt."""

    @property
    def identity(self) -> str:
        """What a lock file calls this source."""
        return f"git {self.git}@{self.revision}"


EngineSource = Annotated[
    Annotated[EnginePypiSource, Tag(f"{TAG}pypi")]
    | Annotated[EngineUrlSource, Tag(f"{TAG}url")]
    | Annotated[EngineGitSource, Tag(f"{TAG}git")]
    | Annotated[EnginePathSource, Tag(f"{TAG}path")],
    _kind("pypi", "url", "git", "path"),
]
