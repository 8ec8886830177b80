/* Launching: from an opened file to a running engine. */
#ifndef LFBUILD_LAUNCHER_LAUNCH_H
#define LFBUILD_LAUNCHER_LAUNCH_H

#include "own_file.h"

/* Returns only when no engine could be started: the user has been told. `left_out`: arguments behind argv[0] that the
 * engine does not get. */
void lfbuild_launch(const struct lfbuild_own *own, char **argv, unsigned left_out);

#endif
