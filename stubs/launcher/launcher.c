/* Launcher: see launcher.h; docs/formats/launch.md has every rule. */
#include "launcher.h"

#include "../complaint.h"
#include "launch.h"
#include "own_flags.h"
#include "system.h"

#include <stdlib.h>

#define NO_ARGS_VARIABLE "LFBUILD_NO_ARGS"

static int launch(struct lfbuild_own *own, char **argv, bool without_args) {
    if (without_args && !lfbuild_system_set_variable(NO_ARGS_VARIABLE, "1")) {
        lfbuild_complain(own->path, "the engine cannot be told of --lf-no-args (%s)", lfbuild_system_problem());
        return 1;
    }
    if (own->named && argv[0]) {
        argv[0] = own->path; /* the shell started a placed copy, whose path says nothing to the user */
    }
    lfbuild_launch(own, argv, without_args ? 1 : 0);
    return 1;
}

/* Of what an own flag has printed: nobody may take half of it for all. */
static int finish(const struct lfbuild_own *own, int code) {
    if (code == 0 && (fflush(stdout) != 0 || ferror(stdout))) {
        lfbuild_complain(own->path, "what was to be told could not be written; see where its output goes");
        return 1;
    }
    return code;
}

int lfbuild_launcher(int argc, char **argv) {
    static struct lfbuild_own own;
    if (!lfbuild_own_open(&own)) {
        return 1;
    }
    enum lfbuild_flag flag = lfbuild_read_flag(own.path, argc, argv);
    if (flag != LFBUILD_FLAG_NONE && flag != LFBUILD_FLAG_NO_ARGS) {
        lfbuild_system_prepare_stdout();
    }
    switch (flag) {
    case LFBUILD_FLAG_INFO:
        return finish(&own, lfbuild_info(&own));
    case LFBUILD_FLAG_VERIFY:
        return finish(&own, lfbuild_verify(&own));
    case LFBUILD_FLAG_EXTRACT:
        return lfbuild_extract(&own, argv[2], argc > 3 ? argv[3] : NULL);
    case LFBUILD_FLAG_CACHE_DIR:
        return finish(&own, lfbuild_cache_dir(&own));
    case LFBUILD_FLAG_REFUSED:
        return 1;
    default:
        return launch(&own, argv, flag == LFBUILD_FLAG_NO_ARGS);
    }
}
