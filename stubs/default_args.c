/* Default arguments: see default_args.h. */
#include "default_args.h"

#include "complaint.h"
#include "member_file.h"

#include <stdlib.h>
#include <string.h>

#define ARGS_NAME ".args"
#define VERB_FOLDER ".lfbuild/args/"
/* Other spellings of the engine's verbs, out of its source: "server=serve,client=cli". */
#ifndef LFBUILD_VERB_ALIASES
#define LFBUILD_VERB_ALIASES ""
#endif
/* Set by the server's router for the programs that it starts from this same file, with complete arguments. */
#define ROUTER_CHILD_VARIABLE "LLAMA_SERVER_ROUTER_PORT"
/* Set to 1 by who wants the program as it is without this file, such as the launcher's --lf-no-args. */
#define NO_ARGS_VARIABLE "LFBUILD_NO_ARGS"

/* A verb by its first name; not terminated. */
struct verb {
    const char *name;
    size_t length;
};

static bool is_same(struct verb one, struct verb other) {
    return one.length == other.length && memcmp(one.name, other.name, one.length) == 0;
}

/* The word itself, unless it is another spelling. */
static struct verb verb_of(const char *word) {
    struct verb named = {.name = word, .length = strlen(word)};
    const char *row = LFBUILD_VERB_ALIASES;
    while (*row) {
        struct verb alias = {.name = row, .length = strcspn(row, "=,")};
        row += alias.length + (row[alias.length] == '=');
        struct verb meant = {.name = row, .length = strcspn(row, ",")};
        row += meant.length + (row[meant.length] == ',');
        if (is_same(named, alias)) {
            return meant;
        }
    }
    return named;
}

static bool add_all(struct lfbuild_words *words, char *const *list) {
    for (; *list; list++) {
        if (!lfbuild_words_add(words, *list, strlen(*list))) {
            return false;
        }
    }
    return true;
}

/* Whether .args begins with this verb, by whatever name. */
static bool is_default_verb(const char *text, size_t size_bytes, struct verb verb) {
    static char *const nobody[] = {NULL};
    struct lfbuild_words words = {0};
    bool is_default = lfbuild_read_args(text, size_bytes, nobody, &words) && words.count &&
                      is_same(verb_of(words.words[0]), verb);
    lfbuild_words_free(&words);
    return is_default;
}

static enum lfbuild_text read_verb_text(struct lfbuild_own_texts *texts, struct verb verb, char **text,
                                        size_t *size_bytes) {
    size_t prefix_length = strlen(VERB_FOLDER);
    char *name = malloc(prefix_length + verb.length + 1);
    if (!name) {
        return LFBUILD_TEXT_ABSENT;
    }
    memcpy(name, VERB_FOLDER, prefix_length);
    memcpy(name + prefix_length, verb.name, verb.length);
    name[prefix_length + verb.length] = '\0';
    enum lfbuild_text found = lfbuild_read_own_text(texts, name, text, size_bytes);
    free(name);
    return found;
}

/* The user named a verb: the default one's text is .args, another's is its own, and one without a text gets none. */
static bool add_for_verb(struct lfbuild_own_texts *texts, const char *args, size_t args_bytes, char *const *user,
                         struct lfbuild_words *words) {
    struct verb verb = verb_of(user[0]);
    if (is_default_verb(args, args_bytes, verb)) {
        return lfbuild_read_args(args, args_bytes, user + 1, words);
    }
    char *text = NULL;
    size_t size_bytes = 0;
    bool added = false;
    switch (read_verb_text(texts, verb, &text, &size_bytes)) {
    case LFBUILD_TEXT_READ:
        added = lfbuild_words_add(words, verb.name, verb.length) &&
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
