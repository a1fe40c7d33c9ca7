"""What was started and is not over yet: the tasks, and those of their pieces that wait for a worker."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from parallel_deco.backends.task import Piece, Task

__all__ = ["Docket", "tasks_of"]

#: Seconds for which the end of the last task is waited for at a time: Ctrl-C may keep whoever ends it from saying so.
HEED = 0.5


class Docket:
    """The tasks of a pool that are open, and its queue.

    Parameters
    ----------
    lock : threading.RLock
        The pool's. Whoever calls a method holds it, but for `len`.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._empty = threading.Condition(lock)
        self._awaited = 0  # how many wait for that
        self._tasks: set[Task] = set()
        self._queue: deque[Piece] = deque()

    def __len__(self) -> int:
        """Return how many tasks are open; also without the lock."""
        return len(self._tasks)

    def __iter__(self) -> Iterator[Task]:
        """Iterate over the tasks that are open now."""
        return iter(list(self._tasks))

    def __contains__(self, task: Task) -> bool:
        """Return whether a task is open; one of the parent's, in the child of a fork, is not."""
        return task in self._tasks

    def open(self, task: Task) -> None:
        """Enter a task that is started."""
        self._tasks.add(task)

    def close(self, task: Task) -> bool:
        """Mark a task as over: delivered, or never to be; return whether it was not."""
        if task.over:
            return False
        task.over = True
        self._tasks.discard(task)  # it is not there when Ctrl-C came before it was
        if self._awaited and not self._tasks:
            self._empty.notify_all()
        return True

    def wait_until_empty(self) -> None:
        """Wait until no task is open; the lock is let go of meanwhile."""
        self._awaited += 1
        try:
            while self._tasks:
                self._empty.wait(HEED)
        finally:
            self._awaited -= 1

    # The queue.

    def waiting(self) -> int:
        """Forget pieces at its head whose tasks are over; return how many wait."""
        while self._queue and self._queue[0].task.over:
            self._queue.popleft()
        return len(self._queue)

    @property
    def width(self) -> int:
        """How many workers there may be for what waits, going by its ends."""
        return max(self._queue[0].task.width, self._queue[-1].task.width) if self._queue else 0

    def append(self, piece: Piece) -> None:
        """Have a piece wait behind the others."""
        self._queue.append(piece)

    def drop_last(self) -> None:
        """Take back what was appended."""
        self._queue.pop()

    def put_back(self, pieces: list[Piece]) -> None:
        """Have pieces wait, in their order, before the others."""
        self._queue.extendleft(reversed(pieces))

    def next(self, fits: Callable[[Piece], bool]) -> Piece | None:
        """Take the first piece, if it fits."""
        while self.waiting():
            piece = self._queue[0]
            if not fits(piece):
                return None
            if self._queue and self._queue[0] is piece:  # the collector may have run, and what it let go of
                return self._queue.popleft()
        return None

    def clear(self) -> list[Piece]:
        """Empty the queue; return what was in it."""
        pieces = list(self._queue)
        self._queue.clear()
        return pieces


def tasks_of(pieces: Iterable[Piece]) -> list[Task]:
    """Return the tasks of these pieces that are not over, each once."""
    return list({id(piece.task): piece.task for piece in pieces if not piece.task.over}.values())
