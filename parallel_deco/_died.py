"""The error of a worker process that died: apart from the others, because its parent takes 10 ms to import."""

from concurrent.futures import BrokenExecutor

from parallel_deco._errors import ParallelError

__all__ = ["WorkerDied"]


class WorkerDied(ParallelError, BrokenExecutor):
    """The worker process died while it ran this item; the pool lives on.

    Parameters
    ----------
    message : str
        What died, how, and what to do.
    exitcode : int or None
        The exit status; negative for the signal that killed it; None when it could not be learned.
    """

    def __init__(self, message: str, exitcode: int | None = None) -> None:
        super().__init__(message, exitcode)
        self.exitcode = exitcode

    def __str__(self) -> str:
        """Return the message without the exit code, which it already names."""
        return str(self.args[0])


WorkerDied.__module__ = "parallel_deco"
