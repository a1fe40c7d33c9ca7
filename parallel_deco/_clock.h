/* The clock of time.monotonic(), in seconds. */
#ifndef PARALLEL_DECO_CLOCK_H
#define PARALLEL_DECO_CLOCK_H

#if defined(_WIN32)

#include <windows.h>

static double pd_now(void) { return 1e-3 * (double)GetTickCount64(); }

#else

#include <time.h>

static double pd_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif

#endif
