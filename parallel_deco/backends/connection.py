"""Frames over a stream socket: a head, a pickle, and large buffers apart from it, in shared memory if possible."""

import errno
import os
import struct
from collections import deque
from collections.abc import Sequence
from math import inf
from time import thread_time

from parallel_deco._shared import Lease
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
_HEAD = struct.Struct("<QIId")
#: Size of a buffer, and the segment that holds it; 0: it follows the pickle.
_BUFFER = struct.Struct("<QQ")
_NUMBER = struct.Struct("<Q")
#: Frames of the connection itself: a segment (its descriptor comes along), numbers of segments that the receiver of
#: this frame may write to again, that it may unmap, that it must give up, and that could not be had there.
_SEGMENT, _RETURNED, _DROPPED, _KEPT, _REFUSED = 0xF1, 0xF2, 0xF3, 0xF4, 0xF5
#: One read takes a whole small frame. The system's socket buffer holds at least 160 KB, so a frame up to SMALL
#: that is sent to a worker with nothing else unread can never block the sender.
_CHUNK = 64 * 1024
SMALL = 32 * 1024
#: sendmsg takes at most 1024 parts (IOV_MAX on Linux and macOS).
_PARTS = 1000
_INT = struct.calcsize("i")
#: What the system says when it has no room for one more descriptor on its way; the other end is there.
_SHORT = frozenset([errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM])
#: What `stage` returns: kind, pickle, seconds, and for each buffer its size and the segment that it lies in, or itself.
Staged = tuple[int, "Any", float, "Sequence[tuple[int, Any]]"]
_CLOEXEC = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)
#: A descriptor was lost on its way: there was no room for it here.
_CUT = getattr(_socket, "MSG_CTRUNC", 0)


class Frame:
    """What came in one piece.

    Parameters
    ----------
    kind : int
    body : bytes-like
        The pickle.
    buffers : list of buffers
        What the pickle refers to out of band.
    seconds : float
        How long the sender took for pickling and copying.
    """

    __slots__ = ("body", "buffers", "kind", "seconds")

    def __init__(self, kind: int, body: "Any", buffers: "Sequence[Any]", seconds: float) -> None:
        self.kind = kind
        self.body = body
        self.buffers = buffers
        self.seconds = seconds

    @property
    def size(self) -> int:
        """Bytes of the pickle and its buffers."""
        return len(self.body) + sum(len(buffer) for buffer in self.buffers)


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

    __slots__ = ("_descriptors", "_inbox", "_outbox", "_rest", "_socket", "_space", "_waited")

    def __init__(self, socket: "_socket.socket") -> None:
        self._socket = socket
        self._rest: bytes = b""
        self._waited = inf  # seconds, the last time
        self._inbox = Inbox()
        self._outbox = Outbox()
        self._descriptors: deque[int] = deque()
        self._space = _socket.CMSG_SPACE(_INT)

    def send(self, kind: int, body: "Any", buffers: Sequence[memoryview] = (), seconds: float = 0.0) -> None:
        """Write a frame whole; blocks while the socket is full.

        Raises
        ------
        OSError
            The other end is gone.
        """
        self.transmit(self.stage(kind, body, buffers, seconds))

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

    def receive(self, alert: bool = True) -> Frame | None:
        """Wait for a frame; None at the end of the stream. If `alert`, stay awake for a moment where that pays."""
        while True:
            if self._rest:
                ring_gathered()
            else:
                self._waited = wait(self._socket.fileno(), self._waited if alert else inf)
            frame = self._receive()
            if frame is None or frame.kind < _SEGMENT:
                return frame
            self._obey(frame)

    def _receive(self) -> Frame | None:
        head = _HEAD.size
        if not self._have(head):
            return None
        size, kind, count, seconds = _HEAD.unpack_from(self._rest)
        if not count and head + size <= len(self._rest):
            whole = self._rest
            self._rest = whole[head + size :]
            return Frame(kind, memoryview(whole)[head : head + size], (), seconds)
        return self._receive_large(size, kind, count, seconds)

    def _receive_large(self, size: int, kind: int, count: int, seconds: float) -> Frame | None:
        head = _HEAD.size + count * _BUFFER.size
        if not self._have(head):
            return None
        table = [_BUFFER.unpack_from(self._rest, at) for at in range(_HEAD.size, head, _BUFFER.size)]
        self._rest = self._rest[head:]
        body = bytearray(size)
        if not self._fill(body):
            return None
        buffers: list[Any] = []
        for length, number in table:
            if number:
                buffers.append(self._inbox.lease(number, length))
                continue
            buffers.append(bytearray(length))
            if not self._fill(buffers[-1]):
                return None
        return Frame(kind, body, buffers, seconds)

    def _obey(self, frame: Frame) -> None:
        """Do what a frame of the connection itself says."""
        if frame.kind == _SEGMENT:
            capacity, number = _BUFFER.unpack(frame.body)
            self._inbox.adopt(number, self._descriptors.popleft(), capacity)
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

    def _have(self, size: int) -> bool:
        """Read until `size` bytes are there; False at the end of the stream."""
        while len(self._rest) < size:
            try:
                more, rights, flags, _ = self._socket.recvmsg(_CHUNK, self._space, _CLOEXEC)
            except ConnectionResetError:  # the other end died with unread bytes of ours
                return False
            for _, _, packed in rights:
                self._descriptors.extend(struct.unpack("i", packed))
            if flags & _CUT:
                self._descriptors.append(-1)
            if not more:
                return False
            self._rest = self._rest + more if self._rest else more
        return True

    def _fill(self, part: bytearray) -> bool:
        have = min(len(part), len(self._rest))
        part[:have] = self._rest[:have]
        self._rest = self._rest[have:]
        view = memoryview(part)[have:]
        while view:
            try:
                size = self._socket.recv_into(view)
            except ConnectionResetError:
                return False
            if not size:
                return False
            view = view[size:]
        return True

    def keep_received(self) -> None:
        """Have the large buffers that came, and are alive, never be written to again."""
        self._inbox.keep()

    def close(self) -> None:
        """Close the descriptors that were on their way, and let go of shared memory; not the socket."""
        self._outbox.close()
        self._inbox.close()
        while self._descriptors:
            descriptor = self._descriptors.popleft()
            if descriptor >= 0:
                os.close(descriptor)
