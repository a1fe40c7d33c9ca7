"""Turns: calls that must not run at the same time run one after the other."""

import threading
from types import TracebackType

__all__ = ["Turn"]

#: Seconds after which who waits for a turn looks whether it will never come.
LOOK = 0.05


class Turn:
    """A lock whose holder may be given up, so that those behind it need not wait for ever."""

    __slots__ = ("_lock", "_lost")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lost = False

    def take(self) -> bool:
        """Wait for the turn; False when the one who has it was given up."""
        while not self._lost:
            if self._lock.acquire(timeout=LOOK):
                return True
        return False

    def give(self) -> None:
        """Pass it on; by who has it, given up or not."""
        self._lost = False
        self._lock.release()

    def lose(self) -> None:
        """Give up who has it."""
        self._lost = True

    def __enter__(self) -> None:
        """Wait for the turn, however long it takes."""
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Pass it on."""
        self.give()
