/* Default arguments: which of the file's texts the user's command line starts from. docs/formats/args.md has the rules. */
#ifndef LFBUILD_DEFAULT_ARGS_H
#define LFBUILD_DEFAULT_ARGS_H

#include "args_grammar.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Fills words with argv[0] and what the program is to do. False: the user has been told why not. */
LFBUILD_API bool lfbuild_default_args(int argc, char **argv, struct lfbuild_words *words);

#ifdef __cplusplus
}
#endif

#endif
