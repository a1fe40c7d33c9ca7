"""What a worker shares with the caller as it is when work is sent: paths, environment, filters, registries, limits."""

from __future__ import annotations

import os
import sys
import time
import warnings

from parallel_deco.backends.by_path import ByPath, find_by_path
from parallel_deco.backends.environment import for_workers
from parallel_deco.backends.imports import once
from parallel_deco.backends.payload import dump_plain, load
from parallel_deco.backends.registries import apply_registries, copied, registries, told

try:
    import _locale  # `locale` imports `re`
except ImportError:
    _locale = None  # type: ignore[assignment]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Surroundings", "apply"]


class Surroundings:
    """The caller's state, looked at each time work is sent; a new version when it differs.

    Notes
    -----
    A look costs about 3 µs. Not safe to use from two threads at once.
    """

    __slots__ = ("_by_path", "_seen", "body", "version")

    def __init__(self) -> None:
        self._by_path = ByPath()
        self._seen: tuple[Any, ...] = ()
        self.version = 0
        self.body = b""

    def look(self) -> int:
        """Return the version of the surroundings as they are now; `body` is then their pickle."""
        state = _now()
        if (*state, self._by_path.look(state[1])) != self._seen:
            now = *_copied(*state), self._by_path.files
            self.body = _pickled(now)  # first: who reads the version takes a body that is at least as new
            self._seen = now
            self.version += 1
        return self.version


def _now() -> tuple[Any, ...]:
    """Return the state as it is, its lists and dictionaries themselves: to copy them takes as long as all else."""
    try:
        directory = os.getcwd()
    except OSError:  # it was removed
        directory = ""
    # The environment's own dictionary of bytes: to compare it takes 0.4 µs, os.environ 20.
    environment = getattr(os.environ, "_data", None)
    return (
        sys.path,
        directory,
        dict(os.environ) if environment is None else environment,
        getattr(sys, "argv", None) or _NO_ARGUMENTS,
        _lowest_level(),
        warnings.filters,
        registries(),
        _own_streams(),
        (sys.getrecursionlimit(), sys.get_int_max_str_digits(), _locale_now()),
        (_tracker(), _secret()) if "multiprocessing.process" in sys.modules else (None, None),
    )


_NO_ARGUMENTS: list[str] = []


def _copied(
    path: Any, directory: str, environment: Any, argv: Any, level: Any, filters: Any, registered: Any, *others: Any
) -> Any:
    return _copy(path), directory, environment.copy(), _copy(argv), level, _copy(filters), copied(registered), *others


def _copy(sequence: Any) -> Any:
    """Return a copy of the same type, for it is compared: somebody may have put a tuple in the place of a list."""
    return sequence.copy() if hasattr(sequence, "copy") else sequence[:]


def _tracker() -> tuple[int, int] | None:
    """Return where the caller's tracker of `multiprocessing` listens, if it has one: by process and descriptor.

    It unlinks what a program has left, once all who speak to it have ended: with one of its own, a worker's end would
    take the segments away that the caller has made.
    """
    module = sys.modules.get("multiprocessing.resource_tracker")
    descriptor = getattr(getattr(module, "_resource_tracker", None), "_fd", None)
    return None if descriptor is None else (os.getpid(), descriptor)


def _secret() -> bytes | None:
    """Return what proxies of a `multiprocessing` manager prove with that they may speak to it, if there may be any."""
    process = sys.modules.get("multiprocessing.process")
    if process is None or "multiprocessing.managers" not in sys.modules:
        return None
    return bytes(process.current_process().authkey)


def _locale_now() -> str | None:
    """Return the locale; None in a program that has not imported the module that sets it."""
    return None if _locale is None or "locale" not in sys.modules else _locale.setlocale(_locale.LC_ALL)


def _pickled(state: tuple[Any, ...]) -> bytes:
    path, directory, _, argv, level, filters, registered, *others = state
    filters = _pickled_filters(filters)
    environment = dict(os.environ)
    return dump_plain((path, directory, environment, argv, level, filters, told(*registered), *others))


def _pickled_filters(filters: list[Any]) -> bytes | None:
    """Pickle the warning filters apart, each category by its name: only workers that import it too can have it.

    One of `__main__`'s does not travel; everything else does without cloudpickle, which is slow to import.
    """
    told = []
    for action, message, category, module, line in filters:
        home = getattr(category, "__module__", "__main__")
        if home != "__main__":
            told.append((action, message, (home, category.__qualname__), module, line))
    try:
        return dump_plain(told)
    except Exception:  # a pattern of the user's that cannot travel: a worker keeps what it has then
        return None


def _own_streams() -> tuple[Any, Any]:
    """Return the encodings of standard streams that workers inherited, so that they may write to them themselves.

    And what becomes of what these have not. None of a stream that was put in its place, or taken away.
    """
    return _encoding_of(sys.stdout, sys.__stdout__), _encoding_of(sys.stderr, sys.__stderr__)


def _encoding_of(stream: Any, inherited: Any) -> tuple[Any, Any] | None:
    if stream is None or stream is not inherited:
        return None
    return getattr(stream, "encoding", None), getattr(stream, "errors", None)


#: Where the root logger keeps what it was asked about levels, which every change of any level makes it forget.
_KNOWN = object()


def _lowest_level() -> int | None:
    """Return the lowest level of any of the caller's loggers; None when it uses no logging.

    Records below it are not even made in a worker; the others come back and meet the caller's loggers as they are.
    """
    logging = sys.modules.get("logging")
    if logging is None:
        return None
    root = logging.root
    # A logger that is new may have a level; and these two are often assigned. All else is set, as documented.
    seen = len(root.manager.loggerDict), root.level, root.manager.disable
    cache = getattr(root, "_cache", {})
    known = cache.get(_KNOWN)
    if known is None or known[0] != seen:
        known = cache[_KNOWN] = [seen, None]  # before the levels are read: one that is set meanwhile takes it away
    if known[1] is None:
        known[1] = _read_levels(root)
    return int(known[1])


def _read_levels(root: Any) -> int:
    levels = [getattr(logger, "level", 0) for logger in list(root.manager.loggerDict.values())]
    lowest = min([level for level in levels if level], default=root.level)
    return int(max(min(lowest, root.level), root.manager.disable + 1))


def apply(state: tuple[Any, ...]) -> None:
    """Take on the caller's state; in a worker."""
    path, directory, environment, argv, _, filters, registered, _, limits, multiprocessing, files = state
    if directory and directory != _directory():
        try:
            os.chdir(directory)
        except OSError:  # the caller's is gone: stay
            pass
    if sys.path != path:
        sys.path[:] = path
        invalidate = getattr(sys.modules.get("importlib"), "invalidate_caches", None)
        if invalidate is not None:
            invalidate()
    find_by_path(files)
    sys.argv = argv
    _apply_environment(for_workers(environment))
    _apply_limits(*limits)
    if filters is not None:
        _apply_filters(filters)
    apply_registries(registered)
    _apply_multiprocessing(*multiprocessing)


def _directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""


def _apply_environment(environment: dict[str, str]) -> None:
    if environment == dict(os.environ):
        return
    zone = os.environ.get("TZ")
    for name in set(os.environ) - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
    if zone != environment.get("TZ") and hasattr(time, "tzset"):
        time.tzset()


#: The caller's warning filters as they were told last, in a worker.
_told: list[Any] = []


def _apply_filters(pickled: bytes) -> None:
    try:
        _told[:] = load(pickled)
    except Exception:  # a pattern that is no such thing here: a worker keeps what it has then
        return
    _follow_filters()


def _follow_filters() -> None:
    """Have the caller's filters, but for those whose categories are in modules that nobody has imported here yet.

    To import them just for that may take seconds; nothing can warn of such a category before it was imported.
    """
    filters, missing = [], set()
    for action, message, (home, name), module, line in _told:
        category: Any = sys.modules.get(home)
        if category is None:
            missing.add(home)
            continue
        for part in name.split("."):
            category = getattr(category, part, None)
        if isinstance(category, type):
            filters.append((action, message, category, module, line))
    for home in missing:
        once(home, _follow_filters)
    if warnings.filters != filters:
        warnings.filters[:] = filters  # type: ignore[index]
        getattr(warnings, "_filters_mutated", lambda: None)()


def _apply_limits(recursion: int, digits: int, locale: str | None) -> None:
    if sys.getrecursionlimit() != recursion:
        sys.setrecursionlimit(recursion)
    if sys.get_int_max_str_digits() != digits:
        sys.set_int_max_str_digits(digits)
    if locale is not None and _locale is not None and _locale.setlocale(_locale.LC_ALL) != locale:
        try:
            _locale.setlocale(_locale.LC_ALL, locale)
        except Exception:  # `locale.Error`: it was uninstalled meanwhile
            return


def _apply_multiprocessing(tracker: tuple[int, int] | None, secret: bytes | None) -> None:
    """Speak to the caller's tracker and managers, as a child that `multiprocessing` had made would."""
    if secret is not None:
        from multiprocessing.process import current_process

        current_process().authkey = secret
    if tracker is not None:
        from multiprocessing import resource_tracker

        own: Any = resource_tracker._resource_tracker
        if own._fd is None:  # it has none, of its own or of the caller's
            try:
                own._fd = os.open("/proc/{}/fd/{}".format(*tracker), os.O_WRONLY | os.O_CLOEXEC)
            except OSError:  # a system without /proc: it starts one of its own when it needs one
                return
