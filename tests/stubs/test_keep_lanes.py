"""The header that keeps clang from joining shuffles changes no value, and still changes the code."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.stubs.conftest import STUBS

if TYPE_CHECKING:
    from pathlib import Path

X86 = ["-target", "x86_64-linux-musl", "-mavx2", "-mfma", "-O3"]
CHOICES = """
#include <stdio.h>
static void show(__m256 vector) {
    float lanes[8];
    _mm256_storeu_ps(lanes, vector);
    for (int i = 0; i < 8; i++) printf("%.0f ", lanes[i]);
    puts("");
}
int main(void) {
    __m256 a = _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7), b = _mm256_setr_ps(10, 11, 12, 13, 14, 15, 16, 17);
    show(_mm256_permute2f128_ps(a, b, 0x00));
    show(_mm256_permute2f128_ps(a, b, 0x01));
    show(_mm256_permute2f128_ps(a, b, 0x20));
    show(_mm256_permute2f128_ps(a, b, 0x31));
    show(_mm256_permute2f128_ps(a, b, 0x81));
}
"""
KERNEL = """
__m256 spread(__m128 a, __m128 b) {
    __m256 both = _mm256_castps128_ps256(_mm_mul_ps(a, b));
    both = _mm256_permute2f128_ps(both, both, 0);
    return _mm256_shuffle_ps(both, both, 85);
}
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "kernel.c"


def compiled(zig: str, source: Path, text: str, header: str, *options: str) -> Path:
    source.write_text(f"#include <{header}>\n{text}")
    made = source.with_suffix(".out")
    command = [zig, "cc", *X86, "-I", str(STUBS / "kernels"), *options, str(source), "-o", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return made


def test_every_choice_of_lanes_is_the_one_of_the_intrinsic(zig: str, source: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("the program is one for Linux")
    said = {
        header: subprocess.run([compiled(zig, source, CHOICES, header)], capture_output=True, check=True).stdout
        for header in ("immintrin.h", "keep_lanes.h")
    }

    assert said["keep_lanes.h"] == said["immintrin.h"]
    assert said["keep_lanes.h"].startswith(b"0 1 2 3 0 1 2 3 \n4 5 6 7 0 1 2 3 \n")


def test_a_shuffle_behind_the_copy_stays_a_shuffle(zig: str, source: Path) -> None:
    """Were this no longer so, or were it so without the header, the header would have to go."""
    kept = compiled(zig, source, KERNEL, "keep_lanes.h", "-S").read_text()
    joined = compiled(zig, source, KERNEL, "immintrin.h", "-S").read_text()

    assert "vbroadcastss" in joined
    assert "vbroadcastss" not in kept
