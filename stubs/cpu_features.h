/* What each name in LFBUILD_CPU asks of a CPU, by gcc's names of features. The Python side (lfbuild.engine.cpu) chooses
 * among these names; lfbuild.cmake refuses, by this file, a name that is not here. */
#ifndef LFBUILD_CPU_FEATURES_H
#define LFBUILD_CPU_FEATURES_H

/* LEVEL(name, what it adds, the level below) */
#define LFBUILD_X86_LEVELS(LEVEL)                                                                                      \
    LEVEL("x86-64", "", "")                                                                                            \
    LEVEL("x86-64-v2", "cx16 lahf popcnt sse3 ssse3 sse4.1 sse4.2", "x86-64")                                          \
    LEVEL("x86-64-v3", "avx avx2 bmi bmi2 f16c fma lzcnt movbe", "x86-64-v2")                                          \
    LEVEL("x86-64-v4", "avx512f avx512bw avx512cd avx512dq avx512vl", "x86-64-v3")

/* FEATURE(name, CPUID leaf, subleaf, register, bit, what the operating system must save) */
#define LFBUILD_X86_FEATURES(FEATURE)                                                                                  \
    FEATURE("sse3", 1, 0, ECX, 0, NOTHING)                                                                             \
    FEATURE("ssse3", 1, 0, ECX, 9, NOTHING)                                                                            \
    FEATURE("fma", 1, 0, ECX, 12, YMM)                                                                                 \
    FEATURE("cx16", 1, 0, ECX, 13, NOTHING)                                                                            \
    FEATURE("sse4.1", 1, 0, ECX, 19, NOTHING)                                                                          \
    FEATURE("sse4.2", 1, 0, ECX, 20, NOTHING)                                                                          \
    FEATURE("movbe", 1, 0, ECX, 22, NOTHING)                                                                           \
    FEATURE("popcnt", 1, 0, ECX, 23, NOTHING)                                                                          \
    FEATURE("avx", 1, 0, ECX, 28, YMM)                                                                                 \
    FEATURE("f16c", 1, 0, ECX, 29, YMM)                                                                                \
    FEATURE("lahf", 0x80000001, 0, ECX, 0, NOTHING)                                                                    \
    FEATURE("lzcnt", 0x80000001, 0, ECX, 5, NOTHING)                                                                   \
    FEATURE("bmi", 7, 0, EBX, 3, NOTHING)                                                                              \
    FEATURE("avx2", 7, 0, EBX, 5, YMM)                                                                                 \
    FEATURE("bmi2", 7, 0, EBX, 8, NOTHING)                                                                             \
    FEATURE("avx512f", 7, 0, EBX, 16, ZMM)                                                                             \
    FEATURE("avx512dq", 7, 0, EBX, 17, ZMM)                                                                            \
    FEATURE("avx512cd", 7, 0, EBX, 28, ZMM)                                                                            \
    FEATURE("avx512bw", 7, 0, EBX, 30, ZMM)                                                                            \
    FEATURE("avx512vl", 7, 0, EBX, 31, ZMM)                                                                            \
    FEATURE("avx512vbmi", 7, 0, ECX, 1, ZMM)                                                                           \
    FEATURE("avx512vnni", 7, 0, ECX, 11, ZMM)                                                                          \
    FEATURE("amx-bf16", 7, 0, EDX, 22, TILES)                                                                          \
    FEATURE("amx-tile", 7, 0, EDX, 24, TILES)                                                                          \
    FEATURE("amx-int8", 7, 0, EDX, 25, TILES)                                                                          \
    FEATURE("avxvnni", 7, 1, EAX, 4, YMM)                                                                              \
    FEATURE("avx512bf16", 7, 1, EAX, 5, ZMM)

/* Of each level, what compilers make use of; a part of it that they never touch is not asked for. So armv8.5-a adds nothing:
 * compilers use FlagM2 and FRINTTS where a source names their instructions, which ggml's do not, and of the CPUs that have I8MM
 * and SVE the first (Neoverse V1) lacks both. */
#define LFBUILD_ARM_LEVELS(LEVEL)                                                                                      \
    LEVEL("armv8-a", "", "")                                                                                           \
    LEVEL("armv8.1-a", "crc lse rdm", "armv8-a")                                                                       \
    LEVEL("armv8.2-a", "", "armv8.1-a")                                                                                \
    LEVEL("armv8.3-a", "fcma jscvt rcpc", "armv8.2-a")                                                                 \
    LEVEL("armv8.4-a", "dotprod flagm rcpc2", "armv8.3-a")                                                             \
    LEVEL("armv8.5-a", "", "armv8.4-a")                                                                                \
    LEVEL("armv8.6-a", "bf16 i8mm", "armv8.5-a")                                                                       \
    LEVEL("armv8.7-a", "", "armv8.6-a")                                                                                \
    LEVEL("armv9-a", "fp16 sve sve2", "armv8.5-a")

/* FEATURE(name, word of AT_HWCAP or AT_HWCAP2, bit, name below hw.optional): as in Linux's asm/hwcap.h and in macOS' sysctl,
 * which knows nothing of what no CPU of Apple's has. */
#define LFBUILD_ARM_FEATURES(FEATURE)                                                                                  \
    FEATURE("crc", 1, 7, "armv8_crc32")                                                                                \
    FEATURE("lse", 1, 8, "arm.FEAT_LSE")                                                                               \
    FEATURE("fp16", 1, 10, "arm.FEAT_FP16")                                                                            \
    FEATURE("rdm", 1, 12, "arm.FEAT_RDM")                                                                              \
    FEATURE("jscvt", 1, 13, "arm.FEAT_JSCVT")                                                                          \
    FEATURE("fcma", 1, 14, "arm.FEAT_FCMA")                                                                            \
    FEATURE("rcpc", 1, 15, "arm.FEAT_LRCPC")                                                                           \
    FEATURE("dotprod", 1, 20, "arm.FEAT_DotProd")                                                                      \
    FEATURE("sve", 1, 22, "")                                                                                          \
    FEATURE("rcpc2", 1, 26, "arm.FEAT_LRCPC2")                                                                         \
    FEATURE("flagm", 1, 27, "arm.FEAT_FlagM")                                                                          \
    FEATURE("sve2", 2, 1, "")                                                                                          \
    FEATURE("i8mm", 2, 13, "arm.FEAT_I8MM")                                                                            \
    FEATURE("bf16", 2, 14, "arm.FEAT_BF16")                                                                            \
    FEATURE("sme", 2, 23, "arm.FEAT_SME")

#endif
