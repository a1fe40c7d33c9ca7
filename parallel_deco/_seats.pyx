# cython: language_level=3, wraparound=False, cdivision=True, freethreading_compatible=True
"""Where threads wake that are to compute at the same time: each on a CPU of its own.

A virtual CPU that has nothing to do is given up to the host, and Linux takes it for one that is not available: two
threads that are woken one after the other then wake on the CPU of the first, or of who wakes them, and take turns there
until the system balances its queues, some milliseconds later. So who wakes a thread narrows its mask of CPUs to one
that nobody here computes on, and the thread, when it runs and before it enters anything of the user's, takes it back:
from then on the system may move it.

Who answers a short call waits awake where the caller sleeps, and goes there itself.
"""

cimport cython
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer

import os

from libc.string cimport memset

from parallel_deco._cpus import MOVES

cdef extern from "_seats.h" nogil:
    ctypedef unsigned long long pd_mask[16]
    ctypedef struct pd_seat:
        int moved
        int place
    int pd_runnable()
    int pd_usher(pd_seat *seat, int thread, const unsigned long long *taken)
    void pd_sit(pd_seat *seat)
    void pd_put(unsigned long long *mask, int cpu)
    int pd_here()
    void pd_go(int cpu)

#: Threads that may want to run beyond those that are known here: with more, there are other programs, and the system knows
#: better which CPU is free.
OTHERS = 0
#: The seats of those who were woken to compute, until they rest.
cdef set _taken = set()


cdef class Seat:
    """The place of a thread that waits for work, for whoever wakes it.

    Parameters
    ----------
    memory : buffer, optional
        Of at least `SIZE` bytes, zeroed and shared with the process of the thread, which has a seat there too.

    Notes
    -----
    Some 8 us for each thread that is moved, most of them to see whether other programs run; 50 ns at work.
    """

    cdef pd_seat _own
    cdef pd_seat *_seat
    cdef Py_buffer _memory
    cdef bint _shared

    def __cinit__(self, memory=None):
        memset(&self._own, 0, sizeof(pd_seat))
        self._seat = &self._own
        self._shared = memory is not None
        if self._shared:
            PyObject_GetBuffer(memory, &self._memory, PyBUF_WRITABLE)
            if <size_t>self._memory.len < sizeof(pd_seat):
                raise ValueError("the memory is too small")
            self._seat = <pd_seat *>self._memory.buf

    def __dealloc__(self):
        if self._shared:
            PyBuffer_Release(&self._memory)

    @property
    def cpu(self):
        """Where the thread was last, or is to wake; -1 where that is not known."""
        return self._seat.place - 1

    def usher(self, int thread):
        """Have the thread, which sleeps and is about to be woken to compute, wake on a CPU of its own.

        Parameters
        ----------
        thread : int
            As the system knows it.

        Returns
        -------
        bool
            Whether it does; else it wakes where the system likes.
        """
        cdef pd_mask taken
        cdef int runnable
        if not MOVES:
            return False
        memset(taken, 0, sizeof(pd_mask))
        _taken.discard(self)
        for other in [*_taken]:
            with cython.critical_section(other):
                pd_put(taken, (<Seat>other)._seat.place - 1)
        runnable = pd_runnable()
        cdef bint moved = 0 <= runnable <= 1 + len(_taken) + <int>OTHERS and pd_usher(self._seat, thread, taken) >= 0
        _taken.add(self)
        return moved

    def sit(self):
        """Be at work, in the thread itself, before anything of the user's runs."""
        pd_sit(self._seat)

    def take(self):
        """Compute, in the thread itself, where it is now; until it leaves, nobody is to wake there."""
        pd_sit(self._seat)
        _taken.add(self)

    def leave(self):
        """Compute no more; return whether it did, as far as was known here."""
        cdef bint there = self in _taken
        _taken.discard(self)
        return there

    def release(self):
        """Give the memory back; the seat is one that nobody else sees then."""
        _taken.discard(self)
        with cython.critical_section(self):  # without a GIL, another thread may be looking where it is
            self._seat = &self._own
            if self._shared:
                self._shared = False
                PyBuffer_Release(&self._memory)


def here():
    """Return the CPU that the calling thread is on; -1 where that is not known, or nobody is to be moved."""
    return pd_here() if MOVES else -1


def go(int cpu):
    """Have the calling thread go on on this CPU, if it may be there; the system may move it again at any time."""
    with nogil:
        pd_go(cpu)


SIZE = sizeof(pd_seat)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_taken.clear)  # they are threads, and workers, of the parent
