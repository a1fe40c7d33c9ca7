"""Wall time, CPU time and GIL time of one call: the public `measure`."""

from __future__ import annotations

from collections.abc import Callable

from parallel_deco._callables import check_callable
from parallel_deco._readings import FRACTION, PURE, UNREAD, Readings, Stopwatch, run_delay
from parallel_deco._records import Generic, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")
else:
    P = R = object

__all__ = ["FRACTION", "PURE", "UNREAD", "Measurement", "Readings", "Stopwatch", "bare", "measure", "run_delay"]

#: Looks at a call that somebody wants to know about, at one a millisecond; then at one in 20.
LOOKS = 2000


class Measurement(NamedTuple, Generic[R]):
    """What one call did with its time; all times in seconds.

    Parameters
    ----------
    value : object
        What the call returned.
    wall : float
        Elapsed time.
    cpu : float
        CPU time of the calling thread.
    gil : float
        Time in which it held the GIL; nan when too little was seen to say anything.
    waiting : float
        Time in which it neither computed nor was kept from computing by other programs.
    samples : int
        How often the sampler looked.
    confident : bool
        Whether that is often enough to believe `gil`: a call of 5 ms or more.
    """

    value: R
    wall: float
    cpu: float
    gil: float
    waiting: float
    samples: int
    confident: bool


def bare(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function below the decorator, so that nothing of ours is measured with it."""
    return getattr(function, "__wrapped__", function) if hasattr(function, "submit") else function


def measure(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Measurement[R]:
    """Call a function here and say what it did with its time: does it release the GIL?

    Parameters
    ----------
    function : callable
        Called once, in the calling thread.
    *args, **kwargs
        Its arguments.

    Returns
    -------
    Measurement
        Its value, and wall, CPU, GIL-held and waiting time in seconds.

    Raises
    ------
    InvalidTypeError
        It cannot be called, or its call runs nothing yet: a generator or coroutine function.
    BaseException
        Whatever the function raises.

    Notes
    -----
    The sampler disturbs the call by under 1 %; it never takes the GIL.

    Examples
    --------
    >>> import time
    >>> seen = measure(time.sleep, 0.05)
    >>> seen.waiting > 0.04, seen.gil < 0.01
    (True, True)
    """
    function = bare(function)
    check_callable(function, "measure", "calls")
    watch = Stopwatch(watch=True, careful=True, looks=LOOKS)
    try:
        value = function(*args, **kwargs)
    finally:
        seen = watch.stop(1)
    gil = seen.gil
    return Measurement(
        value=value,
        wall=seen.wall,
        cpu=seen.cpu,
        gil=float("nan") if gil is None else gil,
        waiting=max(0.0, seen.wall - seen.cpu - seen.delay),
        samples=seen.samples,
        confident=seen.confident,
    )


Measurement.__module__ = measure.__module__ = "parallel_deco"
