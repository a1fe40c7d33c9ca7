/* On which CPU a sleeping thread is to wake: a word and two masks of CPUs. Where the system has none, nobody is moved. */
#ifndef PARALLEL_DECO_SEATS_H
#define PARALLEL_DECO_SEATS_H

#include "_masks.h"

/* May lie in memory that two processes share: the waker writes it while the thread sleeps, the thread when it works. */
typedef struct {
    int moved; /* the thread's mask was narrowed, and `whole` is what it was */
    int place; /* the CPU where it was last, or is to wake, and one; zero for none */
    pd_mask whole;
} pd_seat;

#if defined(__linux__)

#include <fcntl.h>
#include <stdlib.h>

/* How many threads of all programs run or want to; negative where that cannot be read. */
static int pd_runnable(void) {
    char text[128];
    char *at;
    ssize_t length;
    int file = open("/proc/loadavg", O_RDONLY | O_CLOEXEC), blanks = 0;
    if (file < 0) return -1;
    length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0) return -1;
    text[length] = 0;
    for (at = text; *at && blanks < 3; at++) blanks += *at == ' ';
    return *at ? atoi(at) : -1;
}

/* Choose a CPU that is not taken: the thread's own, another, or the caller's, who is about to sleep. Of the others those
   come first whose neighbour is free as well: the two may be one core. */
static int pd_choose(const unsigned long long *may, const unsigned long long *taken, int own, int here) {
    int near, step, cpu, first, count = PD_WORDS * PD_BITS;
    while (count > PD_BITS && !may[count / PD_BITS - 1]) count -= PD_BITS; /* few machines have more than a word's */
    first = here < count ? here + 1 : 0;
    if (own != here && pd_has(may, own) && !pd_has(taken, own)) return own;
    for (near = 0; near < 2; near++) {
        for (step = 0; step < count; step++) {
            cpu = (first + step) % count;
            if (cpu == here || !pd_has(may, cpu) || pd_has(taken, cpu)) continue;
            if (near || ((cpu ^ 1) != here && !pd_has(taken, cpu ^ 1))) return cpu;
        }
    }
    return pd_has(may, here) && !pd_has(taken, here) ? here : -1;
}

/* Have a thread use this CPU alone; negative where it may not. */
static long pd_narrow(int thread, int cpu) {
    pd_mask only;
    memset(only, 0, sizeof only);
    pd_put(only, cpu);
    return pd_allow(thread, only);
}

/* Have a sleeping thread wake on a CPU that is not taken; return that, or -1 where it wakes wherever the system likes. */
static int pd_usher(pd_seat *seat, int thread, const unsigned long long *taken) {
    pd_mask may;
    int here = sched_getcpu(), cpu, word, several = 0;
    if (here < 0 || seat->moved) return -1; /* moved before, and nobody has woken it */
    if (pd_may(thread, may) < 0) return -1;
    for (word = 0; word < PD_WORDS; word++) several += __builtin_popcountll(may[word]);
    if (several < 2) return -1;
    cpu = pd_choose(may, taken, seat->place - 1, here);
    if (cpu < 0) return -1;
    memcpy(seat->whole, may, sizeof may);
    if (pd_narrow(thread, cpu) < 0) return -1;
    seat->place = cpu + 1;
    /* Only now: if something else wakes it before, it gets its mask back when it is woken for this work. */
    __atomic_store_n(&seat->moved, 1, __ATOMIC_RELEASE);
    return cpu;
}

/* Give the calling thread its own mask back. If that was all that it may have, it is to have all: a mask that is less
   would be kept as its wish, when it may have more one day. */
static void pd_restore(const unsigned long long *whole) {
    pd_mask all, may;
    memset(all, 255, sizeof all);
    if (pd_allow(0, all) == 0 && pd_may(0, may) >= 0 && memcmp(may, whole, sizeof may) == 0) return;
    (void)pd_allow(0, whole);
}

/* Be at work: give the calling thread its own mask back, and note where it is. */
static void pd_sit(pd_seat *seat) {
    if (__atomic_load_n(&seat->moved, __ATOMIC_ACQUIRE)) {
        pd_restore(seat->whole);
        __atomic_store_n(&seat->moved, 0, __ATOMIC_RELEASE);
    }
    seat->place = sched_getcpu() + 1;
}

/* Have the calling thread go on on this CPU, if it may be there, and wherever the system likes from then on. */
static void pd_go(int cpu) {
    pd_mask may;
    if (sched_getcpu() == cpu || pd_may(0, may) < 0 || !pd_has(may, cpu)) return;
    if (pd_narrow(0, cpu) == 0) pd_restore(may);
}

#else

static int pd_runnable(void) { return -1; }
static int pd_usher(pd_seat *seat, int thread, const unsigned long long *taken) {
    (void)seat;
    (void)thread;
    (void)taken;
    return -1;
}
static void pd_sit(pd_seat *seat) { (void)seat; }
static void pd_go(int cpu) { (void)cpu; }

#endif

#endif
