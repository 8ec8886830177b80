/* Default arguments: see default_args.h. */
#include "default_args.h"

#include "complaint.h"
#include "member_file.h"

#include <stdlib.h>
#include <string.h>

#define ARGS_NAME ".args"
#define VERB_FOLDER ".lfbuild/args/"
/* Set by the server's router for the programs that it starts from this same file, with complete arguments. */
#define ROUTER_CHILD_VARIABLE "LLAMA_SERVER_ROUTER_PORT"
/* Set to 1 by who wants the program as it is without this file, such as the launcher's --lf-no-args. */
#define NO_ARGS_VARIABLE "LFBUILD_NO_ARGS"

static bool add_all(struct lfbuild_words *words, char *const *list) {
    for (; *list; list++) {
        if (!lfbuild_words_add(words, *list, strlen(*list))) {
            return false;
        }
    }
    return true;
}

/* The first word of .args, if it is a verb; to be freed. */
static char *find_default_verb(const char *text, size_t size_bytes) {
    static char *const nobody[] = {NULL};
    struct lfbuild_words words = {0};
    char *verb = NULL;
    if (lfbuild_read_args(text, size_bytes, nobody, &words) && words.count && words.words[0][0] != '-') {
        verb = words.words[0];
        words.words[0] = NULL;
    }
    lfbuild_words_free(&words);
    return verb;
}

static enum lfbuild_text read_verb_text(struct lfbuild_own_texts *texts, const char *verb, char **text,
                                        size_t *size_bytes) {
    size_t prefix_length = strlen(VERB_FOLDER), length = strlen(verb);
    char *name = malloc(prefix_length + length + 1);
    if (!name) {
        return LFBUILD_TEXT_ABSENT;
    }
    memcpy(name, VERB_FOLDER, prefix_length);
    memcpy(name + prefix_length, verb, length + 1);
    enum lfbuild_text found = lfbuild_read_own_text(texts, name, text, size_bytes);
    free(name);
    return found;
}

/* The user named a verb: the default one's text is .args, another's is its own, and one without a text gets none. */
static bool add_for_verb(struct lfbuild_own_texts *texts, const char *args, size_t args_bytes, char *const *user,
                         struct lfbuild_words *words) {
    const char *verb = user[0];
    char *default_verb = find_default_verb(args, args_bytes);
    bool is_default = default_verb && strcmp(default_verb, verb) == 0;
    free(default_verb);
    if (is_default) {
        return lfbuild_read_args(args, args_bytes, user + 1, words);
    }
    char *text = NULL;
    size_t size_bytes = 0;
    bool added = false;
    switch (read_verb_text(texts, verb, &text, &size_bytes)) {
    case LFBUILD_TEXT_READ:
        added = lfbuild_words_add(words, verb, strlen(verb)) &&
                lfbuild_read_args(text, size_bytes, user + 1, words);
        break;
    case LFBUILD_TEXT_ABSENT:
        added = add_all(words, user);
        break;
    default:
        break;
    }
    free(text);
    return added;
}

static bool add_from_file(struct lfbuild_own_texts *texts, char *const *user, struct lfbuild_words *words) {
    char *args = NULL;
    size_t size_bytes = 0;
    enum lfbuild_text found = lfbuild_read_own_text(texts, ARGS_NAME, &args, &size_bytes);
    bool added = false;
    if (found != LFBUILD_TEXT_REFUSED) {
        const char *text = args ? args : "";
        added = user[0] && user[0][0] != '-' ? add_for_verb(texts, text, size_bytes, user, words)
                                             : lfbuild_read_args(text, size_bytes, user, words);
    }
    free(args);
    return added;
}

static bool wants_none(void) {
    char *port = lfbuild_platform_variable(ROUTER_CHILD_VARIABLE);
    char *no_args = lfbuild_platform_variable(NO_ARGS_VARIABLE);
    bool none = port || (no_args && strcmp(no_args, "1") == 0);
    free(port);
    free(no_args);
    return none;
}

bool lfbuild_default_args(int argc, char **argv, struct lfbuild_words *words) {
    static char *const nobody[] = {NULL};
    char *const *user = argc > 0 ? argv + 1 : nobody;
    const char *program = argc > 0 ? argv[0] : "lfbuild";
    if (!lfbuild_words_add(words, program, strlen(program))) {
        return false;
    }
    bool refused = false;
    struct lfbuild_own_texts *texts = wants_none() ? NULL : lfbuild_open_own_texts(&refused);
    if (!texts) {
        return !refused && add_all(words, user);
    }
    bool added = add_from_file(texts, user, words);
    lfbuild_close_own_texts(texts);
    return added;
}
