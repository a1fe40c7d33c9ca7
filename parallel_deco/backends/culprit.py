"""Finds what in a value cannot be pickled, and says where it sits; runs only after a failure.

The values are the user's, and looking into them may fail in any way: then what was found up to there is named.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FunctionType, MemberDescriptorType, MethodType
from typing import Any

from parallel_deco._errors import NotPicklableError, name_of
from parallel_deco._interrupts import interrupts
from parallel_deco.backends.batch import Batch, Shape
from parallel_deco.backends.payload import dump
from parallel_deco.backends.unfinished import BeingImported

__all__ = ["explain_arrival", "explain_batch", "explain_function", "explain_value", "find"]

_DEPTH = 20
_ADVICE = "Pass something that can be pickled, or use a backend that shares memory (backend='threads')."

Child = tuple[str, Any]


def explain_function(function: Callable[..., Any], cause: BaseException) -> NotPicklableError:
    """Return the error for a function that cannot travel."""
    path, value = find(function)
    error = _error(f"{name_of(function)} cannot be sent to another process", path, value, cause)
    error.of_function = not isinstance(cause, BeingImported)  # that passes
    return error


def explain_batch(batch: Batch, cause: BaseException) -> NotPicklableError:
    """Return the error for a batch of which an argument cannot travel."""
    path, value = ["its arguments together"], batch.items
    with suppress(Exception):  # an `__iter__` of the user's
        path, value = _find_argument(batch) or (path, value)
    return _error(f"{name_of(batch.function)} cannot be called in another process", path, value, cause)


def explain_arrival(batch: Batch, cause: BaseException) -> NotPicklableError:
    """Return the error for an argument that was sent, and could not be rebuilt."""
    error = NotPicklableError(
        f"{name_of(batch.function)} cannot be called in another process: its arguments could not be rebuilt there"
        f" ({_shown(cause)}). {_ADVICE}"
    )
    error.__cause__ = cause
    return error


def _find_argument(batch: Batch) -> tuple[list[str], Any] | None:
    """Return the way to what cannot be pickled in the first argument with such a part, and that part."""
    for position, item in enumerate(batch.items):
        if _travels(item):
            continue
        for label, argument in _arguments(batch, item):
            if not _travels(argument):
                path, value = find(argument)
                where = f"item {batch.first + position}, {label}" if len(batch.items) > 1 else label
                return [where, *path], value
    return None


def explain_value(value: Any, index: int, function: Callable[..., Any]) -> NotPicklableError:
    """Return the error for a result that cannot come back."""
    path, culprit = find(value)
    kind = _type(value)
    inside = "" if culprit is value else f" ({', '.join(path)}: {_type(culprit)})"
    return NotPicklableError(
        f"item {index} of {name_of(function)} returned a {kind}{inside}, which cannot come back from another process."
        " Return something that can be pickled, or use a backend that shares memory (backend='threads')."
    )


def _error(what: str, path: list[str], value: Any, cause: BaseException) -> NotPicklableError:
    where = ", ".join(path)
    place = f"{where}: {_type(value)}" if where else _type(value)
    return NotPicklableError(f"{what}: {place} ({_shown(cause)}). {_ADVICE}")


def _shown(cause: BaseException) -> str:
    try:
        return f"{type(cause).__name__}: {cause}"
    except Exception:  # a __str__ of the user's
        return type(cause).__name__


def find(value: Any, depth: int = _DEPTH) -> tuple[list[str], Any]:
    """Return the way to the innermost part that cannot be pickled, and that part."""
    if depth:
        with suppress(Exception):  # a property of the user's, or a dictionary that another thread changes
            for label, child in _children(value):
                if not _travels(child):
                    path, culprit = find(child, depth - 1)
                    return [label, *path], culprit
    return [], value


def _travels(value: Any) -> bool:
    try:
        dump(value)
    except Exception as error:  # whatever the user's own __reduce__ raises
        if interrupts(error):
            raise
        return False
    return True


def _arguments(batch: Batch, item: Any) -> Iterator[Child]:
    """Name the arguments of an item as the function does."""
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = {}
    if batch.shape is Shape.CALL:
        args, kwargs = item
    else:
        args = (item,) if batch.shape is Shape.ONE else tuple(item)
    try:
        names = list(inspect.signature(batch.function).bind(*args, **kwargs).signature.parameters.values())
    except Exception:  # there is no signature, or it is the user's code that tells it
        names = []
    for position, argument in enumerate(args):
        known = position < len(names) and names[position].kind is not inspect.Parameter.VAR_POSITIONAL
        yield (f"argument {names[position].name!r}" if known else f"argument {position}"), argument
    for name, argument in kwargs.items():
        yield f"argument {name!r}", argument


def _children(value: Any) -> Iterator[Child]:
    """Name the parts of a value that its pickle would hold."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield _label(key), part
            yield "a key", key
    elif isinstance(value, (list, tuple)):
        yield from ((f"element {index}", part) for index, part in enumerate(value))
    elif isinstance(value, (set, frozenset)):
        yield from (("an element", part) for part in value)
    elif isinstance(value, FunctionType):
        yield from _parts_of_function(value)
    elif isinstance(value, MethodType):
        yield from _attributes(value.__self__, " of self")
        yield "self", value.__self__
        yield "the method's function", value.__func__
    elif isinstance(value, functools.partial):
        yield "the partial's function", value.func
        yield from ((f"the partial's argument {index}", part) for index, part in enumerate(value.args))
        yield from ((f"the partial's argument {name!r}", part) for name, part in value.keywords.items())
    else:
        yield from _attributes(value, "")


def _label(key: Any) -> str:
    try:
        return f"key {key!r}"
    except Exception:  # a __repr__ of the user's
        return f"a key of type {_type(key)}"


def _parts_of_function(function: FunctionType) -> Iterator[Child]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # empty: the name is not yet bound
            yield f"closure variable {name!r}", cell.cell_contents
    there = function.__globals__
    yield from ((f"global {name!r}", there[name]) for name in function.__code__.co_names if name in there)
    yield from ((f"default {index}", part) for index, part in enumerate(function.__defaults__ or ()))
    yield from ((f"default of {name!r}", part) for name, part in (function.__kwdefaults__ or {}).items())


def _attributes(value: Any, whose: str) -> Iterator[Child]:
    attributes = dict(getattr(value, "__dict__", {})) if not isinstance(value, type) else {}
    for base in type(value).__mro__:
        if "__slots__" not in vars(base):
            continue
        for name, slot in vars(base).items():
            if isinstance(slot, MemberDescriptorType):
                with suppress(AttributeError):  # it was not set
                    attributes[name] = slot.__get__(value)
    yield from ((f"attribute {name!r}{whose}", part) for name, part in attributes.items())


def _type(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
