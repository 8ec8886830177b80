/* Manifest: see manifest.h. */
#include "manifest.h"

#include "digest.h"
#include "member.h"
#include "slice_table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MANIFEST_NAME ".lfbuild/manifest.json"

enum {
    MANIFEST_LIMIT_BYTES = 16 << 20,
    RECORD_CAPACITY_BYTES = 256,
};

const char *lfbuild_manifest_load(const struct zip_directory *directory, struct lfbuild_manifest *manifest) {
    const char *problem = lfbuild_member_text(directory, MANIFEST_NAME, MANIFEST_LIMIT_BYTES, &manifest->text,
                                              &manifest->size_bytes);
    if (problem) {
        return problem;
    }
    struct lfbuild_hex digest = lfbuild_digest_of(manifest->text, manifest->size_bytes);
    if (strcmp(digest.digits, directory->manifest_digest) != 0) {
        free(manifest->text);
        manifest->text = NULL;
        return "it is not the one that the seal names";
    }
    return NULL;
}

/* Inside a JSON string a quote has a backslash before it, so nothing that somebody wrote can look like this. */
bool lfbuild_manifest_has_slices(const struct lfbuild_manifest *manifest, const void *bytes, size_t size_bytes) {
    char record[RECORD_CAPACITY_BYTES];
    snprintf(record, sizeof record,
             "\"name\":\"" LFBUILD_SLICES_NAME "\",\"place\":\"tail\",\"role\":\"slices\",\"root\":\"%s\","
             "\"size_bytes\":%" PRIu64 "}",
             lfbuild_root_of_one_block(bytes, size_bytes).digits, (uint64_t)size_bytes);
    return strstr(manifest->text, record) != NULL;
}

/* Behind the end of the JSON string that begins at `at`; NULL when it has none. */
static const char *skip_string(const char *at) {
    for (at++; *at && *at != '"'; at++) {
        at += *at == '\\' && at[1];
    }
    return *at ? at + 1 : NULL;
}

static bool is_key(const char *at, const char *end, const char *key) {
    size_t length = strlen(key);
    return (size_t)(end - at) == length + 2 && memcmp(at + 1, key, length) == 0 && *end == ':';
}

/* The value of a key of the object that begins at `at`, not of one inside it; NULL when it has none. */
static const char *find_value(const char *at, const char *key) {
    int depth = 0;
    while (at && *at) {
        if (*at == '"') {
            const char *end = skip_string(at);
            if (end && depth == 1 && is_key(at, end, key)) {
                return end + 1;
            }
            at = end;
            continue;
        }
        depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
        if (depth == 0) {
            return NULL;
        }
        at++;
    }
    return NULL;
}

void lfbuild_manifest_text(const struct lfbuild_manifest *manifest, const char *object, const char *key, char *value,
                           size_t capacity_bytes) {
    const char *at = find_value(manifest->text, object);
    at = at && *at == '{' ? find_value(at, key) : NULL;
    size_t used = 0;
    if (at && *at == '"') {
        for (at++; *at && *at != '"' && used + 1 < capacity_bytes; at++) {
            at += *at == '\\' && at[1]; /* shown, never used: an escaped quote is what counts */
            value[used++] = *at;
        }
    }
    value[used] = '\0';
}
