"""Shared memory for large buffers: reuse, leases, and nothing left behind."""

import contextlib
import os
import threading

import pytest

from parallel_deco import _shared
from parallel_deco.backends.segments import Inbox, Outbox

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no anonymous shared memory here")

SIZE = 100_000


class Pair:
    """A sender and a receiver in one process."""

    def __init__(self):
        self.outbox, self.inbox = Outbox(), Inbox()

    def carry(self, data):
        """Return the data as it arrives: a lease on shared memory."""
        view = memoryview(data)
        segment = self.outbox.place(view)
        if segment.descriptor >= 0:
            self.inbox.adopt(segment.number, os.dup(segment.descriptor), segment.capacity)
            segment.close()
        return segment.number, self.inbox.lease(segment.number, view.nbytes)

    def give_back(self):
        """Tell the sender what the receiver has released."""
        self.outbox.released.extend(self.inbox.returned)
        self.inbox.returned.clear()
        self.outbox.tidy()


@pytest.fixture
def pair():
    """A sender and a receiver that leave no descriptor open."""
    pair = Pair()
    pair.descriptors = len(os.listdir("/proc/self/fd"))
    yield pair
    pair.outbox.close()
    assert len(os.listdir("/proc/self/fd")) == pair.descriptors


def test_bytes_are_the_same_when_they_arrive(pair):
    """A buffer arrives whole."""
    data = os.urandom(SIZE)
    _, lease = pair.carry(data)
    assert bytes(lease) == data


def test_segment_is_used_again_when_the_last_view_has_gone(pair):
    """Only after every view of a lease has died, and the sender was told, is its segment written to again."""
    first, lease = pair.carry(b"a" * SIZE)
    view = memoryview(lease)[10:20]
    del lease
    pair.give_back()
    second, other = pair.carry(b"b" * SIZE)
    assert (bytes(view), second != first) == (b"a" * 10, True)
    del view
    pair.give_back()
    third, again = pair.carry(b"c" * SIZE)
    assert (third, bytes(again)[:1], bytes(other)[:1]) == (first, b"c", b"b")


@pytest.fixture
def clock(monkeypatch):
    """The time in seconds, to be set."""
    clock = [1000.0]
    monkeypatch.setattr("parallel_deco.backends.segments.monotonic", lambda: clock[0])
    return clock


def test_segment_is_used_again_when_the_next_comes_in_time(pair, clock):
    """As often as that happens; not when nothing came for long."""
    numbers = []
    for pause in (0, 9, 9, 9, 11):
        clock[0] += pause
        numbers.append(pair.carry(os.urandom(1_000_000))[0])
        pair.give_back()
    assert numbers == [1, 1, 1, 1, 2]


def test_segments_of_a_peak_are_given_back_when_fewer_are_enough(pair, clock):
    """Those that were used last go on to be used, and the others come of age."""
    leases = [pair.carry(os.urandom(SIZE)) for _ in range(4)]
    for _ in range(12):
        leases.clear()
        pair.give_back()
        leases.append(pair.carry(os.urandom(SIZE)))
        clock[0] += 1
    assert len(pair.outbox.dropped) == 3
    assert leases[0][0] not in pair.outbox.dropped


def test_original_stays_when_the_receiver_writes(pair):
    """The receiver may write into what it got; the sender's buffer and the next arrival are untouched."""
    data = bytearray(SIZE)
    number, lease = pair.carry(data)
    memoryview(lease)[:3] = b"xyz"
    del lease
    pair.give_back()
    again, lease = pair.carry(data)
    assert (again, bytes(lease), bytes(data)) == (number, bytes(SIZE), bytes(SIZE))


def test_change_arrives_when_the_same_buffer_is_sent_again(pair):
    """A segment that still holds a buffer is only trusted while the contents are equal."""
    data = bytearray(SIZE)
    for value in (1, 2):
        data[-1] = value
        _, lease = pair.carry(data)
        assert bytes(lease) == bytes(data)
        del lease
        pair.give_back()


def test_lease_outlives_its_inbox_when_a_view_is_left(pair):
    """A result stays readable when the worker that sent it is gone."""
    _, lease = pair.carry(b"k" * SIZE)
    pair.inbox = Inbox()
    pair.outbox = Outbox()
    assert bytes(lease) == b"k" * SIZE


def test_lease_is_released_when_another_thread_drops_it(pair):
    """The last view may die anywhere."""
    _, lease = pair.carry(b"a" * SIZE)
    held = [lease]
    del lease
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    assert len(pair.inbox.returned) == 1


def test_segment_cannot_shrink_when_the_receiver_tries(pair):
    """The file is sealed: nobody can cut it off under a mapping."""
    segment = pair.outbox.place(memoryview(bytes(SIZE)))
    with pytest.raises(PermissionError):
        os.ftruncate(segment.descriptor, 0)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_segment_is_given_back_when_it_could_not_be_filled(error, pair, monkeypatch):
    """No descriptor is left, also after Ctrl-C, and its memory is not counted any more."""
    monkeypatch.setattr("parallel_deco.backends.segments._UNASKED", 2 * SIZE)
    monkeypatch.setattr("parallel_deco.backends.segments._available", lambda: 0)
    write, begun = os.pwrite, []

    def write_half(descriptor, data, at):
        if at:
            begun.append(descriptor)
            raise error
        return write(descriptor, data[: len(data) // 2], at)

    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr("os.pwrite", write_half)
            with contextlib.suppress(KeyboardInterrupt):
                assert pair.outbox.place(memoryview(bytes(SIZE))) is None
    assert len(begun) == 3
    _, lease = pair.carry(b"a" * SIZE)
    assert bytes(lease) == b"a" * SIZE
    assert len(os.listdir("/proc/self/fd")) == pair.descriptors


def test_place_declines_when_memory_is_short(pair, monkeypatch):
    """Without memory to spare the buffer is to go through the socket."""
    monkeypatch.setattr("parallel_deco.backends.segments._UNASKED", 0)
    monkeypatch.setattr("parallel_deco.backends.segments._available", lambda: 2 * SIZE)
    assert pair.outbox.place(memoryview(bytes(SIZE))) is None


def test_mapping_refuses_when_a_buffer_is_too_large():
    """Nothing is ever written beyond a mapping's end."""
    descriptor = os.memfd_create("test")
    os.ftruncate(descriptor, 4096)
    mapping = _shared.Mapping(descriptor, 4096)
    os.close(descriptor)
    with pytest.raises(ValueError, match="do not fit"):
        mapping.write(bytes(4097))
    with pytest.raises(ValueError, match="are not in"):
        _shared.Lease(mapping, 4097)


def test_mapping_fails_when_the_descriptor_is_bad():
    """An error of the system is an OSError."""
    with pytest.raises(OSError, match="Bad file descriptor"):
        _shared.Mapping(-1, 4096)


def test_positions_are_noted_when_items_are_drawn():
    """The slot shows the position of the item that is out, and the callback comes between items."""
    slot, calls = bytearray(16), []
    noted = _shared.Noted(["a", "b", "c"], slot, lambda: calls.append(len(calls)), 0.0)
    seen = [(item, int.from_bytes(slot[4:8], "little")) for item in noted]
    assert (seen, calls, len(noted), noted[1]) == ([("a", 0), ("b", 1), ("c", 2)], [0, 1], 3, "b")


def test_place_declines_when_too_many_segments_are_out(pair, monkeypatch):
    """Each is a mapping of the receiver's, of which a process may only have so many."""
    monkeypatch.setattr("parallel_deco.backends.segments._MOST", 2)
    leases = [pair.carry(bytes(SIZE)) for _ in range(2)]
    assert pair.outbox.place(memoryview(bytes(SIZE))) is None
    del leases
    pair.give_back()
    assert pair.outbox.place(memoryview(bytes(SIZE))) is not None
