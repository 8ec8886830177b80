"""Of several CPU levels in one program the best is taken that the CPU has, by upstream's score and by our own check."""

from __future__ import annotations

import platform
import shutil
from typing import TYPE_CHECKING

import pytest
from tests.stubs.conftest import SANITIZERS, STUBS, compile_program, find_compiler, layer_sources, runner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.stubs.conftest import Probe

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the made-up levels are those of x86-64")

# No CPU has AMX's bfloat16 and lacks SSE 4.2: a level that the check refuses is one with a name nobody knows.
NOBODYS = "x86-64-v2+nobodys-feature"
MAIN = """
#include <stdio.h>
struct ggml_backend_reg { const char *level; };
#define VARIANT(tag, level) struct ggml_backend_reg reg_##tag = {level}; \\
    struct ggml_backend_reg *ggml_backend_cpu_reg_##tag(void) { return &reg_##tag; }
#include "cpu_variants.inc"
struct ggml_backend_reg *ggml_backend_cpu_reg(void);
int main(void) { printf("%s", ggml_backend_cpu_reg()->level); return 0; }
"""


@pytest.fixture(scope="module")
def program_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Probe]:
    compiler = find_compiler("gcc")

    def make(**levels: tuple[str, int]) -> Probe:
        """A program of made-up variants: tag = (level, upstream's score), best first."""
        folder = tmp_path_factory.mktemp("variants")
        rows = "".join(f'VARIANT({tag}, "{level}")\n' for tag, (level, _) in levels.items())
        scores = "".join(
            f"int ggml_backend_score_{tag}(void);\nint ggml_backend_score_{tag}(void) {{ return {score}; }}\n"
            for tag, (_, score) in levels.items()
        )
        (folder / "cpu_variants.inc").write_text(rows, encoding="utf-8")
        (folder / "main.c").write_text(MAIN + scores, encoding="utf-8")
        sources = [folder / "main.c", STUBS / "cpu_variants.c", *layer_sources()]
        return runner(compile_program(compiler, folder / "program", sources, "-std=c11", f"-I{folder}", *SANITIZERS))

    return make


@pytest.fixture(scope="module")
def two_levels(program_of: Callable[..., Probe]) -> Probe:
    return program_of(better=("x86-64-v2", 7), least=("x86-64", 1))


def test_the_best_score_is_taken(two_levels: Probe) -> None:
    assert two_levels().stdout == "x86-64-v2"


def test_of_two_equal_scores_the_first_is_taken(program_of: Callable[..., Probe]) -> None:
    assert program_of(first=("x86-64-v2", 3), second=("x86-64", 3))().stdout == "x86-64-v2"


def test_what_upstream_says_no_to_is_not_taken(program_of: Callable[..., Probe]) -> None:
    assert program_of(refused=("x86-64-v2", 0), least=("x86-64", 1))().stdout == "x86-64"


def test_what_our_check_says_no_to_is_not_taken(program_of: Callable[..., Probe]) -> None:
    assert program_of(refused=(NOBODYS, 9), least=("x86-64", 1))().stdout == "x86-64"


def test_lfbuild_cpu_names_another_level_and_the_choice_is_told(two_levels: Probe) -> None:
    lesser = two_levels(LFBUILD_CPU="x86-64")
    best = two_levels(LFBUILD_CPU="best")

    assert (lesser.stdout, lesser.stderr.endswith("/program: CPU level x86-64\n")) == ("x86-64", True)
    assert (best.stdout, best.stderr.endswith("/program: CPU level x86-64-v2\n")) == ("x86-64-v2", True)


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("x86-64-v9", "there is no CPU level as LFBUILD_CPU names it, x86-64-v9; this program has"),
        (NOBODYS, f"this CPU cannot run the level that LFBUILD_CPU names, {NOBODYS}; this program has"),
    ],
)
def test_a_level_that_cannot_be_had_is_refused(program_of: Callable[..., Probe], named: str, sentence: str) -> None:
    refused = program_of(top=(NOBODYS, 9), least=("x86-64", 1))(LFBUILD_CPU=named)

    assert refused.returncode == 1
    assert refused.stderr.endswith(f"/program: {sentence} {NOBODYS}, x86-64\n")


def test_a_cpu_that_runs_none_is_told_what_there_is(program_of: Callable[..., Probe]) -> None:
    refused = program_of(top=("x86-64-v2", 0), least=("x86-64", 0))()

    assert refused.returncode == 1
    assert refused.stderr.endswith("/program: this CPU runs none of its levels; this program has x86-64-v2, x86-64\n")


COSMO = """
#include <stddef.h>
static inline int IsLinux(void) { return LINUX; }
static inline const char *GetProgramExecutableName(void) { return "program"; }
"""


@pytest.mark.parametrize(
    ("linux", "processor", "taken"),
    [
        (1, "cortex-a76", "armv8.2-a+dotprod"),
        (1, "cortex-a53", "armv8-a"),
        (0, "cortex-a76", "armv8-a"),
    ],
)
def test_cosmopolitan_on_arm_takes_the_least_level_where_nobody_tells_what_the_cpu_has(
    zig: str, tmp_path: Path, linux: int, processor: str, taken: str
) -> None:
    qemu = shutil.which("qemu-aarch64")
    if qemu is None:
        pytest.skip("qemu-aarch64 is not here, so another CPU cannot be played")
    (tmp_path / "cosmo.h").write_text(COSMO, encoding="utf-8")
    rows = 'VARIANT(better, "armv8.2-a+dotprod")\nVARIANT(least, "armv8-a")\n'
    (tmp_path / "cpu_variants.inc").write_text(rows, encoding="utf-8")
    scores = "int ggml_backend_score_better(void) { return 0; }\nint ggml_backend_score_least(void) { return 0; }\n"
    (tmp_path / "main.c").write_text(MAIN + scores, encoding="utf-8")
    sources = [STUBS / name for name in ("cpu_variants.c", "cpu_check.c", "complaint.c", "platform_posix.c")]
    played = ("cc", "-target", "aarch64-linux-musl", "-s", "-D__COSMOPOLITAN__", f"-DLINUX={linux}", f"-I{tmp_path}")
    program = compile_program(zig, tmp_path / "program", [tmp_path / "main.c", *sources], *played)

    assert runner(qemu, "-cpu", processor, program)().stdout == taken
