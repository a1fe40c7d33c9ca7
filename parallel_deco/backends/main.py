"""The worker's `__main__`: it has what came from the program's, where `pickle` and others look it up by its name.

The script does not run in a worker. What functions use of it comes with them, and what is a name of `__main__` in the
program is one here then.
"""

import sys
from types import FunctionType

from parallel_deco._nesting import in_worker_process

__all__ = ["Main", "main_name", "publish"]

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
