/* Open weights: the handles that begin and end inside a container, so that stdio and descriptors can be told apart. */
#ifndef LFBUILD_OPEN_WEIGHTS_H
#define LFBUILD_OPEN_WEIGHTS_H

#include "platform.h"

struct open_weights {
    FILE *stream; /* NULL for a bare descriptor */
    int fd;
    uint64_t base; /* offset of the member's first byte in the container */
    uint64_t size_bytes;
    uint64_t position; /* of a stream, from the member's first byte; a descriptor asks the system */
    bool at_end;
    char *name; /* as the user gave it */
    struct open_weights *next;
};

/* Takes no ownership of stream and fd. NULL with errno when memory is out. */
struct open_weights *lfbuild_weights_add(FILE *stream, int fd, const char *name, uint64_t base, uint64_t size_bytes);

/* NULL: not ours, so the call goes to the system as it is. */
struct open_weights *lfbuild_weights_of_stream(FILE *stream);
struct open_weights *lfbuild_weights_of_fd(int fd);
/* By anything else; `fits` is called with a lock held and must not come back here. */
struct open_weights *lfbuild_weights_find(bool (*fits)(const struct open_weights *weights, void *what), void *what);

void lfbuild_weights_remove(struct open_weights *weights);

#endif
