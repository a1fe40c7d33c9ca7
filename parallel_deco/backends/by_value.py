"""The pickler for what has no name in a worker: functions of `__main__`, lambdas, closures, context variables."""

import dis
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import CO_OPTIMIZED
from io import BytesIO
from pickle import PickleBuffer
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from parallel_deco.backends import variables
from parallel_deco.backends.classes import fill, find, find_or_make, number_of, reduce_class
from parallel_deco.backends.originals import fill_function, find_or_make_function, reduce_function
from parallel_deco.backends.reducers import reducer_of
from parallel_deco.backends.references import bind, is_handmade, locate, rebuild_view, reference
from parallel_deco.backends.sentinels import Sentinels, find_sentinel

__all__ = ["ByValuePickler", "HomewardPickler"]

#: These are in every worker under their names.
_OURS = {bind, fill, fill_function, find, find_or_make, find_or_make_function, find_sentinel, locate, rebuild_view}
#: What cloudpickle 3.1.2 and later have in the place of a file.
_NO_FILE = "<dynamic-code>"
#: How the body of a class, and what is in it, looks a name up.
_BY_NAME = frozenset(["LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"])
#: What `memoryview.cast` can make.
_FORMATS = frozenset("?bBcdfhHiIlLnNqQP")


class ByValuePickler(cloudpickle.Pickler):  # type: ignore[misc] # cloudpickle has no types
    """cloudpickle, but a decorated importable function goes by name, and context variables go at all."""

    def __init__(self, file: BytesIO, buffer_callback: Callable[[Any], bool] | None = None) -> None:
        super().__init__(file, buffer_callback=buffer_callback)
        self._sentinels = Sentinels()

    def reducer_override(self, value: Any) -> Any:
        """Return how to rebuild a value, or NotImplemented for the pickler's own way."""
        kind = type(value)
        if kind is FunctionType and value not in _OURS:
            where = reference(value)
            if where is not None:
                return locate, (where,)
        elif kind is MethodType:
            return bind, (value.__func__, value.__self__)
        elif kind is ContextVar:
            return variables.find, variables.place(value, _pickled)
        elif kind is memoryview:
            return _reduce_view(value)
        elif kind is CodeType:
            return self._reduce_code(value)
        sentinel = self._sentinels.of(value)
        if sentinel is not None:
            return find_sentinel, sentinel
        reducer = reducer_of(kind)
        if reducer is not None:
            return reducer(value)
        reduced = self._reduce_whole(value)
        if not _is_whole(reduced):
            return reduced
        if isinstance(value, type):
            return self.reduce_class(value, reduced)
        _, given = reduced[2]
        given["__globals__"].update(_globals_in_class_bodies(value))
        return reduce_function(value, reduced)

    def _reduce_whole(self, value: Any) -> Any:
        """Return how cloudpickle rebuilds a value; what a module has that was made by hand goes by value too."""
        is_module = type(value) is ModuleType
        if not (is_module or isinstance(value, (FunctionType, type))):
            return super().reducer_override(value)
        name = value.__name__ if is_module else value.__module__
        if not is_handmade(name):
            return super().reducer_override(value)
        with _not_by_name(sys.modules[name]):
            return self.dispatch_table[ModuleType](value) if is_module else super().reducer_override(value)

    def _reduce_code(self, code: CodeType) -> Any:
        """Return how to rebuild code, of its file: some versions of cloudpickle name another, for tracebacks too."""
        make, arguments = self.dispatch_table[CodeType](code)
        return make, tuple(
            code.co_filename if type(argument) is str and argument == _NO_FILE else argument for argument in arguments
        )

    def reduce_class(self, value: type, reduced: tuple[Any, ...]) -> Any:
        """Return how to rebuild a class that goes by value."""
        return reduce_class(value, reduced, _digest)


_listing = threading.RLock()


@contextmanager
def _not_by_name(module: ModuleType) -> Iterator[None]:
    """Have cloudpickle not refer to a module, and to what is in it, by names, in the meantime."""
    with _listing:
        listed = module.__name__ in cloudpickle.list_registry_pickle_by_value()
        if not listed:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            if not listed:
                cloudpickle.unregister_pickle_by_value(module)


def _globals_in_class_bodies(function: FunctionType) -> dict[str, Any]:
    """Return the globals that only the bodies of classes within a function ask for: cloudpickle does not see those."""
    there = function.__globals__
    return {name: there[name] for name in _names_in_class_bodies(function.__code__) if name in there}


def _names_in_class_bodies(code: CodeType, within: bool = False) -> Iterator[str]:
    """Yield what the bodies of classes in code look up where they are run, and then among the globals."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inside = within or not constant.co_flags & CO_OPTIMIZED
            if inside:
                yield from (step.argval for step in dis.get_instructions(constant) if step.opname in _BY_NAME)
            yield from _names_in_class_bodies(constant, inside)


def _reduce_view(view: memoryview) -> Any:
    """Return how to rebuild a view of memory: cloudpickle would make bytes of it."""
    if not view.shape or view.format not in _FORMATS or (0 in view.shape and view.ndim > 1):
        raise TypeError(f"cannot pickle a memoryview of format {view.format!r} and shape {view.shape}")
    buffer = PickleBuffer(view if view.c_contiguous else bytearray(view.tobytes()))
    return rebuild_view, (buffer, view.format, view.shape, view.readonly)


class HomewardPickler(ByValuePickler):
    """For a worker's results: classes that came from the program go by their numbers.

    Parameters
    ----------
    file : file
    classes : dict of str to type
        Receives them.
    buffer_callback : callable or None
    """

    def __init__(self, file: BytesIO, classes: dict[str, type], buffer_callback: Callable[[Any], bool] | None) -> None:
        super().__init__(file, buffer_callback)
        self._classes = classes

    def reducer_override(self, value: Any) -> Any:
        """Return how to rebuild a value, or NotImplemented for the pickler's own way."""
        if issubclass(type(value), type):
            number = number_of(value)
            if number is not None:
                self._classes[number] = value
                return find, (number,)
        return super().reducer_override(value)


class _Digester(ByValuePickler):
    """Classes and variables in an attribute of a class are the same as long as they are themselves: they go alone."""

    def reducer_override(self, value: Any) -> Any:
        """Return how to rebuild a value, or NotImplemented for the pickler's own way."""
        if type(value) is ContextVar:
            return variables.find, variables.place(value)
        return super().reducer_override(value)

    def reduce_class(self, value: type, reduced: tuple[Any, ...]) -> Any:
        return str, (reduced[1][-2],)


def _is_whole(reduced: Any) -> bool:
    """Whether a function or class was reduced to all that it is made of, and not to its name."""
    return isinstance(reduced, tuple) and len(reduced) == 6


def _pickled(value: Any) -> bytes:
    file = BytesIO()
    ByValuePickler(file).dump(value)
    return file.getvalue()


def _digest(attribute: Any) -> int:
    file = BytesIO()
    _Digester(file).dump(attribute)
    return hash(file.getvalue())
