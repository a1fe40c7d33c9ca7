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

/* Nanoseconds for which who was told something leaves the GIL to who told it, who will wait for something soon. */
#define PD_MOMENT 40000

#if defined(_WIN32)

static int pd_tell(pd_news *news) { return _InterlockedExchange((volatile long *)&news->word, 1) == 0; }
static void pd_forget(pd_news *news) { (void)_InterlockedExchange((volatile long *)&news->word, 0); }
static void pd_rest(void) {}
static int pd_crowded(void) { return 1; }
static void pd_hear(pd_news *news, double awake, int slot) { (void)news; (void)awake; (void)slot; }
static void pd_leave_slots(void) {}
static double pd_awake(void) { return 0.0; }
static void pd_await(int descriptor, double awake) { (void)descriptor; (void)awake; }

#else

#include <poll.h>
#include <sched.h>

/* A thread that stayed awake and lost its CPU for so many nanoseconds has found that others want it; and for so many
 * times as long nobody stays awake: who sleeps is let go on as soon as it is woken, who lets others go first has to
 * wait. More than so many, and it was the whole process that stood. */
#define PD_LOST 500000
#define PD_PATIENCE 50
#define PD_STOPPED 20000000

static unsigned pd_rests;   /* how often threads have let go of the GIL to wait here */
static int64_t pd_busy;     /* until when nobody stays awake */
static int64_t pd_stayed;   /* nanoseconds for which threads have stayed awake */
static int64_t pd_since[2]; /* when those that stay awake now began to, one in each slot; 0 where none does */

static int64_t pd_nanoseconds(void) { return (int64_t)(1e9 * pd_now()); }
static int64_t pd_get(const int64_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }

/* Tell it, with the GIL or as somebody who had it; return whether it is news. */
static int pd_tell(pd_news *news) {
    __atomic_store_n(&news->rests, __atomic_load_n(&pd_rests, __ATOMIC_ACQUIRE), __ATOMIC_RELAXED);
    return __atomic_exchange_n(&news->word, 1, __ATOMIC_ACQ_REL) == 0;
}

static void pd_forget(pd_news *news) { __atomic_store_n(&news->word, 0, __ATOMIC_RELEASE); }

/* Say that the calling thread has let go of the GIL, and waits. */
static void pd_rest(void) { __atomic_add_fetch(&pd_rests, 1, __ATOMIC_ACQ_REL); }

static int pd_crowded(void) { return pd_nanoseconds() < pd_get(&pd_busy); }

/* Let whoever else wants this CPU have it; return for how long somebody did. Takes the time of the last look, and sets
 * it. */
static int64_t pd_yield(int64_t *now) {
    int64_t lost, before = *now;
    sched_yield();
    *now = pd_nanoseconds();
    lost = *now - before;
    if (lost < PD_LOST) return 0;
    __atomic_store_n(&pd_busy, *now + PD_PATIENCE * (lost < PD_STOPPED ? lost : PD_STOPPED), __ATOMIC_RELEASE);
    return lost;
}

/* Stay awake for so many seconds at most, without the GIL, until something was told and it is likely that the GIL is
 * free: who finds that it is not sleeps until it is, for longer than most that are told something keep it. One thread
 * at a time in each slot; another is to sleep. */
static void pd_hear(pd_news *news, double awake, int slot) {
    int64_t began = pd_nanoseconds(), now = began, lost = 0, none = 0, end = began + (int64_t)(1e9 * awake);
    unsigned rests;
    int heard;
    if (!__atomic_compare_exchange_n(&pd_since[slot], &none, began, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) return;
    while (!(heard = __atomic_load_n(&news->word, __ATOMIC_ACQUIRE)) && !lost && now < end) lost = pd_yield(&now);
#ifndef Py_GIL_DISABLED
    end = now + PD_MOMENT;
    rests = __atomic_load_n(&news->rests, __ATOMIC_RELAXED);
    while (heard && !lost && __atomic_load_n(&pd_rests, __ATOMIC_ACQUIRE) == rests && now < end) lost = pd_yield(&now);
#else
    (void)heard;
    (void)rests;
#endif
    __atomic_store_n(&pd_since[slot], 0, __ATOMIC_RELEASE);
    __atomic_add_fetch(&pd_stayed, now - began - lost, __ATOMIC_ACQ_REL);
}

/* In the child of a fork: who stayed awake is a thread of the parent. */
static void pd_leave_slots(void) {
    __atomic_store_n(&pd_since[0], 0, __ATOMIC_RELEASE);
    __atomic_store_n(&pd_since[1], 0, __ATOMIC_RELEASE);
}

/* Seconds for which threads have stayed awake; of those who do so now, who has a slot counts. */
static double pd_awake(void) {
    int64_t sum = pd_get(&pd_stayed), now = pd_nanoseconds(), since;
    int slot;
    for (slot = 0; slot < 2; slot++)
        if ((since = pd_get(&pd_since[slot]))) sum += now - since;
    return 1e-9 * (double)sum;
}

/* Wait until a descriptor can be read, or has ended, or a signal came; for so many seconds without sleeping. */
static void pd_await(int descriptor, double awake) {
    struct pollfd one = {descriptor, POLLIN, 0};
    int64_t began = pd_nanoseconds(), now = began, lost = 0, end = began + (int64_t)(1e9 * awake);
    int ready = 0;
    if (descriptor < 0) return; /* closed; who reads will be told */
    while (!lost && now < end && !(ready = poll(&one, 1, 0))) lost = pd_yield(&now);
    __atomic_add_fetch(&pd_stayed, now - began - lost, __ATOMIC_ACQ_REL);
    if (!ready) (void)poll(&one, 1, -1);
}

#endif

#endif
