"""How many threads wait at the same time: more as long as more of them get more done."""

__all__ = ["FIRST", "Reach"]

#: Threads for work that waits, unless the user says otherwise: at first, and at most.
FIRST, MOST = 32, 256
#: Items that each thread has run, on average, before it is judged what so many get done.
ROUNDS = 2
#: Twice the threads must get so many times as much done, and an item take at most so many times as long.
GAIN, FLAT = 1.2, 1.5
#: Seconds, beyond an item's own, in which none of so many ends only where there is a pause.
PAUSE = 0.05


class Reach:
    """The most threads that work which waits is given; it doubles while that pays, and then stays.

    Parameters
    ----------
    width : int
        To start with.

    Notes
    -----
    Arithmetic on what is told to `learn`, which is one thread's at a time. What is waited for has a width of its own (a
    server, a disk): beyond it items take longer, and no more is done in a second. Then the width before is the right
    one. It is not tried again: who needs to may set `max_workers`.
    """

    __slots__ = ("_before", "_began", "_early", "_items", "_last", "_wall", "settled", "width")

    def __init__(self, width: int = FIRST) -> None:
        self.width = width
        self.settled = False
        self._before: tuple[float, float] | None = None  # items a second and seconds an item, at half the width
        self._restart()

    def _restart(self) -> None:
        self._last = 0.0
        self._early = self.width  # items that are not counted: threads start with them
        self._began = 0.0
        self._items = 0
        self._wall = 0.0

    def learn(self, items: int, wall: float, running: int, now: float) -> None:
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
        """
        if self.settled:
            return
        paused = self._last and now - self._last > wall / max(1, items) + PAUSE
        # A beginning, an end, a pause between two jobs, or two at once: that says nothing.
        if 2 * running <= self.width or running > self.width or paused:
            self._restart()
        self._last = now
        if 2 * running <= self.width or running > self.width:
            return
        if self._early > 0:
            self._early -= items
            self._began = now
            return
        self._items += items
        self._wall += wall
        if self._items < ROUNDS * self.width or now <= self._began:
            return
        rate, each = self._items / (now - self._began), self._wall / self._items
        if self._before is not None and not (rate > GAIN * self._before[0] and each < FLAT * self._before[1]):
            self.width //= 2
            self.settled = True
            return
        self.settled = self.width >= MOST
        if not self.settled:
            self._before = rate, each
            self.width *= 2
            self._restart()
