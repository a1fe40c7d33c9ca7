"""Outcomes on their way back: values, and errors with their tracebacks, each so that one bad item spoils no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from parallel_deco._readings import Readings
from parallel_deco.backends.payload import dump, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Outcomes", "PackedError", "pack_error", "pack_outcomes", "unpack_error", "unpack_outcomes"]

#: The pickled exception, or None when it cannot travel, and its traceback as text.
PackedError = tuple[bytes | None, str]

_WHOLE, _EACH = 0, 1
#: Values of these types always arrive. Others are pickled one by one: a value that cannot be pickled, or cannot be
#: unpickled, is then the problem of its own item only.
_SAFE = frozenset([type(None), bool, int, float, complex, str, bytes, bytearray])


class Outcomes:
    """What the worker reported of a batch.

    Parameters
    ----------
    values : list
        None where `errors` has the position.
    errors : dict of int to BaseException
    readings : Readings or None
        None in a report before the end.
    """

    __slots__ = ("errors", "readings", "values")

    def __init__(self, values: list[Any], errors: dict[int, BaseException], readings: Readings | None) -> None:
        self.values = values
        self.errors = errors
        self.readings = readings


def pack_outcomes(
    outcomes: Outcomes, buffers: list[Any], unsendable: Callable[[int, Any, BaseException], BaseException]
) -> bytes:
    """Pickle outcomes in a worker.

    Parameters
    ----------
    outcomes : Outcomes
    buffers : list
        Receives the large buffers in the values.
    unsendable : callable
        Makes an error of (position, value, exception) for a value that cannot be pickled.
    """
    values = outcomes.values
    errors = {position: pack_error(error) for position, error in outcomes.errors.items()} if outcomes.errors else None
    readings = None if outcomes.readings is None else tuple(outcomes.readings)
    if _SAFE.issuperset(map(type, values)):
        return dump((_WHOLE, values, errors, readings))
    errors = errors or {}
    pickled = []
    for position, value in enumerate(values):
        apart: list[Any] = []
        try:
            pickled.append((dump(value, apart), len(apart)))
            buffers.extend(apart)
        except BaseException as error:  # whatever its __reduce__ raises
            pickled.append((dump(None), 0))
            errors[position] = pack_error(unsendable(position, value, error))
    return dump((_EACH, pickled, errors, readings))


def unpack_outcomes(body: Any, buffers: Sequence[Any]) -> Outcomes:
    """Rebuild outcomes in the caller; a value that cannot be rebuilt becomes an error of its item.

    Raises
    ------
    MemoryError
    """
    form, values, packed_errors, readings = load(body, buffers)
    errors = {position: unpack_error(packed) for position, packed in (packed_errors or {}).items()}
    if form == _EACH:
        values = _unpack_each(values, buffers, errors)
    return Outcomes(values, errors, None if readings is None else Readings._make(readings))


def _unpack_each(
    pickled: list[tuple[bytes, int]], buffers: Sequence[Any], errors: dict[int, BaseException]
) -> list[Any]:
    from parallel_deco._errors import NotPicklableError

    values: list[Any] = []
    used = 0
    for position, (body, count) in enumerate(pickled):
        value = None
        try:
            value = load(body, buffers[used : used + count])
        except MemoryError as error:
            errors.setdefault(position, error)
        except BaseException as error:  # whatever its __setstate__ or __init__ raises
            what = f"{type(error).__qualname__}: {_said(error)}"
            refused = NotPicklableError(f"a result could not be rebuilt here: {what}")
            refused.__cause__ = error
            errors.setdefault(position, refused)
        values.append(value)
        used += count
    return values


def pack_error(error: BaseException) -> PackedError:
    """Make a worker's exception ready to travel; proves that it can be rebuilt."""
    text = _text(error)
    try:
        pickled = dump(error)
        if type(load(pickled)) is type(error):
            return pickled, text
    except Exception:  # an exception's __reduce__ and __init__ are the user's code
        pass
    return None, text


def unpack_error(packed: PackedError) -> BaseException:
    """Return the exception itself, caused by its remote traceback; a RemoteError when it could not travel."""
    from parallel_deco._errors import RemoteError, RemoteTraceback

    pickled, text = packed
    if pickled is not None:
        try:
            error: BaseException = load(pickled)
        except BaseException:  # its class is not the same here
            pickled = None
        else:
            try:  # not by assignment: the class may refuse it, as a frozen dataclass does
                BaseException.__setattr__(error, "__cause__", RemoteTraceback(text))
            except Exception:  # a `__cause__` of the class's own; the error itself is worth more than its traceback
                pass
            return error
    last = text.rstrip().rpartition("\n")[2]
    return RemoteError(f"{last}\nThis exception of a worker could not be sent; its traceback there was:\n{text}")


def _text(error: BaseException) -> str:
    import traceback

    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # a __str__ or __repr__ of the user's
        return f"{type(error).__qualname__} (its text could not be made)\n"


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # a __str__ of the user's
        return "(its text could not be made)"
