"""The template: a process with one thread, started by exec, that forks workers on request.

A worker must not be forked from the caller: its other threads may hold locks that nobody would ever release in the
child. The template has no other threads, and has imported what workers need, so a fork of it takes about 1 ms.

It ends, and kills its workers, when the control socket ends: however the caller died, the system closes that.
Requests and answers are three words each:

    in    FORK, worker's number, 0     with two descriptors: the worker's socket and its slot
          KILL, worker's number, 0
    out   EXIT, worker's number, wait status; -1 where it could not be forked
"""

import _socket  # `socket` takes as long to import as the interpreter to start; this is what it wraps
import gc
import os
import select
import struct
import sys
from types import FrameType

from parallel_deco import _shared
from parallel_deco.backends.frames import EXIT, FORK, MESSAGE
from parallel_deco.backends.signals import TO_ALL
from parallel_deco.backends.sockets import taken
from parallel_deco.backends.worker import serve

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal  # `signal` makes enumerations, for 6 ms

__all__ = ["run"]

_CLOEXEC = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)
_RIGHTS = _socket.CMSG_SPACE(2 * struct.calcsize("i"))


class Template:
    """The state of the template process.

    Parameters
    ----------
    control : int
        The descriptor of the control socket.
    parent : int
        The caller's process id.
    collects : bool
        Whether workers are to have the garbage collector on.
    """

    def __init__(self, control: int, parent: int, collects: bool) -> None:
        self._socket = taken(control)
        self._collects = collects
        self._pids: dict[int, int] = {}
        self._numbers: dict[int, int] = {}
        self._parent = parent
        self._private = [*os.pipe()]
        self._wake, wake = self._private
        os.set_blocking(wake, False)
        _signal.set_wakeup_fd(wake)
        _signal.signal(_signal.SIGCHLD, _ignore)
        # The terminal sends Ctrl-C to everybody, but only the caller decides what it means. A handler of Python's,
        # not SIG_IGN: programs that a task starts get the system's default back.
        _signal.signal(_signal.SIGINT, _ignore)
        _shared.follow(parent, TO_ALL)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, [_signal.SIGINT, *TO_ALL])  # see `launch._spawn`

    def run(self) -> None:
        """Serve until the caller is gone."""
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        self._watch_parent(poll)
        gc.freeze()
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self._wake:
                    os.read(self._wake, 512)
                    self._reap()
                elif descriptor != self._socket.fileno() or not self._obey():
                    self._end()

    def _watch_parent(self, poll: select.poll) -> None:
        """Also end when the caller is gone but something holds a copy of its end of the socket."""
        if hasattr(os, "pidfd_open") and os.getppid() == self._parent:
            try:
                descriptor = os.pidfd_open(self._parent)
            except OSError:  # an old kernel
                return
            self._private.append(descriptor)
            poll.register(descriptor, select.POLLIN)

    def _obey(self) -> bool:
        """Do what the caller asks; False when it is gone."""
        try:
            message, ancillary, _, _ = self._socket.recvmsg(MESSAGE.size, _RIGHTS, _CLOEXEC)
        except ConnectionResetError:
            return False
        if not message:
            return False
        verb, number, _ = MESSAGE.unpack(message)
        if verb == FORK:
            self._fork(number, *struct.unpack("ii", ancillary[0][2]))
        elif number in self._pids:  # not reaped yet: the number still means that process
            os.kill(self._pids[number], _signal.SIGKILL)
        return True

    def _fork(self, number: int, connection: int, slot: int) -> None:
        template = os.getpid()
        try:
            pid = os.fork()
        except OSError:  # no more processes, no memory: the workers that are there go on
            pid = -1
        if pid == 0:
            self._become_worker(template, connection, slot)
        os.close(connection)
        os.close(slot)
        if pid < 0:
            self._say_ended(number, -1)
            return
        self._pids[number] = pid
        self._numbers[pid] = number

    def _become_worker(self, template: int, connection: int, slot: int) -> None:
        status = 1
        try:
            _signal.set_wakeup_fd(-1)
            _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
            _shared.follow(self._parent, ())  # it has the handlers
            self._socket.close()
            for descriptor in self._private:
                os.close(descriptor)
            _shared.die_with_parent()
            if self._collects:
                gc.enable()
            status = serve(template, taken(connection), slot)
        except BaseException:  # nothing may run on into the template's loop
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)

    def _reap(self) -> None:
        while self._numbers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            number = self._numbers.pop(pid)
            del self._pids[number]
            self._say_ended(number, status)

    def _say_ended(self, number: int, status: int) -> None:
        try:
            self._socket.send(MESSAGE.pack(EXIT, number, status))
        except OSError:
            self._end()

    def _end(self) -> None:
        for pid in self._numbers:
            os.kill(pid, _signal.SIGKILL)
        for pid in self._numbers:
            os.waitpid(pid, 0)
        os._exit(0)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing: the signal only wakes."""


def run(parent: int, collects: bool) -> None:
    """Be the template of a process, whose socket is the standard input; never returns.

    Whether workers have the garbage collector on is said here, for it is off until there are any.
    """
    control = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)  # a task that reads gets nothing, instead of what the user types
    os.close(null)
    Template(control, parent, collects).run()
