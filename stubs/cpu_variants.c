/* CPU variants: which of the CPU levels in this program is used.
 *
 * variants.cmake compiles upstream's ggml-cpu once for each level and gives every symbol of it the level's suffix. This is
 * the one that has none: upstream asks it for the CPU backend, and gets the best one that this CPU can run. Two have a say:
 * our own check, which knows what the operating system saves (cpu_check.h), and upstream's score, by which upstream itself
 * chooses among its libraries. The environment variable LFBUILD_CPU names another level (`best`: none other), and has the
 * choice told on stderr.
 */
#include "complaint.h"
#include "cpu_check.h"
#include "platform.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct ggml_backend_reg;

#define VARIANT(tag, level)                                                                                            \
    struct ggml_backend_reg *ggml_backend_cpu_reg_##tag(void);                                                         \
    int ggml_backend_score_##tag(void);
#include "cpu_variants.inc"
#undef VARIANT

struct variant {
    const char *level;
    struct ggml_backend_reg *(*reg)(void);
    int (*score)(void);
};

/* Best first. */
#define VARIANT(tag, level) {level, ggml_backend_cpu_reg_##tag, ggml_backend_score_##tag},
static const struct variant variants[] = {
#include "cpu_variants.inc"
};
#undef VARIANT

/* What LFBUILD_CPU says to hear which level is taken, and take the best. */
#define BEST "best"

enum { COUNT = sizeof variants / sizeof variants[0] };

/* Upstream's score is 0 for a CPU that it cannot ask. Cosmopolitan on ARM is such a system; we ask it on Linux, and where we
 * cannot either, only the least level is known to run. */
static int score_of(const struct variant *variant) {
#if defined(__COSMOPOLITAN__) && defined(__aarch64__)
    int place = (int)(variant - variants);
    return lfbuild_cpu_is_known() ? COUNT - place : place + 1;
#else
    return variant->score();
#endif
}

static int best_score(const struct variant *variant) {
    char missing[256];
    return lfbuild_cpu_missing(variant->level, missing, sizeof missing) ? 0 : score_of(variant);
}

static const struct variant *choose_best(void) {
    const struct variant *best = NULL;
    int best_so_far = 0;
    for (size_t i = 0; i < COUNT; i++) {
        int score = best_score(&variants[i]);
        if (score > best_so_far) {
            best = &variants[i];
            best_so_far = score;
        }
    }
    return best;
}

static _Noreturn void refuse(const char *what, const char *level) {
    static struct lfbuild_own_file own;
    char levels[1024];
    size_t used = 0;
    levels[0] = '\0';
    for (size_t i = 0; i < COUNT && used < sizeof levels; i++) {
        used += (size_t)snprintf(levels + used, sizeof levels - used, "%s%s", i ? ", " : "", variants[i].level);
    }
    lfbuild_complain(lfbuild_platform_own_file(&own) ? own.shows : "lfbuild", "%s%s; this program has %s", what, level,
                     levels);
    exit(1);
}

static const struct variant *choose_named(const char *level) {
    for (size_t i = 0; i < COUNT; i++) {
        if (strcmp(variants[i].level, level) == 0) {
            if (best_score(&variants[i]) == 0) {
                refuse("this CPU cannot run the level that LFBUILD_CPU names, ", level);
            }
            return &variants[i];
        }
    }
    refuse("there is no CPU level as LFBUILD_CPU names it, ", level);
}

static void tell(const struct variant *variant) {
    static struct lfbuild_own_file own;
    lfbuild_complain(lfbuild_platform_own_file(&own) ? own.shows : "lfbuild", "CPU level %s", variant->level);
}

static const struct variant *choose(void) {
    static const struct variant *chosen; /* the same for every thread that comes first */
    if (!chosen) {
        const char *named = getenv("LFBUILD_CPU");
        bool is_named = named && named[0] && strcmp(named, BEST) != 0;
        chosen = is_named ? choose_named(named) : choose_best();
        if (!chosen) {
            refuse("this CPU runs none of its levels", "");
        }
        if (named && named[0]) {
            tell(chosen);
        }
    }
    return chosen;
}

/* Declared by upstream in ggml-cpu.h, which needs C++ on some compilers. */
struct ggml_backend_reg *ggml_backend_cpu_reg(void);

struct ggml_backend_reg *ggml_backend_cpu_reg(void) {
    return choose()->reg();
}
