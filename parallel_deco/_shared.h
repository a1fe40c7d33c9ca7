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
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static int pd_die_with_parent(void) { return prctl(PR_SET_PDEATHSIG, SIGKILL); }

static char pd_status_file[64];
static pid_t pd_follower;

/* Whether the program has a handler for a signal, ignores it, or takes it when it likes; not where nobody can tell.
   Only with what a signal's handler may call. */
static int pd_program_lives_through(int number) {
    static const char *const masks[] = {"\nSigBlk:\t", "\nSigIgn:\t", "\nSigCgt:\t"};
    char text[8192];
    size_t size = 0;
    ssize_t got;
    int file = open(pd_status_file, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    while (size < sizeof text - 1 && (got = read(file, text + size, sizeof text - 1 - size)) > 0) size += (size_t)got;
    close(file);
    text[size] = 0;
    for (size_t which = 0; which < sizeof masks / sizeof *masks; which++) {
        const char *found = strstr(text, masks[which]);
        if (found && strtoull(found + strlen(masks[which]), NULL, 16) >> (number - 1) & 1) return 1;
    }
    return 0;
}

/* What a task has forked has this handler too, but its parent may want to end it with the signal. */
static void pd_heed(int number) {
    int before = errno;
    if (getpid() != pd_follower || !pd_program_lives_through(number)) {
        signal(number, SIG_DFL);
        raise(number); /* it comes when this returns */
    }
    errno = before;
}

static void pd_follow(int program) {
    snprintf(pd_status_file, sizeof pd_status_file, "/proc/%d/status", program);
    pd_follower = getpid();
}

static int pd_follow_at(int number) {
    struct sigaction now;
    if (sigaction(number, NULL, &now)) return -1;
    if (now.sa_handler != SIG_DFL) return 0;
    memset(&now, 0, sizeof now);
    now.sa_handler = pd_heed;
    now.sa_flags = SA_RESTART;
    return sigaction(number, &now, NULL);
}
#else
static int pd_die_with_parent(void) { return -1; }
static void pd_follow(int program) { (void)program; }
static int pd_follow_at(int number) { (void)number; return 0; }
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
