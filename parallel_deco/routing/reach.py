"""How many threads wait at the same time: more as long as more of them get more done."""

from math import inf

__all__ = ["FIRST", "Reach"]

#: Threads for work that waits, unless the user says otherwise: at first, and at most.
FIRST, MOST = 32, 256
#: Items that each thread has run, on average, before it is judged what so many get done.
ROUNDS = 2
#: Twice the threads must get so many times as much done, and an item take at most so many times as long.
GAIN, FLAT = 1.2, 1.5
#: How many times as long as alone an item may take for more threads to be tried: else they are in each other's way.
CROWDED = 1.25
#: Seconds, beyond an item's own, in which none of so many ends only where there is a pause.
PAUSE = 0.05
#: Items that each thread runs, on average, before twice as many are tried again: after one try in vain, and at most.
SOON, LATE = 16, 1024


class Reach:
    """The most threads that work which waits is given: doubled while that pays, halved when it did not.

    Parameters
    ----------
    width : int
        To start with.

    Notes
    -----
    Arithmetic on what is told to `learn`, which is one thread's at a time. What is waited for has a width of its own (a
    server, a disk): beyond it items take longer, and no more is done in a second. Then the width before is the right
    one for a while. Whether it still is, is tried again at ever greater distances: a machine that was busy with
    something else, or a server that has grown, looks the same from here. The same goes for threads whose items take
    longer than one alone: they wait for each other, or for the GIL, if there are many short waits to wake from.
    """

    __slots__ = ("_before", "_began", "_early", "_items", "_last", "_patience", "_wall", "width")

    def __init__(self, width: int = FIRST) -> None:
        self.width = width
        self._before: tuple[float, float] | None = None  # items a second and seconds an item, at half the width
        self._patience = SOON
        self._last = 0.0
        self._restart()

    @property
    def trying(self) -> bool:
        """Whether the width is on trial: the one before was half of it."""
        return self._before is not None

    def _restart(self, rounds: int = 1) -> None:
        """Begin to count anew, after so many items on each thread; at first they start one after the other."""
        self._early = rounds * self.width
        self._began = 0.0
        self._items = 0
        self._wall = 0.0

    def learn(self, items: int, wall: float, running: int, now: float, alone: float = inf) -> None:
        """Take in that so many items took so long together, on one of the threads that run now.

        Parameters
        ----------
        items : int
        wall : float
            Seconds, summed over the items.
        running : int
            Threads that were given work.
        now : float
            Seconds on any clock.
        alone : float
            Seconds that an item takes with no other beside it.
        """
        paused = self._last and now - self._last > wall / max(1, items) + PAUSE
        apart = 2 * running <= self.width or running > self.width
        self._last = now
        # A beginning, an end, a pause between two jobs, or two at once: that says nothing.
        if apart or paused:
            self._items, self._wall = 0, 0.0
            self._early = max(self._early, self.width)
        if apart:
            return
        if self._early > 0:
            self._early -= items
            self._began = now
            return
        self._items += items
        self._wall += wall
        if self._items >= ROUNDS * self.width and now > self._began:
            each = self._wall / self._items
            self._judge(self._items / (now - self._began), each, each > CROWDED * alone)

    def _judge(self, rate: float, each: float, crowded: bool) -> None:
        """Choose the next width: so many items a second were done at this one, and each took so long."""
        before, self._before = self._before, None
        in_vain = before is not None and not (rate > GAIN * before[0] and each < FLAT * before[1])
        if in_vain:
            self.width //= 2
        if in_vain or crowded:
            self._restart(self._patience)
            self._patience = min(LATE, 2 * self._patience)
        elif self.width < MOST:
            self._before = rate, each
            self.width *= 2
            self._restart()
        else:
            self._restart(LATE)
