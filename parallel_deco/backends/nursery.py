"""The caller's side of the template: starts it, asks it for workers, and hears of their deaths."""

import os
import sys
import threading
from collections.abc import Callable

from parallel_deco._errors import ParallelError
from parallel_deco._starting import start_thread
from parallel_deco.backends.launch import launch, unavailable

try:
    import _socket
    import array
except ImportError:  # pragma: no cover - Windows: `unavailable` says so
    pass

from parallel_deco.backends.frames import FORK, KILL, MESSAGE

__all__ = ["Nursery"]

Exited = Callable[[int], None]


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
        self._lock = threading.RLock()  # as the pool's
        self._alive: dict[int, Exited] = {}
        self.closed = False
        try:
            self.pid, self._socket = launch()
        except OSError as error:
            raise ParallelError(f"cannot start {sys.executable!r} for worker processes: {error}") from error
        self._thread = threading.Thread(target=self._listen, name="parallel_deco-nursery", daemon=True)
        try:
            start_thread(self._thread)
        except RuntimeError as error:
            self._socket.close()
            self._reap()
            raise ParallelError(f"no thread can be started to serve worker processes: {error}") from error

    def fork(self, number: int, connection: int, slot: int, exited: Exited) -> None:
        """Ask for a worker with copies of these descriptors.

        Parameters
        ----------
        number : int
            By which the worker is known.
        connection, slot : int
        exited : callable
            Gets the worker's wait status when it has ended, in the nursery's thread; -1 when the template died, or
            could not fork it.

        Raises
        ------
        OSError
            The template has died; `exited` will not be called.
        """
        with self._lock:
            if self.closed:
                raise BrokenPipeError("the template process has ended")
            rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [connection, slot]))
            self._alive[number] = exited  # first: it may end before this thread goes on, or Ctrl-C come in between
            try:
                self._socket.sendmsg([MESSAGE.pack(FORK, number, 0)], [rights])
            except OSError:
                self._alive.pop(number, None)
                raise

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
            exited = self._alive.pop(number, None)
        if exited is not None:
            exited(status)

    def _reap(self) -> None:
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:  # somebody waits for all children, or ignores SIGCHLD
            return
