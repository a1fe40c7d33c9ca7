/* Where a thread is, and the CPUs that it may use. */
#ifndef PARALLEL_DECO_MASKS_H
#define PARALLEL_DECO_MASKS_H

#include <string.h>

/* Words of a mask of CPUs, and the bits of a word. Threads that may use a CPU beyond the last one are left alone. */
#define PD_WORDS 16
#define PD_BITS 64

typedef unsigned long long pd_mask[PD_WORDS];

static inline int pd_has(const unsigned long long *mask, int cpu) {
    return cpu >= 0 && cpu < PD_WORDS * PD_BITS && (mask[cpu / PD_BITS] >> (cpu % PD_BITS)) & 1;
}

static inline void pd_put(unsigned long long *mask, int cpu) {
    if (cpu >= 0 && cpu < PD_WORDS * PD_BITS) mask[cpu / PD_BITS] |= 1ULL << (cpu % PD_BITS);
}

#if defined(__linux__)

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int pd_here(void) { return sched_getcpu(); }

/* Read which CPUs a thread may use, 0 being the calling one; negative where that cannot be. */
static inline long pd_may(int thread, unsigned long long *mask) {
    memset(mask, 0, sizeof(pd_mask));
    return syscall(SYS_sched_getaffinity, thread, sizeof(pd_mask), mask);
}

/* Have a thread use these CPUs; negative where it may not. */
static inline long pd_allow(int thread, const unsigned long long *mask) {
    return syscall(SYS_sched_setaffinity, thread, sizeof(pd_mask), mask);
}

#else

static inline int pd_here(void) { return -1; }

#endif
#endif
