"""The CPU names stand once in Python and once in C; what one side offers, the other can check."""

from __future__ import annotations

import re

from lfbuild.engine.cpu import CpuLevel, cpu_names, parse_cpu
from lfbuild.engine.job import stubs_folder

HEADER = stubs_folder() / "cpu_features.h"


def rows(kind: str) -> set[str]:
    return set(re.findall(rf'{kind}\("([^"]+)"', HEADER.read_text(encoding="utf-8")))


def test_every_name_that_a_recipe_may_use_is_known_to_the_check_in_c() -> None:
    levels, features = cpu_names()

    assert set(levels) <= rows("LEVEL")
    assert set(features) <= rows("FEATURE")


def test_what_a_level_compiles_in_is_what_the_check_asks_of_the_cpu() -> None:
    lines = re.findall(r'LEVEL\("(x86-64-v\d)", "([^"]*)", "([^"]*)"\)', HEADER.read_text(encoding="utf-8"))
    asked: dict[str, set[str]] = {"x86-64": set()}
    for name, adds, below in lines:
        asked[name] = asked[below] | set(adds.split())

    for name in ("x86-64-v2", "x86-64-v3", "x86-64-v4"):
        level: CpuLevel = parse_cpu(name)
        assert level.features <= asked[name]
