"""Frames over a stream socket: a small head, a pickle, and large buffers apart from it."""

import os
import struct
from collections.abc import Sequence

__all__ = ["SMALL", "Connection", "Frame"]

#: Size of the pickle, kind of the frame, number of buffers, seconds that the sender spent on pickling.
_HEAD = struct.Struct("<QIId")
_SIZE = struct.Struct("<Q")
#: One read takes a whole small frame. The system's socket buffer holds at least 160 KB, so a frame up to SMALL
#: that is sent to a worker with nothing else unread can never block the sender.
_CHUNK = 64 * 1024
SMALL = 32 * 1024
#: writev takes at most 1024 parts (IOV_MAX on Linux and macOS).
_PARTS = 1000

Buffer = bytes | bytearray | memoryview


class Frame:
    """What came in one piece.

    Parameters
    ----------
    kind : int
    body : bytes-like
        The pickle.
    buffers : list of bytearray
        What the pickle refers to out of band.
    seconds : float
        How long the sender took for the pickling.
    """

    __slots__ = ("body", "buffers", "kind", "seconds")

    def __init__(self, kind: int, body: Buffer, buffers: Sequence[Buffer], seconds: float) -> None:
        self.kind = kind
        self.body = body
        self.buffers = buffers
        self.seconds = seconds

    @property
    def size(self) -> int:
        """Bytes of the pickle and its buffers."""
        return len(self.body) + sum(len(buffer) for buffer in self.buffers)


class Connection:
    """One end of a stream socket, by its descriptor.

    Notes
    -----
    One thread may receive while another sends. Two senders need a lock of their own around `send`; there is none
    here. Reads and writes release the GIL. It never closes the descriptor: the owner does, when nobody uses it.
    """

    __slots__ = ("_rest", "descriptor")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._rest: bytes = b""

    def send(self, kind: int, body: Buffer, buffers: Sequence[Buffer] = (), seconds: float = 0.0) -> None:
        """Write a frame whole; blocks while the socket is full.

        Raises
        ------
        OSError
            The other end is gone.
        """
        parts: list[Buffer] = [_HEAD.pack(len(body), kind, len(buffers), seconds)]
        parts += [_SIZE.pack(len(buffer)) for buffer in buffers]
        parts += [body, *buffers]
        left = sum(map(len, parts)) - os.writev(self.descriptor, parts[:_PARTS])
        if left:
            self._send_rest(parts, left)

    def _send_rest(self, parts: list[Buffer], left: int) -> None:
        views = [memoryview(part) for part in parts]
        sent = sum(map(len, views)) - left
        while left:
            while views and sent >= len(views[0]):
                sent -= len(views.pop(0))
            views[0] = views[0][sent:]
            sent = os.writev(self.descriptor, views[:_PARTS])
            left -= sent

    def receive(self) -> Frame | None:
        """Wait for a frame; None at the end of the stream.

        Raises
        ------
        BlockingIOError
            The socket's receive timeout has passed before a frame began; nothing is lost.
        """
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
        head = _HEAD.size + count * _SIZE.size
        if not self._have(head):
            return None
        sizes = [size, *(_SIZE.unpack_from(self._rest, at)[0] for at in range(_HEAD.size, head, _SIZE.size))]
        self._rest = self._rest[head:]
        parts = [bytearray(size) for size in sizes]
        for part in parts:
            if not self._fill(part):
                return None
        return Frame(kind, parts[0], parts[1:], seconds)

    def _have(self, size: int) -> bool:
        """Read until `size` bytes are there; False at the end of the stream."""
        while len(self._rest) < size:
            more = _read(self.descriptor, _CHUNK)
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
                size = os.readv(self.descriptor, [view])
            except BlockingIOError:  # the receive timeout, in the middle of a frame: the rest is on its way
                continue
            except ConnectionResetError:
                return False
            if not size:
                return False
            view = view[size:]
        return True


def _read(descriptor: int, size: int) -> bytes:
    try:
        return os.read(descriptor, size)
    except ConnectionResetError:  # the other end died with unread bytes of ours
        return b""
