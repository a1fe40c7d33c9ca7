"""One decorator that runs a function on threads, on processes or here, by measuring it.

>>> from parallel_deco import parallel
>>> @parallel
... def square(x):
...     return x * x
>>> list(square.map(range(4)))
[0, 1, 4, 9]
"""

from parallel_deco._decorator import ParallelFunction, parallel
from parallel_deco._errors import (
    InvalidOptionError,
    InvalidTypeError,
    ItemTimeoutError,
    NotPicklableError,
    ParallelError,
    RemoteError,
    RemoteTraceback,
    WorkerDied,
)
from parallel_deco._future import Future
from parallel_deco._mapping import MapIterator
from parallel_deco._measure import Measurement, measure
from parallel_deco._options import config
from parallel_deco._shutdown import shutdown
from parallel_deco.routing.explanation import Explanation

__all__ = [
    "Explanation",
    "Future",
    "InvalidOptionError",
    "InvalidTypeError",
    "ItemTimeoutError",
    "MapIterator",
    "Measurement",
    "NotPicklableError",
    "ParallelError",
    "ParallelFunction",
    "RemoteError",
    "RemoteTraceback",
    "WorkerDied",
    "config",
    "measure",
    "parallel",
    "shutdown",
]

__version__ = "0.1.0"
