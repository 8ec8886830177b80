"""A program made for a better CPU says so in one sentence and exits 1; it never dies of an unknown instruction."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.stubs.conftest import STUBS, compile_program, find_compiler

from lfbuild.engine import cpu

if TYPE_CHECKING:
    from pathlib import Path

SOURCES = [STUBS / "cpu_check.c", STUBS / "platform_posix.c"]
# A constructor of the default priority, as a C++ object of ggml-cpu has: by then the check must have spoken.
MAIN = """
#include <stdio.h>
__attribute__((constructor)) static void late(void) { puts("late"); }
int main(void) { puts("ran"); }
"""


def emulator(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not here, so another CPU cannot be played")
    return found


def compile_for(level: str, folder: Path, *compiler: str) -> Path:
    main = folder / "main.c"
    main.write_text(MAIN)
    program, *options = compiler
    return compile_program(program, folder / "program", [main, *SOURCES], *options, f'-DLFBUILD_CPU="{level}"')


def start(program: Path, *before: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*before, program], capture_output=True, text=True, check=False)


def sentence(program: Path, level: str, missing: str) -> str:
    return (
        f"{program}: this program needs a CPU with {level}, and this one lacks {missing}; run it on a newer machine, "
        "or build it for this one with a lower level in targets.cpus\n"
    )


@pytest.fixture
def x86_compiler() -> str:
    if platform.machine() != "x86_64":
        pytest.skip("gcc compiles for another processor here than x86-64")
    return find_compiler("gcc")


@pytest.mark.parametrize(
    ("level", "processor", "missing"),
    [
        ("x86-64-v2", "qemu64", "popcnt, ssse3, sse4.1, sse4.2"),
        ("x86-64-v3", "Nehalem", "avx, avx2, bmi, bmi2, f16c, fma, lzcnt, movbe"),
        ("x86-64-v3", "IvyBridge", "avx2, bmi, bmi2, fma, lzcnt, movbe"),
        ("x86-64-v4", "Haswell", "avx512f, avx512bw, avx512cd, avx512dq, avx512vl"),
        ("x86-64-v3+avxvnni", "Haswell", "avxvnni"),
    ],
)
def test_a_lesser_cpu_is_told_what_it_lacks(
    x86_compiler: str, tmp_path: Path, level: str, processor: str, missing: str
) -> None:
    qemu = emulator("qemu-x86_64")
    program = compile_for(level, tmp_path, x86_compiler, "-static")

    finished = start(program, qemu, "-cpu", processor)

    assert (finished.returncode, finished.stdout) == (1, "")
    # qemu 7.2 warns of features that it cannot play; its own lines come first.
    assert finished.stderr.endswith(sentence(program, level, missing))


@pytest.mark.parametrize(("level", "processor"), [("x86-64", "qemu64"), ("x86-64-v2", "Nehalem"), ("x86-64-v3", "max")])
def test_a_cpu_of_the_level_runs_the_program(x86_compiler: str, tmp_path: Path, level: str, processor: str) -> None:
    qemu = emulator("qemu-x86_64")

    finished = start(compile_for(level, tmp_path, x86_compiler, "-static"), qemu, "-cpu", processor)

    assert (finished.returncode, finished.stdout) == (0, "late\nran\n")


def test_registers_that_the_system_does_not_save_count_as_missing(x86_compiler: str, tmp_path: Path) -> None:
    qemu = emulator("qemu-x86_64")

    finished = start(compile_for("x86-64-v3", tmp_path, x86_compiler, "-static"), qemu, "-cpu", "max,-xsave")

    assert finished.returncode == 1
    assert "lacks avx, avx2, f16c, fma;" in finished.stderr


@pytest.mark.parametrize(
    ("level", "processor", "missing"),
    [
        ("armv8-a", "cortex-a53", ""),
        ("armv8.2-a+dotprod", "cortex-a53", "lse, rdm, dotprod"),
        ("armv8.2-a+dotprod", "max", ""),
        ("armv8.2-a+dotprod", "cortex-a76", ""),
        ("armv8.2-a+dotprod+i8mm+sve", "cortex-a76", "i8mm, sve"),
    ],
)
def test_an_arm_cpu_is_checked_too(tmp_path: Path, level: str, processor: str, missing: str) -> None:
    pytest.importorskip("ziglang", reason="the zig compiler for aarch64 is not installed (lfbuild[zig])")
    qemu = emulator("qemu-aarch64")
    zig = (sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-musl", "-s")
    program = compile_for(level, tmp_path, *zig)

    finished = start(program, qemu, "-cpu", processor)

    if missing:
        assert (finished.returncode, finished.stderr) == (1, sentence(program, level, missing))
    else:
        assert (finished.returncode, finished.stdout) == (0, "late\nran\n")


def test_a_check_that_is_itself_compiled_above_the_baseline_does_not_compile(x86_compiler: str, tmp_path: Path) -> None:
    command = [x86_compiler, "-mavx2", "-c", str(SOURCES[0]), "-o", str(tmp_path / "x.o")]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)

    assert "the CPU check must itself run on any CPU" in finished.stderr


def test_every_level_that_a_recipe_can_name_is_known_here() -> None:
    table = (STUBS / "cpu_features.h").read_text(encoding="utf-8")

    for level in [*cpu.DEFAULT_CPUS.values(), "x86-64-v2", "x86-64-v4", "armv9-a"]:
        for name in cpu.parse_cpu(level).name.split("+"):
            assert f'("{name}"' in table
    for feature in (*cpu._X86_NEEDS, *cpu._ARM_FEATURES, *cpu._X86_LEVELS, *cpu._ARM_LEVELS):
        assert f'("{feature}"' in table


def test_an_arm_base_brings_along_here_what_it_does_in_a_recipe() -> None:
    table = (STUBS / "cpu_features.h").read_text(encoding="utf-8")
    lines = re.findall(r'LEVEL\("(armv[^"]+)", "([^"]*)", "([^"]*)"\)', table)
    brought: dict[str, frozenset[str]] = {"": frozenset()}
    for name, adds, below in lines:
        brought[name] = brought[below].union(adds.split())

    assert {name: cpu.parse_cpu(name).features for name in cpu._ARM_LEVELS} == {
        name: features for name, features in brought.items() if name
    }
