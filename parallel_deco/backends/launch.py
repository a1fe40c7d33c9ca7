"""Starts the template process. It needs little, so that the template boots while the caller imports the rest."""

import os
import sys
from functools import partial
from types import FunctionType

from parallel_deco.backends.environment import for_workers
from parallel_deco.backends.signals import TO_ALL
from parallel_deco.backends.sockets import pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import SIGCHLD, SIGINT, SIGTERM
else:
    from _signal import SIGCHLD, SIGINT, SIGTERM  # `signal` makes enumerations, for 6 ms

try:
    import _socket  # `socket` takes 10 ms to import; this is what it wraps
except ImportError:  # pragma: no cover - Windows: `unavailable` says so
    _socket = None  # type: ignore[assignment]

__all__ = ["Template", "early", "end_early", "launch", "unavailable"]

#: Process id and the caller's end of the control socket.
Template = tuple[int, "_socket.socket"]

_early: dict[int, Template] = {}


# What the template runs. No module of the standard library may come from the current directory, nor from beside the
# package: they stand before it on the path of `-c`, and what lies there by accident would run. So the directory that
# holds the package is there for its name alone, whose import imports nothing else. Workers get the caller's path with
# their first work.
# The garbage collector would look at what is imported again and again, and find nothing; workers have it as it was.
# Where functions of the script will come, they come by value: what rebuilds them is loaded once, while the caller loads
# it too, and not by each worker when the first is there. It must be the same cloudpickle.
_BOOT = """
import gc, sys
collects = gc.isenabled()
gc.disable()
path = [*filter(None, sys.path)]
sys.path[:] = [sys.argv[1], *path]
import parallel_deco
sys.path[:] = path
from parallel_deco.backends.template import run
if sys.argv[3]:
    from parallel_deco.backends.launch import load_pickler
    load_pickler(sys.argv[3])
run(int(sys.argv[2]), collects)
"""


def unavailable() -> str | None:
    """Return why there can be no worker processes here, or None."""
    if not hasattr(os, "posix_spawn") or not hasattr(os, "fork"):
        return f"worker processes need posix_spawn and fork, which {sys.platform} does not have"
    if _socket is None or not hasattr(_socket, "CMSG_LEN"):
        return f"worker processes need to pass descriptors over sockets, which {sys.platform} cannot"
    if not sys.executable:
        return "worker processes are started with sys.executable, which is not set in this embedded interpreter"
    if getattr(sys, "frozen", False):
        return "worker processes are started with sys.executable, which in a frozen program is no interpreter"
    return None


def early() -> None:
    """Start a template that the next `launch` will return; does nothing where there can be none."""
    if unavailable() is None and os.getpid() not in _early:
        try:
            _early[os.getpid()] = _start()
        except OSError:  # `launch` will meet it again, and say so
            return


def end_early() -> None:
    """End a template that nobody has launched."""
    pid, ours = _early.pop(os.getpid(), (0, None))
    if ours is not None:
        ours.close()
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:  # somebody waits for all children
            return


def launch() -> Template:
    """Return a template that was just started.

    Raises
    ------
    OSError
    """
    return _early.pop(os.getpid(), None) or _start()


def _forget_after_fork() -> None:
    """The child must not hold the socket of its parent's template."""
    for _, ours in _early.values():
        ours.close()
    _early.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


def _start() -> Template:
    ours, theirs = pair()
    try:
        return _spawn(theirs.fileno()), ours
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()


def _spawn(control: int) -> int:
    """Start the template with the control socket as its standard input."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    pickler = _pickler_file() if _has_own_code() else ""
    command = [sys.executable, *_interpreter_flags(), "-c", _BOOT, root, str(os.getpid()), pickler]
    return os.posix_spawn(
        sys.executable,
        command,
        for_workers(os.environ),
        file_actions=[(os.POSIX_SPAWN_DUP2, control, 0)],
        # Ctrl-C goes to everybody: while it boots it would say so in a traceback. What else does waits too, until it
        # knows what the program makes of it. `Template` takes the mask away.
        setsigmask=[SIGINT, *TO_ALL],
        setsigdef=[SIGINT, SIGTERM, SIGCHLD],
    )


def load_pickler(file: str) -> None:
    """Load what rebuilds functions by value, if cloudpickle comes from this file here too."""
    if _pickler_file() == file:
        from parallel_deco.backends import by_value  # noqa: F401


def _pickler_file() -> str:
    """Return where cloudpickle would be loaded from; empty where that cannot be seen."""
    spec = sys.modules["_frozen_importlib_external"].PathFinder.find_spec("cloudpickle")  # of `importlib.machinery`
    return spec.origin or "" if spec is not None else ""


def _has_own_code() -> bool:
    """Whether the script, or what was typed, has functions and classes: they will travel by value."""
    names = getattr(sys.modules.get("__main__"), "__dict__", None)
    return type(names) is dict and any(map(_is_own, names.copy().values()))


def _is_own(value: object) -> bool:
    kind = type(value)
    if kind not in (FunctionType, type) and not issubclass(kind, partial):
        return False
    try:
        home = getattr(value, "__module__", None)
    except Exception:  # a class of the user's may make it
        return False
    return type(home) is str and home == "__main__"


#: Attributes of sys.flags and the options that set them, as in `subprocess._args_from_interpreter_flags`, which
#: takes long to import.
_FLAGS = {
    "bytes_warning": "b",
    "debug": "d",
    "dont_write_bytecode": "B",
    "no_site": "S",
    "no_user_site": "s",
    "ignore_environment": "E",
    "isolated": "I",
    "optimize": "O",
    "quiet": "q",
    "safe_path": "P",
    "verbose": "v",
}


def _interpreter_flags() -> list[str]:
    """Return the options that the caller's interpreter was started with, as far as they change what code does."""
    flags = [f"-{letter * getattr(sys.flags, name)}" for name, letter in _FLAGS.items() if getattr(sys.flags, name)]
    flags += [f"-W{option}" for option in sys.warnoptions]
    flags += [f"-X{name}" if value is True else f"-X{name}={value}" for name, value in sys._xoptions.items()]
    return flags
