/* CPU check: see cpu_check.h.
 *
 * It runs before every other constructor of the program. In this project only ggml-cpu is compiled above the baseline of
 * its architecture, so nothing before or in this check can meet an instruction that the CPU does not know.
 */
#include "cpu_check.h"

#include "cpu_features.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

/* Every Mac with an ARM processor has DOTPROD: compilers take that for its baseline. */
#if defined(__AVX__) || (defined(__ARM_FEATURE_DOTPROD) && !defined(__APPLE__)) || defined(__ARM_FEATURE_SVE)
#error "the CPU check must itself run on any CPU: set the level for ggml-cpu only (GGML_AVX2, GGML_CPU_ARM_ARCH), not in CMAKE_C_FLAGS"
#endif

#ifndef LFBUILD_CPU
#define LFBUILD_CPU ""
#endif

struct level {
    const char *name, *adds, *below;
};

struct names {
    char *text;
    size_t capacity_bytes, used_bytes, count;
};

static bool is_word(const char *word, size_t length, const char *name) {
    return strlen(name) == length && memcmp(word, name, length) == 0;
}

static void add_name(struct names *names, const char *name, size_t length) {
    const char *separator = names->count++ ? ", " : "";
    size_t separator_length = strlen(separator);
    if (names->used_bytes + separator_length + length + 1 > names->capacity_bytes) {
        return;
    }
    memcpy(names->text + names->used_bytes, separator, separator_length);
    memcpy(names->text + names->used_bytes + separator_length, name, length);
    names->used_bytes += separator_length + length;
    names->text[names->used_bytes] = '\0';
}

#if defined(__x86_64__)

enum { EAX, EBX, ECX, EDX };
/* Bits of XCR0: registers that the system saves for a program; without, an instruction traps though the CPU knows it. */
enum {
    NOTHING = 0,
    YMM = 0x6,
    ZMM_ALONE = 0xe0,
    ZMM = YMM | ZMM_ALONE,
    TILES = 0x60000,
};
enum {
    BIT_OSXSAVE = 27,
};

struct feature {
    const char *name;
    uint32_t leaf, subleaf;
    int result;
    int bit;
    uint64_t saved;
};

#define FEATURE(...) {__VA_ARGS__},
static const struct feature features[] = {LFBUILD_X86_FEATURES(FEATURE)};
#define LEVEL(...) {__VA_ARGS__},
static const struct level levels[] = {LFBUILD_X86_LEVELS(LEVEL)};

static void read_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t results[4]) {
    __asm__ volatile("cpuid"
                     : "=a"(results[EAX]), "=b"(results[EBX]), "=c"(results[ECX]), "=d"(results[EDX])
                     : "a"(leaf), "c"(subleaf));
}

#if defined(__APPLE__)
/* macOS sets the bits of the AVX-512 registers when a program first uses them, so they come too late to be asked for. Before
 * Darwin 21.3 (macOS 12.2) a signal could change the mask registers; Go asks the same two things (its issues 43089, 49233). */
static bool macos_saves_zmm(void) {
    int has_avx512 = 0;
    size_t size_bytes = sizeof has_avx512;
    if (sysctlbyname("hw.optional.avx512f", &has_avx512, &size_bytes, NULL, 0) != 0 || !has_avx512) {
        return false;
    }
    char release[64] = "";
    int major, minor;
    size_bytes = sizeof release - 1;
    return sysctlbyname("kern.osrelease", release, &size_bytes, NULL, 0) == 0 &&
           sscanf(release, "%d.%d", &major, &minor) == 2 && (major > 21 || (major == 21 && minor >= 3));
}
#endif

static uint64_t read_saved_registers(void) {
    uint32_t results[4];
    read_cpuid(1, 0, results);
    if (!(results[ECX] >> BIT_OSXSAVE & 1)) {
        return 0;
    }
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    uint64_t saved = low | (uint64_t)high << 32;
#if defined(__APPLE__)
    saved = (saved & ~(uint64_t)ZMM_ALONE) | (macos_saves_zmm() ? ZMM_ALONE : 0);
#endif
    return saved;
}

static bool cpu_has(const struct feature *feature) {
    uint32_t results[4];
    read_cpuid(feature->leaf & 0x80000000u, 0, results);
    if (results[EAX] < feature->leaf) {
        return false;
    }
    if (feature->subleaf) {
        read_cpuid(feature->leaf, 0, results);
        if (results[EAX] < feature->subleaf) {
            return false;
        }
    }
    read_cpuid(feature->leaf, feature->subleaf, results);
    return (results[feature->result] >> feature->bit & 1) &&
           (feature->saved == NOTHING || (read_saved_registers() & feature->saved) == feature->saved);
}

bool lfbuild_cpu_is_known(void) {
    return true;
}

#elif defined(__aarch64__)

#if defined(__COSMOPOLITAN__)
#include <cosmo.h>
#endif
#if defined(__linux__) || defined(__COSMOPOLITAN__)
#include <sys/auxv.h>
#endif

struct feature {
    const char *name;
    int word;
    int bit;
    const char *apple;
};

#define FEATURE(...) {__VA_ARGS__},
static const struct feature features[] = {LFBUILD_ARM_FEATURES(FEATURE)};
#define LEVEL(...) {__VA_ARGS__},
static const struct level levels[] = {LFBUILD_ARM_LEVELS(LEVEL)};

bool lfbuild_cpu_is_known(void) {
#if defined(__COSMOPOLITAN__)
    return IsLinux(); /* elsewhere it has nobody to ask */
#elif defined(__linux__) || defined(__APPLE__)
    return true;
#else
    return false;
#endif
}

static bool cpu_has(const struct feature *feature) {
#if defined(__linux__) || defined(__COSMOPOLITAN__)
    enum { HWCAP = 16, HWCAP2 = 26 };
    return getauxval(feature->word == 1 ? HWCAP : HWCAP2) >> feature->bit & 1;
#elif defined(__APPLE__)
    char name[64];
    int there = 0;
    size_t size_bytes = sizeof there;
    snprintf(name, sizeof name, "hw.optional.%s", feature->apple);
    return feature->apple[0] && sysctlbyname(name, &there, &size_bytes, NULL, 0) == 0 && there;
#else
    (void)feature;
    return true;
#endif
}

#else

struct feature {
    const char *name;
};
static const struct feature features[] = {{""}};
static const struct level levels[] = {{"", "", ""}};

bool lfbuild_cpu_is_known(void) {
    return false;
}

static bool cpu_has(const struct feature *feature) {
    (void)feature;
    return true;
}

#endif

/* A feature by that name, present or not; one that nobody knows counts as missing, since nobody can say that it is there. */
static void check_feature(const char *name, size_t length, struct names *missing) {
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++) {
        if (is_word(name, length, features[i].name)) {
            if (!cpu_has(&features[i])) {
                add_name(missing, name, length);
            }
            return;
        }
    }
    add_name(missing, name, length);
}

static void check_level(const char *name, size_t length, struct names *missing) {
    for (size_t i = sizeof levels / sizeof levels[0]; i-- > 0;) {
        if (!is_word(name, length, levels[i].name)) {
            continue;
        }
        /* The table stands lowest first, so a level's parts are told before its own. */
        if (levels[i].below[0]) {
            check_level(levels[i].below, strlen(levels[i].below), missing);
        }
        for (const char *word = levels[i].adds; *word; word += strspn(word, " ")) {
            size_t word_length = strcspn(word, " ");
            check_feature(word, word_length, missing);
            word += word_length;
        }
        return;
    }
    add_name(missing, name, length);
}

size_t lfbuild_cpu_missing(const char *level, char *missing, size_t capacity_bytes) {
    struct names names = {.text = missing, .capacity_bytes = capacity_bytes};
    missing[0] = '\0';
    if (!lfbuild_cpu_is_known()) {
        return 0;
    }
    size_t length = strcspn(level, "+");
    check_level(level, length, &names);
    for (const char *at = level + length; *at == '+'; at += length) {
        at++;
        length = strcspn(at, "+");
        check_feature(at, length, &names);
    }
    return names.count;
}

const char *lfbuild_cpu_level(void) {
    return LFBUILD_CPU;
}

/* 101 is the highest priority that is not the compiler's own. */
__attribute__((constructor(101))) static void refuse_lesser_cpu(void) {
    char missing[256];
    if (LFBUILD_CPU[0] == '\0' || lfbuild_cpu_missing(LFBUILD_CPU, missing, sizeof missing) == 0) {
        return;
    }
    static struct lfbuild_own_file own;
    static char sentence[LFBUILD_PATH_CAPACITY_BYTES + 512];
    snprintf(sentence, sizeof sentence,
             "%s: this program needs a CPU with " LFBUILD_CPU ", and this one lacks %s; run it on a newer machine, or "
             "build it for this one with a lower level in targets.cpus",
             lfbuild_platform_own_file(&own) ? own.shows : "lfbuild", missing);
    lfbuild_platform_tell_user(sentence);
    _Exit(1);
}
