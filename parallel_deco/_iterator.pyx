# cython: language_level=3, wraparound=False, cdivision=True, freethreading_compatible=True
"""The inner loops of a map, in C: hands out finished lists, calls a tiny function item by item, ends a batch early."""

cimport cython
from cpython.exc cimport PyErr_Occurred
from cpython.list cimport PyList_GET_ITEM
from cpython.object cimport PyObject
from libc.stddef cimport size_t

from _thread import get_ident
from math import inf
from threading import RLock
from types import FunctionType, GenericAlias

from parallel_deco._waiting import Bell

cdef extern from "Python.h":
    ctypedef PyObject *(*iternextfunc)(PyObject *)
    ctypedef PyObject *(*vectorcallfunc)(PyObject *function, PyObject **arguments, size_t count, PyObject *names)
    ctypedef struct PyTypeObject:
        const char *tp_name
        iternextfunc tp_iternext
    PyTypeObject *Py_TYPE(PyObject *object)
    size_t PY_VECTORCALL_ARGUMENTS_OFFSET
    PyObject *PyObject_Vectorcall(PyObject *function, PyObject **arguments, size_t count, PyObject *names)
    vectorcallfunc PyVectorcall_Function(PyObject *function)
    PyObject *PyObject_CallObject(PyObject *function, PyObject *arguments)
    void Py_INCREF(PyObject *object)
    void Py_DECREF(PyObject *object)
    PyObject *PyExc_KeyboardInterrupt
    PyObject *PyExc_StopIteration
    int PyErr_ExceptionMatches(PyObject *kind)
    void PyErr_Clear()
    void PyErr_Fetch(PyObject **kind, PyObject **value, PyObject **traceback)
    void PyErr_Restore(PyObject *kind, PyObject *value, PyObject *traceback)
    int PyContext_Enter(PyObject *context)
    int PyContext_Exit(PyObject *context)

cdef extern from "_clock.h" nogil:
    double pd_now()

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030D0000
    #define pd_finalizing() Py_IsFinalizing()
    #else
    #define pd_finalizing() _Py_IsFinalizing()
    #endif
    #define pd_as_object(reference) (reference)

    /* Who runs: an address of the thread's own. It is asked for each tiny item, so it must not be a call. */
    #if defined(_MSC_VER)
    static __declspec(thread) char pd_thread;
    #elif defined(__GLIBC__)
    static __thread char pd_thread __attribute__((tls_model("initial-exec")));
    #else
    static __thread char pd_thread;
    #endif
    #define pd_this_thread() ((void *)&pd_thread)

    /* A flag that one thread sets before it looks at another's, and the other way round: without a GIL, in this order. */
    #ifdef Py_GIL_DISABLED
    #define pd_set(word, value) __atomic_store_n(word, value, __ATOMIC_SEQ_CST)
    #define pd_get(word) __atomic_load_n(word, __ATOMIC_SEQ_CST)
    #else
    #define pd_set(word, value) (*(word) = (value))
    #define pd_get(word) (*(word))
    #endif
    """
    bint pd_finalizing()
    object pd_as_object(PyObject *reference)  # the caller's reference becomes the object's
    void *pd_this_thread() noexcept nogil
    void pd_set(int *word, int value) noexcept nogil
    int pd_get(int *word) noexcept nogil

# A stretch looks at the clock once in so many items, or seconds of them, and after the 1st, 2nd, 4th, … before.
cdef enum:
    LOOK = 128
cdef double LOOK_AGAIN = 5e-6

# Seconds, and how many times what was expected, that a stretch may take.
cdef double GRACE = 2e-3
cdef double PATIENCE = 2
# Seconds that a thread waits at a time for another to come out of a stretch, or for its turn.
cdef double HEED = 0.1

cdef str OWN = (
    "an item or the input of a map takes from that map, whose next result is its own, or comes after it, and so would"
    " never come; take the results outside of it, or start another map"
)


@cython.final
cdef class Stretch:
    """Items of a tiny function that the consumer's own thread runs one by one, as a plain loop would.

    Parameters
    ----------
    function : callable
    items : iterator
        Nobody else may draw from it meanwhile.
    context : contextvars.Context or None
        Items are drawn in it.
    own : contextvars.Context or None
        The function is called in it; in the consumer's own if None.
    star : bool
        Call ``function(*item)``; an item is a tuple then.
    most : int
        End after so many items.
    wall : float
        What an item is said to take, in seconds. A stretch that takes `PATIENCE` times as long ends early, whatever
        the time went by for: the items may not be what they were.
    keep : callable or None
        Called with this and an exception of the function, which becomes the result, unless it is Ctrl-C. If None, any
        ends the stretch.

    Notes
    -----
    It belongs to the thread that makes it. Another that wants to go on has it `wait_for_owner` first: then the owner
    is out of it, and begins no further item.
    """

    cdef object function, items, context, own, keep
    cdef iternextfunc next_item
    cdef vectorcallfunc enter  # what calls the function: of a plain one in Python what `PyObject_Vectorcall` leads to
    cdef bint star
    cdef Py_ssize_t most
    cdef Py_ssize_t stride  # items between two looks at the clock
    cdef Py_ssize_t until  # the number of items after which it is asked whether to go on
    cdef double wall, since
    cdef readonly Py_ssize_t drawn  # items that were drawn
    cdef readonly bint exhausted  # the input has ended
    cdef readonly bint calling  # an exception is the function's, not the input's
    cdef void *owner
    cdef int inside  # how many calls of `step` the owner is in
    cdef int ended  # by another thread
    cdef object bell  # of that thread

    def __init__(self, function, items, context, own, bint star, Py_ssize_t most, double wall, keep):
        self.function = function
        self.items = items
        self.context = context
        self.own = own
        self.keep = keep
        self.next_item = Py_TYPE(<PyObject *>items).tp_iternext
        self.enter = PyObject_Vectorcall
        if type(function) is FunctionType:
            self.enter = PyVectorcall_Function(<PyObject *>function)
        self.star = star
        self.most = most
        self.wall = wall
        self.stride = <Py_ssize_t> min(LOOK, max(1.0, LOOK_AGAIN / max(wall, 1e-9)))
        self.since = pd_now()
        self.owner = pd_this_thread()

    cdef inline PyObject *step(self) noexcept:
        """Return the next result; NULL at the end, for another thread, and with an exception set."""
        cdef PyObject *result
        if self.owner != pd_this_thread():
            return NULL
        pd_set(&self.inside, self.inside + 1)
        result = NULL if pd_get(&self.ended) else self.call()
        pd_set(&self.inside, self.inside - 1)
        if pd_get(&self.ended):
            self.ring()
        return result

    cdef inline PyObject *call(self) noexcept:
        """Draw an item, and call the function with it."""
        cdef PyObject *result
        cdef PyObject *place[2]  # the callee may use the one before the argument
        if self.drawn >= self.until and not self.goes_on():
            return NULL
        if self.context is None:
            place[1] = self.next_item(<PyObject *>self.items)
        elif PyContext_Enter(<PyObject *>self.context) < 0:
            return NULL
        else:
            place[1] = self.next_item(<PyObject *>self.items)
            PyContext_Exit(<PyObject *>self.context)
        if place[1] is NULL:
            self.exhausted = True
            if PyErr_Occurred() is not NULL and PyErr_ExceptionMatches(PyExc_StopIteration):
                PyErr_Clear()
            return NULL
        self.drawn += 1
        result = self.run(place) if self.own is None or self.inside > 1 else self.run_in_own(place)
        Py_DECREF(place[1])
        if result is NULL:
            self.calling = True
            if self.keep is not None and not PyErr_ExceptionMatches(PyExc_KeyboardInterrupt):
                result = self.kept()
        return result

    cdef inline PyObject *run(self, PyObject **place) noexcept:
        if self.star:
            return PyObject_CallObject(<PyObject *>self.function, place[1])
        return self.enter(<PyObject *>self.function, &place[1], 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL)

    cdef PyObject *run_in_own(self, PyObject **place) noexcept:
        cdef PyObject *result
        if PyContext_Enter(<PyObject *>self.own) < 0:
            return NULL
        result = self.run(place)
        if PyContext_Exit(<PyObject *>self.own) < 0 and result is not NULL:
            Py_DECREF(result)
            return NULL
        return result

    cdef PyObject *kept(self) noexcept:
        """Return the exception that is set, which is not any more."""
        try:
            raise_what_is_set()
        except BaseException as error:
            self.calling = False
            self.keep(self, error)
            Py_INCREF(<PyObject *>error)
            return <PyObject *>error
        return NULL

    cdef bint goes_on(self) noexcept:
        """Return whether another item is to be begun."""
        if self.drawn >= self.most or pd_now() - self.since > GRACE + PATIENCE * self.wall * self.drawn:
            return False
        self.until = min(self.most, self.drawn + max(1, min(self.drawn, self.stride)))
        return True

    cdef void ring(self) noexcept:
        """Tell who waits for the owner that it is out; what the owner has raised goes on."""
        cdef PyObject *kind = NULL
        cdef PyObject *value = NULL
        cdef PyObject *traceback = NULL
        if not self.inside:
            PyErr_Fetch(&kind, &value, &traceback)
            self.bell.ring()
            PyErr_Restore(kind, value, traceback)

    cdef bint is_anothers(self) noexcept:
        return self.owner != pd_this_thread()

    cdef int wait_for_owner(self) except -1:
        """Have the owner begin no further item, and wait until it is out of the last one."""
        if self.bell is None:
            self.bell = Bell()
        pd_set(&self.ended, True)
        while pd_get(&self.inside) and not self.bell.wait(HEED):
            pass
        return 0


cdef int raise_what_is_set() except -1:
    return -1 if PyErr_Occurred() is not NULL else 0


@cython.final
cdef class Patient:
    """The items of a batch, of which none is begun any more when the batch has had its time, or was told to `stop`.

    Parameters
    ----------
    items : iterator
    seconds : float
        From the first item on, which is begun in any case; inf for no limit.
    each : float
        Seconds that are added for each item that has ended.
    """

    cdef object items
    cdef iternextfunc next_item
    cdef double seconds, each, until
    cdef bint timed
    cdef int stopped  # by another thread

    def __init__(self, items, double seconds, double each=0.0):
        self.items = items
        self.each = each
        self.next_item = Py_TYPE(<PyObject *>items).tp_iternext
        self.seconds = seconds
        self.timed = seconds < inf

    def stop(self):
        """Have no further item begin."""
        pd_set(&self.stopped, True)

    def __iter__(self):
        return self

    def __next__(self):
        cdef PyObject *item
        cdef double now
        if pd_get(&self.stopped):
            raise StopIteration
        if self.timed:
            now = pd_now()
            if self.until == 0:
                self.until = now + self.seconds
            else:
                self.until += self.each
                if now > self.until:
                    raise StopIteration
        item = self.next_item(<PyObject *>self.items)
        if item is NULL:
            raise_what_is_set()
            raise StopIteration
        return pd_as_object(item)


class Guard:
    """Closes the mapping when the user's iterator goes, whether or not it was ever started."""

    __slots__ = ("_mapping",)

    def __init__(self, mapping):
        self._mapping = mapping

    def __del__(self):
        # At the end modules may be empty already, and what is left ends with the process. What is called from here takes
        # Ctrl-C, if it comes now, and it is lost; so there is nothing to call where it was closed before.
        if not pd_finalizing() and not self._mapping.closed:
            self._mapping.let_go()


@cython.final
cdef class MapIterator:
    """The results of a map as they come; made by `map` and `starmap`.

    Methods
    -------
    close()
        Cancel what has not run. So does letting go of the iterator; use `contextlib.closing` to be sure of the moment.

    Notes
    -----
    Any thread may take from it, and several by turns. It has no ``len()``, but `operator.length_hint` says how many
    results are to come, where the input says it.
    """

    # A class of its own in C, with no subclass in Python: that would send each __next__ through a method look-up.

    cdef object _mapping, _pieces, _turn
    cdef list _values
    cdef Py_ssize_t _at, _size
    cdef Stretch _stretch
    cdef bint _asks  # for the next piece; under `_turn`

    def __init__(self, mapping):
        self._mapping = mapping
        self._turn = RLock()
        self._pieces = mapping.pieces(Guard(mapping))
        mapping.begin()  # now that it would be closed, whatever happens

    __class_getitem__ = classmethod(GenericAlias)

    def __iter__(self):
        return self

    def __next__(self):
        # Short, and with little to remember: this is what a tiny item costs beyond its call.
        cdef Stretch stretch
        cdef PyObject *result
        with cython.critical_section(self):
            stretch = self._stretch  # held here: what it calls may close the map
        result = NULL if stretch is None else stretch.step()
        return self._advance(stretch) if result is NULL else pd_as_object(result)

    def __reduce__(self):
        raise TypeError("the iterator of a map cannot be copied or pickled; its results are taken once")

    def __length_hint__(self):
        """Return how many results are to come, where the input tells its length; else 0."""
        cdef Stretch stretch
        with cython.critical_section(self):
            stretch = self._stretch
        left = self._mapping.expected() + self._size - self._at
        return left if stretch is None else max(0, left - stretch.drawn)

    def close(self):
        """Cancel what has not run; no results come after."""
        with cython.critical_section(self):
            self._size = self._at = 0
            self._values = None
            self._stretch = None
            pieces, self._pieces = self._pieces, iter(())
        self._mapping.close()
        del pieces  # unless another thread is in it, what it keeps goes now, the user's input for one

    cdef object _advance(self, Stretch stretch):
        """Return the next result, after the stretch that gave none."""
        cdef PyObject *result
        while True:
            if stretch is not None:
                if stretch.is_anothers():
                    self._take_over(stretch)
                else:
                    self._end_stretch(stretch)
            if self._at < self._size:
                # Without a GIL, another thread may take one, or close the map, meanwhile; with one, this is nothing.
                with cython.critical_section(self):
                    if self._at < self._size:
                        return self._take_out()
            self._take_turn()  # two threads may take from one map
            try:
                if self._at >= self._size and self._stretch is None:
                    self._next_piece()
            finally:
                self._turn.release()
            with cython.critical_section(self):
                stretch = self._stretch
            if stretch is not None:
                result = stretch.step()
                if result is not NULL:
                    return pd_as_object(result)

    cdef object _take_out(self):
        """Return the next of the list, which keeps it no longer."""
        result = <object>PyList_GET_ITEM(self._values, self._at)
        self._values[self._at] = None
        self._at += 1
        if self._at == self._size:
            self._values = None
        return result

    cdef int _take_over(self, Stretch stretch) except -1:
        """End a stretch of another thread, which may be within an item; no lock is held, for that may lead here too."""
        stretch.wait_for_owner()
        if self._lets_go(stretch):
            self._mapping.taken_over()
        return 0

    cdef bint _lets_go(self, Stretch stretch):
        """Have it be over; return whether no other thread has."""
        cdef bint ours
        with cython.critical_section(self):
            ours = self._stretch is stretch
            if ours:
                self._stretch = None
        return ours

    cdef int _end_stretch(self, Stretch stretch) except -1:
        try:
            raise_what_is_set()
        except BaseException as error:
            self._lets_go(stretch)
            failure = self._mapping.stretch_failed(stretch, error)
        else:
            self._lets_go(stretch)
            return 0
        raise failure

    cdef int _take_turn(self) except -1:
        """Wait until no other thread waits for the next piece; not for one that waits for this thread's."""
        if self._turn.acquire(False):
            return 0
        thread, waiting = get_ident(), self._mapping.waiting
        waiting.add(thread)
        try:
            while not self._turn.acquire(True, HEED):
                if self._mapping.would_wait_for_itself():
                    raise RuntimeError(OWN)
        finally:
            waiting.discard(thread)
        return 0

    cdef int _next_piece(self) except -1:
        if self._asks or self._mapping.would_wait_for_itself():  # asks: this very thread, within an item that it runs
            raise RuntimeError(OWN)
        with cython.critical_section(self):
            pieces = self._pieces
        self._asks = True
        try:
            piece = next(pieces)
        finally:
            self._asks = False
        with cython.critical_section(self):
            if self._pieces is not pieces:  # another thread has closed it: no results come after
                raise StopIteration
            if isinstance(piece, Stretch):
                self._stretch = piece
            else:
                self._values = piece
                self._at = 0
                self._size = len(piece)
        return 0


# What `__module__` and the repr of a class in C are made of; it has no other place for them.
(<PyTypeObject *>MapIterator).tp_name = b"parallel_deco.MapIterator"
