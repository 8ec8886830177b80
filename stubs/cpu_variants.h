/* CPU variants: which of the CPU levels in this program is used. */
#ifndef LFBUILD_CPU_VARIANTS_H
#define LFBUILD_CPU_VARIANTS_H

#ifdef __cplusplus
extern "C" {
#endif

/* The level that was chosen, such as "x86-64-v3". The environment variable LFBUILD_CPU chooses another one (`best`: none
 * other), and has the choice told on stderr. */
const char *lfbuild_cpu_chosen(void);

#ifdef __cplusplus
}
#endif

#endif
