# cython: language_level=3, wraparound=False, cdivision=True, freethreading_compatible=True
"""Euclidean distances between two sets of points, summed up for many points of the second set at once."""

from libc.math cimport sqrt
from libc.string cimport memcpy

from threading import main_thread

import numpy

from dispatch cimport cloned
from patience cimport Patience, begin_patience, heed

from .arguments import matrix_pair

__all__ = ["pairwise_distances"]

cdef unsigned long MAIN_THREAD = main_thread().ident

cdef enum:
    GROUP = 32  # points whose sums are kept in registers: 8 of 256 bits, or 4 of 512
    DEPTH = 64  # coordinates in a panel
    HEEDED = 512  # rows between two looks at the signals: 0.1 ms, and more where their memory is touched first
    NUMBERS = GROUP * DEPTH  # in a panel: 16 KiB, half of the L1 data cache of most processors


cdef struct Panel:
    double[NUMBERS] y  # groups of points; in each, neighbours are the same coordinate of neighbouring points
    Py_ssize_t first_point
    Py_ssize_t first_depth
    Py_ssize_t points  # as many groups as there is room for
    Py_ssize_t depth
    bint last  # no coordinates come after this panel


cdef void fill(
    Panel* panel, const double[:, :] y, Py_ssize_t first_point, Py_ssize_t first_depth
) noexcept nogil:
    """Copy the part of `y` that begins at the given point and coordinate; missing points become zeros."""
    cdef Py_ssize_t group = 0, j, k, points
    cdef double* target = &panel.y[0]
    panel.first_point = first_point
    panel.first_depth = first_depth
    panel.depth = min(y.shape[1] - first_depth, <Py_ssize_t> DEPTH)
    panel.points = min(y.shape[0] - first_point, NUMBERS // min(y.shape[1], <Py_ssize_t> DEPTH) // GROUP * GROUP)
    panel.last = first_depth + panel.depth == y.shape[1]
    while group < panel.points:
        points = min(panel.points - group, <Py_ssize_t> GROUP)
        for k in range(panel.depth):
            for j in range(points):
                target[j] = y[first_point + group + j, first_depth + k]
            for j in range(points, GROUP):
                target[j] = 0.0
            target += GROUP
        group += GROUP


cdef cloned add_rows(
    double* out, Py_ssize_t width, const double* x, Py_ssize_t stride, Py_ssize_t rows, const Panel* panel
) noexcept nogil:
    """Add the panel's sums to so many rows of `out`; after the last panel, take their roots.

    From one row to the next it is `width` numbers in `out`, `stride` bytes in `x`.
    """
    cdef double[GROUP] total  # a local array, so that the compiler keeps it in registers
    cdef const double* y
    cdef double difference
    cdef Py_ssize_t i, j, k, group, points
    for i in range(rows):
        y = &panel.y[0]
        group = 0
        while group < panel.points:
            points = min(panel.points - group, <Py_ssize_t> GROUP)
            for j in range(GROUP):
                total[j] = 0.0
            for k in range(panel.depth):
                for j in range(GROUP):
                    difference = x[k] - y[j]
                    total[j] += difference * difference
                y += GROUP
            if panel.first_depth > 0:
                for j in range(points):
                    total[j] += out[group + j]
            if panel.last:
                for j in range(GROUP):
                    total[j] = sqrt(total[j])
            for j in range(points):
                out[group + j] = total[j]
            group += GROUP
        out += width
        x = <const double*> (<const char*> x + stride)


cdef void add_panel(double[:, ::1] out, const double[:, :] x, const Panel* panel) noexcept nogil:
    cdef double[DEPTH] point
    cdef Py_ssize_t i, k
    cdef Py_ssize_t column = panel.first_point, first = panel.first_depth
    if x.strides[1] == sizeof(double):
        add_rows(&out[0, column], out.shape[1], &x[0, first], x.strides[0], x.shape[0], panel)
        return
    for i in range(x.shape[0]):
        for k in range(panel.depth):
            point[k] = x[i, first + k]
        add_rows(&out[i, column], 0, point, 0, 1, panel)


cdef int fill_distances(
    double[:, ::1] out, const double[:, :] x, const double[:, :] y, Patience* waited
) except -1 nogil:
    cdef Panel panel
    cdef Py_ssize_t first_point = 0, first_depth, row, last
    while first_point < y.shape[0]:
        first_depth = 0
        while first_depth < y.shape[1]:
            fill(&panel, y, first_point, first_depth)
            row = 0
            while row < x.shape[0]:
                last = min(row + HEEDED, x.shape[0])
                add_panel(out[row:last], x[row:last], &panel)
                heed(waited)
                row = last
            first_depth += panel.depth
        first_point += panel.points
    return 0


def pairwise_distances(x, y):
    """Compute the Euclidean distance between each point of `x` and each point of `y`.

    Parameters
    ----------
    x : ndarray of shape (n, d), float64
        One point a row. Read-only and strided arrays are read where they lie.
    y : ndarray of shape (m, d), float64
        The points to measure to.

    Returns
    -------
    ndarray of shape (n, m), float64
        Entry (i, j) is the distance between ``x[i]`` and ``y[j]``.

    Raises
    ------
    TypeError
        If `x` or `y` is not an ndarray of float64.
    ValueError
        If `x` or `y` has not two dimensions, or they differ in the number of columns.

    Notes
    -----
    The differences are squared and summed as they are. So equal points are at distance 0.0, and the relative
    error stays below ``(34 + d / 128) * 2.2e-16``; the expansion ``x.x - 2 x.y + y.y``, made for matrix
    products, would cancel. Differences beyond 1e154 overflow to infinity, and those below 1e-154 lose
    digits. Where the machine has an instruction for it, squaring and adding are rounded once, not twice: the last
    digits differ from machine to machine, and not with how the points are cut into pieces.

    Takes O(n m d) time, about 0.1 ns for each of the n m d differences and 1 ns for each distance on one core,
    and 17 KiB beside the result. Works with one thread and releases the GIL: cut `x` into bands of rows to use more.

    Examples
    --------
    >>> import numpy
    >>> pairwise_distances(numpy.array([[0.0, 0.0], [3.0, 0.0]]), numpy.array([[0.0, 4.0]]))
    array([[4.],
           [5.]])
    """
    cdef const double[:, :] first, second
    cdef double[:, ::1] out
    cdef Patience waited = begin_patience(MAIN_THREAD)
    x, y = matrix_pair(x, y)
    # Without coordinates there is no panel: all points are the same one.
    allocate = numpy.empty if x.shape[1] else numpy.zeros
    result = allocate((x.shape[0], y.shape[0]), dtype=numpy.float64)
    if result.size and x.shape[1]:
        first, second, out = x, y, result
        with nogil:
            fill_distances(out, first, second, &waited)
    return result
