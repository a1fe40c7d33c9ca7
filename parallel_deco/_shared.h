/* Shared mappings and the like, where the system has them; on others each function says that it failed. */
#ifndef PARALLEL_DECO_SHARED_H
#define PARALLEL_DECO_SHARED_H

#include <errno.h>
#include <stddef.h>

#include "_clock.h"

#if defined(_WIN32)

static void *pd_map(int descriptor, size_t size, int populate) {
    (void)descriptor;
    (void)size;
    (void)populate;
    errno = ENOSYS;
    return NULL;
}
static void pd_unmap(void *address, size_t size) { (void)address; (void)size; }
static void pd_populate(void *address, size_t size) { (void)address; (void)size; }

#else

#include <sys/mman.h>

#ifndef MAP_POPULATE
#define MAP_POPULATE 0
#endif

static void *pd_map(int descriptor, size_t size, int populate) {
    void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | (populate ? MAP_POPULATE : 0), descriptor, 0);
    return address == MAP_FAILED ? NULL : address;
}

static void pd_unmap(void *address, size_t size) { munmap(address, size); }

/* MADV_POPULATE_WRITE, Linux 5.14 and later; elsewhere the pages come by faults. */
static void pd_populate(void *address, size_t size) {
#if defined(__linux__)
    (void)madvise(address, size, 23);
#else
    (void)address;
    (void)size;
#endif
}

#endif

#if defined(__linux__)
#include <signal.h>
#include <sys/prctl.h>
static int pd_die_with_parent(void) { return prctl(PR_SET_PDEATHSIG, SIGKILL); }
#else
static int pd_die_with_parent(void) { return -1; }
#endif

/* Write a word after everything that was written before it. */
static void pd_publish(unsigned int *word, unsigned int value) {
#if defined(_MSC_VER)
    *(volatile unsigned int *)word = value;
#else
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
#endif
}

#endif
