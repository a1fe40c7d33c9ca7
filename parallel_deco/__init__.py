"""One decorator that runs a function on threads, on processes or here, by measuring it.

>>> from parallel_deco import parallel
>>> @parallel
... def square(x):
...     return x * x
>>> list(square.map(range(4)))
[0, 1, 4, 9]

Names are loaded when they are first used: the import itself costs under a millisecond, in worker processes too.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parallel_deco._decorator import ParallelFunction, parallel
    from parallel_deco._died import WorkerDied
    from parallel_deco._errors import (
        InvalidOptionError,
        InvalidTypeError,
        ItemTimeoutError,
        NotPicklableError,
        ParallelError,
        RemoteError,
        RemoteTraceback,
    )
    from parallel_deco._future import Future
    from parallel_deco._iterator import MapIterator
    from parallel_deco._measure import Measurement, measure
    from parallel_deco._options import config
    from parallel_deco._shutdown import shutdown
    from parallel_deco.routing.explanation import Explanation, PerItem

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
    "PerItem",
    "RemoteError",
    "RemoteTraceback",
    "WorkerDied",
    "config",
    "measure",
    "parallel",
    "shutdown",
]

__version__ = "0.1.0"

_HOMES = {
    "_decorator": ("ParallelFunction", "parallel"),
    "_errors": (
        "InvalidOptionError",
        "InvalidTypeError",
        "ItemTimeoutError",
        "NotPicklableError",
        "ParallelError",
        "RemoteError",
        "RemoteTraceback",
    ),
    "_died": ("WorkerDied",),
    "_future": ("Future",),
    "_iterator": ("MapIterator",),
    "_measure": ("Measurement", "measure"),
    "_options": ("config",),
    "_shutdown": ("shutdown",),
    "routing.explanation": ("Explanation", "PerItem"),
}


def __getattr__(name: str) -> object:
    """Load the module that has the name, and keep the name here."""
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"parallel_deco.{home}"), name)
            return value
    raise AttributeError(f"module 'parallel_deco' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
