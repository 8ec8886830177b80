/* Probe: a small program that makes the calls llama.cpp makes, so that tests can ask the layer from outside.
 *
 *   probe stream NAME OP…      OPs: seek:OFFSET:WHENCE tell read:ITEM:COUNT eof
 *   probe descriptor NAME OP…  OPs: seek:OFFSET:WHENCE read:COUNT size direct
 *   probe map NAME             maps all, prints the mapping's file and offset by the system's table, and the bytes
 *   probe unmap NAME PAGES     maps, unmaps the first PAGES pages and then the rest, says whether anything is left
 *   probe hold NAME how        opens (how = open) or maps and closes (how = map), says "held", waits for stdin's end
 *   probe grammar PATH USER…   the words of a text
 *   probe args ARGUMENT…       argv after the file's default arguments
 *   probe missing LEVEL        what this CPU lacks
 */
#define _GNU_SOURCE
#include "../../stubs/args_grammar.h"
#include "../../stubs/cpu_check.h"
#include "../../stubs/default_args.h"
#include "../../stubs/weights_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int fail(const char *what) {
    fprintf(stdout, "%s: errno %s\n", what, errno == ENOENT ? "ENOENT" : errno == EINVAL ? "EINVAL" : "other");
    return 3;
}

static long long number(const char **text) {
    char *end;
    long long value = strtoll(*text, &end, 10);
    *text = *end == ':' ? end + 1 : end;
    return value;
}

/* Exactly as large as asked for, so that the sanitizer sees every byte too many. */
static void print_bytes(const char *bytes, size_t size_bytes) {
    fwrite(bytes, 1, size_bytes, stdout);
    fputc('\n', stdout);
}

static int stream(const char *name, char **ops) {
    FILE *file = lfbuild_fopen(name, "rb");
    if (!file) {
        return fail("fopen");
    }
    for (; *ops; ops++) {
        const char *op = *ops;
        if (strncmp(op, "seek:", 5) == 0) {
            op += 5;
            long long offset = number(&op);
            printf("%d\n", lfbuild_fseeko(file, offset, (int)number(&op)));
        } else if (strcmp(op, "tell") == 0) {
            printf("%lld %ld\n", (long long)lfbuild_ftello(file), lfbuild_ftell(file));
        } else if (strcmp(op, "eof") == 0) {
            printf("%d\n", lfbuild_feof(file) != 0);
        } else if (strncmp(op, "read:", 5) == 0) {
            op += 5;
            size_t item_bytes = (size_t)number(&op), count = (size_t)number(&op);
            char *target = calloc(item_bytes ? item_bytes : 1, count ? count : 1);
            size_t got = lfbuild_fread(target, item_bytes, count, file);
            printf("%zu ", got);
            print_bytes(target, strnlen(target, item_bytes * count));
            free(target);
        }
    }
    return lfbuild_fclose(file);
}

static int descriptor(const char *name, char **ops) {
    int fd = lfbuild_open(name, O_RDONLY);
    if (fd < 0) {
        return fail("open");
    }
    for (; *ops; ops++) {
        const char *op = *ops;
        if (strncmp(op, "seek:", 5) == 0) {
            op += 5;
            long long offset = number(&op);
            printf("%lld\n", (long long)lfbuild_lseek(fd, (off_t)offset, (int)number(&op)));
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
            size_t count = (size_t)number(&op);
            void *target = NULL;
            if (posix_memalign(&target, 4096, count) != 0) {
                return 4;
            }
            ssize_t got = lfbuild_read(fd, target, count);
            printf("%zd ", got);
            print_bytes(target, got > 0 ? (size_t)got : 0);
            free(target);
        }
    }
    return lfbuild_close(fd);
}

static void *map_all(const char *name, size_t *size_bytes, FILE **file) {
    *file = lfbuild_fopen(name, "rb");
    if (!*file) {
        fail("fopen");
        return NULL;
    }
    lfbuild_fseeko(*file, 0, SEEK_END);
    *size_bytes = (size_t)lfbuild_ftello(*file);
    void *address = lfbuild_mmap(NULL, *size_bytes, PROT_READ, MAP_SHARED, fileno(*file), 0);
    if (address == MAP_FAILED) {
        fail("mmap");
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
    print_bytes(address, size_bytes);
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
    print_bytes(address + first, size_bytes - first);
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

int main(int argc, char **argv) {
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
    if (strcmp(verb, "descriptor") == 0) {
        return descriptor(argv[2], argv + 3);
    }
    if (strcmp(verb, "map") == 0) {
        return map(argv[2]);
    }
    if (strcmp(verb, "unmap") == 0) {
        return unmap(argv[2], (size_t)atoi(argv[3]));
    }
    if (strcmp(verb, "hold") == 0) {
        return hold(argv[2], argv[3]);
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
