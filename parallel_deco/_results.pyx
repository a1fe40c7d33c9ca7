# cython: language_level=3, wraparound=False, cdivision=True, freethreading_compatible=True
"""The inner loop of a map's iterator, in C: hands out finished lists, or calls a tiny function item by item."""

cimport cython
from cpython.exc cimport PyErr_Occurred
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from libc.stddef cimport size_t

from time import perf_counter
from types import GenericAlias

cdef extern from "Python.h":
    PyObject *PyIter_Next(PyObject *iterator)
    PyObject *PyObject_CallOneArg(PyObject *function, PyObject *argument)
    PyObject *PyObject_CallObject(PyObject *function, PyObject *arguments)
    void Py_DECREF(PyObject *object)

# A stretch looks at the clock once in so many items: under 1 ns for each.
cdef enum:
    LOOK = 256


@cython.final
cdef class Stretch:
    """Items of a tiny function that the consumer's own thread runs one by one, as a plain loop would.

    Parameters
    ----------
    function : callable
    items : iterator
        Nobody else may draw from it meanwhile.
    star : bool
        Call ``function(*item)``; an item is a tuple then.
    most : int
        End after so many items.
    seconds : float
        End after this time, whatever it went by for: the items may not be what they were.
    """

    cdef object function, items
    cdef bint star
    cdef Py_ssize_t most
    cdef double until
    cdef readonly Py_ssize_t drawn  # items that were drawn
    cdef readonly bint exhausted  # the input has ended
    cdef readonly bint calling  # an exception is the function's, not the input's

    def __init__(self, function, items, bint star, Py_ssize_t most, double seconds):
        self.function = function
        self.items = items
        self.star = star
        self.most = most
        self.until = perf_counter() + seconds

    cdef PyObject *step(self):
        """Return the next result; NULL at the end, and NULL with an exception set."""
        cdef PyObject *item
        cdef PyObject *result
        if self.drawn >= self.most or (self.drawn % LOOK == LOOK - 1 and late(self)):
            return NULL
        item = PyIter_Next(<PyObject *>self.items)
        if item is NULL:
            self.exhausted = True
            return NULL
        self.drawn += 1
        self.calling = True
        if self.star:
            result = PyObject_CallObject(<PyObject *>self.function, item)
        else:
            result = PyObject_CallOneArg(<PyObject *>self.function, item)
        if result is not NULL:
            self.calling = False
        Py_DECREF(item)
        return result


cdef bint late(Stretch stretch):
    return perf_counter() > stretch.until


cdef int raise_what_is_set() except -1:
    return -1 if PyErr_Occurred() is not NULL else 0


cdef class Results:
    """The iterator under `MapIterator`.

    Parameters
    ----------
    pieces : iterator
        Gives lists of results, and stretches that are still to run.
    failed : callable
        Gets a stretch and the exception that ended it; returns the exception to raise.
    """

    cdef object _pieces, _failed
    cdef list _values
    cdef Py_ssize_t _at, _size
    cdef Stretch _stretch

    def __init__(self, pieces, failed):
        self._pieces = pieces
        self._failed = failed

    __class_getitem__ = classmethod(GenericAlias)

    def __iter__(self):
        return self

    def __next__(self):
        cdef Py_ssize_t at
        cdef PyObject *result
        while True:
            at = self._at
            if at < self._size:
                self._at = at + 1
                return <object>PyList_GET_ITEM(self._values, at)
            if self._stretch is not None:
                result = self._stretch.step()
                if result is not NULL:
                    value = <object>result
                    Py_DECREF(result)
                    return value
                self._end_stretch()
            self._next_piece()

    cdef int _end_stretch(self) except -1:
        cdef Stretch stretch = self._stretch
        self._stretch = None
        try:
            raise_what_is_set()
        except BaseException as error:
            failure = self._failed(stretch, error)
        else:
            return 0
        raise failure

    cdef int _next_piece(self) except -1:
        piece = next(self._pieces)
        if isinstance(piece, Stretch):
            self._stretch = piece
        else:
            self._values = piece
            self._at = 0
            self._size = len(self._values)
        return 0
