"""The caller's side of the template: starts it, asks it for workers, and hears of their deaths."""

import os
import sys
import threading
from collections.abc import Callable
from signal import SIGCHLD, SIGINT, SIGTERM

from parallel_deco._errors import ParallelError
from parallel_deco.backends.surroundings import worker_environment

try:
    import _socket  # `socket` takes 10 ms to import; this is what it wraps
    import array

    from parallel_deco.backends.template import EXIT, FORK, KILL, MESSAGE
except ImportError:  # pragma: no cover - Windows: `unavailable` says so
    pass

__all__ = ["Nursery", "unavailable"]

Exited = Callable[[int], None]

# Runs before anything else in the template: `parallel_deco` becomes a package without its __init__, which would load
# the face and the router into every worker. The first public name that somebody looks up in it (a module of the
# user's with a decorated function, say) runs the __init__ after all; errors are found without.
_BOOT = """
import os, sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
def boot(root, parent):
    spec = PathFinder.find_spec('parallel_deco', [root])
    package = sys.modules['parallel_deco'] = module_from_spec(spec)
    def find(name):
        if name[0] == '_':
            raise AttributeError(f"module 'parallel_deco' has no attribute {name!r}")
        __import__('parallel_deco._errors')
        errors = package._errors
        if name in errors.__all__:
            return getattr(errors, name)
        if package.__dict__.pop('__getattr__', None) is not None:
            spec.loader.exec_module(package)
        return getattr(package, name)
    package.__getattr__ = find
    control = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    from parallel_deco.backends.template import run
    run(control, parent)
boot(sys.argv[1], int(sys.argv[2]))
"""


def unavailable() -> str | None:
    """Return why there can be no worker processes here, or None."""
    if not hasattr(os, "posix_spawn") or not hasattr(os, "fork"):
        return f"worker processes need posix_spawn and fork, which {sys.platform} does not have"
    if "_socket" not in globals() or not hasattr(_socket, "CMSG_LEN"):
        return f"worker processes need to pass descriptors over sockets, which {sys.platform} cannot"
    if not sys.executable:
        return "worker processes are started with sys.executable, which is not set in this embedded interpreter"
    if getattr(sys, "frozen", False):
        return "worker processes are started with sys.executable, which in a frozen program is no interpreter"
    return None


class Nursery:
    """The template process and its socket.

    Raises
    ------
    ParallelError
        There can be no worker processes here, or the template cannot be started.
    """

    def __init__(self) -> None:
        reason = unavailable()
        if reason is not None:
            raise ParallelError(f"{reason}. Use backend='threads' or backend='serial'.")
        self._lock = threading.Lock()
        self._alive: dict[int, Exited] = {}
        self.closed = False
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            self.pid = _spawn(theirs.fileno())
        except OSError as error:
            ours.close()
            raise ParallelError(f"cannot start {sys.executable!r} for worker processes: {error}") from error
        finally:
            theirs.close()
        self._socket = ours
        self._thread = threading.Thread(target=self._listen, name="parallel_deco-nursery", daemon=True)
        self._thread.start()

    def fork(self, number: int, connection: int, slot: int, exited: Exited) -> None:
        """Ask for a worker with copies of these descriptors.

        Parameters
        ----------
        number : int
            By which the worker is known.
        connection, slot : int
        exited : callable
            Gets the worker's wait status when it has ended, in the nursery's thread; -1 when the template died.

        Raises
        ------
        OSError
            The template has died; `exited` will not be called.
        """
        with self._lock:
            if self.closed:
                raise BrokenPipeError("the template process has ended")
            rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [connection, slot]))
            self._socket.sendmsg([MESSAGE.pack(FORK, number, 0)], [rights])
            self._alive[number] = exited

    def kill(self, number: int) -> None:
        """Kill a worker, if it has not ended yet."""
        with self._lock:
            if number in self._alive and not self.closed:
                try:
                    self._socket.send(MESSAGE.pack(KILL, number, 0))
                except OSError:  # the template has died, and its workers with it
                    return

    def close(self) -> None:
        """End the template and all its workers, and wait for it; not in the nursery's own thread."""
        with self._lock:
            if not self.closed:
                self._socket.shutdown(_socket.SHUT_WR)
        self._thread.join()

    def forget(self) -> None:
        """Let go of it in the child of a fork, where it belongs to the parent."""
        self._socket.close()

    def _listen(self) -> None:
        while True:
            try:
                message = self._socket.recv(MESSAGE.size)
            except ConnectionResetError:
                break
            if not message:
                break
            _, number, status = MESSAGE.unpack(message)
            self._report(number, status)
        self._reap()
        with self._lock:
            self.closed = True
            self._socket.close()
        for number in list(self._alive):
            self._report(number, -1)

    def _report(self, number: int, status: int) -> None:
        with self._lock:
            exited = self._alive.pop(number)
        exited(status)

    def _reap(self) -> None:
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:  # somebody waits for all children, or ignores SIGCHLD
            return


def _spawn(control: int) -> int:
    """Start the template with the control socket as its standard input."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    command = [sys.executable, *_interpreter_flags(), "-c", _BOOT, root, str(os.getpid())]
    return os.posix_spawn(
        sys.executable,
        command,
        worker_environment(),
        file_actions=[(os.POSIX_SPAWN_DUP2, control, 0)],
        setsigmask=[],
        setsigdef=[SIGINT, SIGTERM, SIGCHLD],
    )


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
    "verbose": "v",
}


def _interpreter_flags() -> list[str]:
    """Return the options that the caller's interpreter was started with, as far as they change what code does."""
    flags = [f"-{letter * getattr(sys.flags, name)}" for name, letter in _FLAGS.items() if getattr(sys.flags, name)]
    flags += [f"-W{option}" for option in sys.warnoptions]
    flags += [f"-X{name}" if value is True else f"-X{name}={value}" for name, value in sys._xoptions.items()]
    return flags
