"""Modules that the program reloads, or replaces by others of the same name: a worker that has the old one follows."""

import os
import sys
from types import ModuleType

from parallel_deco.backends.references import Imports, file_of, imported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from typing import Any

__all__ = ["After", "Change", "Modules", "follow", "is_own", "spec_of"]

#: The number of a change, the module's name, its file, and whether it is another module and not the same anew.
Change = tuple[int, str, str | None, bool]

_LIBRARY = os.path.dirname(os.__file__) + os.sep
_INSTALLED = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))


class Modules:
    """The program's own modules, as they were when they were last looked at; in the caller.

    Notes
    -----
    A reload gives a module a new `__spec__`, and so has another module one of its own. Of installed libraries, which
    are many and not edited, only those are looked at that a function which travels belongs to. What IPython patches
    keeps its spec: it knows itself when that was.
    """

    __slots__ = ("_edited", "_imports", "_known", "_seen", "changes", "replaced")

    def __init__(self) -> None:
        self._imports = Imports()
        self._known: dict[str, Any] = {}
        self.replaced = 0  #: how many modules have had one made by hand put in their place
        self._seen: dict[str, tuple[Any, ModuleSpec | None]] = {}
        self._edited: dict[str, Any] = {}  # when the file was, as IPython has noted it
        self.changes: tuple[Change, ...] = ()

    def look(self, name: str | None) -> int:
        """Return how many changes there were so far, `name` being the module of a function that is to travel.

        Notes
        -----
        100 ns for each of the program's own modules.
        """
        now = sys.modules
        if self._imports.changed():
            self._look_for_new(now.copy())
        if name is not None and name not in self._seen:
            self._note(name)
        changed: list[str] = []
        for watched, (module, spec) in self._seen.items():
            if now.get(watched) is not module or getattr(module, "__spec__", None) is not spec:
                changed = self._look_for_changes()
                break
        if _AUTORELOAD in now:
            self._look_for_edited(changed)
        return len(self.changes)

    def _look_for_new(self, modules: "dict[str, Any]") -> None:
        for name, module in modules.items():
            if self._known.get(name) is module or name in self._seen:
                continue
            origin = getattr(spec_of(module), "origin", None)
            if isinstance(origin, str) and is_own(origin):
                self._note(name)
        self._known = modules

    def _note(self, name: str) -> None:
        module = sys.modules.get(name)
        spec = spec_of(module)
        if module is not None and spec is not None:
            self._seen[name] = module, spec

    def _look_for_edited(self, changed: list[str]) -> None:
        times, failed = _edited()
        for name, (_, spec) in self._seen.items():
            if spec is None:
                continue
            if name not in self._edited:  # IPython may note it later
                self._edited[name] = times.get(name, _modified_at(spec))
            now = times.get(name, self._edited[name])
            if now == self._edited[name]:
                continue
            self._edited[name] = now
            if name not in changed and spec.origin not in failed:
                self._add_change(name, spec, another=False)

    def _add_change(self, name: str, spec: "ModuleSpec", another: bool) -> None:
        self.changes += ((len(self.changes) + 1, name, file_of(spec), another),)

    def _look_for_changes(self) -> list[str]:
        """Note what has changed, and return the names of it."""
        changed = []
        # In the program's order: importlib moves what it has loaded, or reloaded, to the end of `sys.modules`.
        for name in [name for name in [*sys.modules] if name in self._seen]:
            before, spec = self._seen[name]
            module = sys.modules.get(name)
            now = spec_of(module)
            if now is None:  # one that was made by hand stands in its place; it may come back
                self._seen[name] = module, None
                self.replaced += 1
            if now is None or now is spec:
                continue
            changed.append(name)
            self._add_change(name, now, another=module is not before)
            self._note(name)
        return changed


#: What reloads modules that were edited before each cell; or, in version 9, only puts the new code into what is there.
_AUTORELOAD = "IPython.extensions.autoreload"


def _edited() -> "tuple[dict[str, Any], dict[Any, Any]]":
    """Return when modules were edited, by their names, and the files that could not be loaded, as IPython has them."""
    try:
        magics = sys.modules["IPython"].get_ipython().magics_manager.registry["AutoreloadMagics"]
        times, failed = magics._reloader.modules_mtimes, magics._reloader.failed
    except (AttributeError, KeyError):  # it is not in use, or a version that keeps them elsewhere
        return {}, {}
    return (times, failed) if isinstance(times, dict) and isinstance(failed, dict) else ({}, {})


def _modified_at(spec: "ModuleSpec") -> float | None:
    try:
        return os.stat(spec.origin or "").st_mtime
    except OSError:  # it is in an archive, or was removed
        return None


def spec_of(module: "Any") -> "ModuleSpec | None":
    """Return a module's `__spec__`; None for another object in its place, which may do anything when it is asked."""
    return getattr(module, "__spec__", None) if type(module) is ModuleType else None


def is_own(origin: str) -> bool:
    """Return whether a module's file is the program's, and not an installed library's."""
    return os.sep in origin and not origin.startswith(_LIBRARY) and not any(part in origin for part in _INSTALLED)


class After:
    """Something that is to be unpickled when the worker has followed some changes."""

    __slots__ = ("_changes", "_value")

    def __init__(self, changes: tuple[Change, ...], value: "Any") -> None:
        self._changes = changes
        self._value = value

    def __reduce__(self) -> "tuple[Any, ...]":
        """Become the value itself; what stands before it in the tuple is rebuilt first."""
        return _second, (_Changes(self._changes), self._value)


class _Changes:
    __slots__ = ("_changes",)

    def __init__(self, changes: tuple[Change, ...]) -> None:
        self._changes = changes

    def __reduce__(self) -> "tuple[Any, ...]":
        return follow, self._changes


def _second(_: object, value: "Any") -> "Any":
    return value


_followed = 0


def follow(*changes: Change) -> None:
    """Reload in a worker what the program has reloaded since it was last told, as far as it is here at all."""
    global _followed
    for number, name, file, other in changes:
        if number > _followed:
            _followed = number
            before = sys.modules.get(name)
            if before is not None:
                try:
                    _renew(name, file, other)
                except (Exception, SystemExit) as error:  # its file is half edited, for one
                    sys.modules[name] = before
                    _warn(name, error)


def _renew(name: str, file: str | None, other: bool) -> None:
    from importlib import invalidate_caches, reload

    invalidate_caches()
    if other:
        del sys.modules[name]
        imported(name, file)
    else:
        reload(sys.modules[name])


def _warn(name: str, error: BaseException) -> None:
    """Say that the module stays as it was; as it does in a program whose own reload has failed."""
    import warnings
    from contextlib import suppress

    what = f"{type(error).__name__}: {error}"
    with suppress(RuntimeWarning):  # where warnings are errors, this one is nobody's
        warnings.warn(f"a worker process goes on with module {name!r} as it was: {what}", RuntimeWarning, stacklevel=2)
