/* CPU check: a program made for a better CPU says so in one sentence, instead of dying of an unknown instruction. */
#ifndef LFBUILD_CPU_CHECK_H
#define LFBUILD_CPU_CHECK_H

#include "platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whether this system tells what its CPU has; where it does not, nothing counts as missing. */
LFBUILD_API bool lfbuild_cpu_is_known(void);

/* Writes the features of `level` that this CPU lacks, separated by ", "; returns how many there are. */
LFBUILD_API size_t lfbuild_cpu_missing(const char *level, char *missing, size_t capacity_bytes);

/* What this program was made for (LFBUILD_CPU). main refers to it, so that a static link cannot leave the check out. */
LFBUILD_API const char *lfbuild_cpu_level(void);

#ifdef __cplusplus
}
#endif

#endif
