# cython: language_level=3, wraparound=False, cdivision=True, freethreading_compatible=True
"""Memory that two processes share: mapping, copying without the GIL, leases; and what a worker notes in it.

The buffer protocol is used directly: typed memoryviews would make this module, which every worker loads, start slower.
"""

from cpython.buffer cimport (
    PyBUF_ANY_CONTIGUOUS, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer,
)

from libc.math cimport INFINITY

cdef extern from "_shared.h" nogil:
    void *pd_map(int descriptor, size_t size, int populate)
    void pd_populate(void *address, size_t size)
    void pd_unmap(void *address, size_t size)
    int pd_die_with_parent()
    void pd_follow(int program)
    int pd_follow_at(int number)
    double pd_now()
    void pd_publish(unsigned int *word, unsigned int value)

cdef extern from "string.h" nogil:
    void *memcpy(void *target, const void *source, size_t size)
    int memcmp(const void *one, const void *other, size_t size)

cdef extern from "Python.h":
    object PyErr_SetFromErrno(object kind)


def die_with_parent():
    """Have the system kill this process when its parent ends, where it can; return whether it can."""
    return pd_die_with_parent() == 0


def follow(int program, signals):
    """Have this process take signals as the program takes them when they come, where the system can tell.

    In C: a handler of Python's would lose what comes right after a fork in the child, and wait for compiled code. What
    is ignored here, as it was when the program was started with `nohup`, stays so.

    Parameters
    ----------
    program : int
        Its process id.
    signals : iterable of int
        Each ends a process that has no handler for it.

    Raises
    ------
    OSError
    """
    pd_follow(program)
    for number in signals:
        if pd_follow_at(number) < 0:
            PyErr_SetFromErrno(OSError)


cdef class Mapping:
    """A part of a file in memory, shared with everybody who maps it; unmapped when nothing refers to it any more.

    Parameters
    ----------
    descriptor : int
        May be closed afterwards.
    size : int
        Bytes, from the file's beginning.
    populate : bool
        Fill the page table now, not on first touch: one call instead of a fault for every few pages.

    Raises
    ------
    OSError
    """

    cdef void *_address
    cdef readonly size_t size

    def __cinit__(self, int descriptor, size_t size, bint populate=False):
        with nogil:
            self._address = pd_map(descriptor, size, populate)
        if self._address == NULL:
            PyErr_SetFromErrno(OSError)
        self.size = size

    def __dealloc__(self):
        if self._address != NULL:
            pd_unmap(self._address, self.size)

    def populate(self):
        """Fill the page table for writing, where the system can."""
        with nogil:
            pd_populate(self._address, self.size)

    def write(self, source not None):
        """Copy a contiguous buffer to the beginning; without the GIL."""
        cdef Py_buffer view
        PyObject_GetBuffer(source, &view, PyBUF_ANY_CONTIGUOUS)
        try:
            if <size_t>view.len > self.size:
                raise ValueError(f"{view.len} bytes do not fit into {self.size}")
            with nogil:
                memcpy(self._address, view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    def holds(self, source not None):
        """Return whether the beginning is equal to a contiguous buffer; without the GIL."""
        cdef Py_buffer view
        cdef int different
        PyObject_GetBuffer(source, &view, PyBUF_ANY_CONTIGUOUS)
        try:
            if <size_t>view.len > self.size:
                return False
            with nogil:
                different = memcmp(self._address, view.buf, view.len)
            return different == 0
        finally:
            PyBuffer_Release(&view)


cdef class Lease:
    """A writable buffer that lies in a mapping; whoever looks into it keeps it alive.

    Parameters
    ----------
    mapping : Mapping
    size : int
        Bytes, from the mapping's beginning.

    Notes
    -----
    A weak reference to a lease says when the last array, view or memoryview over it has gone.
    """

    cdef object __weakref__
    cdef Mapping _mapping
    cdef readonly size_t size

    def __cinit__(self, Mapping mapping not None, size_t size):
        if size > mapping.size:
            raise ValueError(f"{size} bytes are not in {mapping.size}")
        self._mapping = mapping
        self.size = size

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self._mapping._address, self.size, 0, flags)

    def __len__(self):
        return self.size


cdef class Noted:
    """Iterates over items, noting for another process which one is out since when; calls back now and then.

    Parameters
    ----------
    items : list
    slot : buffer of at least 16 bytes
        Receives the position as the second 32-bit word, and the time (seconds, as `time.monotonic`) as the second
        64-bit word.
    often : callable
        Called between two items when `pause` seconds have passed since it last was; must not raise.
    pause : float
        Seconds.
    patience, each : float
        Seconds, and seconds for each item that has ended, after which no further one comes.
    look : callable, optional
        Called between two items each `glance` seconds; no further one comes when it says so. It must not raise.
    glance : float
        Seconds.

    Notes
    -----
    About 40 ns per item; a Python generator takes 150, and can be ended by a signal handler that raises in it.
    """

    cdef list _items
    cdef Py_ssize_t _at
    cdef object _often, _look
    cdef double _pause, _next, _until, _each, _glance, _glances
    cdef Py_buffer _slot

    def __cinit__(
        self,
        list items not None,
        slot not None,
        often,
        double pause,
        double patience=INFINITY,
        double each=0.0,
        look=None,
        double glance=INFINITY,
    ):
        PyObject_GetBuffer(slot, &self._slot, PyBUF_WRITABLE)
        if self._slot.len < 16:
            raise ValueError("the slot is too small")
        self._items = items
        self._often = often
        self._pause = pause
        cdef double now = pd_now()
        self._next = now + pause
        self._until = now + patience
        self._each = each
        self._look = look
        self._glance = glance
        self._glances = INFINITY if look is None else now + glance

    def __dealloc__(self):
        PyBuffer_Release(&self._slot)

    def __len__(self):
        return len(self._items)

    def __getitem__(self, index):
        return self._items[index]

    def __iter__(self):
        return self

    def __next__(self):
        cdef double now
        cdef Py_ssize_t at = self._at
        if at >= len(self._items):
            raise StopIteration
        now = pd_now()
        if now >= self._glances and at > 0:
            if self._look():
                raise StopIteration
            self._glances = now + self._glance
        if at > 0:
            self._until += self._each
            if now > self._until:
                raise StopIteration
        if now >= self._next and at > 0:
            self._often()
            now = pd_now()
            self._next = now + self._pause
        (<double *>self._slot.buf)[1] = now
        pd_publish((<unsigned int *>self._slot.buf) + 1, <unsigned int>at)
        self._at = at + 1
        return self._items[at]


def address(source not None):
    """Return where a contiguous buffer lies in memory."""
    cdef Py_buffer view
    PyObject_GetBuffer(source, &view, PyBUF_ANY_CONTIGUOUS)
    try:
        return <size_t>view.buf
    finally:
        PyBuffer_Release(&view)
