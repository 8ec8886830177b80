"""Decides which targets a file has engines for, their processor levels, and what the file begins with.

All that does not fit together is told at once: systems, levels, head, icon and signing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lfbuild.engine.cpu import common_level, parse_cpu, shipped_levels, sorted_levels
from lfbuild.errors import RecipeError
from lfbuild.formats.head import TARGETS, HeadForm, choose_form
from lfbuild.recipe.targets import ALL, HOST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lfbuild.engine.cpu import CpuLevel
    from lfbuild.engine.toolchain import Toolchain
    from lfbuild.errors import Problem
    from lfbuild.recipe import Recipe
    from lfbuild.recipe.locate import KeyPath

HeadKind = HeadForm | Literal["engine"]
COSMOCC_CPUS = ("x86-64-v3", "armv8.2-a+dotprod")
"""What cosmocc makes without a word of the recipe: a CPU of 2013 or 2018."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A target, and the levels that its engine has code for: best first, of each architecture."""

    name: str
    cpus: tuple[str, ...]


def choose_targets(recipe: Recipe, toolchain: Toolchain, *, host: str) -> tuple[tuple[Target, ...], HeadKind]:
    """The targets in the recipe's order, and the head that starts them; `host` is this machine's own Linux target.

    Raises:
        RecipeError: with everything that does not fit together.
    """
    names = _names(recipe, toolchain, host)
    head = _head(recipe, toolchain, names)
    levels = {name: _Levels(recipe, toolchain, name) for name in names if name in toolchain.targets}
    problems = [
        *_system_problems(recipe, toolchain, names),
        *_table_problems(recipe, names),
        *(problem for item in levels.values() for problem in item.problems),
        *_head_problems(recipe, names, head),
        *_windows_and_macos_problems(recipe, toolchain, names, head),
    ]
    if problems:
        raise RecipeError(recipe.path, tuple(dict.fromkeys(problems)))
    return tuple(Target(name=name, cpus=item.chosen) for name, item in levels.items()), head


def is_windows(name: str) -> bool:
    """Whether a target is a Windows."""
    return name.startswith("windows-")


def _names(recipe: Recipe, toolchain: Toolchain, host: str) -> tuple[str, ...]:
    if toolchain.kind == "cosmocc":
        return tuple(toolchain.targets)
    return tuple(host if name == HOST else name for name in recipe.targets.systems or TARGETS)


def _head(recipe: Recipe, toolchain: Toolchain, names: Sequence[str]) -> HeadKind:
    if toolchain.kind == "cosmocc":
        return "engine"
    if recipe.targets.head != "auto":
        return recipe.targets.head
    known = [name for name in names if name in TARGETS]
    return choose_form(known) if known else "script"  # what is not known is told of by itself


def _system_problems(recipe: Recipe, toolchain: Toolchain, names: Sequence[str]) -> Iterator[Problem]:
    key = ("targets", "systems")
    for name in dict.fromkeys(names):
        if name not in toolchain.targets:
            yield recipe.problem(key, f"{toolchain.kind} makes nothing for {name}, only for {_list(toolchain.targets)}")
        if names.count(name) > 1:
            yield recipe.problem(key, f'"host" is {name} here, which is named too')


def _table_problems(recipe: Recipe, names: Sequence[str]) -> Iterator[Problem]:
    """Levels for a target that the file does not have."""
    if isinstance(recipe.targets.cpus, dict):
        for name in recipe.targets.cpus:
            if name not in names:
                yield recipe.problem(("targets", "cpus", name), f"is none of the systems, which are {_list(names)}")


class _Levels:
    """The levels of one target, and what is wrong with them."""

    def __init__(self, recipe: Recipe, toolchain: Toolchain, target: str) -> None:
        self._recipe, self._target = recipe, target
        self._architectures = toolchain.targets[target]
        in_table = isinstance(recipe.targets.cpus, dict) and target in recipe.targets.cpus
        self._key: KeyPath = ("targets", "cpus", target) if in_table else ("targets", "cpus")
        self.problems: list[Problem] = []
        named = recipe.targets.cpus_for(target)
        if not named and toolchain.kind == "cosmocc" and recipe.targets.cpus != ALL:
            named = COSMOCC_CPUS
        self.chosen = self._chosen(named) if named else self._shipped()

    def _shipped(self) -> tuple[str, ...]:
        if len(self._architectures) == 1:
            return shipped_levels(self._target)
        return tuple(level for name in self._architectures for level in shipped_levels(f"linux-{name}"))

    def _chosen(self, named: tuple[str, ...]) -> tuple[str, ...]:
        levels = [level for name in named if (level := self._parsed(name))]
        spelled: dict[str, str] = {}
        for name, level in zip(named, levels, strict=False):
            first = spelled.setdefault(level.name, name)
            if first != name:
                self._tell(f"'{first}' and '{name}' are the same level")
        in_order = [sorted_levels(it for it in levels if it.architecture == name) for name in self._architectures]
        if len(levels) == len(named):  # else what was meant by the others is not known
            self._check_architectures(levels, named)
            for some in in_order:
                self._check_lowest(some)
        return tuple(level.name for some in in_order for level in some)

    def _parsed(self, name: str) -> CpuLevel | None:
        try:
            return parse_cpu(name)
        except RecipeError as error:
            self._tell(error.problems[0].what)
            return None

    def _check_architectures(self, levels: list[CpuLevel], named: tuple[str, ...]) -> None:
        missing = [name for name in self._architectures if name not in {level.architecture for level in levels}]
        if missing:
            self._tell(f"names {_list(named)}, but {self._target} needs a level of {_list(missing)}")
        elif len(self._key) > 2:  # a list is for all targets, and need not fit each of them
            strange = [level.name for level in levels if level.architecture not in self._architectures]
            if strange:
                self._tell(f"names {_list(strange)}, which {self._target} has no use for")

    def _check_lowest(self, levels: tuple[CpuLevel, ...]) -> None:
        """An engine starts only on a CPU that has the lowest of its levels."""
        other = next((level for level in levels if not level.features >= levels[-1].features), None)
        if other is not None:
            what = f"every machine must have the lowest level, {levels[-1].name}, and one with {other.name} need not"
            self._tell(f"{what}; add their common base, {common_level(levels).name}")

    def _tell(self, what: str) -> None:
        self.problems.append(self._recipe.problem(self._key, what))


def _head_problems(recipe: Recipe, names: Sequence[str], head: HeadKind) -> Iterator[Problem]:
    fit = {
        "elf": (len(names) == 1 and names[0].startswith("linux-"), "is for one Linux target"),
        "script": (not any(map(is_windows, names)), "starts on no Windows"),
        "polyglot": (any(map(is_windows, names)), "is for files that start on Windows too"),
        "engine": (len(names) == 1, "is for one target"),
    }
    fits, what = fit[head]
    if not fits:
        yield recipe.problem(("targets", "head"), f'"{head}" {what}, and this file is for {_list(names)}')
    elif head == "engine" and names[0].startswith("macos-"):
        what = "does not start on macOS: what follows a program there breaks its signature; leave it out"
        yield recipe.problem(("targets", "head"), f'"{head}" {what}')


def _windows_and_macos_problems(
    recipe: Recipe, toolchain: Toolchain, names: Sequence[str], head: HeadKind
) -> Iterator[Problem]:
    if toolchain.kind == "cosmocc":
        return  # an APE is a PE too; what does not fit was told with the recipe
    what = "has nothing to work on: none of the systems is {}, but {}"
    if not any(map(is_windows, names)):
        unused = {("llamafile", "icon"): recipe.llamafile.icon, ("sign", "windows"): recipe.sign.windows}
        yield from (
            recipe.problem(key, what.format("a Windows", _list(names))) for key, value in unused.items() if value
        )
    elif head == "engine" and recipe.llamafile.icon:
        told = 'has no place in a file that begins with its engine; leave it out, or targets.head = "engine"'
        yield recipe.problem(("llamafile", "icon"), told)
    if recipe.sign.macos and not any(name.startswith("macos-") for name in names):
        yield recipe.problem(("sign", "macos"), what.format("a macOS", _list(names)))


def _list(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
