"""How many threads wait at the same time: more as long as more of them get more done."""

from math import inf, log2

__all__ = ["FIRST", "Reach"]

#: Threads for work that waits, unless the user says otherwise: at first, and at most.
FIRST, MOST = 32, 256
#: Items that each thread has run, on average, before it is judged what so many get done.
ROUNDS = 1
#: How many times as long an item may take with twice the threads: these get 1.2 times as much done then.
FLAT = 1.65
#: How many times as long as alone an item may take for more threads to be tried: else they are in each other's way.
CROWDED = 1.25
#: Seconds of the GIL that an item takes beside itself, to be handed out and to wake: as many threads as take turns for
#: it get no more done (sleeps of 0.3 ms: 15 ms in 32 threads, 24 in 64).
WAKING = 25e-6
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

    By Little's law n threads get n items done in the time that one takes: of how many ran, and how long each took, it
    follows how much was done in a second, whether that was one long map or the middles of many short ones.
    """

    __slots__ = ("_asked", "_before", "_beside", "_early", "_items", "_patience", "_wall", "width")

    def __init__(self, width: int = FIRST) -> None:
        self.width = width
        self._before: tuple[float, float] | None = None  # threads and seconds an item, at half the width
        self._patience = SOON
        self._restart(0)

    @property
    def trying(self) -> bool:
        """Whether the width is on trial: the one before was half of it."""
        return self._before is not None

    def _counts(self, beside: int) -> bool:
        """Whether an item that began beside so many tells of this width; or was asked for so many that are no more."""
        return self.width < 2 * beside <= 2 * self.width

    def asks(self, beside: int) -> bool:
        """Whether to find out, from a batch that begins beside so many, what these get done; of as many as it takes."""
        if self._early > 0 or self._asked >= ROUNDS * self.width or not self._counts(beside):
            return False
        self._asked += 1
        return True

    def rest(self, items: int) -> None:
        """Take in that so many items ran of which nothing is known."""
        self._early -= items

    def _restart(self, rounds: int = 1) -> None:
        """Begin to count anew, after so many items on each thread: at first some are of the width before."""
        self._early = rounds * self.width
        self._items = self._beside = self._asked = 0
        self._wall = 0.0

    def learn(self, items: int, wall: float, beside: int, alone: float = inf) -> None:
        """Take in that so many items took so long together, on one of several threads.

        Parameters
        ----------
        items : int
        wall : float
            Seconds, summed over the items.
        beside : int
            Threads that had work when it began, itself included: those that came first, or ran last, met few others.
        alone : float
            Seconds that an item takes with no other beside it.
        """
        if not self._counts(beside):
            return
        if self._early > 0:
            self._early -= items
            return
        self._items += items
        self._wall += wall
        self._beside += beside * items
        if self._items >= ROUNDS * self.width:
            each = self._wall / self._items
            self._judge(self._beside / self._items, each, each > CROWDED * alone or each < 2 * self.width * WAKING)

    def _judge(self, beside: float, each: float, crowded: bool) -> None:
        """Choose the next width: at this one an item began beside so many, on average, and took so long."""
        before, self._before = self._before, None
        in_vain = before is not None and each > before[1] * FLAT ** log2(max(1.0, beside / before[0]))
        if in_vain:
            self.width //= 2
        if in_vain or crowded:
            self._restart(self._patience)
            self._patience = min(LATE, 2 * self._patience)
        elif self.width < MOST:
            self._before = beside, each
            self.width *= 2
            self._restart()
        else:
            self._restart(LATE)
