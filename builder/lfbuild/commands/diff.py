"""`diff`: what changed between two files, as one small file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lfbuild.commands.texts import refuse_odd_name
from lfbuild.delta.make import make_delta
from lfbuild.delta.side import Side
from lfbuild.host.files import check_target, host_error, refuse_overwriting, replacing

if TYPE_CHECKING:
    from pathlib import Path

    from lfbuild.delta.make import Difference, Travel
    from lfbuild.report import Report

SUFFIX: Final = ".lfdelta"
_NOT_WORTH_IT: Final = 0.75
"""A delta of this share of what changed saves little, and is for one old file only."""
_NOT_WORTH_A_WORD: Final = 64 << 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Diffed:
    """A delta that was written."""

    path: Path
    size_bytes: int
    old: Path
    old_bytes: int
    new: Path
    new_bytes: int
    regions: tuple[Travel, ...]
    """How each region of NEW travels, in the order of the file."""
    rest_bytes: int
    """What the delta has beside them: its header, its plan, and what is between regions."""
    requantized_bytes: int
    """Of tensors that OLD has in another quantization."""
    notes: tuple[str, ...]

    @property
    def plain_bytes(self) -> int:
        """What `lfbuild update` would fetch without this delta: the blocks that OLD does not have."""
        return sum(region.size_bytes - region.copied_bytes for region in self.regions)

    @property
    def worth_it(self) -> bool:
        """Whether the delta is much smaller than that."""
        return self.size_bytes < max(_NOT_WORTH_IT * self.plain_bytes, _NOT_WORTH_A_WORD)


def diff(old: Path, new: Path, output: Path | None, *, threads: int, report: Report) -> Diffed:
    """Write the delta from `old` to `new`.

    Raises:
        RecipeError: a file has a name that cannot stand in a difference.
        HostError: a file cannot be read, or the delta cannot be written.
        FormatError: a file of ours is malformed.
        IntegrityError: its indexes are not those that its manifest promises.
    """
    target = output or new.with_name(new.name + SUFFIX)
    for source in (old, new):
        refuse_odd_name(source, place="a difference")
    refuse_overwriting(target, (old, new))
    check_target(target)
    with (
        Side.open(old, threads=threads, report=report) as old_side,
        Side.open(new, threads=threads, report=report) as new_side,
    ):
        return diff_sides(old_side, new_side, target, executable=_is_executable(new), report=report)


def diff_sides(old: Side, new: Side, target: Path, *, executable: bool, report: Report) -> Diffed:
    """Write the delta between two files that are open."""
    with (
        report.step("comparing", total=new.map.size_bytes) as step,
        replacing(target) as file,
    ):
        difference = make_delta(
            old, new, file, folder=target.absolute().parent, executable=executable, on_bytes=step.advance
        )
    return _told(difference, target, old, new)


def _told(difference: Difference, target: Path, old: Side, new: Side) -> Diffed:
    return Diffed(
        path=target,
        size_bytes=difference.size_bytes,
        old=old.path,
        old_bytes=old.map.size_bytes,
        new=new.path,
        new_bytes=new.map.size_bytes,
        regions=difference.travels,
        rest_bytes=difference.size_bytes - sum(travel.delta_bytes for travel in difference.travels),
        requantized_bytes=difference.requantized_bytes,
        notes=difference.notes,
    )


def _is_executable(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o111)
    except OSError as error:
        raise host_error(path, error) from error
