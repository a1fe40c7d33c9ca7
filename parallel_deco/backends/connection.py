"""Frames over a stream socket: a head, a pickle, and large buffers apart from it, in shared memory if possible."""

import errno
import os
import struct
from collections.abc import Sequence
from math import inf
from time import thread_time

from parallel_deco._seats import go
from parallel_deco._shared import Lease
from parallel_deco._stream import Frame, Stream
from parallel_deco._waiting import ring_gathered, wait
from parallel_deco.backends.segments import Inbox, Outbox, Segment

try:
    import _socket  # `socket` takes 10 ms to import; this is what it wraps
except ImportError:  # pragma: no cover - a platform without them; `nursery.unavailable` says so
    _socket = None  # type: ignore[assignment]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["SMALL", "Connection", "Frame", "Staged"]

#: Size of the pickle, kind of the frame, number of buffers, seconds that the sender spent on pickling and copying.
_HEAD = struct.Struct("=QIId")
#: Size of a buffer, and the segment that holds it; 0: it follows the pickle.
_BUFFER = struct.Struct("<QQ")
_NUMBER = struct.Struct("<Q")
#: Frames of the connection itself: a segment (its descriptor comes along), numbers of segments that the receiver of
#: this frame may write to again, that it may unmap, that it must give up, and that could not be had there.
_SEGMENT, _RETURNED, _DROPPED, _KEPT, _REFUSED = 0xF1, 0xF2, 0xF3, 0xF4, 0xF5
#: One read takes a whole small frame. The system's socket buffer holds at least 160 KB, so a frame up to SMALL
#: that is sent to a worker with nothing else unread can never block the sender.
SMALL = 32 * 1024
#: sendmsg takes at most 1024 parts (IOV_MAX on Linux and macOS).
_PARTS = 1000
#: A thread that waits awake, and waited no longer than so many seconds the last time, looks each so many waits whether
#: it is where it is to be. Guessed: where the system moves them all the time, it is not to run after others.
_BRIEF = 200e-6
_SETTLED = 16
#: What the system says when it has no room for one more descriptor on its way; the other end is there.
_SHORT = frozenset([errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM])
#: What `stage` returns: kind, pickle, seconds, and for each buffer its size and the segment that it lies in, or itself.
Staged = tuple[int, "Any", float, "Sequence[tuple[int, Any]]"]


class Connection:
    """One end of a stream socket.

    Parameters
    ----------
    socket : _socket.socket

    Notes
    -----
    One thread may receive while another sends. Two senders need a lock of their own around `transmit`; there is none
    here. Only one may `stage` with buffers. Reads and writes release the GIL. It never closes the socket: the owner
    does, when nobody uses it.
    """

    __slots__ = ("_inbox", "_outbox", "_socket", "_stream", "_waited", "_waits")

    def __init__(self, socket: "_socket.socket") -> None:
        self._socket = socket
        self._stream = Stream(socket)
        self._waited = inf  # seconds, the last time
        self._waits = 0  # awake
        self._inbox = Inbox()
        self._outbox = Outbox()

    def send(self, kind: int, body: "Any", buffers: Sequence[memoryview] = (), seconds: float = 0.0) -> None:
        """Write a frame whole; blocks while the socket is full.

        Raises
        ------
        OSError
            The other end is gone.
        """
        if buffers or self._outbox.busy or self._inbox.busy:
            self.transmit(self.stage(kind, body, buffers, seconds))
        else:
            self._stream.write(kind, body, seconds)

    def stage(
        self, kind: int, body: "Any", buffers: Sequence[memoryview] | None = None, seconds: float = 0.0
    ) -> "Staged":
        """Copy the buffers to shared memory, and return what is left to be sent; the originals may go then.

        Any thread may stage a frame that can have none.
        """
        if buffers is not None:
            self._outbox.tidy()
        if not buffers:
            return kind, body, seconds, ()
        began = thread_time()
        placed = [(buffer.nbytes, self._outbox.place(buffer) or buffer) for buffer in buffers]
        return kind, body, seconds + thread_time() - began, placed

    def transmit(self, staged: "Staged") -> None:
        """Write what `stage` returned, and before it which segments are free again.

        Raises
        ------
        OSError
            The other end is gone.
        """
        kind, body, seconds, placed = staged
        if not (placed or self._outbox.dropped or self._inbox.busy):
            self._stream.write(kind, body, seconds)
            return
        table, apart, untold = [], [], []
        for size, place in placed:
            number = 0
            if not isinstance(place, Segment):
                apart.append(place)
            elif place.descriptor < 0 or self._introduce(place):
                number = place.number
            else:
                apart.append(Lease(place.mapping, size))
                untold.append(place.number)
            table.append(_BUFFER.pack(size, number))
        self._transmit([_HEAD.pack(len(body), kind, len(placed), seconds), *table, body, *apart])
        self._outbox.released += untold  # these can be used for others now

    def _transmit(self, parts: "list[Any]") -> None:
        inbox, outbox = self._inbox, self._outbox
        told = (_RETURNED, inbox.returned), (_DROPPED, outbox.dropped), (_KEPT, inbox.kept), (_REFUSED, inbox.refused)
        for kind, numbers in told:
            if numbers:
                body = b"".join(_NUMBER.pack(numbers.pop()) for _ in range(len(numbers)))
                parts = [_HEAD.pack(len(body), kind, 0, 0.0), body, *parts]
        left = sum(map(len, parts)) - self._socket.sendmsg(parts[:_PARTS])
        if left:
            self._transmit_rest(parts, left)

    def _transmit_rest(self, parts: "list[Any]", left: int) -> None:
        views = [memoryview(part) for part in parts]
        sent = sum(map(len, views)) - left
        while left:
            while views and sent >= len(views[0]):
                sent -= len(views.pop(0))
            views[0] = views[0][sent:]
            sent = self._socket.sendmsg(views[:_PARTS])
            left -= sent

    def _introduce(self, segment: Segment) -> bool:
        """Send a new segment's descriptor, only this once; False where the system lets no more be under way."""
        body = _BUFFER.pack(segment.capacity, segment.number)
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", segment.descriptor))
        try:
            self._socket.sendmsg([_HEAD.pack(len(body), _SEGMENT, 0, 0.0) + body], [rights])
        except OSError as error:
            if error.errno not in _SHORT:
                raise
            return False
        segment.close()
        return True

    def receive(self, alert: bool = True, near: int = -1) -> Frame | None:
        """Wait for a frame; None at the end of the stream.

        Parameters
        ----------
        alert : bool, optional
            Stay awake for a moment where that pays.
        near : int, optional
            The CPU on which to do so; -1 for any.
        """
        stream = self._stream
        while True:
            if stream.pending:
                ring_gathered()
            else:
                if alert and near >= 0:
                    self._come_near(near)
                self._waited = wait(self._socket.fileno(), self._waited if alert else inf)
            frame = stream.read()
            if frame is None or (frame.body is None and not self._complete(frame)):
                return None
            if frame.kind < _SEGMENT:
                return frame
            self._obey(frame)

    def _come_near(self, cpu: int) -> None:
        """Be on this CPU, if waits are short; now and then."""
        self._waits += 1
        if self._waits % _SETTLED == 0 and self._waited < _BRIEF:
            go(cpu)

    def _complete(self, frame: Frame) -> bool:
        """Read the rest of a large frame; False where the stream ends before."""
        size, count = frame.to_come
        table = bytearray(count * _BUFFER.size)
        frame.body = bytearray(size)
        if not (self._stream.fill(table) and self._stream.fill(frame.body)):
            return False
        buffers: list[Any] = []
        for length, number in _BUFFER.iter_unpack(table):
            if number:
                buffers.append(self._inbox.lease(number, length))
                continue
            buffers.append(bytearray(length))
            if not self._stream.fill(buffers[-1]):
                return False
        frame.buffers = buffers
        return True

    def _obey(self, frame: Frame) -> None:
        """Do what a frame of the connection itself says."""
        if frame.kind == _SEGMENT:
            capacity, number = _BUFFER.unpack(frame.body)
            self._inbox.adopt(number, self._stream.descriptors.pop(0), capacity)
            return
        numbers = [number for (number,) in _NUMBER.iter_unpack(frame.body)]
        if frame.kind == _RETURNED:
            self._outbox.released.extend(numbers)
        elif frame.kind == _KEPT:
            self._outbox.kept.extend(numbers)
        elif frame.kind == _REFUSED:
            self._outbox.refuse(numbers)
        else:
            self._inbox.forget(numbers)

    def keep_received(self) -> None:
        """Have the large buffers that came, and are alive, never be written to again."""
        self._inbox.keep()

    def close(self) -> None:
        """Close the descriptors that were on their way, and let go of shared memory; not the socket."""
        self._outbox.close()
        self._inbox.close()
        descriptors = self._stream.descriptors
        while descriptors:
            descriptor = descriptors.pop(0)
            if descriptor >= 0:
                os.close(descriptor)
