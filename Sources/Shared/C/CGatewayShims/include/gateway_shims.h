// What Swift cannot import or express: thread-locals, macros and non-standard calls. Nothing else.
#ifndef TOLLGATE_GATEWAY_SHIMS_H
#define TOLLGATE_GATEWAY_SHIMS_H

#include <stddef.h>
#include <stdint.h>

/// The event loop of the calling thread, or NULL on a thread that runs none.
void *_Nullable tg_current_loop(void);
void tg_set_current_loop(void *_Nullable loop);

/// First occurrence of `needle` in `haystack`, or NULL (memmem needs _GNU_SOURCE).
const void *_Nullable tg_memmem(const void *_Nonnull haystack, size_t haystack_length,
                                const void *_Nonnull needle, size_t needle_length);

/// Lets malloc keep and reuse blocks of up to 4 MiB instead of mapping and unmapping each: bodies of calls come and go,
/// and every fresh mapping costs a page fault for each 4 KiB.
void tg_keep_large_blocks(void);

/// CLOCK_REALTIME in microseconds, CLOCK_MONOTONIC in nanoseconds.
int64_t tg_wall_microseconds(void);
uint64_t tg_monotonic_nanoseconds(void);

#endif
