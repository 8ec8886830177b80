/* Probe on Windows: see probe.h. Besides what is common:
 *
 *   probe handle NAME OP…   OPs: seek:OFFSET:WHENCE read:COUNT
 *   probe map NAME          maps all, says how it lies and at which multiple of 64 KiB, and prints the bytes
 *   probe hold NAME how     opens (how = open) or maps and closes (how = map), says "held", waits for stdin's end
 *   probe update NAME       takes the file exclusively, says "locked" or "busy", waits for stdin's end
 *   probe moved NAME        opens, moves the file aside, and reads it
 */
#include "../../stubs/weights_io.h"
#include "../../stubs/weights_windows.h"
#include "probe.h"

#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

static HANDLE handle_of(FILE *file) {
    return (HANDLE)_get_osfhandle(_fileno(file));
}

static long long seek(HANDLE handle, long long offset, DWORD whence) {
    LARGE_INTEGER distance = {.QuadPart = offset}, position;
    return lfbuild_set_file_pointer(handle, distance, &position, whence) ? position.QuadPart : -(long long)GetLastError();
}

static int handle(const char *name, char **ops) {
    FILE *file = lfbuild_fopen(name, "rb");
    if (!file) {
        return probe_fail("fopen");
    }
    for (; *ops; ops++) {
        const char *op = *ops + 5;
        if (strncmp(*ops, "seek:", 5) == 0) {
            long long offset = probe_number(&op);
            printf("%lld\n", seek(handle_of(file), offset, (DWORD)probe_number(&op)));
        } else if (strncmp(*ops, "read:", 5) == 0) {
            DWORD count = (DWORD)probe_number(&op), got = 0;
            char *target = calloc(count, 1);
            printf("%d %lu ", lfbuild_read_file(handle_of(file), target, count, &got, NULL), got);
            probe_print_bytes(target, got);
            free(target);
        }
    }
    return lfbuild_fclose(file);
}

struct view {
    HANDLE mapping;
    char *address;
    size_t size_bytes;
};

static bool map_all(const char *name, struct view *view) {
    FILE *file = lfbuild_fopen(name, "rb");
    if (!file) {
        probe_fail("fopen");
        return false;
    }
    view->size_bytes = (size_t)seek(handle_of(file), 0, FILE_END);
    view->mapping = lfbuild_create_file_mapping(handle_of(file), NULL, PAGE_READONLY, 0, 0, NULL);
    view->address = lfbuild_map_view(view->mapping, FILE_MAP_READ, 0, 0, 0);
    lfbuild_fclose(file);
    return view->address != NULL;
}

static int unmap(const struct view *view) {
    return !lfbuild_unmap_view(view->address) || !lfbuild_close_handle(view->mapping);
}

static int map(const char *name) {
    struct view view;
    MEMORY_BASIC_INFORMATION facts;
    if (!map_all(name, &view)) {
        return 3;
    }
    VirtualQuery(view.address, &facts, sizeof facts);
    printf("%s %llu\n", facts.Type == MEM_MAPPED ? "mapped" : facts.Type == MEM_PRIVATE ? "copied" : "other",
           (unsigned long long)(uintptr_t)view.address % 65536);
    probe_print_bytes(view.address, view.size_bytes);
    return unmap(&view);
}

static void wait(const char *what) {
    printf("%s\n", what);
    fflush(stdout);
    while (getchar() != EOF) {
    }
}

static int hold(const char *name, const char *how) {
    struct view view = {0};
    FILE *file = NULL;
    bool held = strcmp(how, "map") == 0 ? map_all(name, &view) : (file = lfbuild_fopen(name, "rb")) != NULL;
    if (!held) {
        return 3;
    }
    wait("held");
    return file ? lfbuild_fclose(file) : unmap(&view);
}

/* As docs/formats/launch.md has it: one byte at 2^62. */
static int update(const char *name) {
    int fd = lfbuild_platform_open(name);
    OVERLAPPED where = {.OffsetHigh = 0x40000000};
    DWORD how = LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY;
    BOOL locked = LockFileEx((HANDLE)_get_osfhandle(fd), how, 0, 1, 0, &where);
    wait(locked ? "locked" : GetLastError() == ERROR_LOCK_VIOLATION ? "busy" : "other");
    lfbuild_platform_close(fd);
    return 0;
}

static int moved(const char *name) {
    FILE *file = lfbuild_fopen(name, "rb");
    char aside[LFBUILD_PATH_CAPACITY_BYTES], text[64] = "";
    snprintf(aside, sizeof aside, "%s.aside", name);
    if (!file || !MoveFileA(name, aside)) {
        return probe_fail("move");
    }
    size_t got = lfbuild_fread(text, 1, sizeof text, file);
    probe_print_bytes(text, got);
    return lfbuild_fclose(file);
}

int main(int argc, char **argv) {
    _setmode(_fileno(stdout), _O_BINARY);
    _setmode(_fileno(stderr), _O_BINARY);
    if (!lfbuild_platform_arguments(&argc, &argv)) {
        return 4;
    }
    const char *verb = argc > 2 ? argv[1] : "";
    if (strcmp(verb, "handle") == 0) {
        return handle(argv[2], argv + 3);
    }
    if (strcmp(verb, "map") == 0) {
        return map(argv[2]);
    }
    if (strcmp(verb, "hold") == 0) {
        return hold(argv[2], argv[3]);
    }
    if (strcmp(verb, "update") == 0) {
        return update(argv[2]);
    }
    if (strcmp(verb, "moved") == 0) {
        return moved(argv[2]);
    }
    return probe_common(argc, argv);
}
