/* Waiting without the GIL, and bells that a thread has still to ring. */
#ifndef PARALLEL_DECO_WAITING_H
#define PARALLEL_DECO_WAITING_H

#include <Python.h>
#include <pythread.h>

#include "_clock.h"

#if defined(_MSC_VER)
#define PD_OF_THREAD __declspec(thread)
#else
#define PD_OF_THREAD __thread
#endif

/* Bells (a list, borrowed) that this thread rings when it waits the next time; NULL where it rings at once. */
static PD_OF_THREAD PyObject *pd_later = NULL;

static PyObject *pd_get_later(void) { return pd_later; }
static void pd_set_later(PyObject *list) { pd_later = list; }

/* Whether this is the first time that it is called with this word. */
static int pd_first(int *word) {
#if defined(_MSC_VER)
    return _InterlockedExchange((volatile long *)word, 1) == 0;
#else
    return __atomic_exchange_n(word, 1, __ATOMIC_ACQ_REL) == 0;
#endif
}

#if defined(_WIN32)

static void pd_await(int descriptor, double awake) { (void)descriptor; (void)awake; }

#else

#include <poll.h>
#include <sched.h>

/* Wait until a descriptor can be read, or has ended, or a signal came; for so many seconds without sleeping. */
static void pd_await(int descriptor, double awake) {
    struct pollfd one = {descriptor, POLLIN, 0};
    if (descriptor < 0) return; /* closed; who reads will be told */
    if (awake > 0.0) {
        double end = pd_now() + awake;
        do {
            if (poll(&one, 1, 0) != 0) return;
            sched_yield(); /* whoever else wants this CPU has it */
        } while (pd_now() < end);
    }
    (void)poll(&one, 1, -1);
}

#endif

#endif
