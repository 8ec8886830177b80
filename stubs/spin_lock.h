/* A lock that is held for a few instructions, or one line to the user: it needs no thread library, and no call to make it.
 *
 *     static spin_lock busy = SPIN_LOCK_OPEN;
 */
#ifndef LFBUILD_SPIN_LOCK_H
#define LFBUILD_SPIN_LOCK_H

#include <stdatomic.h>

typedef atomic_flag spin_lock;

#define SPIN_LOCK_OPEN ATOMIC_FLAG_INIT

static inline void spin_lock_take(spin_lock *lock) {
    while (atomic_flag_test_and_set_explicit(lock, memory_order_acquire)) {
    }
}

static inline void spin_lock_leave(spin_lock *lock) {
    atomic_flag_clear_explicit(lock, memory_order_release);
}

#endif
