/* Own flags: see own_flags.h. */
#include "own_flags.h"

#include "../complaint.h"

#include <string.h>

struct flag {
    const char *word;
    enum lfbuild_flag flag;
    int least, most; /* words that may follow; most < 0: any, they are the engine's */
    const char *shows;
};

static const struct flag flags[] = {
    {"--lf-info", LFBUILD_FLAG_INFO, 0, 0, "--lf-info"},
    {"--lf-verify", LFBUILD_FLAG_VERIFY, 0, 0, "--lf-verify"},
    {"--lf-extract", LFBUILD_FLAG_EXTRACT, 1, 2, "--lf-extract NAME [-]"},
    {"--lf-cache-dir", LFBUILD_FLAG_CACHE_DIR, 0, 0, "--lf-cache-dir"},
    {"--lf-no-args", LFBUILD_FLAG_NO_ARGS, 0, -1, "--lf-no-args [ARGUMENT…]"},
};

#define PREFIX "--lf-"

enum lfbuild_flag lfbuild_read_flag(const char *path, int argc, char *const *argv) {
    const char *word = argc > 1 ? argv[1] : "";
    if (strncmp(word, PREFIX, strlen(PREFIX)) != 0) {
        return LFBUILD_FLAG_NONE;
    }
    int following = argc - 2;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (strcmp(word, flags[i].word) != 0) {
            continue;
        }
        bool fits = following >= flags[i].least && (flags[i].most < 0 || following <= flags[i].most) &&
                    (following < 2 || flags[i].flag != LFBUILD_FLAG_EXTRACT || strcmp(argv[3], "-") == 0);
        if (!fits) {
            lfbuild_complain(path, "%s is used like this: %s", word, flags[i].shows);
            return LFBUILD_FLAG_REFUSED;
        }
        return flags[i].flag;
    }
    lfbuild_complain(path, "there is no %s, only --lf-info, --lf-verify, --lf-extract, --lf-cache-dir and --lf-no-args",
                     word);
    return LFBUILD_FLAG_REFUSED;
}
