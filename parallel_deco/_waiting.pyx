# cython: language_level=3, wraparound=False, cdivision=True, freethreading_compatible=True
"""How threads wait for each other, and for a socket: heeding signals, and without racing for the GIL."""

cdef extern from "_waiting.h" nogil:
    ctypedef void *PyThread_type_lock
    ctypedef enum PyLockStatus:
        PY_LOCK_FAILURE
        PY_LOCK_ACQUIRED
        PY_LOCK_INTR
    PyLockStatus PyThread_acquire_lock_timed(PyThread_type_lock lock, long long microseconds, int interruptible)
    void PyThread_release_lock(PyThread_type_lock lock)
    ctypedef struct pd_news:
        int word
    int pd_tell(pd_news *news)
    void pd_forget(pd_news *news)
    void pd_rest()
    int pd_crowded()
    void pd_hear(pd_news *news, double awake, int slot)
    void pd_leave_slots()
    double pd_awake()
    double pd_now()
    void pd_await(int descriptor, double awake)

cdef extern from "_waiting.h":
    ctypedef struct PyObject
    PyThread_type_lock PyThread_allocate_lock()
    void PyThread_free_lock(PyThread_type_lock lock)
    PyObject *pd_get_later()
    void pd_set_later(PyObject *bells)
    double pd_get_waited()
    void pd_set_waited(double seconds)
    int PyErr_CheckSignals() except -1

import os
from collections import deque

#: A thread stays awake for so many times as long as it waited the last time, and at least and at most for so many
#: seconds; where that would be more, it sleeps. A machine that is slow has longer round trips.
cdef double TIMES = 2.0
cdef double LEAST = 100e-6
cdef double MOST = 1e-3
#: Bells that are rung at once without the GIL.
cdef enum:
    HANDFUL = 64
#: Who stays awake for what a thread of this process tells: one who waits for a bell, and one who waits for calls.
cdef enum:
    CALLER = 0
    CALLED = 1


cdef double awake(double before) noexcept nogil:
    """Return for how many seconds a thread stays awake whose last wait took so many; 0 where it sleeps at once."""
    return 0.0 if TIMES * before > MOST or pd_crowded() else max(LEAST, TIMES * before)


cdef long long microseconds(double end) noexcept nogil:
    """Return how many are left until then, as locks want it, for whom less than none is for ever."""
    return max(0, <long long> (1e6 * (end - pd_now())))


cdef class _Latch:
    """A lock that is free when there is news for the one thread that waits for it, and taken until then."""

    cdef PyThread_type_lock _lock
    cdef pd_news _news

    def __cinit__(self):
        self._lock = PyThread_allocate_lock()
        if self._lock is NULL:
            raise MemoryError
        PyThread_acquire_lock_timed(self._lock, 0, 0)

    def __dealloc__(self):
        if self._lock is not NULL:
            self._tell()  # some systems free no lock that is held
            PyThread_free_lock(self._lock)

    cdef void _tell(self) noexcept:
        """Free it, unless it is."""
        if pd_tell(&self._news):
            PyThread_release_lock(self._lock)


cdef class Bell(_Latch):
    """Wakes the one thread that waits for it; once, however often it is rung.

    Notes
    -----
    `threading.Condition` is not for threads that signals interrupt: one that comes right after `wait` has released the
    lock, or in `__enter__` right after it was taken, leaves it in the wrong state. In CPython 3.11 and 3.12 that ends
    one Ctrl-C in 1,000 with "RuntimeError: release unlocked lock" (measured). Here the waiting thread holds nothing.
    """

    def ring(self):
        """Wake who waits, or will."""
        self._tell()

    def ring_soon(self):
        """Wake who waits, or will; where this thread gathers bells, when it waits itself."""
        cdef PyObject *bells = pd_get_later()
        if bells is NULL:
            self.ring()
        else:
            (<list> bells).append(self)

    def wait(self, double seconds, bint soon=False):
        """Wait for the bell for so long at most; return whether it rang.

        Parameters
        ----------
        seconds : float
        soon : bool, optional
            A thread is expected to ring it at once: do not sleep at first, if such waits of this thread are short.
        """
        cdef double began = pd_now()
        cdef double end = began + seconds
        cdef double stay = 0.0
        cdef PyLockStatus status = PyThread_acquire_lock_timed(self._lock, 0, 0)
        if soon and status != PY_LOCK_ACQUIRED:
            stay = min(awake(pd_get_waited()), seconds)
        if stay > 0:
            with nogil:
                pd_rest()
                pd_hear(&self._news, stay, CALLER)
            PyErr_CheckSignals()
            status = PyThread_acquire_lock_timed(self._lock, 0, 0)
        while status != PY_LOCK_ACQUIRED and microseconds(end) > 0:
            with nogil:
                pd_rest()
                status = PyThread_acquire_lock_timed(self._lock, microseconds(end), 1)
            if status == PY_LOCK_INTR:
                PyErr_CheckSignals()
        if soon:
            pd_set_waited(pd_now() - began if status == PY_LOCK_ACQUIRED else MOST)
        return status == PY_LOCK_ACQUIRED


cdef class Mailbox(_Latch):
    """Calls for one thread, which waits for them: at first awake, where its last wait was short.

    Attributes
    ----------
    awake : bool
        The thread waits, and does not sleep yet.

    Notes
    -----
    One thread of the process at a time stays awake so. It lets others have its CPU, and takes the GIL when who called
    it has let go of that, to wait for something here, or after a moment. To be woken instead takes 20 to 60 us on a
    virtual machine, and another sleep where the GIL is not free.
    """

    cdef object _calls
    cdef double _waited
    cdef readonly bint awake

    def __cinit__(self):
        self._calls = deque()
        self._waited = MOST

    def put(self, call):
        """Add a call, from any thread."""
        self._calls.append(call)
        self._tell()

    def is_empty(self):
        """Whether no call waits."""
        return not self._calls

    def take(self):
        """Return the next call; IndexError if there is none."""
        return self._calls.popleft()

    def wait(self, double seconds):
        """Wait until there is a call, for so long at most; return whether there is one. In one thread at a time."""
        cdef double began = pd_now()
        cdef double end = began + seconds
        cdef double stay
        cdef PyLockStatus status
        while not self._calls and microseconds(end) > 0:
            stay = awake(self._waited)
            self.awake = stay > 0
            with nogil:
                pd_rest()
                if stay > 0:
                    pd_hear(&self._news, stay, CALLED)
                    self.awake = False
                status = PyThread_acquire_lock_timed(self._lock, microseconds(end), 0)
            if status == PY_LOCK_ACQUIRED:
                pd_forget(&self._news)  # before it is looked again: what comes from now on is told again
        self._waited = pd_now() - began
        return bool(self._calls)


def forget_others():
    """Know of no other thread that stays awake, in the child of a fork."""
    pd_leave_slots()


def stayed_awake():
    """Return the seconds for which threads of this process have stayed awake here: none of it is a function's."""
    return pd_awake()


def gather():
    """Have this thread keep the bells that it rings soon until it waits; return what must live until `scatter`.

    Notes
    -----
    Who is woken needs the GIL, which who rings still has: it sleeps again, and both pay for another switch of threads,
    30 us together on a virtual machine. So a thread that will wait soon lets go of the GIL first, and then rings.
    """
    bells = []
    pd_set_later(<PyObject *> bells)
    return bells


def scatter():
    """Ring what was kept, and keep no more."""
    ring_gathered()
    pd_set_later(NULL)


def ring_gathered():
    """Ring what this thread has kept."""
    cdef PyThread_type_lock locks[HANDFUL]
    cdef list bells = kept()
    cdef int count
    if bells is not None:
        count = locks_of(bells, locks)
        with nogil:
            release(locks, count)


cdef list kept():
    """Return the bells that this thread has kept, who must live until they are rung, and keep none; None for none."""
    cdef PyObject *later = pd_get_later()
    if later is NULL or not <list> later:
        return None
    bells = (<list> later)[:]
    (<list> later).clear()
    return bells


cdef int locks_of(list bells, PyThread_type_lock *locks):
    """Return how many locks are to be released; bells beyond a handful are rung here."""
    cdef int count = 0
    cdef Bell bell
    for bell in bells:
        if count == HANDFUL:
            bell.ring()
        elif pd_tell(&bell._news):
            locks[count] = bell._lock
            count += 1
    return count


cdef void release(PyThread_type_lock *locks, int count) noexcept nogil:
    cdef int number
    for number in range(count):
        PyThread_release_lock(locks[number])


def wait(int descriptor, double before):
    """Ring what was kept, and wait until there is something to read from a socket, or it has ended.

    Parameters
    ----------
    descriptor : int
    before : float
        Seconds that the wait before took. If it was short, this one does not sleep at first.

    Returns
    -------
    float
        Seconds that it took. Nothing may have come, when a signal did.

    Notes
    -----
    A CPU that sleeps takes some 60 us to be back on a virtual machine, of which a round trip has three. So who waits
    stays awake for a while, without the GIL, and lets others have the CPU; and only as long as that is not in vain: a
    wait of half a millisecond is the last one of its kind.
    """
    cdef PyThread_type_lock locks[HANDFUL]
    cdef list bells = kept()
    cdef int count = 0 if bells is None else locks_of(bells, locks)
    cdef double began = pd_now()
    with nogil:
        release(locks, count)
        pd_rest()
        pd_await(descriptor, awake(before))
    return pd_now() - began


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_others)
