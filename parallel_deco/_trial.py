"""``parallel-deco measure``: calls a function that is named on the command line, and says what it did with its time."""

import ast
import importlib
import math
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from parallel_deco._callables import check_callable
from parallel_deco._cpus import gil_enabled
from parallel_deco._errors import InvalidOptionError, InvalidTypeError
from parallel_deco._measure import Measurement, bare, measure
from parallel_deco._texts import counted, seconds_text

__all__ = ["arguments", "find", "report", "run"]

#: A call is repeated until it was looked at for so long, in seconds, so that a short one can be judged too.
ENOUGH = 0.1
MOST_CALLS = 1_000_000


def find(name: str) -> Callable[..., Any]:
    """Return the function that ``module:function`` names; dots lead on to attributes.

    Raises
    ------
    InvalidOptionError
        There is no such module or function, or it cannot be called; says what is missing.
    """
    module_name, colon, path = name.partition(":")
    if not (colon and module_name and path):
        raise InvalidOptionError(f"{name!r} does not name a function: write module:function, for example zlib:crc32")
    if module_name.endswith(".py") and os.path.isfile(module_name):  # importing it would run it first
        raise InvalidOptionError(f"{module_name!r} is a file; name its module: {module_name[:-3]}:{path}")
    if "" not in sys.path:  # as `python -m` does
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # what the module does when it is imported, too
        hint = f"; without .py: {module_name[:-3]}:{path}" if module_name.endswith(".py") else ""
        what = str(error) if isinstance(error, ModuleNotFoundError) else f"{type(error).__name__}: {error}"
        if module_name.startswith("."):
            what = "give the name of a module, not a path"
        raise InvalidOptionError(f"cannot import {module_name!r}: {what}{hint}") from error
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise InvalidOptionError(f"{module_name} has no {path!r}: {found!r} has no attribute {part!r}") from None
    if not callable(found):
        raise InvalidOptionError(f"{name} is {found!r}, which cannot be called")
    try:
        check_callable(bare(found), "measure", "calls")
    except InvalidTypeError as error:
        raise InvalidOptionError(str(error)) from error
    return found  # type: ignore[no-any-return]


def arguments(text: str, function: Callable[..., Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the values of ``1, 2, key=3``: expressions, which see the names of the function's module.

    Raises
    ------
    InvalidOptionError
        It is no list of arguments, or one of them raised.
    """
    try:
        call = ast.parse(f"f({text})", mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise InvalidOptionError(f"--args {text!r} is no list of arguments like: 10**6, 'text', key=1") from error
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise InvalidOptionError(f"--args {text!r} is no list of arguments like: 10**6, 'text', key=1")
    call.func.id = "_arguments_"
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    names = {**vars(module or ast), "_arguments_": lambda *args, **kwargs: (args, kwargs)}
    code = compile(ast.Expression(call), "--args", "eval")
    try:
        return eval(code, names)  # type: ignore[no-any-return]  # what the user typed
    except (Exception, SystemExit) as error:
        hint = f"; --args has the names of {module.__name__}" if module and isinstance(error, NameError) else ""
        raise InvalidOptionError(f"--args {text!r}: {type(error).__name__}: {error}{hint}") from error


def run(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], once: bool = False
) -> tuple[Measurement[Any], int]:
    """Measure a call; a short one again and again, unless `once`. Return that, and over how many calls it goes."""
    function = bare(function)

    def again(count: int) -> None:
        for _ in range(count):
            function(*args, **kwargs)

    count = 1
    seen: Measurement[Any] = measure(again, 1)
    while seen.wall < ENOUGH and count < MOST_CALLS and not once:
        count = min(MOST_CALLS, count * min(1000, math.ceil(1.2 * ENOUGH / max(seen.wall, 1e-6))))
        seen = measure(again, count)
    return seen, count


def report(name: str, seen: Measurement[Any], calls: int) -> Iterator[str]:
    """Yield the lines that say what a function did with its time, and what follows."""
    wall, cpu, waiting = seen.wall / calls, seen.cpu / calls, seen.waiting / calls
    gil = "not seen" if math.isnan(seen.gil) else seconds_text(seen.gil / calls)
    looks = counted(seen.samples, "look")
    yield f"{name}: {f'each of {calls:,} calls, with the same arguments' if calls > 1 else 'one call'}"
    yield f"  wall       {seconds_text(wall)}"
    yield f"  cpu        {seconds_text(cpu)}"
    yield f"  GIL held   {gil} ({looks}{'' if seen.confident else ', too few to be sure'})"
    yield f"  waiting    {seconds_text(waiting)}"
    if (others := wall - cpu - waiting) > 0.05 * wall:
        yield f"  no CPU     {seconds_text(others)}, which other programs had"
    yield f"  → {_verdict(seen)}"


def _verdict(seen: Measurement[Any]) -> str:
    if not gil_enabled():
        return f"it {'waits' if seen.waiting > 0.5 * seen.wall else 'computes'}, and there is no GIL here: threads help"
    if math.isnan(seen.gil) or not seen.confident:
        return "too short to tell; call it with larger arguments"
    if seen.waiting > 0.5 * seen.wall:
        if seen.gil > 0.5 * seen.wall:
            return "it waits and keeps the GIL while it does: no other thread runs meanwhile; processes help"
        return "it waits: threads wait together"
    share = seen.gil / max(seen.cpu, 1e-12)
    if share < 0.2:
        return f"it releases the GIL ({100 * (1 - share):.0f} % of its computing): threads compute together"
    if share > 0.8:
        share = min(1.0, share)
        return f"it holds the GIL ({100 * share:.0f} % of its computing): threads would take turns; processes help"
    return f"it holds the GIL {100 * share:.0f} % of its computing: threads gain up to {1 / share:.1f} times"
