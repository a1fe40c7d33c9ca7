"""Remembers that some work could not be sent to another process, and when to try again: ever more rarely."""

__all__ = ["Refusals"]


class Refusals:
    """When processes are tried again, after an item could not travel: it may have been one of many.

    Parameters
    ----------
    first : int
        How many tries are left out after the first refusal.

    Notes
    -----
    Twice as many each time that it comes as soon as it can: what never travels is tried a logarithmic number of times.
    Without a lock: what two threads count at the same time makes a try come a little sooner or later.
    """

    def __init__(self, first: int = 0) -> None:
        self._first = first
        self._pause = -1  # tries that were left out last
        self._left = 0  # to be left out yet
        self._tried = 0  # since then
        self._reason = ""

    def refused(self, reason: str) -> None:
        """Note that something could not travel; of those under way at the same time the first counts."""
        self._reason = reason
        if self._left:
            return
        self._pause = 2 * self._pause + 1 if self._pause >= 0 and self._tried <= self._pause + 1 else self._first
        self._left = self._pause
        self._tried = 0

    def ask(self) -> str | None:
        """Return why the next work had better stay, or None: then it may be tried."""
        if self._left:
            self._left -= 1
            return f"when it was last tried, {self._reason}"
        self._tried += 1
        return None
