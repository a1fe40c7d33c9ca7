"""The pickler for what has no name in a worker: functions of `__main__`, lambdas, closures, context variables."""

from contextvars import ContextVar
from types import FunctionType, MethodType
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from parallel_deco.backends import variables
from parallel_deco.backends.references import bind, locate, reference

__all__ = ["ByValuePickler"]


class ByValuePickler(cloudpickle.Pickler):  # type: ignore[misc] # cloudpickle has no types
    """cloudpickle, but a decorated importable function goes by name, and context variables go at all."""

    def reducer_override(self, value: Any) -> Any:
        """Return how to rebuild a value, or NotImplemented for the pickler's own way."""
        kind = type(value)
        if kind is FunctionType and value not in (bind, locate):
            where = reference(value)
            if where is not None:
                return locate, (where,)
        elif kind is MethodType:
            return bind, (value.__func__, value.__self__)
        elif kind is ContextVar:
            return variables.find, variables.place(value)
        return super().reducer_override(value)
