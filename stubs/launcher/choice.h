/* Choice: which slice this machine takes. */
#ifndef LFBUILD_LAUNCHER_CHOICE_H
#define LFBUILD_LAUNCHER_CHOICE_H

#include "slice_table.h"

/* What this launcher was compiled for, as the slice table calls it. */
extern const char lfbuild_own_target[];

/* The first slice of the own target whose lowest level this CPU has; NULL when there is none. */
const struct lfbuild_slice *lfbuild_choose_slice(const struct lfbuild_slice_table *table);

/* Says in one sentence why there is none. */
void lfbuild_complain_of_no_slice(const char *path, const struct lfbuild_slice_table *table);

#endif
