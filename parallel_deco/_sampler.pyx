# cython: language_level=3, wraparound=False, cdivision=True, freethreading_compatible=True
"""How much of a running call holds the GIL, read by a native thread that never takes the GIL."""

import atexit

from parallel_deco._cpus import MOVES

cdef extern from "_sampler.h" nogil:
    ctypedef struct pd_reading:
        long samples
        double wall
        double held
        double cpu
        double cpu_held
        long caught
        double busy
        double busy_held
        double idle_held
        double age
        double spent
    pd_reading pd_end(int index)
    pd_reading pd_peek(int index)
    double pd_spent()
    double pd_run_delay(int descriptor)
    long pd_rests()
    void pd_close()

cdef extern from "_sampler.h":
    int pd_begin(long budget)
    int pd_self_test()
    int pd_moves


#: Whether this interpreter's thread states say who holds the GIL; decided once, by trying.
works = bool(pd_self_test())
pd_moves = MOVES

cdef tuple _as_tuple(pd_reading r):
    return (r.samples, r.wall, r.held, r.cpu, r.cpu_held, r.caught, r.busy, r.busy_held, r.idle_held, r.age, r.spent)


def begin(long looks=40):
    """Watch the calling thread from now on.

    Parameters
    ----------
    looks : int
        How often to look at intervals of a millisecond at most, before they grow to 20.

    Returns
    -------
    int
        The slot to give to `end` in the same thread, or to `peek` in any; -1 when nothing is watched.
    """
    return pd_begin(looks) if works else -1


def end(int slot):
    """Stop watching; must be called by the thread that called `begin`.

    Returns
    -------
    tuple
        (samples, wall, held, cpu, cpu_held, caught, busy, busy_held, idle_held, age, spent): the number of looks, and
        in seconds: the time looked at, how much of it with the GIL held, the CPU time in it, how much of that with the
        GIL held; how many looks found it computing, the time that ended with these, how much of that with the GIL
        held; the time that ended with it off its CPU and the GIL held; and wall and CPU time since `begin`.
    """
    return _as_tuple(pd_end(slot))


def peek(int slot):
    """Read what `end` would return, from another thread, while the watched call runs.

    Returns
    -------
    tuple or None
        None when the call has ended.
    """
    cdef pd_reading r = pd_peek(slot)
    return None if r.samples < 0 else _as_tuple(r)


cdef class Watched:
    """Has a slot, and gives it back when it goes: Ctrl-C may come before anybody could be told that it has one.

    By then the thread must not have ended, as the main thread, which alone hears of Ctrl-C, has not.
    """

    cdef public int slot

    def __cinit__(self):
        self.slot = -1

    def __dealloc__(self):
        if self.slot >= 0:
            pd_end(self.slot)

    def begin(self, long looks):
        """Watch the calling thread from now on; `slot` is -1 when nothing is watched."""
        if works:
            self.slot = pd_begin(looks)


def spent():
    """Return the CPU seconds that the sampler's own thread has taken so far."""
    return pd_spent()


def run_delay(int descriptor):
    """Return the seconds that a thread could have run but got no CPU, from its open schedstat; 0.0 if it has none."""
    return pd_run_delay(descriptor)


def rests():
    """Return how often the calling thread gave its CPU up by itself, to wait; -1 where the system does not count."""
    return pd_rests()


def close():
    """Watch nobody any more; for the interpreter's exit."""
    pd_close()


atexit.register(close)
