"""What a user asks of a swap, and what can be said of it before the file is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lfbuild.archive.layout import name_fault
from lfbuild.errors import Problem, problems_of
from lfbuild.formats.names import check_file_name, check_update_address, check_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, kw_only=True, slots=True)
class SwapWords:
    """What is to be another than before, as the user says it."""

    engine: str = ""
    models: tuple[tuple[str, Path], ...] = ()
    """The name that it has in the file (empty: that of its path), and where it is."""
    args: tuple[tuple[str, str], ...] = ()
    """A verb (empty: the default one) and its arguments."""
    files: tuple[tuple[str, Path], ...] = ()
    remove: tuple[str, ...] = ()
    name: str | None = None
    version: str | None = None
    description: str | None = None
    license: str | None = None
    update_url: str | None = None

    @property
    def says_nothing(self) -> bool:
        """Whether nothing is to be changed."""
        return self == SwapWords()

    def problems(self, where: str) -> Iterator[Problem]:
        """What a recipe would refuse too, and words that contradict each other."""
        names = {
            "--model": [name or path.name for name, path in self.models],
            "--file": [name for name, _ in self.files],
        }
        for option, given in names.items():
            yield from _repeats(where, option, given)
            for name in dict.fromkeys(given):
                if fault := name_fault(name):
                    yield Problem(where=where, key=option, what=f"the name {name!r} {fault}")
                if name in self.remove:
                    yield Problem(where=where, key=option, what=f"{name} is to be put in, and removed by --remove")
        yield from _repeats(where, "--remove", self.remove)
        if self.name is not None:
            yield from problems_of(where, "--name", self.name, check_file_name)
        if self.version is not None:
            yield from problems_of(where, "--version", self.version, check_version)
        if self.update_url:
            yield from problems_of(where, "--update-url", self.update_url, check_update_address)

    def paths(self) -> Iterator[Path]:
        """What is read from this machine."""
        yield from (path for _, path in (*self.models, *self.files))
        if self.engine:
            yield Path(self.engine)


def _repeats(where: str, option: str, names: Sequence[str]) -> Iterator[Problem]:
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield Problem(where=where, key=option, what=f"{name} is given more than once")
