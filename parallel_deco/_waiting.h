/* Waiting without the GIL, and bells that a thread has still to ring. */
#ifndef PARALLEL_DECO_WAITING_H
#define PARALLEL_DECO_WAITING_H

#include <Python.h>
#include <pythread.h>
#include <stdint.h>

#include "_clock.h"

#if defined(_MSC_VER)
#define PD_OF_THREAD __declspec(thread)
#else
#define PD_OF_THREAD __thread
#endif

/* Bells (a list, borrowed) that this thread rings when it waits the next time; NULL where it rings at once. */
static PD_OF_THREAD PyObject *pd_later = NULL;

/* Seconds for which this thread has waited for a bell that was to ring soon. */
static PD_OF_THREAD double pd_waited = 0.0;

static double pd_get_waited(void) { return pd_waited; }
static void pd_set_waited(double seconds) { pd_waited = seconds; }

static PyObject *pd_get_later(void) { return pd_later; }
static void pd_set_later(PyObject *list) { pd_later = list; }

/* What one thread tells another: the word, and how often threads had let go of the GIL by then. */
typedef struct {
    int word;
    unsigned rests;
} pd_news;

/* Seconds for which who was told something leaves the GIL to who told it, who will wait for something in a moment. */
#define PD_MOMENT 40e-6

#if defined(_WIN32)

static int pd_tell(pd_news *news) { return _InterlockedExchange((volatile long *)&news->word, 1) == 0; }
static void pd_forget(pd_news *news) { news->word = 0; }
static void pd_rest(void) {}
static int pd_crowded(void) { return 1; }
static int pd_hear(pd_news *news, double awake) { (void)awake; return news->word; }
static int pd_keep_vigil(pd_news *news, double awake) { (void)awake; return news->word; }
static void pd_end_vigils(void) {}
static double pd_awake(void) { return 0.0; }
static void pd_await(int descriptor, double awake) { (void)descriptor; (void)awake; }

#else

#include <poll.h>
#include <sched.h>

static unsigned pd_rests;       /* how often threads have let go of the GIL to wait here */
static int64_t pd_stayed;       /* nanoseconds for which threads have stayed awake */
static int64_t pd_vigil_since;  /* when the one that keeps a vigil began to; 0 where none does */

static int64_t pd_nanoseconds(double seconds) { return (int64_t)(1e9 * seconds); }

/* Tell it, with the GIL or as somebody who had it; return whether it is news. */
static int pd_tell(pd_news *news) {
    __atomic_store_n(&news->rests, __atomic_load_n(&pd_rests, __ATOMIC_ACQUIRE), __ATOMIC_RELAXED);
    return __atomic_exchange_n(&news->word, 1, __ATOMIC_ACQ_REL) == 0;
}

static void pd_forget(pd_news *news) { __atomic_store_n(&news->word, 0, __ATOMIC_RELEASE); }

/* Say that the calling thread has let go of the GIL, and waits. */
static void pd_rest(void) { __atomic_add_fetch(&pd_rests, 1, __ATOMIC_ACQ_REL); }

/* A thread that stayed awake and lost its CPU for so many seconds has found that others want it; and for so many times
 * as long nobody stays awake: who sleeps is let go on as soon as it is woken, who lets others go first has to wait. */
#define PD_LOST 0.5e-3
#define PD_PATIENCE 50

static double pd_lost = 0.0; /* until when nobody stays awake */

static int pd_crowded(void) { return pd_now() < pd_lost; }

/* Let whoever else wants this CPU have it; return whether somebody did. Takes the time of the last look, and sets it. */
static int pd_yield(double *now) {
    double before = *now;
    sched_yield();
    *now = pd_now();
    if (*now - before < PD_LOST) return 0;
    pd_lost = *now + PD_PATIENCE * (*now - before);
    return 1;
}

static void pd_stay(double seconds) { __atomic_add_fetch(&pd_stayed, pd_nanoseconds(seconds), __ATOMIC_RELAXED); }

/* Stay awake for so many seconds at most, without the GIL, until something was told and it is likely that the GIL is
 * free: who finds that it is not sleeps until it is, for longer than most that are told something keep it. */
static int pd_hear(pd_news *news, double awake) {
    double began = pd_now(), now = began;
    int alone = 1, heard;
    while (!(heard = __atomic_load_n(&news->word, __ATOMIC_ACQUIRE)) && alone && now < began + awake)
        alone = !pd_yield(&now);
#ifndef Py_GIL_DISABLED
    double end = now + PD_MOMENT;
    unsigned rests = __atomic_load_n(&news->rests, __ATOMIC_RELAXED);
    while (heard && alone && __atomic_load_n(&pd_rests, __ATOMIC_ACQUIRE) == rests && now < end)
        alone = !pd_yield(&now);
#endif
    pd_stay(now - began);
    return heard;
}

/* The same for one thread at a time; the others are not to stay awake. */
static int pd_keep_vigil(pd_news *news, double awake) {
    int64_t none = 0;
    int heard;
    if (!__atomic_compare_exchange_n(&pd_vigil_since, &none, pd_nanoseconds(pd_now()), 0, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return 0;
    heard = pd_hear(news, awake);
    __atomic_store_n(&pd_vigil_since, 0, __ATOMIC_RELEASE);
    return heard;
}

/* In the child of a fork: who kept one is a thread of the parent. */
static void pd_end_vigils(void) { __atomic_store_n(&pd_vigil_since, 0, __ATOMIC_RELEASE); }

/* Seconds for which threads have stayed awake; of those who do so now, who keeps a vigil counts. */
static double pd_awake(void) {
    int64_t since = __atomic_load_n(&pd_vigil_since, __ATOMIC_ACQUIRE);
    int64_t sum = __atomic_load_n(&pd_stayed, __ATOMIC_RELAXED);
    return 1e-9 * (double)(since ? sum + pd_nanoseconds(pd_now()) - since : sum);
}

/* Wait until a descriptor can be read, or has ended, or a signal came; for so many seconds without sleeping. */
static void pd_await(int descriptor, double awake) {
    struct pollfd one = {descriptor, POLLIN, 0};
    double began = pd_now(), now = began;
    int ready = 0;
    if (descriptor < 0) return; /* closed; who reads will be told */
    while (now < began + awake && !(ready = poll(&one, 1, 0)) && !pd_yield(&now)) {
    }
    pd_stay(now - began);
    if (!ready) (void)poll(&one, 1, -1);
}

#endif

#endif
