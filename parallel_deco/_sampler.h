/* A native thread that looks whether watched threads hold the GIL, and never takes it itself.
 *
 * Guarantees
 *   - A thread state is only read between begin() and end() of its own thread: whoever reads raises `readers`,
 *     looks at `active` again, reads, and lowers `readers`; end() clears `active` and then waits for `readers`
 *     to be 0. Both sides use sequentially consistent atomics, so one of them always sees the other.
 *   - A slot has one owner at a time: it is taken by compare-and-swap, so free-threaded builds may race for it.
 *   - Slots from `used` on were never taken, and need not be looked through.
 *   - `lock` protects only parking; nobody holds it while reading a thread state.
 * Assumes that the fields read below say whether a thread is attached. They are no documented API: pd_self_test()
 * proves them before the sampler is believed.
 */
#ifndef PARALLEL_DECO_SAMPLER_H
#define PARALLEL_DECO_SAMPLER_H

#include <Python.h>

#if defined(_WIN32)
#define PD_SUPPORTED 0
#else
#define PD_SUPPORTED 1
#endif

typedef struct {
    long samples;
    double wall;      /* seconds looked at */
    double held;      /* of these, attached to the interpreter */
    double cpu;       /* CPU seconds of the thread while looked at */
    double cpu_held;  /* of these, attached */
    long caught;      /* looks that found it computing */
    double busy;      /* seconds looked at that ended with such a look */
    double busy_held; /* of these, attached */
    double idle_held; /* seconds that ended with it off its CPU and attached */
    double age;       /* seconds since begin() */
    double spent;     /* CPU seconds of the thread since begin() */
} pd_reading;

static int pd_moves; /* whether the sampler may choose its CPU */

#if PD_SUPPORTED

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "_masks.h"

#define PD_SLOTS 1024
/* Each look wakes up for all. Where more than so many are watched, those that had their looks and PD_ENOUGH more are
 * looked at no longer: calls that block for ever would take a CPU's time, and nothing new is seen of them. */
#define PD_MANY 32
#define PD_ENOUGH 40
/* Seconds between looks: from the first to the steady ones, growing by PD_GROWTH, and to the last when the budget of
 * looks is spent. A wake-up costs 20 to 30 us of another core: 40 looks 1 ms, and a call of seconds 0.15 %. */
#define PD_FIRST 100e-6
#define PD_STEADY 1e-3
#define PD_LAST 20e-3
#define PD_GROWTH 1.1
/* Share of the time since the last look from which on it has computed all the while. */
#define PD_ALL 0.9
/* A look that comes so many times as late as it was to counts for no more. */
#define PD_LATE 2.0

/* What `active` says. */
#define PD_NOBODY 0
#define PD_LOOKED_AT 1
#define PD_RESTING 2

typedef struct {
    atomic_int taken;
    atomic_int active;
    atomic_int readers;
    PyThreadState *state;
    clockid_t clock;
    atomic_int cpu; /* where it was when it began */
    double born, born_cpu;
    double seen, seen_cpu;
    double interval;
    long budget;
    pd_reading sum;
} pd_slot;

static pd_slot pd_slots[PD_SLOTS];
static atomic_int pd_used;
static atomic_int pd_watched;
static atomic_int pd_running;
static atomic_int pd_closed;
static clockid_t pd_clock; /* of the sampler's own CPU time, once pd_clocked */
static atomic_int pd_clocked;
static pthread_mutex_t pd_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t pd_wake = PTHREAD_COND_INITIALIZER;

static inline int pd_holds_gil(PyThreadState *state) {
#if PY_VERSION_HEX >= 0x030D0000
    return *(volatile int *)&state->state == 1; /* _Py_THREAD_ATTACHED */
#elif PY_VERSION_HEX >= 0x030C0000
    return state->_status.active;
#else
    return _PyThreadState_UncheckedGet() == state;
#endif
}

static inline double pd_seconds(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t) != 0) return 0.0;
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#if defined(__linux__)
/* Have the sampler, in its own thread, look from another CPU than that of the only thread it watches: on the same one it
 * would not get to look before that waits for something, and what computes for less than a millisecond at a time would
 * never be met computing. Returns that CPU, or what it was before. */
static int pd_keep_away(int away) {
    int used = atomic_load(&pd_used), watched = 0, cpu = -1;
    pd_mask may, none = {0};
    for (int i = 0; i < used; i++) {
        if (atomic_load(&pd_slots[i].active) != PD_LOOKED_AT) continue;
        watched += 1;
        cpu = atomic_load(&pd_slots[i].cpu);
    }
    if (!pd_moves || watched != 1 || cpu == away || pd_may(getpid(), may) < 0 || !pd_has(may, cpu))
        return away;
    may[cpu / PD_BITS] &= ~(1ULL << (cpu % PD_BITS));
    return memcmp(may, none, sizeof may) != 0 && pd_allow(0, may) == 0 ? cpu : away;
}
#else
static int pd_keep_away(int away) { return away; }
#endif

static void pd_look(pd_slot *slot) {
    atomic_fetch_add(&slot->readers, 1);
    if (atomic_load(&slot->active) == PD_LOOKED_AT) {
        int watched = PD_LOOKED_AT;
        /* The clocks first: where this thread loses its CPU here, the time until it has it back goes to the next look,
         * and not to what was so before. */
        double now = pd_seconds(CLOCK_MONOTONIC), cpu = pd_seconds(slot->clock);
        int held = pd_holds_gil(slot->state);
        double dt = now - slot->seen, dc = cpu - slot->seen_cpu, most = PD_LATE * (slot->interval + PD_FIRST);
        /* What was computed since the last look says nothing of who sleeps by now. But who has computed all the while has
         * just lost its CPU, perhaps to this thread. */
        int busy = pd_seconds(slot->clock) > cpu || dc > PD_ALL * dt;
        slot->seen = now;
        slot->seen_cpu = cpu;
        if (dt > most) { /* one look says little of all the time for which this thread had no CPU itself */
            dc *= most / dt;
            dt = most;
        }
        slot->sum.samples += 1;
        slot->sum.wall += dt;
        slot->sum.cpu += dc;
        if (held) {
            slot->sum.held += dt;
            slot->sum.cpu_held += dc;
        }
        if (busy) {
            slot->sum.caught += 1;
            slot->sum.busy += dt;
            if (held) slot->sum.busy_held += dt;
        } else if (held)
            slot->sum.idle_held += dt;
        if (slot->interval < (slot->sum.samples < slot->budget ? PD_STEADY : PD_LAST)) slot->interval *= PD_GROWTH;
        if (slot->sum.samples >= slot->budget + PD_ENOUGH && atomic_load(&pd_watched) > PD_MANY &&
            atomic_compare_exchange_strong(&slot->active, &watched, PD_RESTING))
            atomic_fetch_sub(&pd_watched, 1);
    }
    atomic_fetch_sub(&slot->readers, 1);
}

static double pd_shortest_interval(void) {
    double shortest = PD_LAST;
    int used = atomic_load(&pd_used);
    for (int i = 0; i < used; i++)
        if (atomic_load(&pd_slots[i].active) == PD_LOOKED_AT && pd_slots[i].interval < shortest)
            shortest = pd_slots[i].interval;
    return shortest;
}

static void *pd_main(void *unused) {
    uint32_t random = 2463534242u;
    int away = -1;
    (void)unused;
    if (pthread_getcpuclockid(pthread_self(), &pd_clock) == 0) atomic_store(&pd_clocked, 1);
    for (;;) {
        pthread_mutex_lock(&pd_lock);
        while (atomic_load(&pd_watched) == 0 || atomic_load(&pd_closed)) pthread_cond_wait(&pd_wake, &pd_lock);
        pthread_mutex_unlock(&pd_lock);
        away = pd_keep_away(away);
        /* Jitter of +-50 %: a function with a period of its own must not be met always at the same place. */
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        double pause = pd_shortest_interval() * (0.5 + (double)random / 4294967296.0);
        struct timespec t = {(time_t)pause, (long)((pause - (double)(time_t)pause) * 1e9)};
        nanosleep(&t, NULL);
        for (int i = 0; i < atomic_load(&pd_used); i++)
            if (atomic_load(&pd_slots[i].active) == PD_LOOKED_AT) pd_look(&pd_slots[i]);
    }
    return NULL;
}

/* In the child of a fork no sampler thread exists and nobody is watched. */
static void pd_after_fork(void) {
    pthread_mutex_init(&pd_lock, NULL);
    pthread_cond_init(&pd_wake, NULL);
    atomic_store(&pd_running, 0);
    atomic_store(&pd_clocked, 0);
    atomic_store(&pd_watched, 0);
    for (int i = 0; i < atomic_load(&pd_used); i++) {
        atomic_store(&pd_slots[i].active, PD_NOBODY);
        atomic_store(&pd_slots[i].readers, 0);
        atomic_store(&pd_slots[i].taken, 0);
    }
}

/* Have slots up to this one looked through. */
static void pd_use(int index) {
    int used = atomic_load(&pd_used);
    while (used <= index && !atomic_compare_exchange_weak(&pd_used, &used, index + 1)) continue;
}

static int pd_start(void) {
    int expected = 0;
    static atomic_int registered;
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    int failed;
    if (!atomic_compare_exchange_strong(&pd_running, &expected, 1)) return 1;
    expected = 0;
    if (atomic_compare_exchange_strong(&registered, &expected, 1)) pthread_atfork(NULL, NULL, pd_after_fork);
    /* Signals belong to the program's own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    failed = pthread_create(&thread, &attributes, pd_main, NULL);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) atomic_store(&pd_running, 0);
    return !failed;
}

/* Watch the calling thread, at short intervals for so many looks. Returns a slot, or -1 when there is none free. */
static int pd_begin(long budget) {
    if (atomic_load(&pd_closed) || !pd_start()) return -1;
    for (int i = 0; i < PD_SLOTS; i++) {
        pd_slot *slot = &pd_slots[i];
        int expected = 0;
        if (atomic_load(&slot->taken)) continue;
        pd_use(i); /* before it is taken: a fork in between must find it */
        if (!atomic_compare_exchange_strong(&slot->taken, &expected, 1)) continue;
        slot->state = PyThreadState_Get();
        if (pthread_getcpuclockid(pthread_self(), &slot->clock) != 0) {
            atomic_store(&slot->taken, 0);
            return -1;
        }
        atomic_store(&slot->cpu, pd_here());
        slot->sum = (pd_reading){0};
        slot->interval = PD_FIRST;
        slot->budget = budget;
        slot->born = slot->seen = pd_seconds(CLOCK_MONOTONIC);
        slot->born_cpu = slot->seen_cpu = pd_seconds(slot->clock);
        atomic_store(&slot->active, PD_LOOKED_AT);
        if (atomic_fetch_add(&pd_watched, 1) == 0) {
            pthread_mutex_lock(&pd_lock);
            pthread_cond_signal(&pd_wake);
            pthread_mutex_unlock(&pd_lock);
        }
        return i;
    }
    return -1;
}

static pd_reading pd_end(int index) {
    pd_slot *slot = &pd_slots[index];
    pd_reading sum;
    if (atomic_exchange(&slot->active, PD_NOBODY) == PD_LOOKED_AT) atomic_fetch_sub(&pd_watched, 1);
    while (atomic_load(&slot->readers)) sched_yield();
    sum = slot->sum;
    sum.age = pd_seconds(CLOCK_MONOTONIC) - slot->born;
    sum.spent = pd_seconds(slot->clock) - slot->born_cpu;
    atomic_store(&slot->taken, 0);
    return sum;
}

/* Read a slot of another thread while its call is running; samples is -1 when nobody is watched there. */
static pd_reading pd_peek(int index) {
    pd_slot *slot = &pd_slots[index];
    pd_reading sum = {-1};
    atomic_fetch_add(&slot->readers, 1);
    if (atomic_load(&slot->active)) {
        sum = slot->sum;
        sum.age = pd_seconds(CLOCK_MONOTONIC) - slot->born;
        sum.spent = pd_seconds(slot->clock) - slot->born_cpu;
    }
    atomic_fetch_sub(&slot->readers, 1);
    return sum;
}

/* CPU seconds of the sampler itself so far. */
static double pd_spent(void) {
    return atomic_load(&pd_clocked) ? pd_seconds(pd_clock) : 0.0;
}

/* Seconds that a thread could have run but got no CPU: the second number of its open schedstat; 0 where it cannot be
 * read. With the GIL held: the kernel answers at once, and who gives the GIL up waits for it, and then for a CPU. */
static double pd_run_delay(int descriptor) {
    char text[64], *end;
    ssize_t size = pread(descriptor, text, sizeof text - 1, 0);
    if (size <= 0) return 0.0;
    text[size] = 0;
    strtoull(text, &end, 10);
    return 1e-9 * (double)strtoull(end, NULL, 10);
}

/* How often the calling thread gave its CPU up by itself, to wait for something; -1 where the system does not count. */
static long pd_rests(void) {
#ifdef RUSAGE_THREAD
    struct rusage usage;
    if (!getrusage(RUSAGE_THREAD, &usage)) return usage.ru_nvcsw;
#endif
    return -1;
}

/* The interpreter is about to go: look at nobody any more, and wait for a look under way. */
static void pd_close(void) {
    atomic_store(&pd_closed, 1);
    for (int i = 0; i < atomic_load(&pd_used); i++) {
        atomic_store(&pd_slots[i].active, PD_NOBODY);
        while (atomic_load(&pd_slots[i].readers)) sched_yield();
    }
}

static int pd_self_test(void) {
    PyThreadState *state = PyThreadState_Get();
    int attached = pd_holds_gil(state), detached;
    PyThreadState *saved = PyEval_SaveThread();
    detached = pd_holds_gil(state);
    PyEval_RestoreThread(saved);
    return attached == 1 && detached == 0;
}

#else /* no POSIX threads: the sampler says that it is not there */

static int pd_begin(long budget) { (void)budget; return -1; }
static pd_reading pd_end(int index) { pd_reading none = {0}; (void)index; return none; }
static pd_reading pd_peek(int index) { pd_reading none = {-1}; (void)index; return none; }
static double pd_spent(void) { return 0.0; }
static double pd_run_delay(int descriptor) { (void)descriptor; return 0.0; }
static long pd_rests(void) { return -1; }
static void pd_close(void) {}
static int pd_self_test(void) { return 0; }

#endif
#endif
