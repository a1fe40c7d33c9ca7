"""What travels between processes: values to bytes and back, by the quickest pickler that can.

The plain C pickler takes about 1 µs for a small value, cloudpickle 10. The plain one refers to functions and classes
by name, which is wrong for `__main__` (a worker has another one) and for modules that were made by hand (it has none),
and it cannot do lambdas, closures and context variables: whatever it refuses, or whatever mentions one of these, goes
through `_by_value` instead. It also refers to
bound methods by name, which is wrong where a subclass has another of that name: `_with_methods` binds the function.
"""

import copyreg
import sys
from collections.abc import Callable, Sequence
from io import BytesIO
from types import MethodType

from parallel_deco._importing import unfinished
from parallel_deco._interrupts import interrupts
from parallel_deco._nesting import in_worker_process
from parallel_deco._readings import overhead
from parallel_deco.backends.references import Imports, is_handmade, reduce_method
from parallel_deco.backends.segments import Missing

try:  # the C module alone: `pickle` imports `re` and more, which doubles the start of a worker
    from _pickle import PickleBuffer, Pickler, dumps, loads
except ImportError:
    from pickle import PickleBuffer, Pickler, dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["LARGE", "dump", "dump_plain", "load", "look_for_handmade"]

#: From this many bytes on a buffer travels apart from the pickle; below, the pipe is as quick.
LARGE = 64 * 1024

#: Where the picklers are that take long to import, and are seldom needed.
_PICKLERS = "parallel_deco.backends.by_value"
_MAIN = b"__main__"
#: How the name is written by which the plain pickler refers to a method; to members of enumerations too.
_GETATTR = b"\x8c\x07getattr\x94"
#: What follows a name there.
_MEMOIZE = b"\x94"


def dump(value: "Any", buffers: "list[Any] | None" = None, classes: "dict[str, type] | None" = None) -> bytes:
    """Pickle a value; large buffers in it are appended to `buffers` instead.

    Parameters
    ----------
    value : object
    buffers : list or None
        Receives a memoryview of each contiguous buffer of 64 KB or more, in the order in which `load` wants them.
        None keeps them in the pickle.
    classes : dict or None
        Of a pickle that goes back to the program: receives classes that came from there, by the numbers that stand for
        them. None sends them whole.

    Raises
    ------
    BeingImported
        It refers to something in a module whose import waits for results of this library.
    Exception
        Whatever the picklers raise for a value that cannot travel.
    """
    if unfinished() and not in_worker_process():
        from parallel_deco.backends.unfinished import refuse

        refuse(value)
    apart: list[memoryview] = []
    keep = None if buffers is None else _collector(apart)
    try:
        pickled: bytes = dumps(value, 5, buffer_callback=keep)
        if _GETATTR in pickled:
            apart.clear()
            pickled = _with_methods(value, keep)
    except (
        Exception
    ) as error:  # of any type: __reduce__ and __getstate__ are the user's code; what counts is the next try
        if interrupts(error):
            raise
        pickled = _MAIN
    if _MAIN in pickled or _mentions_handmade(pickled):
        apart.clear()
        pickled = _by_value(value, keep, classes)
    if buffers is not None:
        buffers.extend(apart)
    return pickled


def _mentions_handmade(pickled: bytes) -> bool:
    """Whether the name of a module that was made by hand is in a pickle; 50 ns where there are none."""
    if _imports.changed():
        look_for_handmade()
    for name in _handmade:  # noqa: SIM110 - half of `any` is the generator
        if name in pickled:
            return True
    return False


def look_for_handmade() -> None:
    """Know the modules that were made by hand as they are now: one may stand in the place of another."""
    global _handmade
    names = list(sys.modules)
    _handmade = [name.encode(errors="surrogatepass") + _MEMOIZE for name in names if is_handmade(name)]


_imports = Imports()
#: The names of modules that were made by hand, as a pickle has them.
_handmade: list[bytes] = []


def dump_plain(value: "Any") -> bytes:
    """Pickle a value of importable types only."""
    pickled: bytes = dumps(value, 5)
    return pickled


def load(pickled: "bytes | bytearray | memoryview", buffers: "Sequence[Any]" = ()) -> "Any":
    """Return the value that `dump` made bytes of.

    Raises
    ------
    Exception
        Whatever the value's own code raises; OSError when one of its buffers was lost on its way.
    """
    return loads(pickled, buffers=map(_there, buffers) if buffers else ())


def _there(buffer: "Any") -> "Any":
    if type(buffer) is Missing:
        buffer.fail()
    return buffer


def _collector(apart: list[memoryview]) -> "Callable[[Any], bool]":
    def keep_in_band(buffer: PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:  # not contiguous
            return True
        if view.nbytes < LARGE:
            return True
        apart.append(view)
        return False

    return keep_in_band


def _with_methods(value: "Any", keep: "Callable[[Any], bool] | None") -> bytes:
    file = BytesIO()
    pickler = Pickler(file, 5, buffer_callback=keep)
    pickler.dispatch_table = {**copyreg.dispatch_table, MethodType: reduce_method}
    pickler.dump(value)
    return file.getvalue()


def _by_value(value: "Any", keep: "Callable[[Any], bool] | None", classes: "dict[str, type] | None") -> bytes:
    if _PICKLERS not in sys.modules:
        with overhead():  # a fork waits for that: the child would wait for the lock of a half imported module
            __import__(_PICKLERS)
    from parallel_deco.backends.by_value import ByValuePickler, HomewardPickler

    file = BytesIO()
    pickler = ByValuePickler(file, buffer_callback=keep) if classes is None else HomewardPickler(file, classes, keep)
    pickler.dump(value)
    return file.getvalue()
