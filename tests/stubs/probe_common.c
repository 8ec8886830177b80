/* Probe, the part of it that is the same on every system: see probe.h. */
#include "probe.h"

#include "../../stubs/args_grammar.h"
#include "../../stubs/cpu_check.h"
#include "../../stubs/default_args.h"
#include "../../stubs/weights_io.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int probe_fail(const char *what) {
    fprintf(stdout, "%s: errno %s\n", what, errno == ENOENT ? "ENOENT" : errno == EINVAL ? "EINVAL" : "other");
    return 3;
}

long long probe_number(const char **text) {
    char *end;
    long long value = strtoll(*text, &end, 10);
    *text = *end == ':' ? end + 1 : end;
    return value;
}

/* Exactly as large as asked for, so that the sanitizer sees every byte too many. */
void probe_print_bytes(const char *bytes, size_t size_bytes) {
    fwrite(bytes, 1, size_bytes, stdout);
    fputc('\n', stdout);
}

static int stream(const char *name, char **ops) {
    FILE *file = lfbuild_fopen(name, "rb");
    if (!file) {
        return probe_fail("fopen");
    }
    for (; *ops; ops++) {
        const char *op = *ops;
        if (strncmp(op, "seek:", 5) == 0) {
            op += 5;
            long long offset = probe_number(&op);
            printf("%d\n", lfbuild_fseeko(file, offset, (int)probe_number(&op)));
        } else if (strcmp(op, "tell") == 0) {
            printf("%lld %ld\n", (long long)lfbuild_ftello(file), lfbuild_ftell(file));
        } else if (strcmp(op, "eof") == 0) {
            printf("%d\n", lfbuild_feof(file) != 0);
        } else if (strncmp(op, "read:", 5) == 0) {
            op += 5;
            size_t item_bytes = (size_t)probe_number(&op), count = (size_t)probe_number(&op);
            char *target = calloc(item_bytes ? item_bytes : 1, count ? count : 1);
            size_t got = lfbuild_fread(target, item_bytes, count, file);
            printf("%zu ", got);
            const char *end = memchr(target, '\0', item_bytes * count); /* of an item that is not whole, too */
            probe_print_bytes(target, end ? (size_t)(end - target) : item_bytes * count);
            free(target);
        }
    }
    return lfbuild_fclose(file);
}

static void print_words(const struct lfbuild_words *words) {
    for (size_t i = 0; i < words->count; i++) {
        fwrite(words->words[i], 1, strlen(words->words[i]) + 1, stdout);
    }
}

static int grammar(const char *path, char **user) {
    FILE *file = fopen(path, "rb");
    fseek(file, 0, SEEK_END);
    size_t size_bytes = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(size_bytes ? size_bytes : 1);
    size_bytes = fread(text, 1, size_bytes, file);
    fclose(file);
    struct lfbuild_words words = {0};
    bool read = lfbuild_read_args(text, size_bytes, user, &words);
    print_words(&words);
    lfbuild_words_free(&words);
    free(text);
    return !read;
}

static int args(int argc, char **argv) {
    struct lfbuild_words words = {0};
    bool known = lfbuild_default_args(argc, argv, &words);
    if (known) {
        print_words(&words);
    }
    lfbuild_words_free(&words);
    return !known;
}

int probe_common(int argc, char **argv) {
    const char *verb = argc > 1 ? argv[1] : "";
    if (strcmp(verb, "args") == 0) {
        return args(argc - 1, argv + 1);
    }
    if (argc < 3) {
        return 2;
    }
    if (strcmp(verb, "stream") == 0) {
        return stream(argv[2], argv + 3);
    }
    if (strcmp(verb, "grammar") == 0) {
        return grammar(argv[2], argv + 3);
    }
    if (strcmp(verb, "missing") == 0) {
        char missing[256];
        printf("%zu %s\n", lfbuild_cpu_missing(argv[2], missing, sizeof missing), missing);
        return 0;
    }
    return 2;
}
