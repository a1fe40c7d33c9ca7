"""What is to be done in a worker once a module is imported that it would take long to import just for that."""

from __future__ import annotations

import sys
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["once"]


def once(name: str, then: Callable[[], None]) -> None:
    """Have something called as soon as a module was imported; once, however often the same was asked for."""
    new = _Once(name, then)
    sys.meta_path[:] = [new, *(finder for finder in sys.meta_path if not new.replaces(finder))]


class _Once:
    """A finder that has something called after the loading of a module that the others find."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self.name = name
        self._then = then

    def replaces(self, other: Any) -> bool:
        """Whether another finder waits for the same module to call the same, if perhaps with other arguments."""
        if not isinstance(other, _Once) or other.name != self.name:
            return False
        one, two = (getattr(then, "func", then) for then in (self._then, other._then))
        return bool(one == two)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Look the module up as the other finders do, and add the call to its loading."""
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        from importlib.util import find_spec

        spec = find_spec(name)
        loader: Any = None if spec is None else spec.loader
        if loader is not None:
            load, then = loader.exec_module, self._then

            def exec_module(module: Any) -> None:
                load(module)
                then()

            loader.exec_module = exec_module
        return spec
