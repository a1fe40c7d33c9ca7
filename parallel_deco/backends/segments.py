"""Large buffers between two processes: reusable shared memory that is sent once, and then only referred to.

The sender owns its segments (`Outbox`), the receiver maps them (`Inbox`). A segment holds one buffer at a time. The
receiver's arrays lie in the segment itself; when the last view of one dies, the segment's number goes back to the
sender, and only then may the sender write into it again. So the receiver may do with its array what it likes.

Where the receiver has no room for a descriptor, or for a mapping more, it *refuses* the segment: what lay in it is
lost, and the sender makes no more of them, but sends what comes next through the socket.

After a fork of the receiving process its child has the arrays too, and nobody knows when they go there. So what is
leased at a fork is *kept*: its owner lets go of it, and never writes into it again.

A segment is a memfd: it has no name, so nothing can be left behind, however the processes end.
"""

from __future__ import annotations

import errno
import os
from _weakref import ref
from collections import deque
from time import monotonic

from parallel_deco import _shared

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: then there is no memfd either
    pass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Inbox", "Missing", "Outbox", "Segment"]

_PAGE = 4096
#: Free segments that are kept for reuse; the oldest beyond that is given back to the system.
_KEEP = 128
#: Seconds after which one that was not needed is given back too. (Guessed: fresh pages take three times as long as a
#: copy, 30 ms more for 64 MB, which is little for what is needed once in ten seconds.)
_AGE = 10.0
#: Segments that may be with the receiver at a time; beyond, buffers go through the socket. Each is a mapping of its
#: own there as long as its result lives, and Linux allows a process 65,530 of them.
_MOST = 2000
#: Below this total nobody asks how much memory is free (guessed: too little to matter).
_UNASKED = 64 * 1024 * 1024
#: A new segment may take this part of the memory that is free; beyond, buffers go through the socket.
_SHARE = 4


class Segment:
    """Shared memory, as its owner sees it."""

    __slots__ = ("_populated", "capacity", "descriptor", "free_since", "held", "mapping", "number")

    def __init__(self, number: int, descriptor: int, capacity: int) -> None:
        self.number = number
        self.descriptor = descriptor  #: to be sent and closed; -1 afterwards
        self.capacity = capacity
        self.mapping = _shared.Mapping(descriptor, capacity)
        self.held: tuple[int, int] | None = None  #: address and size of the buffer whose copy it has
        self.free_since = 0.0
        self._populated = False

    def fill(self, buffer: memoryview) -> None:
        """Copy a buffer into the fresh segment.

        Raises
        ------
        OSError
            The system has no memory for it.
        """
        flat = buffer.cast("B") if buffer.ndim != 1 or buffer.format != "B" else buffer
        done = 0
        while done < len(flat):
            done += os.pwrite(self.descriptor, flat[done:], done)

    def write(self, buffer: memoryview) -> None:
        """Copy a buffer into the segment, which was used before."""
        if not self._populated:
            self._populated = True
            self.mapping.populate()
        self.mapping.write(buffer)

    def close(self) -> None:
        """Close the descriptor; the mapping goes with the object."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Outbox:
    """The segments that one end of a connection sends in.

    Notes
    -----
    To be used by one thread at a time, except `released` and `kept`: whoever hears from the receiver appends to them.
    """

    def __init__(self) -> None:
        self.released: deque[int] = deque()  #: numbers that the receiver has given back
        self.kept: deque[int] = deque()  #: numbers that the receiver will not give back
        self.dropped: list[int] = []  #: numbers that the receiver may unmap
        self._free: list[Segment] = []
        self._out: dict[int, Segment] = {}
        self._count = 0
        self._total = 0
        self._works = hasattr(os, "memfd_create")

    @property
    def busy(self) -> bool:
        """Whether there is a segment to be reused or given back, or anything to be told or heard of one."""
        return bool(self._free or self.released or self.kept or self.dropped)

    def place(self, buffer: memoryview) -> Segment | None:
        """Return a segment that holds a copy of the buffer; None when there is none to be had.

        Notes
        -----
        First use of a segment: `pwrite`, which fills fresh pages quicker than faults would. Later: a memcpy without
        the GIL; or none, when the segment still holds this very buffer, as it does when many items of a map have the
        same large argument. It is compared first: the caller may have changed the original, the worker its array.
        """
        self.tidy()
        if len(self._out) >= _MOST:
            return None
        size = buffer.nbytes
        held = _shared.address(buffer), size
        for same in reversed(self._free):
            if same.held == held and same.mapping.holds(buffer):
                return self._lend(same)
        segment = self._fitting(size)
        if segment is not None:
            segment.write(buffer)
        else:
            segment = self._create(size)
            if segment is None or not self._filled(segment, buffer):
                return None
        segment.held = held
        return self._lend(segment)

    def _filled(self, segment: Segment, buffer: memoryview) -> bool:
        """Copy a buffer into a fresh segment, which nobody has heard of yet; False when there is no memory for it."""
        self._out[segment.number] = segment  # first: come what may, it is closed with the others
        try:
            segment.fill(buffer)
        except BaseException as error:  # Ctrl-C too: a large copy takes its time
            del self._out[segment.number]
            self._total -= segment.capacity
            segment.close()
            if isinstance(error, OSError):
                return False
            raise
        return True

    def refuse(self, numbers: list[int]) -> None:
        """Let go of segments that the receiver could not have, and make no more; in the thread that hears from it."""
        self.kept.extend(numbers)
        self._works = False

    def tidy(self) -> None:
        """Take in what the receiver has said of segments, and give those back to the system that nobody needs."""
        if self.released or self.kept:
            self._take_back()
        if self._free:
            oldest = monotonic() - _AGE
            while self._free and (len(self._free) > _KEEP or self._free[0].free_since < oldest):
                self._drop(self._free[0])

    def _take_back(self) -> None:
        now = monotonic()
        while self.released:
            segment = self._out.pop(self.released.popleft(), None)
            if segment is not None:
                segment.free_since = now
                self._free.append(segment)
        while self.kept:
            number = self.kept.popleft()
            segment = self._out.pop(number, None)
            if segment is not None:
                self._free.append(segment)
            for segment in [segment for segment in self._free if segment.number == number]:
                self._drop(segment)

    def _lend(self, segment: Segment) -> Segment:
        if segment in self._free:
            self._free.remove(segment)
        self._out[segment.number] = segment
        return segment

    def _drop(self, segment: Segment) -> None:
        self._free.remove(segment)
        self.dropped.append(segment.number)
        self._total -= segment.capacity
        segment.close()

    def _fitting(self, size: int) -> Segment | None:
        """Return the smallest free segment that is large enough, and not wastefully so.

        The one that was used last, where there are many: those of a peak come of age then.
        """
        fitting = [segment for segment in reversed(self._free) if size <= segment.capacity <= 2 * size + _PAGE]
        return min(fitting, key=_capacity, default=None)

    def _create(self, size: int) -> Segment | None:
        capacity = _rounded(size)
        if not self._works or not self._affordable(capacity):
            return None
        try:
            descriptor = os.memfd_create("parallel_deco", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except OSError:  # no descriptors left: the pipe will do
            return None
        try:
            os.ftruncate(descriptor, capacity)
            # Nobody can shrink it under a mapping, which would be a SIGBUS on the next look.
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            segment = Segment(self._count + 1, descriptor, capacity)
        except OSError:
            os.close(descriptor)
            return None
        self._count += 1
        self._total += capacity
        return segment

    def _affordable(self, capacity: int) -> bool:
        """Return whether a new segment leaves the system enough memory; gives free ones up for it."""
        if self._total + capacity <= _UNASKED or capacity <= _available() // _SHARE:
            return True
        while self._free:
            self._drop(self._free[0])
        return capacity <= _available() // _SHARE

    def close(self) -> None:
        """Close the descriptors that were not sent, and let go of all segments: alarms may hold the connection on."""
        for segment in [*self._free, *self._out.values()]:
            segment.close()
        self._free.clear()
        self._out.clear()


def _capacity(segment: Segment) -> int:
    return segment.capacity


def _rounded(size: int) -> int:
    """Round up to a whole number of pages, and to an eighth, so that a little more the next time still fits."""
    step = max(_PAGE, 1 << max(0, size.bit_length() - 4))
    return -(-size // step) * step


def _available() -> int:
    """Return the bytes of memory that are free: the system's, bounded by the container's (cgroup v2)."""
    try:
        with open("/proc/meminfo", "rb") as file:
            free = next(int(line.split()[1]) * 1024 for line in file if line.startswith(b"MemAvailable"))
    except (OSError, StopIteration):
        return 1 << 62
    try:
        with open("/sys/fs/cgroup/memory.max", "rb") as most, open("/sys/fs/cgroup/memory.current", "rb") as now:
            return min(free, int(most.read()) - int(now.read()))
    except (OSError, ValueError):  # no container, or "max"
        return free


class Missing:
    """In the place of a buffer whose segment could not be had.

    Parameters
    ----------
    size : int
    cause : OSError
    """

    __slots__ = ("_cause", "_size")

    def __init__(self, size: int, cause: OSError) -> None:
        self._size = size
        self._cause = cause

    def __len__(self) -> int:
        """Return how large the buffer was."""
        return self._size

    def fail(self) -> None:
        """Say what is missing, and why.

        Raises
        ------
        OSError
        """
        raise OSError(self._cause.errno, f"{self._cause.strerror}: {self._size} bytes of shared memory were lost")


class Inbox:
    """The segments that one end of a connection receives in.

    Notes
    -----
    `lease` and the others are for the receiving thread. `returned` grows in whatever thread drops the last view, `kept`
    in the thread that forks.
    """

    def __init__(self) -> None:
        self.returned: deque[int] = deque()  #: numbers to be given back to the sender
        self.kept: deque[int] = deque()  #: numbers that will not be
        self.refused: deque[int] = deque()  #: numbers that the sender has yet to hear of
        self._lost: dict[int, OSError] = {}
        self._keeps: set[int] = set()
        self._mappings: dict[int, _shared.Mapping] = {}
        self._leases: dict[int, Any] = {}

    @property
    def busy(self) -> bool:
        """Whether the sender has yet to hear what became of a segment."""
        return bool(self.returned or self.kept or self.refused)

    def adopt(self, number: int, descriptor: int, capacity: int) -> None:
        """Map a segment that came, and close its descriptor; it is negative where there was no room for it."""
        try:
            if descriptor < 0:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            self._mappings[number] = _shared.Mapping(descriptor, capacity, populate=True)
        except OSError as error:
            self._lost[number] = error
            self.refused.append(number)
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def lease(self, number: int, size: int) -> _shared.Lease | Missing:
        """Return a segment's memory as a buffer; when the last view of it dies, the segment is returned."""
        if number in self._lost:
            return Missing(size, self._lost[number])
        lease = _shared.Lease(self._mappings[number], size)
        returned, keeps = self.returned, self._keeps

        def gone(_: Any) -> None:  # in any thread, at any time: only what is atomic
            if number not in keeps:
                returned.append(number)

        self._leases[number] = ref(lease, gone)
        return lease

    def keep(self) -> None:
        """Have what is leased now never be written to again: a process is about to be forked that will have it too."""
        for number in list(self._leases):  # as the collector may run with each tuple of its items, and others go on
            lease = self._leases.get(number)
            if lease is not None and lease() is not None and number not in self._keeps:
                self._keeps.add(number)
                self.kept.append(number)

    def forget(self, numbers: list[int]) -> None:
        """Unmap segments that the sender gave up; those with views stay until the views die."""
        for number in numbers:
            self._mappings.pop(number, None)
            self._lost.pop(number, None)
            self._leases.pop(number, None)
            self._keeps.discard(number)

    def close(self) -> None:
        """Let go of all segments; those with views stay until the views die."""
        self._leases.clear()
        self._mappings.clear()
