"""Knows what functions and methods of libraries write to when they are asked: by a keyword, or at a position."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Final, NamedTuple

from parallel_deco.routing import known
from parallel_deco.routing.lookup import MISSING, attribute, home, is_a
from parallel_deco.routing.values import EMPTY, Const, Given, Site, Value

__all__ = ["Written", "asked_by_keyword", "is_constant", "written_by_function", "written_by_method"]

_ARRAYS: Final = frozenset(("out", "output"))
_DISTANCES: Final = frozenset(("distances", "indices"))  # that scipy.ndimage writes to
_IN_PLACE: Final = frozenset(("scal", "axpy", "copy", "swap"))  # what names of BLAS end with that change an argument
_WRAPPERS_MAX: Final = 4


class Written(NamedTuple):
    """What is written to, and words for it."""

    value: Value
    words: str


def is_constant(value: Value, constant: object) -> bool:
    """Say whether `value` is exactly this constant."""
    return len(value) == 1 and all(type(place) is Const and place.value is constant for place in value)


def asked_by_keyword(given: Given, receiver: Value) -> Iterator[Written]:
    """Yield what the keyword arguments ask a library to write to."""
    for name, value in given.keywords.items():
        if name in known.OUTPUTS:
            yield Written(value | _fields(value), "writes into")
        elif known.overwrites(name) and not is_constant(value, False):
            yield Written(receiver, f"with {name}, changes")


def written_by_function(thing: object, last: str, given: Given) -> Iterator[Written]:
    """Yield what a function is given to write to, at a position or by keywords that are not seen."""
    if len(given.positional) > 1:
        yield from _at_positions(thing, last, given)
    if given.unnamed and given.spread:
        names = _keywords(thing, last)
        if not _ARRAYS.isdisjoint(names):
            yield Written(given.spread, "may write into")
        if any(map(known.overwrites, names)):
            yield Written(given.all(), "with keywords that are not seen, may change")


def written_by_method(name: str, given: Given, receiver: Value, of_data: bool) -> Iterator[Written]:
    """Yield what a method is given to write to, at a position or by keywords that are not seen."""
    if name == "at":  # ``np.add.at(x, indices, 1)``
        yield Written(given.first(), "writes into")
    elif name in known.OUT_POSITIONS:
        yield Written(EMPTY.union(*given.positional[known.OUT_POSITIONS[name] - 1 :]), "writes into")
        if of_data and given.unnamed:
            yield Written(given.spread or EMPTY, "may write into")
    if of_data and given.unnamed and name in known.INPLACE_METHODS:
        yield Written(receiver, "with keywords that are not seen, may change")


def _at_positions(thing: object, last: str, given: Given) -> Iterator[Written]:
    """``np.add(x, 1, x)``, ``scipy.linalg.inv(a, True)``."""
    names = _parameters(thing)
    if _is_ufunc(thing):
        yield Written(EMPTY.union(*given.positional[thing.nin :]), "writes into")  # type: ignore[attr-defined]
    elif not names and last in known.OUT_POSITIONS and home(thing).startswith("numpy"):
        yield Written(EMPTY.union(*given.positional[known.OUT_POSITIONS[last] :]), "writes into")
    for name, value in zip(names, given.positional, strict=False):
        if name in _ARRAYS or (name in _DISTANCES and last.startswith("distance_transform")):
            yield Written(value, "writes into")
        elif known.overwrites(name) and not is_constant(value, False):
            yield Written(given.all(), f"with {name}, changes")
    if _is_fortran(thing) and last[-4:] in _IN_PLACE:
        yield Written(given.all(), f"changes, with {last}(),")


def _parameters(thing: object) -> tuple[str, ...]:
    """Return the names of the positional parameters of a function, as far as they are to be had."""
    if _is_fortran(thing):  # "c = dgemm(alpha,a,b,[beta,c,overwrite_c])"
        return tuple(str(thing.__doc__).partition("(")[2].partition(")")[0].translate(_BRACKETS).split(","))
    code = _code(thing)
    return code.co_varnames[: code.co_argcount] if code is not None else ()


_BRACKETS: Final = str.maketrans("", "", "[] ")


def _keywords(thing: object, last: str) -> tuple[str, ...]:
    """Return the names of the parameters of a function, as far as they are to be had."""
    code = _code(thing)
    if code is not None:
        return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return ("out",) if _is_ufunc(thing) or last in known.OUT_POSITIONS else _parameters(thing)


def _code(thing: object) -> types.CodeType | None:
    """Return the code of a function in Python, however wrapped."""
    for _ in range(_WRAPPERS_MAX):
        inner = attribute(thing, "__wrapped__") if thing is not MISSING else MISSING
        if inner is MISSING:
            break
        thing = inner
    return thing.__code__ if is_a(thing, types.FunctionType) else None


def _is_ufunc(thing: object) -> bool:
    return type(thing).__name__ == "ufunc" and home(type(thing)) == "numpy"


def _is_fortran(thing: object) -> bool:
    return type(thing).__name__ == "fortran"


def _fields(value: Value) -> Value:
    """Return what is in the tuples of `value` that were made during the call."""
    return EMPTY.union(*[field for x in value if type(x) is Site and x.fields is not None for field in x.fields])
