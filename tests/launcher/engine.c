/* A tiny engine: says what it was started with, and ends as it is told.
 *
 *   exit=N      ends with that code; signal=N by that signal
 *   copy        copies stdin to stdout
 *   wait        sleeps after it has said all that
 *   descriptors names those that are open, and nothing else */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#include <windows.h>

#include <shellapi.h>

static const char *variable(const char *name) {
    static char text[2][32768];
    static int turn;
    wchar_t wide_name[64], wide[32768];
    MultiByteToWideChar(CP_UTF8, 0, name, -1, wide_name, 64);
    if (!GetEnvironmentVariableW(wide_name, wide, 32768)) {
        return "-";
    }
    turn = !turn;
    WideCharToMultiByte(CP_UTF8, 0, wide, -1, text[turn], sizeof text[turn], NULL, NULL);
    return text[turn];
}

static char **arguments(int *argc, char **argv) {
    wchar_t **wide = CommandLineToArgvW(GetCommandLineW(), argc);
    argv = calloc((size_t)*argc + 1, sizeof *argv);
    for (int i = 0; i < *argc; i++) {
        int size_bytes = WideCharToMultiByte(CP_UTF8, 0, wide[i], -1, NULL, 0, NULL, NULL);
        argv[i] = malloc((size_t)size_bytes);
        WideCharToMultiByte(CP_UTF8, 0, wide[i], -1, argv[i], size_bytes, NULL, NULL);
    }
    return argv;
}

static void prepare(void) {
    _setmode(0, _O_BINARY);
    _setmode(1, _O_BINARY);
}
#else
#include <fcntl.h>
#include <unistd.h>

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value ? value : "-";
}

static char **arguments(int *argc, char **argv) {
    (void)argc;
    return argv;
}

static void prepare(void) {
}
#endif

static int number(const char *word, const char *start) {
    size_t length = strlen(start);
    return strncmp(word, start, length) == 0 ? atoi(word + length) : -1;
}

int main(int argc, char **argv) {
    argv = arguments(&argc, argv);
    prepare();
    const char *word = argc > 1 ? argv[argc - 1] : "";
    if (strcmp(word, "copy") == 0) {
        for (int c; (c = getchar()) != EOF;) {
            putchar(c);
        }
        return 0;
    }
#ifndef _WIN32
    if (strcmp(word, "descriptors") == 0) {
        for (int fd = 0; fd < 256; fd++) {
            if (fcntl(fd, F_GETFD) >= 0) {
                printf("%d\n", fd);
            }
        }
        return 0;
    }
#endif
    for (int i = 0; i < argc; i++) {
        printf("argv %s\n", argv[i]);
    }
    printf("file %s\n", variable("LFBUILD_FILE"));
    printf("no-args %s\n", variable("LFBUILD_NO_ARGS"));
    fflush(stdout);
#ifndef _WIN32
    if (strcmp(word, "wait") == 0) {
        pause();
    }
#endif
    if (number(word, "signal=") > 0) {
        raise(number(word, "signal="));
    }
    return number(word, "exit=") > 0 ? number(word, "exit=") : 0;
}
