/* Choice: see choice.h. */
#include "choice.h"

#include "../complaint.h"
#include "../cpu_check.h"

#include <stdio.h>
#include <string.h>

#ifndef LFBUILD_TARGET
#error "a launcher has to know the target that it is compiled for: -DLFBUILD_TARGET=\"linux-x86_64\""
#endif

enum {
    MISSING_CAPACITY_BYTES = 256,
    TARGETS_CAPACITY_BYTES = 512,
};

const char lfbuild_own_target[] = LFBUILD_TARGET;

static bool is_own(const struct lfbuild_slice *slice) {
    return strcmp(slice->target, lfbuild_own_target) == 0;
}

const struct lfbuild_slice *lfbuild_choose_slice(const struct lfbuild_slice_table *table) {
    char missing[MISSING_CAPACITY_BYTES];
    for (size_t i = 0; i < table->count; i++) {
        const struct lfbuild_slice *slice = &table->slices[i];
        if (is_own(slice) && lfbuild_cpu_missing(lfbuild_slice_lowest_cpu(slice), missing, sizeof missing) == 0) {
            return slice;
        }
    }
    return NULL;
}

/* The targets of the table, each once: slices of one target stand together. */
static void list_targets(const struct lfbuild_slice_table *table, char *targets, size_t capacity_bytes) {
    size_t used = 0;
    const char *before = "";
    targets[0] = '\0';
    for (size_t i = 0; i < table->count; i++) {
        const char *target = table->slices[i].target;
        if (strcmp(target, before) == 0 || used + strlen(target) + 3 > capacity_bytes) {
            continue;
        }
        used += (size_t)snprintf(targets + used, capacity_bytes - used, "%s%s", used ? ", " : "", target);
        before = target;
    }
}

void lfbuild_complain_of_no_slice(const char *path, const struct lfbuild_slice_table *table) {
    const struct lfbuild_slice *last = NULL;
    for (size_t i = 0; i < table->count; i++) {
        last = is_own(&table->slices[i]) ? &table->slices[i] : last;
    }
    if (!last) {
        char targets[TARGETS_CAPACITY_BYTES];
        list_targets(table, targets, sizeof targets);
        lfbuild_complain(path, "it holds no engine for %s, only for %s; get a file that holds one", lfbuild_own_target,
                         targets[0] ? targets : "nothing");
        return;
    }
    char missing[MISSING_CAPACITY_BYTES];
    const char *level = lfbuild_slice_lowest_cpu(last);
    lfbuild_cpu_missing(level, missing, sizeof missing);
    lfbuild_complain(path,
                     "its engine for %s needs a CPU with %s, and this one lacks %s; run it on a newer machine, or "
                     "build it for this one with a lower level in targets.cpus",
                     lfbuild_own_target, level, missing);
}
