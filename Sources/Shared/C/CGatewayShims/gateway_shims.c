#define _GNU_SOURCE
#include "include/gateway_shims.h"

#include <malloc.h>
#include <string.h>
#include <time.h>

// Always part of the program itself, so its place is known without asking the linker on every read.
static __thread void *current_loop __attribute__((tls_model("initial-exec")));

void *tg_current_loop(void) { return current_loop; }
void tg_set_current_loop(void *loop) { current_loop = loop; }

const void *tg_memmem(const void *haystack, size_t haystack_length, const void *needle, size_t needle_length) {
    return memmem(haystack, haystack_length, needle, needle_length);
}

int64_t tg_wall_microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

uint64_t tg_monotonic_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void tg_keep_large_blocks(void) {
    mallopt(M_MMAP_THRESHOLD, 4 * 1024 * 1024);
    mallopt(M_TRIM_THRESHOLD, 16 * 1024 * 1024);
}
