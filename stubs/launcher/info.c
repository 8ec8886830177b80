/* --lf-info: what the file says of itself, and what this machine makes of it. */
#include "choice.h"
#include "own_flags.h"

#include <inttypes.h>
#include <string.h>

enum {
    VALUE_CAPACITY_BYTES = 256,
};

/* Texts come out of a file: they must not move the user's cursor or colour their terminal. */
static void print_value(const char *label, const char *value) {
    printf("%-9s", label);
    for (; *value; value++) {
        putchar((unsigned char)*value < 0x20 || *value == 0x7f ? '?' : *value);
    }
    putchar('\n');
}

static void print_release(const struct lfbuild_manifest *manifest) {
    char name[VALUE_CAPACITY_BYTES], version[VALUE_CAPACITY_BYTES], both[2 * VALUE_CAPACITY_BYTES];
    lfbuild_manifest_text(manifest, "release", "name", name, sizeof name);
    lfbuild_manifest_text(manifest, "release", "version", version, sizeof version);
    snprintf(both, sizeof both, "%s%s%s", name, version[0] ? " " : "", version);
    print_value("release", both);
}

static void print_head(const struct lfbuild_manifest *manifest) {
    char kind[VALUE_CAPACITY_BYTES], program[VALUE_CAPACITY_BYTES], both[2 * VALUE_CAPACITY_BYTES];
    lfbuild_manifest_text(manifest, "head", "kind", kind, sizeof kind);
    lfbuild_manifest_text(manifest, "head", "program", program, sizeof program);
    snprintf(both, sizeof both, "%s %s", kind, program);
    print_value("head", both);
}

static const char *method_name(unsigned method) {
    return method == ZIP_METHOD_STORED ? "stored" : method == ZIP_METHOD_DEFLATED ? "deflated" : "unknown";
}

int lfbuild_info(const struct lfbuild_own *own) {
    const struct lfbuild_slice *chosen = lfbuild_choose_slice(&own->table);
    print_value("file", own->path);
    print_release(&own->manifest);
    print_head(&own->manifest);
    printf("%-9s%s\n", "manifest", own->directory.manifest_digest);
    for (size_t i = 0; i < own->table.count; i++) {
        const struct lfbuild_slice *slice = &own->table.slices[i];
        printf("%-9s%s %s %s %" PRIu64 " %" PRIu64 " %s\n", "engine", slice->target, slice->cpus,
               method_name(slice->method), slice->stored_bytes, slice->decoded_bytes, slice->digest);
    }
    if (!chosen) {
        fflush(stdout);
        lfbuild_complain_of_no_slice(own->path, &own->table);
        return 1;
    }
    printf("%-9s%s %s\n", "here", chosen->target, chosen->member);
    return 0;
}
