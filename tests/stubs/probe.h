/* Probe: a small program that makes the calls llama.cpp makes, so that tests can ask the layer from outside.
 *
 * On every system (probe_common.c):
 *   probe stream NAME OP…      OPs: seek:OFFSET:WHENCE tell read:ITEM:COUNT eof
 *   probe grammar PATH USER…   the words of a text
 *   probe args ARGUMENT…       argv after the file's default arguments
 *   probe missing LEVEL        what this CPU lacks
 * and what each system has of its own (probe.c, probe_windows.c).
 */
#ifndef LFBUILD_TESTS_PROBE_H
#define LFBUILD_TESTS_PROBE_H

#include <stddef.h>

int probe_common(int argc, char **argv);

/* Says which call failed and why; the program's exit code. */
int probe_fail(const char *what);
/* The number at the text's beginning; the text moves behind it and a colon. */
long long probe_number(const char **text);
void probe_print_bytes(const char *bytes, size_t size_bytes);

#endif
