/* Complaints: see complaint.h. */
#include "complaint.h"

#include "platform.h"
#include "spin_lock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    SENTENCE_CAPACITY_BYTES = LFBUILD_PATH_CAPACITY_BYTES + 1024,
};

static spin_lock telling = SPIN_LOCK_OPEN;
static char last_told[SENTENCE_CAPACITY_BYTES];

/* A member's name comes out of a file: it must not move the user's cursor or colour their terminal. */
static void mask_control_characters(char *text) {
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            *text = '?';
        }
    }
}

void lfbuild_complain(const char *file, const char *format, ...) {
    int error = errno;
    char sentence[SENTENCE_CAPACITY_BYTES];
    int length = snprintf(sentence, sizeof sentence, "%s: ", file);
    if (length < 0 || (size_t)length >= sizeof sentence) {
        length = 0;
    }
    va_list facts;
    va_start(facts, format);
    vsnprintf(sentence + length, sizeof sentence - (size_t)length, format, facts);
    va_end(facts);
    mask_control_characters(sentence);
    spin_lock_take(&telling);
    if (strcmp(sentence, last_told) != 0) {
        memcpy(last_told, sentence, strlen(sentence) + 1);
        lfbuild_platform_tell_user(sentence);
    }
    spin_lock_leave(&telling);
    errno = error;
}
