/* Manifest: the one member that the seal names, and the few things of it that a launcher asks. No JSON parser:
 * canonical JSON has one spelling for each record, so the record that must be there is looked for as text. */
#ifndef LFBUILD_LAUNCHER_MANIFEST_H
#define LFBUILD_LAUNCHER_MANIFEST_H

#include "../zip_directory.h"

struct lfbuild_manifest {
    char *text; /* zero-terminated; to be freed */
    size_t size_bytes;
};

/* NULL, or what is wrong: afterwards its bytes are those that the seal names. */
const char *lfbuild_manifest_load(const struct zip_directory *directory, struct lfbuild_manifest *manifest);

/* Whether these are the bytes of `.lfbuild/slices` that the manifest lists. */
bool lfbuild_manifest_has_slices(const struct lfbuild_manifest *manifest, const void *bytes, size_t size_bytes);

/* A text inside one of the manifest's own objects, such as "release" and "name"; empty when it is not there. */
void lfbuild_manifest_text(const struct lfbuild_manifest *manifest, const char *object, const char *key, char *value,
                           size_t capacity_bytes);

#endif
