"""Signals that go to a whole program: its workers, which are not told apart from it, take them as the program does.

A terminal that closes sends them to a group of processes, systemd to all of a service that is to stop, SLURM to all of
a step before its time is up. A program that has a handler for one finishes its work, which the workers must live for.
Ctrl-C is apart: workers never heed it.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal  # `signal` makes enumerations, for 6 ms

__all__ = ["TO_ALL"]

#: Those that end a process that has no handler, and that others send on purpose.
TO_ALL = tuple(
    getattr(_signal, name) for name in ("SIGHUP", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(_signal, name)
)
