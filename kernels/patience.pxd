"""Lets a kernel that runs for long without the GIL end at Ctrl-C."""

from cpython.exc cimport PyErr_CheckSignals
from cpython.pythread cimport PyThread_get_thread_ident

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int timespec_get(timespec*, int)
    int TIME_UTC


cdef struct Patience:
    bint heeds  # signals: Python runs their handlers in the main thread only
    double asked  # when it was asked for them, in seconds


cdef inline double clock_seconds() noexcept nogil:
    cdef timespec now
    timespec_get(&now, TIME_UTC)
    return now.tv_sec + 1e-9 * now.tv_nsec


cdef inline Patience begin_patience(unsigned long main_thread) noexcept:
    """Begin, in the thread of the caller."""
    cdef Patience begun
    begun.heeds = PyThread_get_thread_ident() == main_thread
    begun.asked = clock_seconds()
    return begun


cdef inline int heed(Patience* waited) except -1 nogil:
    """Raise what the handler of a signal raises; to be called often, for it takes the GIL ten times a second only."""
    cdef double now
    if waited.heeds:
        now = clock_seconds()
        if not 0.0 <= now - waited.asked < 0.1:
            waited.asked = now
            with gil:
                return PyErr_CheckSignals()
    return 0
