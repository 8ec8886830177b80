"""Our dot product of Q4_1 weights is what llama.cpp's definition of the format says, for every kind of block."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.stubs.conftest import STUBS

QUANTS_H = """
#include <stddef.h>
#include <stdint.h>
#define GGML_RESTRICT restrict
#define QK8_1 32
typedef struct { union { struct { uint16_t d, m; }; uint32_t dm; }; uint8_t qs[16]; } block_q4_1;
typedef struct { union { struct { uint16_t d, s; }; uint32_t ds; }; int8_t qs[32]; } block_q8_1;
"""
"""What the stub takes of llama.cpp's own quants.h."""

PROGRAM = """
#include "quants.h"
#include <immintrin.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ggml_vec_dot_q4_1_q8_1(int n, float *s, size_t bs, const void *vx, size_t bx, const void *vy, size_t by, int nrc);
void lfbuild_upstream_vec_dot_q4_1_q8_1(int n, float *s, size_t bs, const void *vx, size_t bx, const void *vy,
                                        size_t by, int nrc) {
    *s = -1e6;
}

/* The definition of the format: a weight is d * q + m, a value of the column d * q, s the sum of the block's values. */
static double defined(int blocks, const block_q4_1 *x, const block_q8_1 *y) {
    double sum = 0;
    for (int i = 0; i < blocks; i++) {
        int products = 0;
        for (int k = 0; k < 16; k++)
            products += (x[i].qs[k] & 15) * y[i].qs[k] + (x[i].qs[k] >> 4) * y[i].qs[k + 16];
        sum += (double) _cvtsh_ss(x[i].d) * _cvtsh_ss(y[i].d) * products;
        sum += (double) _cvtsh_ss(x[i].m) * _cvtsh_ss(y[i].s);
    }
    return sum;
}

static uint16_t half(float low, float high) { return _cvtss_sh(low + (high - low) * rand() / (float) RAND_MAX, 0); }

int main(void) {
    static block_q4_1 x[64];
    static block_q8_1 y[64];
    double worst = 0;
    for (int blocks = 0; blocks <= 64; blocks++) {
        for (int i = 0; i < blocks; i++) {
            x[i].d = half(-2, 2), x[i].m = half(-9, 9), y[i].d = half(0, 3), y[i].s = half(-300, 300);
            for (int k = 0; k < 16; k++) x[i].qs[k] = (uint8_t) (blocks == 1 ? 255 : rand());
            for (int k = 0; k < 32; k++) y[i].qs[k] = (int8_t) (blocks == 1 ? -127 : rand() % 255 - 127);
        }
        float found;
        ggml_vec_dot_q4_1_q8_1(blocks * 32, &found, 0, x, 0, y, 0, 1);
        double error = fabs(found - defined(blocks, x, y));
        if (error > worst) worst = error;
    }
    printf("%g\\n", worst);
}
"""
V3 = ("-mavx2", "-mfma", "-mf16c")


def compiled(zig: str, folder: Path, *options: str) -> Path:
    (folder / "quants.h").write_text(QUANTS_H)
    (folder / "program.c").write_text(PROGRAM)
    command = [zig, "cc", "-target", "x86_64-linux-musl", "-O3", "-w", "-I", str(folder)]
    stub = folder / "stub.o"
    subprocess.run([*command, *options, "-c", str(STUBS / "kernels" / "dot_q4_1.c"), "-o", str(stub)], check=True)
    made = folder / "program"
    subprocess.run([*command, "-mf16c", str(folder / "program.c"), str(stub), "-o", str(made)], check=True)
    return made


def features() -> set[str]:
    cpuinfo = Path("/proc/cpuinfo")
    return set(cpuinfo.read_text().split()) if sys.platform == "linux" and cpuinfo.exists() else set()


def test_the_sum_is_that_of_the_formats_definition(zig: str, tmp_path: Path) -> None:
    if not {"avx2", "fma", "f16c"} <= features():
        pytest.skip("this processor has no AVX2, FMA and F16C, or is none of Linux on x86-64")
    said = subprocess.run([compiled(zig, tmp_path, *V3)], capture_output=True, check=True).stdout

    assert 0 < float(said) < 0.5  # of sums of up to 100,000, in single precision


def test_with_the_instructions_for_neural_networks_too(zig: str, tmp_path: Path) -> None:
    if not {"avx512_vnni", "avx512vl"} <= features():
        pytest.skip("this processor has no AVX-512 VNNI, or is none of Linux on x86-64")
    said = subprocess.run([compiled(zig, tmp_path, *V3, "-mavx512vnni", "-mavx512vl")], capture_output=True, check=True)

    assert 0 < float(said.stdout) < 0.5


def test_a_level_without_them_calls_what_llama_cpp_has(zig: str, tmp_path: Path) -> None:
    if not {"f16c"} <= features():
        pytest.skip("this processor has no F16C, which the program needs for its blocks, or is none of Linux on x86-64")
    said = subprocess.run([compiled(zig, tmp_path, "-msse4.2")], capture_output=True, check=True).stdout

    assert float(said) > 900_000
