"""CPU levels: the names a recipe uses for what a file must run on, and what upstream's CMake calls them.

A level is a standard base (`x86-64-v3`, `armv8.2-a`) and features above it by gcc's names (`+avx512vnni`, `+dotprod`).
Only ggml-cpu is compiled above the baseline of its architecture; everything else in the file starts on any CPU, so
that a check can say in one sentence what is missing. Which CPU this machine has is not known here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lfbuild.errors import Problem, RecipeError

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_CPUS = {"x86_64": "x86-64-v3", "aarch64": "armv8.2-a+dotprod"}
"""A CPU of 2013 or 2018. Never plain x86-64: SSE2 code is several times slower, and nobody would know why."""

_AVX512 = frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"})
_V2 = frozenset({"sse4.2"})
_V3 = _V2 | {"avx", "avx2", "bmi2", "f16c", "fma"}
_V4 = _V3 | _AVX512
_X86_LEVELS = {"x86-64-v2": _V2, "x86-64-v3": _V3, "x86-64-v4": _V4}

# Each feature a recipe may add, and what it brings along: a compiler's `-mavx512vnni` alone would leave out AVX512VL,
# and ggml's kernels ask for both.
_X86_NEEDS = {
    "avx": _V2,
    "f16c": _V2 | {"avx"},
    "fma": _V2 | {"avx"},
    "avx2": _V2 | {"avx"},
    "bmi2": _V2,
    "avxvnni": _V2 | {"avx", "avx2"},
    "avx512vbmi": _V4,
    "avx512vnni": _V4,
    "avx512bf16": _V4,
    "amx-tile": _V4,
    "amx-int8": _V4 | {"amx-tile"},
    "amx-bf16": _V4 | {"amx-tile"},
}
_X86_OPTIONS = {
    "GGML_SSE42": "sse4.2",
    "GGML_AVX": "avx",
    "GGML_AVX2": "avx2",
    "GGML_BMI2": "bmi2",
    "GGML_F16C": "f16c",
    "GGML_FMA": "fma",
    "GGML_AVX_VNNI": "avxvnni",
    "GGML_AVX512": "avx512f",
    "GGML_AVX512_VBMI": "avx512vbmi",
    "GGML_AVX512_VNNI": "avx512vnni",
    "GGML_AVX512_BF16": "avx512bf16",
    "GGML_AMX_TILE": "amx-tile",
    "GGML_AMX_INT8": "amx-int8",
    "GGML_AMX_BF16": "amx-bf16",
}

# Each base and what compilers make use of in it, as in stubs/cpu_features.h.
_ARMV8_1 = frozenset({"crc", "lse", "rdm"})
_ARMV8_3 = _ARMV8_1 | {"fcma", "jscvt", "rcpc"}
_ARMV8_4 = _ARMV8_3 | {"dotprod", "flagm", "rcpc2"}
_ARMV8_6 = _ARMV8_4 | {"bf16", "i8mm"}
_ARM_LEVELS: dict[str, frozenset[str]] = {
    "armv8-a": frozenset(),
    "armv8.1-a": _ARMV8_1,
    "armv8.2-a": _ARMV8_1,
    "armv8.3-a": _ARMV8_3,
    "armv8.4-a": _ARMV8_4,
    "armv8.5-a": _ARMV8_4,
    "armv8.6-a": _ARMV8_6,
    "armv8.7-a": _ARMV8_6,
    "armv9-a": _ARMV8_4 | {"fp16", "sve", "sve2"},
}
_ARM_NEEDS = {"sve": frozenset({"fp16"}), "sve2": frozenset({"fp16", "sve"})}
# gcc's name of a feature, and clang's.
_ARM_FEATURES = {
    "bf16": "bf16",
    "dotprod": "dotprod",
    "fp16": "fullfp16",
    "i8mm": "i8mm",
    "sme": "sme",
    "sve": "sve",
    "sve2": "sve2",
}
# What upstream's score function asks for each feature, lowest bit of its score first (arch/*/cpu-feats.cpp).
_X86_SCORED = {
    "fma": "GGML_FMA",
    "f16c": "GGML_F16C",
    "sse4.2": "GGML_SSE42",
    "bmi2": "GGML_BMI2",
    "avx": "GGML_AVX",
    "avx2": "GGML_AVX2",
    "avxvnni": "GGML_AVX_VNNI",
    "avx512f": "GGML_AVX512",
    "avx512vbmi": "GGML_AVX512_VBMI",
    "avx512bf16": "GGML_AVX512_BF16",
    "avx512vnni": "GGML_AVX512_VNNI",
    "amx-int8": "GGML_AMX_INT8",
}
_ARM_SCORED = {
    "dotprod": "GGML_USE_DOTPROD",
    "fp16": "GGML_USE_FP16_VECTOR_ARITHMETIC",
    "sve": "GGML_USE_SVE",
    "i8mm": "GGML_USE_MATMUL_INT8",
    "sve2": "GGML_USE_SVE2",
    "sme": "GGML_USE_SME",
}

# The levels that upstream ships libraries for (ggml/src/CMakeLists.txt), but for plain x86-64, whose SSE2 code is
# several times slower without anybody knowing why, and for those with SME, which nothing at hand can run.
_X86_SHIPPED = (
    "x86-64-v2",  # sse42
    "x86-64-v2+avx",  # sandybridge
    "x86-64-v2+f16c",  # ivybridge
    "x86-64-v2+f16c+fma",  # piledriver
    "x86-64-v3",  # haswell
    "x86-64-v3+avxvnni",  # alderlake
    "x86-64-v4",  # skylakex
    "x86-64-v4+avx512vbmi",  # cannonlake
    "x86-64-v4+avx512vnni",  # cascadelake
    "x86-64-v4+avx512vbmi+avx512vnni",  # icelake
    "x86-64-v4+avx512bf16+avx512vnni",  # cooperlake
    "x86-64-v4+avx512bf16+avx512vbmi+avx512vnni",  # zen4
    "x86-64-v4+amx-int8+avx512bf16+avx512vbmi+avx512vnni",  # sapphirerapids
)
_ARM_SHIPPED = (
    "armv8-a",
    "armv8.2-a+dotprod",
    "armv8.2-a+dotprod+fp16",
    "armv8.2-a+dotprod+fp16+sve",
    "armv8.6-a+dotprod+fp16+i8mm+sve",
    "armv8.6-a+dotprod+fp16+i8mm+sve+sve2",
)
_APPLE_SHIPPED = ("armv8.2-a+dotprod", "armv8.6-a+dotprod+i8mm")


@dataclass(frozen=True, kw_only=True, slots=True)
class CpuLevel:
    """One architecture's level, under its one canonical name."""

    name: str
    """Two spellings of one level (`x86-64-v3+avx512vnni`, `x86-64-v4+avx512vnni`) have one name."""
    architecture: str
    features: frozenset[str]
    """All of them by gcc's names, those of the base included."""

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        """Upstream's CMake options: each is set, on or off, so that no default of upstream's decides."""
        if self.architecture == "aarch64":
            return (("GGML_CPU_ARM_ARCH", self.name),)
        return tuple((option, "ON" if feature in self.features else "OFF") for option, feature in _X86_OPTIONS.items())

    @property
    def scored(self) -> tuple[str, ...]:
        """The definitions by which upstream's score function knows what this level needs, least first."""
        table = _ARM_SCORED if self.architecture == "aarch64" else _X86_SCORED
        return tuple(definition for feature, definition in table.items() if feature in self.features)

    @property
    def rank(self) -> tuple[int, int, str]:
        """Sorts levels of one architecture from least to best, as upstream's scores do.

        Where those are the same, a level comes before those that need all that it needs and more.
        """
        table = _ARM_SCORED if self.architecture == "aarch64" else _X86_SCORED
        score = sum(1 << bit for bit, feature in enumerate(table) if feature in self.features)
        return score, len(self.features), self.name

    @property
    def tag(self) -> str:
        """The name as part of a C identifier: `x86_64_v4_avx512vnni`."""
        return re.sub(r"[^A-Za-z0-9]", "_", self.name)

    @property
    def llvm_name(self) -> str:
        """An ARM level in LLVM's names, which is how zig wants it: `generic+v8_2a+dotprod`."""
        base, *features = self.name.split("+")
        version = base.removeprefix("arm").removesuffix("-a").replace(".", "_") + "a"
        return "+".join(["generic", version, *(_ARM_FEATURES[feature] for feature in features)])


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """What one compile is for: an architecture of a target, and the CPU levels that its program holds."""

    target: str
    architecture: str
    levels: tuple[CpuLevel, ...]
    """Best first; the program chooses when it starts, and refuses a CPU below the last."""

    @property
    def least(self) -> CpuLevel:
        """What a CPU must have at the least."""
        return self.levels[-1]

    @property
    def name(self) -> str:
        """For people: `linux-x86_64`, or of a target of several architectures `cosmo aarch64`."""
        return self.target if self.target.endswith(self.architecture) else f"{self.target} {self.architecture}"


def parse_cpu(name: str) -> CpuLevel:
    """The level of that name.

    Raises:
        RecipeError: there is no such base or feature; the sentence lists the ones there are.
    """
    base, *features = name.split("+")
    if base in _X86_LEVELS:
        _refuse_unknown_features(features, base=base, known=_X86_NEEDS)
        return _x86_level(_X86_LEVELS[base].union(*(_X86_NEEDS[feature] | {feature} for feature in features)))
    if base in _ARM_LEVELS:
        _refuse_unknown_features(features, base=base, known=_ARM_FEATURES)
        return _arm_level(base, features)
    what = f"there is no CPU level '{base}', only {', '.join([*_X86_LEVELS, *_ARM_LEVELS])}"
    raise _refusal(what, hint="a feature is added with '+'")


def cpu_names() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All bases, and all features that can be added to one of them."""
    return (*_X86_LEVELS, *_ARM_LEVELS), (*_X86_NEEDS, *_ARM_FEATURES)


def shipped_levels(target: str) -> tuple[str, ...]:
    """The levels that upstream ships for a target such as `linux-x86_64`, best first."""
    system, _, architecture = target.partition("-")
    shipped = _X86_SHIPPED if architecture == "x86_64" else _APPLE_SHIPPED if system == "macos" else _ARM_SHIPPED
    return tuple(level.name for level in sorted_levels(map(parse_cpu, shipped)))


def sorted_levels(levels: Iterable[CpuLevel]) -> tuple[CpuLevel, ...]:
    """The levels, best first; those that are the same by two spellings once."""
    return tuple(sorted({level.name: level for level in levels}.values(), key=lambda level: level.rank, reverse=True))


def common_level(levels: Iterable[CpuLevel]) -> CpuLevel:
    """The highest level that a CPU with any of these, all of one architecture, can run."""
    named = tuple(levels)
    common = frozenset.intersection(*(level.features for level in named))
    if named[0].architecture == "x86_64":
        return _x86_level(common)
    bases = [level.name.partition("+")[0] for level in named]
    # Of two bases that bring the same along, the one that was named.
    fitting = [(len(brought), base in bases, base) for base, brought in _ARM_LEVELS.items() if brought <= common]
    *_, base = max(fitting)
    return _arm_level(base, (common - _ARM_LEVELS[base]) & _ARM_FEATURES.keys())


def best_cpu(architecture: str, features: Iterable[str]) -> CpuLevel | None:
    """The highest level that a CPU with these features (gcc's names) can run, or None when it is below every level."""
    has = frozenset(features)
    if architecture == "aarch64":
        base = "armv8.2-a" if {"dotprod", "fp16"} & has else "armv8-a"
        return _arm_level(base, sorted(has & _ARM_FEATURES.keys() - {"sme"}))
    if architecture != "x86_64" or not has >= _V2:
        return None
    base_features = max((level for level in _X86_LEVELS.values() if has >= level), key=len)
    added = (feature for feature, needs in _X86_NEEDS.items() if feature in has and has >= needs)
    return _x86_level(base_features.union(added))


def _x86_level(features: frozenset[str]) -> CpuLevel:
    base = max((name for name, level in _X86_LEVELS.items() if level <= features), key=str)
    above = sorted(features - _X86_LEVELS[base])
    return CpuLevel(name="+".join([base, *above]), architecture="x86_64", features=features)


def _arm_level(base: str, features: Iterable[str]) -> CpuLevel:
    added = sorted(set(features))
    brought = (_ARM_NEEDS.get(feature, frozenset()) for feature in added)
    return CpuLevel(
        name="+".join([base, *added]), architecture="aarch64", features=_ARM_LEVELS[base].union(added, *brought)
    )


def _refuse_unknown_features(features: Iterable[str], *, base: str, known: Iterable[str]) -> None:
    names = sorted(known)
    wrong = [feature for feature in features if feature not in names]
    if wrong:
        what = f"there is no CPU feature '{wrong[0]}' to add to {base}, only {', '.join(names)}"
        hint = re.sub(r"[._]", "", wrong[0]) if re.sub(r"[._]", "", wrong[0]) in names else ""
        raise _refusal(what, hint=f"gcc's name of it is '{hint}'" if hint else "")


def _refusal(what: str, *, hint: str) -> RecipeError:
    where = "targets.cpus"
    return RecipeError(where, [Problem(where=where, key="", what=what)], hint=hint)
