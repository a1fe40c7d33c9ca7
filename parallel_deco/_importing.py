"""Which modules are being imported, and by which threads: what is sent elsewhere may wait for the end of an import.

Whoever pickles or unpickles something of a module that another thread imports waits until that thread is done; where
the import waits for results of this library, neither would come to its end.
"""

import sys
import time
from _thread import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["note_call", "settle", "settle_before_fork", "unfinished"]

#: Seconds for which an import in another thread is waited for: it may wait for this one in a way that nobody sees.
PATIENCE = 60.0
#: Seconds from one look at it to the next.
PAUSE = 1e-3
#: Those of importlib, by the names of the modules that are being imported, reloaded, or waited for.
_locks: "dict[str, Any]" = getattr(sys.modules.get("_frozen_importlib"), "_module_locks", {})
#: The threads that called while they imported these modules, or were waited for in vain.
_callers: dict[str, int] = {}


def note_call() -> None:
    """Note that the thread calls the library, and may wait for it: in the midst of imports, perhaps; 30 ns if not."""
    if not _locks:
        return
    thread = get_ident()
    for name in [*_callers]:
        if not _is_unfinished(name):
            _callers.pop(name, None)
    _callers.update({name: thread for name in unfinished() if _importer(name) == thread})


def unfinished() -> list[str]:
    """Return the names of the modules that are being imported, in any thread; 30 ns where there are none."""
    return [name for name in [*_locks] if _is_unfinished(name)] if _locks else []


def settle(name: str) -> bool:
    """Wait for the import of a module in another thread; False where that may wait for this one, or takes too long."""
    deadline = time.monotonic() + PATIENCE
    while _is_unfinished(name) and not _awaits_results(name):
        if time.monotonic() > deadline:
            thread = _importer(name)
            if thread is not None:
                _callers[name] = thread  # who sends something of it next need not wait in vain too
            return False
        time.sleep(PAUSE)
    return not _is_unfinished(name)


def settle_before_fork(lock: "Any", package: str, seconds: float, busy: "Callable[[], bool]") -> bool:
    """Wait until no other thread imports a module of a package, or is `busy`; at most so many seconds.

    Return whether their lock was taken, until after the fork.

    Who imports `logging` needs the lock that its own hook has taken before. Where it is imported meanwhile, its
    hook for after the fork will let go of that lock, and so it is taken here.
    """
    before: Any = getattr(sys.modules.get("logging"), "_lock", None)
    has = before is not None and before._is_owned()
    if has:
        before.release()
    try:
        taken: bool = lock.acquire(timeout=seconds)
        deadline, inside = time.monotonic() + seconds, f"{package}."
        # By who has their locks: that is before a module is there at all.
        while busy() or any(
            _importer(name) not in (None, get_ident()) for name in [*_locks] if name.startswith(inside)
        ):
            if time.monotonic() > deadline:
                break
            time.sleep(PAUSE)
    finally:
        now = getattr(sys.modules.get("logging"), "_lock", None)
        if now is not None and (has or before is None):
            now.acquire()
    return taken


def _is_unfinished(name: str) -> bool:
    """Whether a module is being imported, in any thread."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))


def _awaits_results(name: str) -> bool:
    """Whether the import of a module may wait for what the library does: its thread is this one, or has called."""
    thread = _importer(name)
    return thread is not None and (thread == get_ident() or thread == _callers.get(name))


def _importer(name: str) -> int | None:
    """Return the thread that imports a module; None if that is none, or any more."""
    entry = _locks.get(name)
    thread: int | None = getattr(entry and entry(), "owner", None)
    return thread
