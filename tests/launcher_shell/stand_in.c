/* Stands in for a launcher: says which file it is in and which words it got, or does what its first word says. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

int main(int count, char **words) {
    const char *act = count > 1 ? words[1] : "";
    if (strcmp(act, "--exit") == 0) return atoi(words[2]);
    if (strcmp(act, "--raise") == 0) return raise(SIGTERM);
    if (strcmp(act, "--copy") == 0) {
        for (int byte; (byte = getchar()) != EOF;) putchar(byte);
        return 0;
    }
    if (strcmp(act, "--environment") == 0) {
        for (char **line = environ; *line != NULL; line++) printf("%s%c", *line, 0);
        return 0;
    }
    const char *file = getenv("LFBUILD_FILE");
    printf("%s%c", file != NULL ? file : "", 0);
    for (int index = 0; index < count; index++) printf("%s%c", words[index], 0);
    return 0;
}
