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


# What Linux says of a Graviton3 (Neoverse V1): all of armv8.4-a, and of what came later I8MM, BF16 and SVE, but neither
# SVE2 nor FlagM2 nor FRINTTS.
GRAVITON3 = """
#include <stdio.h>
#include "cpu_check.h"
unsigned long graviton3(unsigned long type) { return type == 16 ? 0xdffffffful : 0x1f201ul; }
int main(int argc, char **argv) {
    char missing[256];
    (void)argc;
    lfbuild_cpu_missing(argv[1], missing, sizeof missing);
    printf("%s", missing);
}
"""


@pytest.mark.parametrize(("added", "missing"), [("", ""), ("+sve2", "sve2")])
def test_i8mm_is_used_on_a_cpu_without_what_no_kernel_asks_of_armv8_5(tmp_path: Path, added: str, missing: str) -> None:
    pytest.importorskip("ziglang", reason="the zig compiler for aarch64 is not installed (lfbuild[zig])")
    qemu = emulator("qemu-aarch64")
    main = tmp_path / "main.c"
    main.write_text(GRAVITON3)
    zig = (sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-musl", "-s", "-Dgetauxval=graviton3")
    program = compile_program(zig[0], tmp_path / "program", [main, *SOURCES], *zig[1:])

    level = f"armv8.6-a+dotprod+fp16+i8mm+sve{added}"
    finished = subprocess.run([qemu, program, level], capture_output=True, text=True, check=True)

    assert finished.stdout == missing


# A Mac with every feature, played on Linux: CPUID says yes to all, and what the kernel says is on the command line.
MAC = """
#include <stdio.h>
#include <string.h>
#include <sys/sysctl.h>
#include "cpu_check.h"
__asm__(".globl played_cpuid; played_cpuid: mov $-1, %eax; mov $-1, %ebx; mov $-1, %ecx; mov $-1, %edx; ret");
static const char *avx512f, *release;
int sysctlbyname(const char *name, void *value, size_t *size_bytes, void *new_value, size_t new_size_bytes) {
    (void)new_value, (void)new_size_bytes;
    if (strcmp(name, "hw.optional.avx512f") == 0) {
        *(int *)value = avx512f[0] == '1';
        return 0;
    }
    if (strcmp(name, "kern.osrelease") != 0 || *size_bytes <= strlen(release)) {
        return -1;
    }
    strcpy(value, release);
    return 0;
}
int main(int argc, char **argv) {
    char missing[256];
    (void)argc;
    avx512f = argv[1];
    release = argv[2];
    lfbuild_cpu_missing("x86-64-v4", missing, sizeof missing);
    printf("%s", missing);
}
"""
SYSCTL = "#include <stddef.h>\nint sysctlbyname(const char *, void *, size_t *, void *, size_t);\n"
AVX512 = "avx512f, avx512bw, avx512cd, avx512dq, avx512vl"


@pytest.fixture(scope="module")
def mac(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if platform.machine() != "x86_64":
        pytest.skip("the Mac that is played has an x86-64 CPU")
    compiler, folder = find_compiler("gcc"), tmp_path_factory.mktemp("mac")
    check = SOURCES[0].read_text(encoding="utf-8")
    assert '"cpuid"' in check
    (folder / "cpu_check.c").write_text(check.replace('"cpuid"', '"call played_cpuid"'), encoding="utf-8")
    (folder / "main.c").write_text(MAC, encoding="utf-8")
    (folder / "sys").mkdir()
    (folder / "sys" / "sysctl.h").write_text(SYSCTL, encoding="utf-8")
    played = ("-D__APPLE__", "-mno-red-zone", f"-I{folder}", "-c")
    check_object = compile_program(compiler, folder / "cpu_check.o", [folder / "cpu_check.c"], *played)
    sources = [folder / "main.c", check_object, SOURCES[1]]
    return compile_program(compiler, folder / "program", sources, f"-I{folder}")


@pytest.mark.parametrize(
    ("avx512f", "release", "missing"),
    [
        ("1", "21.3.0", ""),
        ("1", "24.0.0", ""),
        ("1", "21.2.0", AVX512),
        ("1", "20.6.0", AVX512),
        ("0", "24.0.0", AVX512),
    ],
)
def test_macos_is_asked_for_avx_512_by_name_as_it_makes_room_on_first_use(
    mac: Path, avx512f: str, release: str, missing: str
) -> None:
    assert subprocess.run([mac, avx512f, release], capture_output=True, text=True, check=True).stdout == missing


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
