from typing import SupportsFloat, SupportsIndex

import numpy
import numpy.typing

__all__ = ["mandelbrot"]

def mandelbrot(
    xmin: SupportsFloat | SupportsIndex,
    xmax: SupportsFloat | SupportsIndex,
    ymin: SupportsFloat | SupportsIndex,
    ymax: SupportsFloat | SupportsIndex,
    width: SupportsIndex,
    height: SupportsIndex,
    max_iter: SupportsIndex,
) -> numpy.typing.NDArray[numpy.int32]: ...
