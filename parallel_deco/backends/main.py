"""The worker's `__main__`: it has what came from the program's, where `pickle` and others look it up by its name.

The script does not run in a worker. What functions use of it comes with them, and what is a name of `__main__` in the
program is one here then.
"""

import sys
from types import FunctionType

from parallel_deco._nesting import in_worker_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Main", "fill_function", "main_name", "publish", "reduce_function"]

#: Under which name something is found in `__main__`, and the script's file.
Main = tuple[str, str | None]


def main_name(value: "FunctionType | type") -> Main | None:
    """Return under which name `__main__` has a function or class; None where it has not."""
    main = sys.modules.get("__main__")
    if value.__module__ != "__main__" or getattr(main, value.__qualname__, None) is not value:
        return None
    return value.__qualname__, getattr(main, "__file__", None)


def publish(value: "FunctionType | type", main: Main) -> None:
    """Have a worker's `__main__` lead to what the program's leads to; the last that came counts."""
    if not in_worker_process():
        return
    name, file = main
    module = sys.modules["__main__"]
    setattr(module, name, value)
    if file is not None:
        module.__file__ = file


def reduce_function(reduced: "tuple[Any, ...]", main: Main) -> "tuple[Any, ...]":
    """Return how to rebuild a function of `__main__`, from how cloudpickle would."""
    make, arguments, state, _, _, fill = reduced
    return make, arguments, (state, main, fill), None, None, fill_function


def fill_function(function: FunctionType, state: "tuple[Any, Main, Callable[[FunctionType, Any], object]]") -> None:
    """Give a function what cloudpickle would, and its place in `__main__`."""
    inner, main, fill = state
    fill(function, inner)
    publish(function, main)
