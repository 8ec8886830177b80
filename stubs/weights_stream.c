/* Weights as FILE streams: see weights_io.h. Every move of such a stream comes through here, so its position is kept
 * here too, and reading a vocabulary of 100,000 strings costs no system calls for asking where it is. */
#include "member_file.h"
#include "open_weights.h"
#include "weights_io.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static FILE *open_span(const char *name, const struct lfbuild_span *span) {
    FILE *stream = lfbuild_platform_stream(span->fd);
    if (!stream) {
        lfbuild_platform_close(span->fd);
        return NULL;
    }
    if (lfbuild_platform_seek(stream, (int64_t)span->offset, SEEK_SET) == 0 &&
        lfbuild_weights_add(stream, span->fd, name, span->offset, span->size_bytes)) {
        return stream;
    }
    fclose(stream);
    errno = ENOMEM;
    return NULL;
}

FILE *lfbuild_fopen(const char *path, const char *mode) {
    if (mode[0] != 'r' || strchr(mode, '+')) {
        return lfbuild_platform_fopen(path, mode); /* weights are never written in place */
    }
    struct lfbuild_span span;
    switch (lfbuild_find_weights(path, &span)) {
    case LFBUILD_MEMBER:
        return open_span(path, &span);
    case LFBUILD_REFUSED:
        return NULL;
    default:
        return lfbuild_platform_fopen(path, mode);
    }
}

int lfbuild_fclose(FILE *stream) {
    struct open_weights *weights = lfbuild_weights_of_stream(stream);
    if (weights) {
        lfbuild_weights_remove(weights); /* first: the address may be another stream's as soon as it is closed */
    }
    return fclose(stream);
}

size_t lfbuild_fread(void *target, size_t item_bytes, size_t count, FILE *stream) {
    struct open_weights *weights = lfbuild_weights_of_stream(stream);
    if (!weights) {
        return fread(target, item_bytes, count, stream);
    }
    if (item_bytes == 0 || count == 0) {
        return 0;
    }
    uint64_t left = weights->position < weights->size_bytes ? weights->size_bytes - weights->position : 0;
    /* As fread does, a last item that is not whole is still read, and not counted. */
    bool whole = count <= left / item_bytes;
    size_t wanted = whole ? item_bytes * count : (size_t)left;
    size_t got = wanted ? fread(target, 1, wanted, stream) : 0;
    weights->position += got;
    weights->at_end = weights->at_end || !whole;
    return got / item_bytes;
}

int lfbuild_fseeko(FILE *stream, int64_t offset, int whence) {
    struct open_weights *weights = lfbuild_weights_of_stream(stream);
    if (!weights) {
        return lfbuild_platform_seek(stream, offset, whence);
    }
    uint64_t from = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? weights->position : weights->size_bytes;
    if ((whence != SEEK_SET && whence != SEEK_CUR && whence != SEEK_END) ||
        (offset < 0 && (uint64_t)-(offset + 1) >= from)) {
        errno = EINVAL;
        return -1;
    }
    uint64_t target = from + (uint64_t)offset; /* wraps as intended when offset is negative */
    if (target > (uint64_t)INT64_MAX - weights->base) {
        errno = EOVERFLOW;
        return -1;
    }
    if (lfbuild_platform_seek(stream, (int64_t)(weights->base + target), SEEK_SET) != 0) {
        return -1;
    }
    weights->position = target;
    weights->at_end = false;
    return 0;
}

int64_t lfbuild_ftello(FILE *stream) {
    struct open_weights *weights = lfbuild_weights_of_stream(stream);
    return weights ? (int64_t)weights->position : lfbuild_platform_tell(stream);
}

int lfbuild_fseek(FILE *stream, long offset, int whence) {
    return lfbuild_fseeko(stream, offset, whence);
}

long lfbuild_ftell(FILE *stream) {
    int64_t position = lfbuild_ftello(stream);
    if (position > LONG_MAX) {
        errno = EOVERFLOW;
        return -1;
    }
    return (long)position;
}

int lfbuild_feof(FILE *stream) {
    struct open_weights *weights = lfbuild_weights_of_stream(stream);
    return weights ? weights->at_end : feof(stream);
}
