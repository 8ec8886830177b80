/* The grammar of default arguments, docs/formats/args.md: that of Cosmopolitan's cosmo_args, oddities included, so that a
 * text means the same to Mozilla's engines and to ours. Pure: it reads a text and gives words. */
#ifndef LFBUILD_ARGS_GRAMMAR_H
#define LFBUILD_ARGS_GRAMMAR_H

#include "platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a program's main is given; words are terminated by NULL and belong to the list. */
struct lfbuild_words {
    char **words;
    size_t count;
    size_t capacity;
};

LFBUILD_API bool lfbuild_words_add(struct lfbuild_words *words, const char *word, size_t length);
LFBUILD_API void lfbuild_words_free(struct lfbuild_words *words);

/* Adds the words of the text; `user` (NULL-terminated) takes the place of the first bare `...`, else comes last.
 * False: no memory. */
LFBUILD_API bool lfbuild_read_args(const char *text, size_t size_bytes, char *const *user, struct lfbuild_words *words);

#ifdef __cplusplus
}
#endif

#endif
