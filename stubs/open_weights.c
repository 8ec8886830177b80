/* Open weights: see open_weights.h. */
#include "open_weights.h"

#include "spin_lock.h"

#include <stdlib.h>
#include <string.h>

static spin_lock busy = SPIN_LOCK_OPEN;
static struct open_weights *newest;

struct open_weights *lfbuild_weights_add(FILE *stream, int fd, const char *name, uint64_t base, uint64_t size_bytes) {
    struct open_weights *weights = calloc(1, sizeof *weights);
    size_t name_bytes = strlen(name) + 1;
    char *copy = malloc(name_bytes);
    if (!weights || !copy) {
        free(weights);
        free(copy);
        return NULL;
    }
    *weights = (struct open_weights){
        .stream = stream,
        .fd = fd,
        .base = base,
        .size_bytes = size_bytes,
        .name = memcpy(copy, name, name_bytes),
    };
    spin_lock_take(&busy);
    weights->next = newest;
    newest = weights;
    spin_lock_leave(&busy);
    return weights;
}

struct open_weights *lfbuild_weights_find(bool (*fits)(const struct open_weights *weights, void *what), void *what) {
    spin_lock_take(&busy);
    struct open_weights *weights = newest;
    while (weights && !fits(weights, what)) {
        weights = weights->next;
    }
    spin_lock_leave(&busy);
    return weights;
}

static bool has_stream(const struct open_weights *weights, void *stream) {
    return weights->stream == stream;
}

struct open_weights *lfbuild_weights_of_stream(FILE *stream) {
    return stream ? lfbuild_weights_find(has_stream, stream) : NULL;
}

static bool has_fd(const struct open_weights *weights, void *fd) {
    return weights->fd == *(int *)fd;
}

struct open_weights *lfbuild_weights_of_fd(int fd) {
    return lfbuild_weights_find(has_fd, &fd);
}

void lfbuild_weights_remove(struct open_weights *weights) {
    spin_lock_take(&busy);
    struct open_weights **link = &newest;
    while (*link && *link != weights) {
        link = &(*link)->next;
    }
    if (*link) {
        *link = weights->next;
    }
    spin_lock_leave(&busy);
    free(weights->name);
    free(weights);
}
