/* Member files: see member_file.h. */
#include "member_file.h"

#include "complaint.h"
#include "zip_directory.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    TEXT_LIMIT_BYTES = 1 << 20,
    NAMES_CAPACITY_BYTES = 256,
    MAGIC_BYTES = 4,
};

static const char pack_again[] = "pack it again with lfbuild";

/* A file that is looked into: how it is opened and how it is called may differ (/proc/self/exe). */
struct container {
    const char *shows;
    int fd;
    struct zip_directory directory;
};

static enum lfbuild_find refuse(struct container *container, int error) {
    lfbuild_zip_free(&container->directory);
    lfbuild_platform_close(container->fd);
    errno = error;
    return LFBUILD_REFUSED;
}

static bool begins_with(int fd, const char *magic, size_t length) {
    char start[MAGIC_BYTES];
    return lfbuild_platform_read_at(fd, start, length, 0) && memcmp(start, magic, length) == 0;
}

/* An executable or a ZIP without its end: a download or a copy that was cut off. */
static bool looks_cut_off(int fd) {
    return begins_with(fd, "MZ", 2) || begins_with(fd, "\x7f" "ELF", 4) || begins_with(fd, "PK\3\4", 4);
}

static bool is_gguf(const struct zip_member *member) {
    static const char ending[] = ".gguf";
    size_t length = sizeof ending - 1;
    if (member->name_length <= length) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)member->name[member->name_length - length + i];
        if (tolower(c) != ending[i]) {
            return false;
        }
    }
    return true;
}

/* Finds the single .gguf; on the way writes the names of all, for a sentence about several. */
static size_t find_gguf(const struct zip_directory *directory, struct zip_member *member, char *names) {
    struct zip_member candidate;
    size_t cursor = 0, count = 0, used = 0;
    names[0] = '\0';
    while (lfbuild_zip_next(directory, &cursor, &candidate)) {
        if (!is_gguf(&candidate)) {
            continue;
        }
        if (used + candidate.name_length + 3 < NAMES_CAPACITY_BYTES) {
            used += (size_t)snprintf(names + used, NAMES_CAPACITY_BYTES - used, "%s%.*s", used ? ", " : "",
                                     (int)candidate.name_length, candidate.name);
        }
        *member = candidate;
        count++;
    }
    return count;
}

static enum lfbuild_find open_member(struct container *container, const struct zip_member *member,
                                     struct lfbuild_span *span) {
    const char *shows = container->shows;
    int length = (int)member->name_length;
    if (member->flags & 1) {
        lfbuild_complain(shows, "the member '%.*s' is encrypted, and weights are mapped as they lie; %s", length,
                         member->name, pack_again);
        return refuse(container, EINVAL);
    }
    if (member->method != ZIP_METHOD_STORED || member->size_bytes != member->packed_size_bytes) {
        lfbuild_complain(shows, "the member '%.*s' is compressed, and weights are mapped as they lie; %s", length,
                         member->name, pack_again);
        return refuse(container, EINVAL);
    }
    const char *problem = lfbuild_zip_locate(&container->directory, member, &span->offset);
    if (problem) {
        lfbuild_complain(shows, "the member '%.*s' is damaged (%s); get the file again", length, member->name, problem);
        return refuse(container, EINVAL);
    }
    span->size_bytes = member->size_bytes;
    span->fd = container->fd;
    lfbuild_zip_free(&container->directory);
    return LFBUILD_MEMBER;
}

static enum lfbuild_find open_named(struct container *container, const char *name, struct lfbuild_span *span) {
    struct zip_member member;
    char names[NAMES_CAPACITY_BYTES];
    switch (lfbuild_zip_find(&container->directory, name, &member)) {
    case ZIP_MEMBER_FOUND:
        return open_member(container, &member, span);
    case ZIP_MEMBER_REPEATED:
        lfbuild_complain(container->shows, "the member '%s' is there twice, so it is unclear which is meant; %s", name,
                         pack_again);
        return refuse(container, EINVAL);
    default:
        break;
    }
    size_t count = find_gguf(&container->directory, &member, names);
    lfbuild_complain(container->shows, "there is no member '%s' in this file; %s%s", name,
                     count ? "it holds " : "it holds no .gguf, so give the path of one with -m", names);
    return refuse(container, ENOENT);
}

static enum lfbuild_find open_single(struct container *container, struct lfbuild_span *span) {
    struct zip_member member;
    char names[NAMES_CAPACITY_BYTES];
    size_t count = find_gguf(&container->directory, &member, names);
    if (count == 1) {
        return open_member(container, &member, span);
    }
    if (count == 0) {
        lfbuild_complain(container->shows, "there is no .gguf in this file; give the path of a model with -m");
        return refuse(container, ENOENT);
    }
    lfbuild_complain(container->shows, "there are %zu .gguf files in this file (%s); name one of them, as in %s@%.*s",
                     count, names, container->shows, (int)strcspn(names, ","), names);
    return refuse(container, EINVAL);
}

/* ZIP_FOUND, or the user has been told (ZIP_DAMAGED, ZIP_UNREADABLE), or ZIP_ABSENT; the descriptor stays open. */
static enum zip_status load_container(struct container *container) {
    const char *shows = container->shows;
    /* The lock comes before the directory is read: an update waits for it, or has written its end record. */
    if (lfbuild_platform_lock_shared(container->fd) == LFBUILD_LOCK_BUSY) {
        lfbuild_complain(shows, "an update of this file is under way; try again when it has finished");
        errno = EBUSY;
        return ZIP_UNREADABLE;
    }
    enum zip_status status = lfbuild_zip_load(container->fd, &container->directory);
    if (status == ZIP_FOUND && container->directory.seal == ZIP_SEAL_REDO) {
        lfbuild_complain(shows, "an update of this file was interrupted; run: lfbuild recover %s", shows);
        errno = EIO;
        return ZIP_DAMAGED;
    }
    if (status == ZIP_FOUND && container->directory.seal == ZIP_SEAL_UNKNOWN) {
        lfbuild_complain(shows, "its seal is damaged, or of a later lfbuild than this program; run: lfbuild verify %s",
                         shows);
        errno = EINVAL;
        return ZIP_DAMAGED;
    }
    if (status == ZIP_DAMAGED) {
        lfbuild_complain(shows, "%s; get the file again", container->directory.problem);
        errno = EINVAL;
    } else if (status == ZIP_UNREADABLE) {
        lfbuild_complain(shows, "its ZIP directory cannot be read (%s); get the file again", strerror(errno));
    }
    return status;
}

/* `member` NULL: the single .gguf of the file. `fd` is taken over. */
static enum lfbuild_find open_in_container(int fd, const char *shows, const char *member, struct lfbuild_span *span) {
    struct container container = {.shows = shows, .fd = fd};
    switch (load_container(&container)) {
    case ZIP_FOUND:
        return member ? open_named(&container, member, span) : open_single(&container, span);
    case ZIP_ABSENT:
        break;
    default:
        return refuse(&container, errno);
    }
    if (!member && !looks_cut_off(fd)) {
        lfbuild_platform_close(fd);
        return LFBUILD_PLAIN_FILE; /* llama.cpp finds the words for what is not a model */
    }
    lfbuild_complain(shows, "there is no ZIP directory at the end of this file, so it is cut off or not a llamafile; "
                            "get the file again");
    return refuse(&container, EINVAL);
}

/* Whether a file ends in a seal of lfbuild's. */
static bool is_sealed(const char *path) {
    struct zip_directory directory = {0};
    int fd = lfbuild_platform_open(path);
    bool sealed = fd >= 0 && lfbuild_zip_load(fd, &directory) == ZIP_FOUND && directory.seal != ZIP_SEAL_NONE;
    lfbuild_zip_free(&directory);
    if (fd >= 0) {
        lfbuild_platform_close(fd);
    }
    return sealed;
}

/* Which file is /zip/. What a launcher hands over is inherited by all that its engine starts: a file that is a program by
 * itself, and is started by that engine, must not take it for its own. */
static bool find_own_file(struct lfbuild_own_file *own) {
    return (lfbuild_platform_executable(own) && is_sealed(own->opens)) || lfbuild_platform_own_file(own);
}

static enum lfbuild_find find_in_own_file(const char *member, struct lfbuild_span *span) {
    struct lfbuild_own_file own;
    if (!find_own_file(&own)) {
        lfbuild_complain(LFBUILD_OWN_PREFIX, "the program's own file cannot be found; set LFBUILD_FILE to its path");
        errno = ENOENT;
        return LFBUILD_REFUSED;
    }
    int fd = lfbuild_platform_open(own.opens);
    if (fd < 0) {
        lfbuild_complain(own.shows, "it cannot be opened (%s); set LFBUILD_FILE to the path of the file with the weights",
                         strerror(errno));
        return LFBUILD_REFUSED;
    }
    return open_in_container(fd, own.shows, member, span);
}

/* FILE@NAME: a path may hold an '@' itself, so the last one that leaves an existing file divides. */
static enum lfbuild_find find_after_at_sign(const char *name, struct lfbuild_span *span) {
    size_t length = strlen(name);
    if (length >= LFBUILD_PATH_CAPACITY_BYTES) {
        return LFBUILD_PLAIN_FILE;
    }
    char path[LFBUILD_PATH_CAPACITY_BYTES];
    memcpy(path, name, length + 1);
    char *divider;
    while ((divider = strrchr(path, '@')) != NULL) {
        *divider = '\0';
        int fd = path[0] ? lfbuild_platform_open(path) : -1;
        if (fd < 0) {
            continue;
        }
        if (lfbuild_platform_size(fd) < 0) {
            lfbuild_platform_close(fd);
            continue; /* a folder such as "models@home" */
        }
        return open_in_container(fd, path, name + (divider - path) + 1, span);
    }
    return LFBUILD_PLAIN_FILE;
}

enum lfbuild_find lfbuild_find_weights(const char *name, struct lfbuild_span *span) {
    if (strncmp(name, LFBUILD_OWN_PREFIX, strlen(LFBUILD_OWN_PREFIX)) == 0) {
        return find_in_own_file(name + strlen(LFBUILD_OWN_PREFIX), span);
    }
    int fd = lfbuild_platform_open(name);
    if (fd < 0) {
        return find_after_at_sign(name, span);
    }
    if (lfbuild_platform_size(fd) < 0 || begins_with(fd, "GGUF", 4)) {
        lfbuild_platform_close(fd);
        return LFBUILD_PLAIN_FILE;
    }
    return open_in_container(fd, name, NULL, span);
}

struct lfbuild_own_texts {
    struct lfbuild_own_file own;
    struct container container;
};

struct lfbuild_own_texts *lfbuild_open_own_texts(bool *refused) {
    struct lfbuild_own_texts *texts = calloc(1, sizeof *texts);
    *refused = false;
    if (!texts || !find_own_file(&texts->own)) {
        free(texts);
        return NULL;
    }
    texts->container = (struct container){.shows = texts->own.shows, .fd = lfbuild_platform_open(texts->own.opens)};
    if (texts->container.fd < 0) {
        lfbuild_complain(texts->own.shows, "it cannot be opened (%s); check LFBUILD_FILE", strerror(errno));
        *refused = true;
        free(texts);
        return NULL;
    }
    enum zip_status status = load_container(&texts->container);
    if (status != ZIP_FOUND) {
        *refused = status != ZIP_ABSENT;
        lfbuild_close_own_texts(texts);
        return NULL;
    }
    return texts;
}

enum lfbuild_text lfbuild_read_own_text(struct lfbuild_own_texts *texts, const char *name, char **text,
                                        size_t *size_bytes) {
    const struct zip_directory *directory = &texts->container.directory;
    struct zip_member member;
    enum zip_search found = lfbuild_zip_find(directory, name, &member);
    if (found == ZIP_MEMBER_ABSENT) {
        return LFBUILD_TEXT_ABSENT;
    }
    uint64_t offset;
    const char *problem = found == ZIP_MEMBER_REPEATED                ? "it is there twice"
                          : member.method != ZIP_METHOD_STORED        ? "it is compressed"
                          : member.size_bytes > TEXT_LIMIT_BYTES      ? "it is larger than 1 MiB"
                          : member.size_bytes != member.packed_size_bytes ? "its sizes differ"
                                                                      : lfbuild_zip_locate(directory, &member, &offset);
    char *bytes = problem ? NULL : malloc((size_t)member.size_bytes + 1);
    if (bytes && lfbuild_platform_read_at(directory->fd, bytes, (size_t)member.size_bytes, offset)) {
        bytes[member.size_bytes] = '\0';
        *text = bytes;
        *size_bytes = (size_t)member.size_bytes;
        return LFBUILD_TEXT_READ;
    }
    free(bytes);
    lfbuild_complain(texts->own.shows, "the default arguments in '%s' cannot be read (%s); %s", name,
                     problem ? problem : "the file is cut off", pack_again);
    return LFBUILD_TEXT_REFUSED;
}

void lfbuild_close_own_texts(struct lfbuild_own_texts *texts) {
    lfbuild_zip_free(&texts->container.directory);
    lfbuild_platform_close(texts->container.fd);
    free(texts);
}
