"""The checks of the kernels' arguments, shared by the compiled functions and their pure-Python twins."""

from __future__ import annotations

import math
import operator
from reprlib import repr as shorten
from typing import Any, SupportsFloat, SupportsIndex

import numpy

__all__ = ["grid", "integer", "matrix_pair", "number_range", "real"]

LAST_STOP = 2**63
LAST_INT32 = 2**31 - 1
LAST_SEED = 2**64 - 1
LAST_SAMPLES = 2**53


def integer(name: str, value: SupportsIndex, least: int | None = None, most: int | None = None) -> int:
    """Return `value` as an int of `least` to `most`, or say what is wrong with it."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name} must be an integer, got {shorten(value)} of type {type(value).__name__}; convert it with int()"
        ) from None
    if (least is not None and number < least) or (most is not None and number > most):
        raise ValueError(f"{name} must be from {least} to {most}, got {number}")
    return number


def real(name: str, value: SupportsFloat | SupportsIndex) -> float:
    """Return `value` as a finite float, or say what is wrong with it."""
    array = isinstance(value, numpy.ndarray) and (value.ndim > 0 or value.dtype.kind not in "biuf")
    other = isinstance(value, (str, bytes, complex, numpy.complexfloating)) or array
    try:
        if other or not (hasattr(value, "__float__") or hasattr(value, "__index__")):
            raise TypeError
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name} must be finite and below 1.8e308; got a larger {type(value).__name__}") from None
    except (TypeError, ValueError):
        raise TypeError(
            f"{name} must be a real number, got {shorten(value)} of type {type(value).__name__}; "
            "convert it with float()"
        ) from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    return number


def number_range(start: SupportsIndex, stop: SupportsIndex) -> tuple[int, int]:
    """Return `start` and `stop` as ints with 0 <= start <= stop <= 2**63."""
    first = integer("start", start, 0, LAST_STOP)
    last = integer("stop", stop, 0, LAST_STOP)
    if first > last:
        raise ValueError(f"start must not be above stop, got start={first} and stop={last}; swap them")
    return first, last


def grid(
    xmin: SupportsFloat | SupportsIndex,
    xmax: SupportsFloat | SupportsIndex,
    ymin: SupportsFloat | SupportsIndex,
    ymax: SupportsFloat | SupportsIndex,
    width: SupportsIndex,
    height: SupportsIndex,
) -> tuple[float, float, float, float, int, int]:
    """Return the grid of a picture: left edge, column step, bottom edge, row step, width, height.

    The steps are computed here, once, so that the compiled kernel and its twin see the very same floats.
    """
    columns = integer("width", width, 0, LAST_INT32)
    rows = integer("height", height, 0, LAST_INT32)
    left, right = real("xmin", xmin), real("xmax", xmax)
    bottom, top = real("ymin", ymin), real("ymax", ymax)
    for axis, low, high in (("x", left, right), ("y", bottom, top)):
        if not low < high:
            raise ValueError(f"{axis}min must be below {axis}max, got {axis}min={low} and {axis}max={high}")
        if not math.isfinite(high - low):
            raise ValueError(f"{axis}max - {axis}min must be finite, got {low} and {high}; take a smaller part")
    return left, (right - left) / max(columns, 1), bottom, (top - bottom) / max(rows, 1), columns, rows


def matrix_pair(x: Any, y: Any) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return two float64 matrices with equally many columns, aligned in memory."""
    for name, value in (("x", x), ("y", y)):
        if not isinstance(value, numpy.ndarray):
            raise TypeError(
                f"{name} must be a float64 ndarray, got {type(value).__name__}; "
                f"convert it with numpy.asarray({name}, dtype=numpy.float64)"
            )
        if isinstance(value, numpy.ma.MaskedArray):
            raise TypeError(f"{name} is a masked array, whose mask would be ignored; give {name}.filled(...) or a part")
        if value.dtype != numpy.float64:
            raise TypeError(
                f"{name} must have dtype float64, got {value.dtype}; convert it with {name}.astype(numpy.float64)"
            )
        if value.ndim != 2:
            raise ValueError(
                f"{name} must have two dimensions (points, coordinates), got shape {value.shape}"
                + (f"; one point is {name}.reshape(1, -1)" if value.ndim == 1 else "")
            )
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"x and y must have equally many columns, got shapes {x.shape} and {y.shape}; "
            "each row is one point of the same space"
        )
    return numpy.require(x, requirements="A"), numpy.require(y, requirements="A")
