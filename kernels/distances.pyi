import numpy
import numpy.typing

__all__ = ["pairwise_distances"]

def pairwise_distances(
    x: numpy.typing.NDArray[numpy.float64], y: numpy.typing.NDArray[numpy.float64]
) -> numpy.typing.NDArray[numpy.float64]: ...
