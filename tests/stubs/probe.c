/* Probe on POSIX: see probe.h. Besides what is common:
 *
 *   probe descriptor NAME OP…  OPs: seek:OFFSET:WHENCE read:COUNT size direct
 *   probe map NAME             maps all, prints the mapping's file and offset by the system's table, and the bytes
 *   probe unmap NAME PAGES     maps, unmaps the first PAGES pages and then the rest, says whether anything is left
 *   probe hold NAME how        opens (how = open) or maps and closes (how = map), says "held", waits for stdin's end
 */
#define _GNU_SOURCE
#include "../../stubs/weights_io.h"
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int descriptor(const char *name, char **ops) {
    int fd = lfbuild_open(name, O_RDONLY);
    if (fd < 0) {
        return probe_fail("open");
    }
    for (; *ops; ops++) {
        const char *op = *ops;
        if (strncmp(op, "seek:", 5) == 0) {
            op += 5;
            long long offset = probe_number(&op);
            printf("%lld\n", (long long)lfbuild_lseek(fd, (off_t)offset, (int)probe_number(&op)));
        } else if (strcmp(op, "size") == 0) {
            struct stat facts;
            int result = lfbuild_fstat(fd, &facts);
            printf("%d %lld\n", result, (long long)facts.st_size);
        } else if (strcmp(op, "direct") == 0) {
            lfbuild_close(fd);
            fd = lfbuild_open(name, O_RDONLY | O_DIRECT);
            printf("%s\n", fd < 0 ? "refused" : "open");
            if (fd < 0) {
                return 0;
            }
        } else if (strncmp(op, "read:", 5) == 0) {
            op += 5;
            size_t count = (size_t)probe_number(&op);
            void *target = NULL;
            if (posix_memalign(&target, 4096, count) != 0) {
                return 4;
            }
            ssize_t got = lfbuild_read(fd, target, count);
            printf("%zd ", got);
            probe_print_bytes(target, got > 0 ? (size_t)got : 0);
            free(target);
        }
    }
    return lfbuild_close(fd);
}

#ifdef MAP_POPULATE /* as llama.cpp has it */
#define MAP_AT_ONCE MAP_POPULATE
#else
#define MAP_AT_ONCE 0
#endif

static void *map_all(const char *name, size_t *size_bytes, FILE **file) {
    *file = lfbuild_fopen(name, "rb");
    if (!*file) {
        probe_fail("fopen");
        return NULL;
    }
    lfbuild_fseeko(*file, 0, SEEK_END);
    *size_bytes = (size_t)lfbuild_ftello(*file);
    void *address = lfbuild_mmap(NULL, *size_bytes, PROT_READ, MAP_SHARED | MAP_AT_ONCE, fileno(*file), 0);
    if (address == MAP_FAILED) {
        probe_fail("mmap");
        return NULL;
    }
    return address;
}

/* The line of /proc/self/maps that holds the address: "OFFSET FILE", or "none". */
static void print_mapping(const void *address) {
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[4096];
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long start, end, offset;
        char access[8], device[16], path[4096] = "-";
        unsigned long inode;
        sscanf(line, "%lx-%lx %7s %lx %15s %lu %4095s", &start, &end, access, &offset, device, &inode, path);
        if ((unsigned long)address >= start && (unsigned long)address < end) {
            printf("%s %lu %s\n", access, offset, path);
            fclose(maps);
            return;
        }
    }
    printf("none\n");
    fclose(maps);
}

/* "in memory 8192 of 8192, large pages wanted", of the mapping that begins at the address, in KiB. */
static int pages(const char *name) {
    size_t size_bytes;
    FILE *file, *maps = fopen("/proc/self/smaps", "r");
    char *address = map_all(name, &size_bytes, &file);
    char line[4096];
    unsigned long start, end, kib = 0, resident = 0;
    bool is_ours = false;
    while (address && maps && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
            is_ours = (unsigned long)address >= start && (unsigned long)address < end;
        } else if (is_ours && sscanf(line, "Size: %lu", &kib) == 1) {
        } else if (is_ours && sscanf(line, "Rss: %lu", &resident) == 1) {
        } else if (is_ours && strncmp(line, "VmFlags:", 8) == 0) {
            printf("in memory %lu of %lu%s\n", resident, kib, strstr(line, " hg") ? ", large pages wanted" : "");
        }
    }
    fclose(maps);
    return address ? lfbuild_munmap(address, size_bytes) : 3;
}

static int map(const char *name) {
    size_t size_bytes;
    FILE *file;
    char *address = map_all(name, &size_bytes, &file);
    if (!address) {
        return 3;
    }
    printf("%d\n", lfbuild_posix_fadvise(fileno(file), 0, 0, POSIX_FADV_SEQUENTIAL));
    lfbuild_fclose(file);
    printf("%d\n", lfbuild_posix_madvise(address, size_bytes, POSIX_MADV_WILLNEED));
    print_mapping(address);
    probe_print_bytes(address, size_bytes);
    return lfbuild_munmap(address, size_bytes);
}

static int unmap(const char *name, size_t pages) {
    size_t size_bytes;
    FILE *file;
    char *address = map_all(name, &size_bytes, &file);
    if (!address) {
        return 3;
    }
    lfbuild_fclose(file);
    size_t first = pages * (size_t)sysconf(_SC_PAGESIZE);
    printf("%d\n", lfbuild_munmap(address, first));
    probe_print_bytes(address + first, size_bytes - first);
    printf("%d\n", lfbuild_munmap(address + first, size_bytes - first));
    print_mapping(address);
    print_mapping(address + size_bytes - 1);
    return 0;
}

static int hold(const char *name, const char *how) {
    size_t size_bytes;
    FILE *file;
    char *address = NULL;
    if (strcmp(how, "map") == 0) {
        address = map_all(name, &size_bytes, &file);
        lfbuild_fclose(file);
    } else {
        file = lfbuild_fopen(name, "rb");
    }
    if (!file) {
        return 3;
    }
    printf("held\n");
    fflush(stdout);
    while (getchar() != EOF) {
    }
    return address ? lfbuild_munmap(address, size_bytes) : lfbuild_fclose(file);
}

int main(int argc, char **argv) {
    const char *verb = argc > 2 ? argv[1] : "";
    if (strcmp(verb, "descriptor") == 0) {
        return descriptor(argv[2], argv + 3);
    }
    if (strcmp(verb, "map") == 0) {
        return map(argv[2]);
    }
    if (strcmp(verb, "pages") == 0) {
        return pages(argv[2]);
    }
    if (strcmp(verb, "unmap") == 0) {
        return unmap(argv[2], (size_t)atoi(argv[3]));
    }
    if (strcmp(verb, "hold") == 0) {
        return hold(argv[2], argv[3]);
    }
    return probe_common(argc, argv);
}
