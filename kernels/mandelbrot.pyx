# cython: language_level=3, wraparound=False, cdivision=True, freethreading_compatible=True
"""The Mandelbrot set by escape time, many points at once.

Points run in lanes that the compiler turns into vector instructions. Every few iterations the lanes whose
point is done take up the next point of the picture, so that no lane waits for a slow neighbour. Each point
goes through the same additions and multiplications in the same order as in the plain loop: the counts are the
same to the bit.
"""

from libc.stdint cimport int32_t

from threading import main_thread

import numpy

from dispatch cimport cloned
from patience cimport Patience, begin_patience, heed

from .arguments import LAST_INT32, grid, integer

__all__ = ["mandelbrot"]

cdef unsigned long MAIN_THREAD = main_thread().ident

cdef enum:
    # A multiple of every vector width; at 8, gcc 12 unrolls the inner loop and loses the vectors.
    LANES = 16
    HEEDED = 1 << 14  # strides between two looks at the signals: a millisecond
    STRIDE = 8  # iterations between two looks at which points are done; 4 and 16 measured slower


cdef struct Lanes:
    double[LANES] cx
    double[LANES] cy
    double[LANES] zx
    double[LANES] zy
    double[LANES] inside  # 1.0 until the point has left the disc of radius 2, then 0.0
    double[LANES] count  # iterations done inside; a double, for the width of the vectors
    Py_ssize_t[LANES] pixel  # -1 in an idle lane


cdef struct Picture:
    double xmin
    double dx
    double ymin
    double dy
    int32_t width
    int32_t height
    int32_t max_iter
    int32_t row  # the next pixel to be taken up
    int32_t column
    int32_t* counts


cdef inline bint never_escapes(double x, double y) noexcept nogil:
    """Whether a point lies in the main cardioid or in the disc of period 2 left of it."""
    # Less, not less or equal: far out both sides of the first comparison are infinite.
    cdef double yy = y * y
    cdef double q = (x - 0.25) * (x - 0.25) + yy
    return q * (q + (x - 0.25)) < 0.25 * yy or (x + 1.0) * (x + 1.0) + yy < 0.0625


cdef cloned iterate(Lanes* lanes) noexcept nogil:
    """Take every lane `STRIDE` iterations on. A point that has left stays marked, whatever becomes of it."""
    cdef int n, k
    cdef double xx, yy
    for n in range(STRIDE):
        for k in range(LANES):
            xx = lanes.zx[k] * lanes.zx[k]
            yy = lanes.zy[k] * lanes.zy[k]
            lanes.inside[k] = lanes.inside[k] if xx + yy <= 4.0 else 0.0
            lanes.count[k] += lanes.inside[k]
            lanes.zy[k] = 2.0 * lanes.zx[k] * lanes.zy[k] + lanes.cy[k]
            lanes.zx[k] = xx - yy + lanes.cx[k]


cdef bint take_up(Lanes* lanes, int k, Picture* picture) noexcept nogil:
    """Give lane `k` the next point that needs iterating; false if there is none, the lane is idle then."""
    cdef double x, y
    cdef Py_ssize_t pixel
    lanes.zx[k] = lanes.zy[k] = lanes.count[k] = 0.0
    while picture.row < picture.height:
        x = picture.xmin + picture.column * picture.dx
        y = picture.ymin + picture.row * picture.dy
        pixel = <Py_ssize_t> picture.row * picture.width + picture.column
        picture.column += 1
        if picture.column == picture.width:
            picture.column = 0
            picture.row += 1
        if never_escapes(x, y):
            picture.counts[pixel] = picture.max_iter
        else:
            lanes.cx[k] = x
            lanes.cy[k] = y
            lanes.inside[k] = 1.0
            lanes.pixel[k] = pixel
            return True
    lanes.cx[k] = lanes.cy[k] = lanes.inside[k] = 0.0
    lanes.pixel[k] = -1
    return False


cdef int draw(Picture* picture, Patience* waited) except -1 nogil:
    cdef Lanes lanes
    cdef int k, busy = 0
    cdef unsigned int strides = 0
    for k in range(LANES):
        busy += take_up(&lanes, k, picture)
    while busy:
        iterate(&lanes)
        strides += 1
        if strides % HEEDED == 0:
            heed(waited)
        for k in range(LANES):
            if lanes.pixel[k] >= 0 and (lanes.inside[k] == 0.0 or lanes.count[k] >= picture.max_iter):
                # A point may have gone on beyond max_iter, up to the end of the stride.
                picture.counts[lanes.pixel[k]] = <int32_t> min(lanes.count[k], <double> picture.max_iter)
                busy -= not take_up(&lanes, k, picture)
    return 0


def mandelbrot(xmin, xmax, ymin, ymax, width, height, max_iter):
    """Count, for each pixel of a picture of the Mandelbrot set, the iterations until it escapes.

    Parameters
    ----------
    xmin, xmax : float
        Left and right edge, real parts. Finite, ``xmin < xmax``.
    ymin, ymax : float
        Edge of the first row and edge beyond the last row, imaginary parts. Finite, ``ymin < ymax``.
    width, height : int
        Columns and rows of the picture, from 0 on.
    max_iter : int
        Iterations after which a point counts as one that never escapes, from 0 on.

    Returns
    -------
    ndarray of shape (height, width), int32
        The least n with ``abs(z[n]) > 2``, where ``z[0] = 0`` and ``z[n + 1] = z[n]**2 + c``; `max_iter` if
        there is none below it.

    Raises
    ------
    TypeError
        If an edge is not a real number, or another argument not an integer.
    ValueError
        If an edge is not finite, the edges are not in order, or a number is out of its range.

    Notes
    -----
    Pixel (i, j) stands for its lower left corner, ``c = (xmin + j * dx) + (ymin + i * dy) * 1j`` with the
    steps ``dx = (xmax - xmin) / width`` and ``dy = (ymax - ymin) / height``. The far edges belong to the next
    picture, so pictures put side by side neither repeat nor miss a row. The rows a to b of a picture are the
    band ::

        mandelbrot(xmin, xmax, ymin + a * dy, ymin + b * dy, width, b - a, max_iter)

    Its first row is the same to the bit, so bands of one row always make up the very picture. So do bands of
    any height if `ymin` and `dy` are short binary fractions (such as -1.5 and 3 / 1024); otherwise the last
    bit of a coordinate may differ, and with it the count of a pixel at the border of the set.

    The counts are those of the plain loop in double precision, to the bit. Points in the main cardioid and in
    the disc of period 2 are not iterated.

    Takes time in proportion to the sum of the counts outside of these two, 0.4 ns each on one core with AVX2
    (0.8 without) and some 10 ns a pixel, and no memory beside the result. Works with one thread and releases
    the GIL: cut the picture into bands to use more.

    Examples
    --------
    >>> mandelbrot(-2.0, 2.0, -2.0, 2.0, width=4, height=4, max_iter=50)
    array([[ 1,  1,  2,  1],
           [ 1,  3, 50,  2],
           [50, 50, 50,  3],
           [ 1,  3, 50,  2]], dtype=int32)
    """
    cdef Picture picture
    cdef int32_t[:, ::1] counts
    cdef Patience waited = begin_patience(MAIN_THREAD)
    left, dx, bottom, dy, width, height = grid(xmin, xmax, ymin, ymax, width, height)
    picture.xmin = left
    picture.dx = dx
    picture.ymin = bottom
    picture.dy = dy
    picture.max_iter = integer("max_iter", max_iter, 0, LAST_INT32)
    picture.width = width
    picture.height = height
    picture.row = picture.column = 0
    result = numpy.empty((height, width), dtype=numpy.int32)
    if result.size:
        counts = result
        picture.counts = &counts[0, 0]
        with nogil:
            draw(&picture, &waited)
    return result
