"""What an update tells of the file that is here and of the release: what each is by its own word, and what was done."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lfbuild.channel.versions import is_newer
from lfbuild.commands.index import manifest_of
from lfbuild.errors import IntegrityError

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.channel.release import Release
    from lfbuild.channel.route import Route


@dataclass(frozen=True, kw_only=True, slots=True)
class Update:
    """What there was to do, and what was done."""

    path: Path
    """Of the file itself, where the order named a link."""
    url: str
    name: str
    version: str
    """Of the release; empty where it tells none."""
    size_bytes: int
    is_current: bool
    """The file is that release already."""
    is_here: bool = True
    """There is a file already."""
    here_name: str = ""
    """What the file that is here calls itself; empty where it tells nothing of itself."""
    here_version: str = ""
    is_newer: bool = False
    """The release is known to be newer than what is here."""
    is_read: bool = False
    """That was found by its bytes, and not by what it tells of itself."""
    is_done: bool = False
    copied_bytes: int = 0
    wanted_bytes: int = 0
    kept_bytes: int = 0
    """What an earlier run has fetched already, out of these."""
    routes: tuple[Route, ...] = ()
    """The ways there were, the best first; it is taken."""
    assumed_bytes_per_s: float = 0
    """What the seconds are reckoned with."""
    body_bytes: int = 0
    """What came over the line in the end."""

    @property
    def here(self) -> str:
        """What is here, in words."""
        return _words(self.here_name, self.here_version)

    @property
    def there(self) -> str:
        """What the release is, in words."""
        return _words(self.name, self.version)

    @property
    def comparison(self) -> str:
        """What is here and what is there, and no more of it than is known."""
        if not self.is_here:
            return f"is not here yet, {self.there} is there"
        if self.is_newer:
            which = "which is newer"
        elif self.here_name != self.name or not self.name:
            which = "another file"
        else:
            which = "which differs" if self.here_version == self.version else "another version"
        return f"{self.here} here, {self.there} there, {which}"


def _words(name: str, version: str) -> str:
    return " ".join(word for word in (name, version) if word) or "a file that tells nothing of itself"


def compare(path: Path, release: Release, *, is_read: bool) -> Update:
    """The release, beside what the file at `path` says of itself; `is_read` if its bytes are looked at in any case."""
    here, there = None, release.index.release
    with contextlib.suppress(IntegrityError, OSError):  # whoever looks at its blocks tells of that, and reads them
        here = manifest_of(path) if path.exists() else None
    told = Update(
        path=path,
        url=release.where,
        name=there.name if there else "",
        version=there.version if there else "",
        size_bytes=release.index.file.size_bytes,
        is_current=False,
        is_here=path.exists(),
        is_read=is_read or there is None,  # a file that tells nothing of itself is read in any case
    )
    if here is None:
        return told
    told = replace(told, here_name=here.release.name, here_version=here.release.version)
    is_later = told.here_version == told.version and release.index.generation > here.generation
    is_newer_one = is_later or is_newer(told.version, than=told.here_version)
    return replace(told, is_newer=is_newer_one and told.here_name == told.name)
