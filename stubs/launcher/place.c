/* Placing: see place.h. */
#include "place.h"

#include "digest.h"
#include "member.h"

#include <string.h>

enum {
    STEP_BYTES = 1 << 18,
    NAME_DIGITS = 32, /* of the digest: who can find another file for half of it could for the whole */
};

#if defined(_WIN32)
#define NAME_END ".exe"
#else
#define NAME_END ""
#endif

static const char not_verified[] = "what is there is not what was written";

/* On the way of a slice's decoded bytes: digested, and written unless nobody wants them (fd < 0). */
struct decoding {
    struct lfbuild_digest digest;
    int fd;
    const char *unwritten;
};

static bool take(void *context, const unsigned char *bytes, size_t size_bytes) {
    struct decoding *decoding = context;
    lfbuild_digest_add(&decoding->digest, bytes, size_bytes);
    if (decoding->fd >= 0 && !lfbuild_system_write(decoding->fd, bytes, size_bytes)) {
        decoding->unwritten = lfbuild_system_problem();
        return false;
    }
    return true;
}

static const char *find_member(const struct zip_directory *directory, const struct lfbuild_slice *slice,
                               struct zip_member *member) {
    switch (lfbuild_zip_find(directory, slice->member, member)) {
    case ZIP_MEMBER_ABSENT:
        return "it is not there";
    case ZIP_MEMBER_REPEATED:
        return "it is there twice";
    default:
        break;
    }
    bool agrees = member->method == slice->method && member->packed_size_bytes == slice->stored_bytes &&
                  member->size_bytes == slice->decoded_bytes;
    return agrees ? NULL : "the slice table and the ZIP directory say different things of it";
}

static enum lfbuild_place decode(const struct zip_directory *directory, const struct lfbuild_slice *slice, int fd,
                                 const char **problem) {
    struct zip_member member;
    if ((*problem = find_member(directory, slice, &member)) != NULL) {
        return LFBUILD_PLACE_DAMAGED;
    }
    struct decoding decoding = {.fd = fd};
    lfbuild_digest_start(&decoding.digest);
    *problem = lfbuild_member_copy(directory, &member, (struct lfbuild_sink){take, &decoding});
    if (decoding.unwritten) {
        *problem = decoding.unwritten;
        return LFBUILD_PLACE_REFUSED;
    }
    if (!*problem && strcmp(lfbuild_digest_finish(&decoding.digest).digits, slice->digest) != 0) {
        *problem = "its digest is not the promised one";
    }
    return *problem ? LFBUILD_PLACE_DAMAGED : LFBUILD_PLACED;
}

const char *lfbuild_check_slice(const struct zip_directory *directory, const struct lfbuild_slice *slice) {
    const char *problem;
    decode(directory, slice, -1, &problem);
    return problem;
}

/* Every byte, at each start: whoever could change the file once could change it again. */
static bool is_slice(int fd, const struct lfbuild_slice *slice) {
    static unsigned char buffer[STEP_BYTES];
    int64_t size_bytes = lfbuild_platform_size(fd);
    if (size_bytes < 0 || (uint64_t)size_bytes != slice->decoded_bytes) {
        return false;
    }
    struct lfbuild_digest digest;
    lfbuild_digest_start(&digest);
    for (uint64_t offset = 0; offset < slice->decoded_bytes;) {
        uint64_t left_bytes = slice->decoded_bytes - offset;
        size_t step = left_bytes < sizeof buffer ? (size_t)left_bytes : sizeof buffer;
        if (!lfbuild_platform_read_at(fd, buffer, step, offset)) {
            return false;
        }
        lfbuild_digest_add(&digest, buffer, step);
        offset += step;
    }
    return strcmp(lfbuild_digest_finish(&digest).digits, slice->digest) == 0;
}

static const char *open_verified(const struct lfbuild_folder *folder, const char *name,
                                 const struct lfbuild_slice *slice, int *fd) {
    const char *problem = lfbuild_folder_open_file(folder, name, fd);
    if (!problem && !is_slice(*fd, slice)) {
        lfbuild_platform_close(*fd);
        problem = not_verified;
    }
    return problem;
}

/* The first that is whole keeps the name, and who was slower takes that one: a program that has lost its name can be
 * started by it no more, nor start itself again. */
static bool publish(const struct lfbuild_folder *folder, const char *new_name, const char *name,
                    const struct lfbuild_slice *slice) {
    int fd;
    if (lfbuild_folder_name(folder, new_name, name)) {
        return true;
    }
    if (open_verified(folder, name, slice, &fd)) { /* damaged, or the file system has no links */
        return lfbuild_folder_rename(folder, new_name, name);
    }
    lfbuild_platform_close(fd);
    lfbuild_folder_remove(folder, new_name);
    return true;
}

/* Under a name of its own first: at no moment has a file that is not whole the name that is looked for. */
static enum lfbuild_place write_new(const struct zip_directory *directory, const struct lfbuild_slice *slice,
                                    const struct lfbuild_folder *folder, const char *name, const char **problem) {
    char new_name[LFBUILD_NAME_CAPACITY_BYTES];
    lfbuild_folder_sweep(folder);
    int fd = lfbuild_folder_create(folder, new_name, problem);
    if (fd < 0) {
        return LFBUILD_PLACE_REFUSED;
    }
    enum lfbuild_place placed = decode(directory, slice, fd, problem);
    bool finished = lfbuild_system_finish(fd);
    if (placed == LFBUILD_PLACED && (!finished || !publish(folder, new_name, name, slice))) {
        *problem = lfbuild_system_problem();
        placed = LFBUILD_PLACE_REFUSED;
    }
    if (placed != LFBUILD_PLACED) {
        lfbuild_folder_remove(folder, new_name);
    }
    return placed;
}

static bool make_path(const struct lfbuild_folder *folder, const char *name, char *path) {
    int length = snprintf(path, LFBUILD_PATH_CAPACITY_BYTES, "%s" LFBUILD_SEPARATOR "%s", folder->path, name);
    return length > 0 && length < LFBUILD_PATH_CAPACITY_BYTES;
}

enum lfbuild_place lfbuild_place_in_folder(const struct zip_directory *directory, const struct lfbuild_slice *slice,
                                           const struct lfbuild_folder *folder, struct lfbuild_program *program,
                                           const char **problem) {
    char name[LFBUILD_NAME_CAPACITY_BYTES];
    snprintf(name, sizeof name, "%.*s" NAME_END, NAME_DIGITS, slice->digest);
    if (!make_path(folder, name, program->path)) {
        *problem = "its path is too long";
        return LFBUILD_PLACE_REFUSED;
    }
    if (!open_verified(folder, name, slice, &program->fd)) {
        return LFBUILD_PLACED;
    }
    enum lfbuild_place placed = write_new(directory, slice, folder, name, problem);
    if (placed == LFBUILD_PLACE_DAMAGED) {
        return placed;
    }
    /* Also when it could not be written: another launcher may have been faster, and hold the file open (Windows). */
    const char *unverified = open_verified(folder, name, slice, &program->fd);
    if (unverified && placed == LFBUILD_PLACED) {
        *problem = unverified;
    }
    return unverified ? LFBUILD_PLACE_REFUSED : LFBUILD_PLACED;
}

enum lfbuild_place lfbuild_place_in_memory(const struct zip_directory *directory, const struct lfbuild_slice *slice,
                                           struct lfbuild_program *program, const char **problem) {
    program->path[0] = '\0';
    program->fd = lfbuild_system_memory_file();
    if (program->fd < 0) {
        *problem = lfbuild_system_problem();
        return LFBUILD_PLACE_REFUSED;
    }
    enum lfbuild_place placed = decode(directory, slice, program->fd, problem);
    if (placed == LFBUILD_PLACED && (!lfbuild_system_seal(program->fd) || !is_slice(program->fd, slice))) {
        *problem = not_verified;
        return LFBUILD_PLACE_REFUSED;
    }
    return placed;
}
