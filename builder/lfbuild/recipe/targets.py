"""The `[targets]` table: the machines that a file must run on, and what the file begins with.

A target is a system and an architecture (`linux-x86_64`). Which levels a compiler knows, and which of the targets is
the building machine's own, is not known here.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from lfbuild.recipe.places import TAG, Table
from lfbuild.recipe.values import Cpu  # pydantic evaluates annotations

Target = Literal["linux-x86_64", "linux-aarch64", "windows-x86_64", "macos-aarch64", "macos-x86_64"]
System = Literal["linux-x86_64", "linux-aarch64", "windows-x86_64", "macos-aarch64", "macos-x86_64", "host"]
HOST: System = "host"
ALL: Literal["all"] = "all"
HeadChoice = Literal["auto", "elf", "script", "polyglot", "engine"]


def _refuse_gpus(gpus: tuple[str, ...]) -> tuple[str, ...]:
    if gpus:
        raise ValueError("GPUs are not supported yet; what is built runs on the processor, so leave this key out")
    return gpus


def _refuse_repeats(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"'{twice[0]}' is named more than once")
    return names


def _shape(value: object) -> str | None:
    """How processor levels are given: by a word, as a list, or as a table of targets."""
    shapes: dict[type, str] = {str: "word", list: "list", tuple: "list", dict: "table"}
    shape = shapes.get(type(value))
    return f"{TAG}{shape}" if shape else None


def _check_word(value: object) -> object:
    if value != ALL:
        raise ValueError(f'must be a list, such as ["{value}"], or "all"')
    return value


_CPUS_WANTED = 'must be a list of processor levels or "all"'
_All = Annotated[Literal["all"], BeforeValidator(_check_word), Tag(f"{TAG}word")]
_List = Annotated[tuple[Cpu, ...], Field(min_length=1), AfterValidator(_refuse_repeats), Tag(f"{TAG}list")]
_OfOne = Annotated[_All | _List, Discriminator(_shape, custom_error_type="levels", custom_error_message=_CPUS_WANTED)]
Cpus = Annotated[
    _All | _List | Annotated[dict[Target, _OfOne], Field(min_length=1), Tag(f"{TAG}table")],
    Discriminator(
        _shape,
        custom_error_type="levels",
        custom_error_message=f"{_CPUS_WANTED}, or a table with one of these for each target",
    ),
]


class TargetsTable(Table):
    """What the file must run on."""

    systems: Annotated[tuple[System, ...], Field(min_length=1), AfterValidator(_refuse_repeats)] = ()
    """Systems and architectures; "host" is the building machine's own Linux. Without it zig makes all five, and cosmocc
    the one file that it makes."""
    cpus: Cpus = ()
    """Processor levels, with further features after `+`: a list for all targets, or a table with one for each. The best
    that a machine has is taken, and it must have the lowest. "all" means those that upstream ships, which zig makes
    without this key; cosmocc then makes x86-64-v3 and armv8.2-a+dotprod."""
    head: HeadChoice = "auto"
    """What the file begins with: "elf" (one Linux target), "script" (several Unix targets) or "polyglot" (Windows among
    them), as "auto" chooses; or "engine": one target's engine by itself, uncompressed."""
    gpus: Annotated[tuple[str, ...], AfterValidator(_refuse_gpus)] = ()
    """Graphics processors; none work now."""

    def cpus_for(self, target: str) -> tuple[str, ...]:
        """The levels that the recipe names for a target; () stands for those that upstream ships."""
        levels = self.cpus.get(target, ALL) if isinstance(self.cpus, dict) else self.cpus  # type: ignore[call-overload]
        return () if levels == ALL else tuple(levels)
