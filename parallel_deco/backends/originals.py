"""Functions by value: a worker's copy that comes back to the program is the function that it was made from.

Tables may have functions for keys. A function that is found by its name comes back as itself too, and with nothing of
what a worker has set on it.
"""

import os
import weakref
from types import FunctionType

from parallel_deco._nesting import in_worker_process
from parallel_deco.backends.main import Main, main_name, publish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["fill_function", "find_or_make_function", "reduce_function", "stand_in"]

#: Of functions that have travelled, and of what was made of them elsewhere.
_numbers: "weakref.WeakKeyDictionary[FunctionType, str]" = weakref.WeakKeyDictionary()
#: Those that have travelled from here; there are none in a worker.
_own: "weakref.WeakValueDictionary[str, FunctionType]" = weakref.WeakValueDictionary()


def reduce_function(value: FunctionType, reduced: "tuple[Any, ...]") -> "tuple[Any, ...]":
    """Return how to rebuild a function by value, from how cloudpickle would."""
    make, arguments, state, _, _, fill = reduced
    main = main_name(value)
    number = _number(value, main)
    if main is None and number is None:
        return reduced
    state = state, number, main, fill
    return find_or_make_function, (number, make, arguments), state, None, None, fill_function


def _number(value: FunctionType, main: Main | None) -> str | None:
    """Return what stands for a function; None for those that are made in a worker, or may have a state of their own.

    A copy of a closure may come back with other contents than it had when it went.
    """
    number = _numbers.get(value)
    if number is None and not in_worker_process() and (main is not None or value.__closure__ is None):
        number = _numbers[value] = os.urandom(16).hex()
        _own[number] = value
    return number


def stand_in(copy: FunctionType, value: FunctionType) -> None:
    """Have a copy, which travels in the place of a function, come back as that function."""
    number = _number(value, main_name(value))
    if number is not None:
        _numbers[copy] = number


def find_or_make_function(
    number: str | None, make: "Callable[..., FunctionType]", arguments: "tuple[Any, ...]"
) -> FunctionType:
    """Return the program's own function of that number; another is made, and by `fill_function` complete."""
    found = None if number is None else _own.get(number)
    return make(*arguments) if found is None else found


def fill_function(function: FunctionType, state: "tuple[Any, ...]") -> None:
    """Give a function that was made what cloudpickle would, its number, and its place in `__main__`."""
    inner, number, main, fill = state
    if number is not None:
        if _own.get(number) is function:
            return
        _numbers[function] = number
    fill(function, inner)
    if main is not None:
        publish(function, main)
