# cython: language_level=3, freethreading_compatible=True
"""Has objects of a class be called as methods without being bound first, as CPython does with functions."""

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        unsigned long tp_flags
    unsigned long Py_TPFLAGS_METHOD_DESCRIPTOR
    void PyType_Modified(PyTypeObject *kind)


def call_unbound(type kind not None):
    """Have ``instance.method(x)`` call ``method(instance, x)``, where the method is of exactly this class.

    Notes
    -----
    That it comes to the same, the class promises: its `__get__` gives what calls it with the instance first. Python
    code cannot say so of a class; without it, each call makes an object that goes right after it.
    """
    cdef PyTypeObject *changed = <PyTypeObject *> kind
    changed.tp_flags |= Py_TPFLAGS_METHOD_DESCRIPTOR
    PyType_Modified(changed)
