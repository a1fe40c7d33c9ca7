"""A page that a worker and the caller both see: where the worker is, and what it said when it crashed."""

import os
from mmap import mmap

from parallel_deco._seats import SIZE, Seat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["FINISHED", "LOADING", "SENDING", "SEVERAL", "Slot"]

_PAGE = 4096
_REPORT = 16 * 1024
#: Where the seat lies: on a cache line of its own.
_SEAT = 64
#: Positions that are none: the batch is being unpickled; its last item has ended, and the results are pickled; outcomes
#: are sent, which takes as long as the caller lets them wait; or several items run.
LOADING: "Final" = 0xFFFFFFFF
FINISHED: "Final" = 0xFFFFFFFE
SENDING: "Final" = 0xFFFFFFFD
SEVERAL: "Final" = 0xFFFFFFFC


class Slot:
    """Batch number, position in the batch and start time of the item; behind them the fault handler's report.

    Notes
    -----
    One writer, the worker; readers on the caller's side look when something went wrong. Each field is an aligned
    word, so it is never seen half written. `started` is written before `position`, and read after it. Only the worker's
    `seat` is written by both: by the caller while the worker rests.
    """

    __slots__ = ("_views", "descriptor", "map", "seat", "times", "words")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.map = mmap(descriptor, _PAGE)  #: the whole page
        self.words = memoryview(self.map)[:8].cast("I")
        self.times = memoryview(self.map)[8:16].cast("d")
        place = memoryview(self.map)[_SEAT : _SEAT + SIZE]
        self.seat = Seat(place)
        self._views = self.words, self.times, place

    @classmethod
    def create(cls) -> "Slot":
        """Make a slot; its descriptor is to be passed to the worker."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("parallel_deco-slot", os.MFD_CLOEXEC)
        else:
            from tempfile import TemporaryFile

            with TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        try:
            os.ftruncate(descriptor, _PAGE)
            os.lseek(descriptor, _PAGE, os.SEEK_SET)  # where the fault handler will write
            return cls(descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def report(self) -> str:
        """Return what the fault handler wrote."""
        return os.pread(self.descriptor, _REPORT, _PAGE).decode(errors="replace")

    def close(self) -> None:
        """Unmap and close; nobody may use it any more."""
        self.seat.release()
        for view in self._views:  # not only let go of: without a GIL, that may be noticed later
            view.release()
        self.map.close()
        os.close(self.descriptor)
