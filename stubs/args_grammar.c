/* The grammar of default arguments: see args_grammar.h. */
#include "args_grammar.h"

#include <stdlib.h>
#include <string.h>

/* One pass over the text. `word` grows until white space ends it; `inside` tells whether one has begun: only at its
 * beginning do `#` and `...` mean something. */
struct reader {
    const char *at, *end;
    struct lfbuild_words *words;
    char *const *user; /* what of the user's arguments is not placed yet */
    bool inside;
    bool out_of_memory;
    char *word;
    size_t word_length, word_capacity;
};

static bool grow(void **items, size_t *capacity, size_t wanted, size_t item_bytes) {
    if (wanted <= *capacity) {
        return true;
    }
    size_t larger = *capacity ? *capacity * 2 : 32;
    larger = larger < wanted ? wanted : larger;
    void *grown = realloc(*items, larger * item_bytes);
    if (!grown) {
        return false;
    }
    *items = grown;
    *capacity = larger;
    return true;
}

bool lfbuild_words_add(struct lfbuild_words *words, const char *word, size_t length) {
    void *list = words->words;
    bool grown = grow(&list, &words->capacity, words->count + 2, sizeof *words->words);
    words->words = list;
    char *copy = grown ? malloc(length + 1) : NULL;
    if (!copy) {
        return false;
    }
    if (length) {
        memcpy(copy, word, length);
    }
    copy[length] = '\0';
    words->words[words->count++] = copy;
    words->words[words->count] = NULL;
    return true;
}

void lfbuild_words_free(struct lfbuild_words *words) {
    for (size_t i = 0; i < words->count; i++) {
        free(words->words[i]);
    }
    free(words->words);
    *words = (struct lfbuild_words){0};
}

/* Not the C library's: these must not depend on a locale. */
static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_name(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static int hex_value(char c) {
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static char c_escape(char c) {
    static const char letters[] = "abtnvfre", values[] = "\a\b\t\n\v\f\r\x1b";
    const char *letter = c ? strchr(letters, c) : NULL;
    return letter ? values[letter - letters] : c;
}

static void append(struct reader *reader, char c) {
    void *word = reader->word;
    bool grown = grow(&word, &reader->word_capacity, reader->word_length + 1, 1);
    reader->word = word;
    if (!grown) {
        reader->out_of_memory = true;
        return;
    }
    reader->word[reader->word_length++] = c;
}

static void append_text(struct reader *reader, const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        append(reader, text[i]);
    }
}

static void finish_word(struct reader *reader) {
    /* A program cannot be given a NUL: as in Cosmopolitan, the argument ends there. */
    const char *nul = reader->word_length ? memchr(reader->word, '\0', reader->word_length) : NULL;
    size_t length = nul ? (size_t)(nul - reader->word) : reader->word_length;
    if (!lfbuild_words_add(reader->words, reader->word, length)) {
        reader->out_of_memory = true;
    }
    reader->word_length = 0;
    reader->inside = false;
}

static void place_user(struct reader *reader) {
    while (*reader->user) {
        if (!lfbuild_words_add(reader->words, *reader->user, strlen(*reader->user))) {
            reader->out_of_memory = true;
        }
        reader->user++;
    }
}

/* At the beginning of a word, on a dot. */
static void read_dots(struct reader *reader) {
    size_t dots = 0;
    while (dots < 3 && reader->at < reader->end && *reader->at == '.') {
        reader->at++;
        dots++;
    }
    bool ends = reader->at == reader->end;
    if (dots == 3 && (ends || is_space(*reader->at))) {
        place_user(reader);
        return;
    }
    append_text(reader, "...", dots);
    reader->inside = true;
}

static void append_variable(struct reader *reader, const char *name, size_t length) {
    char *copy = malloc(length + 1);
    if (!copy) {
        reader->out_of_memory = true;
        return;
    }
    memcpy(copy, name, length);
    copy[length] = '\0';
    char *value = lfbuild_platform_variable(copy);
    free(copy);
    if (value) {
        append_text(reader, value, strlen(value));
    }
    free(value);
}

static void read_braced_variable(struct reader *reader) {
    const char *name = reader->at;
    const char *brace = memchr(name, '}', (size_t)(reader->end - name));
    if (!brace) { /* never closed: it stands for itself */
        append_text(reader, "${", 2);
        append_text(reader, name, (size_t)(reader->end - name));
        reader->at = reader->end;
        return;
    }
    append_variable(reader, name, (size_t)(brace - name));
    reader->at = brace + 1;
}

/* Behind a dollar sign. Of "$$" the first is plain and the second may still begin a variable. */
static void read_variable(struct reader *reader, bool quoted) {
    while (reader->at < reader->end && *reader->at == '$') {
        append(reader, '$');
        reader->at++;
    }
    if (reader->at == reader->end) {
        if (!quoted) {
            append(reader, '$');
        }
        return;
    }
    if (*reader->at == '{') {
        reader->at++;
        read_braced_variable(reader);
        return;
    }
    const char *name = reader->at;
    while (reader->at < reader->end && is_name(*reader->at)) {
        reader->at++;
    }
    if (reader->at == name) {
        append(reader, '$');
        return;
    }
    append_variable(reader, name, (size_t)(reader->at - name));
}

/* Behind a backslash outside quotes. Before the end of a line the word goes on, behind the next line's white space. */
static void read_escape(struct reader *reader) {
    while (reader->at < reader->end && *reader->at == '\r') {
        reader->at++;
    }
    if (reader->at == reader->end) {
        return;
    }
    char c = *reader->at++;
    if (c == '\n') {
        reader->inside = false;
        return;
    }
    append(reader, c_escape(c));
    reader->inside = true;
}

/* Up to three digits; a number that the end of the text cuts off is dropped. */
static void read_octal(struct reader *reader) {
    unsigned value = 0;
    for (int digits = 0; digits < 3; digits++) {
        if (reader->at == reader->end) {
            return;
        }
        if (!is_digit(*reader->at)) {
            break;
        }
        value = value << 3;
        value += (unsigned)(*reader->at++ - '0');
    }
    append(reader, (char)(unsigned char)value);
}

static void read_hexadecimal(struct reader *reader) {
    if (reader->at == reader->end) {
        return;
    }
    int value = hex_value(*reader->at);
    if (value < 0) {
        append(reader, 'x');
        return;
    }
    if (++reader->at == reader->end) {
        return;
    }
    int second = hex_value(*reader->at);
    if (second >= 0) {
        value = value * 16 + second;
        reader->at++;
    }
    append(reader, (char)(unsigned char)value);
}

static void read_quoted_escape(struct reader *reader) {
    while (reader->at < reader->end && *reader->at == '\r') {
        reader->at++;
    }
    if (reader->at == reader->end) {
        return;
    }
    if (is_digit(*reader->at)) {
        read_octal(reader);
        return;
    }
    char c = *reader->at++;
    if (c == 'x') {
        read_hexadecimal(reader);
    } else if (c != '\n') {
        append(reader, c_escape(c));
    }
}

static void read_single_quotes(struct reader *reader) {
    while (reader->at < reader->end) {
        char c = *reader->at++;
        if (c == '\'') {
            return;
        }
        append(reader, c);
    }
}

static void read_double_quotes(struct reader *reader) {
    while (reader->at < reader->end) {
        char c = *reader->at++;
        switch (c) {
        case '"':
            return;
        case '$':
            read_variable(reader, true);
            break;
        case '\\':
            read_quoted_escape(reader);
            break;
        default:
            append(reader, c);
        }
    }
}

static void read_piece(struct reader *reader) {
    char c = *reader->at++;
    reader->inside = true;
    switch (c) {
    case '\'':
        read_single_quotes(reader);
        break;
    case '"':
        read_double_quotes(reader);
        break;
    case '$':
        read_variable(reader, false);
        break;
    case '\\':
        read_escape(reader);
        break;
    default:
        append(reader, c);
    }
}

static void skip_comment(struct reader *reader) {
    const char *newline = memchr(reader->at, '\n', (size_t)(reader->end - reader->at));
    reader->at = newline ? newline + 1 : reader->end;
}

bool lfbuild_read_args(const char *text, size_t size_bytes, char *const *user, struct lfbuild_words *words) {
    struct reader reader = {.at = text, .end = text + size_bytes, .words = words, .user = user};
    while (reader.at < reader.end && !reader.out_of_memory) {
        char c = *reader.at;
        if (is_space(c)) {
            reader.at++;
            if (reader.inside) {
                finish_word(&reader);
            }
        } else if (!reader.inside && c == '#') {
            skip_comment(&reader);
        } else if (!reader.inside && c == '.') {
            read_dots(&reader);
        } else {
            read_piece(&reader);
        }
    }
    if (reader.word_length) { /* so an empty quoted word at the very end is dropped, as in Cosmopolitan */
        finish_word(&reader);
    }
    place_user(&reader);
    free(reader.word);
    return !reader.out_of_memory;
}
