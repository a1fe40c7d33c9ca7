"""What a thread waits for that Ctrl-C may interrupt."""

from _thread import allocate_lock

__all__ = ["Bell"]


class Bell:
    """Wakes the one thread that waits for it; once.

    Notes
    -----
    `threading.Condition` is not for threads that signals interrupt: one that comes right after `wait` has released the
    lock, or in `__enter__` right after it was taken, leaves it in the wrong state. In CPython 3.11 and 3.12 that ends
    one Ctrl-C in 1,000 with "RuntimeError: release unlocked lock" (measured). Here the waiting thread holds nothing.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Wake who waits, or will; at most once, as the caller sees to."""
        self._lock.release()

    def wait(self, seconds: float) -> bool:
        """Wait for the bell for so long at most; return whether it rang."""
        return self._lock.acquire(timeout=seconds)
