/* The program's main: the file's default arguments first, then llama.cpp's own main, which lfbuild.cmake renames. */
#include "cpu_check.h"
#include "default_args.h"

#ifndef LFBUILD_ENGINE_VERSION
#define LFBUILD_ENGINE_VERSION "unknown"
#endif

int lfbuild_engine_main(int argc, char ** argv);

/* Found in the program's bytes by whoever wants to know what it is without running it. Volatile, so that it stays there. */
static const volatile char identity[] = "lfbuild-engine: " LFBUILD_ENGINE_VERSION;

int main(int argc, char ** argv) {
    /* The CPU was checked before main; these references keep the check and the identity in a static link. */
    if (!lfbuild_cpu_level() || !identity[0]) {
        return 1;
    }
    if (!lfbuild_platform_arguments(&argc, &argv)) {
        return 1;
    }
    lfbuild_words words = {}; /* never freed: llama.cpp keeps pointers to its arguments until the process ends */
    if (!lfbuild_default_args(argc, argv, &words)) {
        return 1;
    }
    return lfbuild_engine_main(static_cast<int>(words.count), words.words);
}
