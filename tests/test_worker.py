"""A worker's side, in this process: frames, outcomes, and text on its way home."""

import _socket
import collections
import contextlib
import dataclasses
import errno
import logging
import os
import resource
import signal
import sys
import threading
import time
import warnings
from pickle import PickleBuffer

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parallel_deco import _shared
from parallel_deco._errors import NotPicklableError, RemoteError, RemoteTraceback
from parallel_deco._readings import Readings
from parallel_deco.backends import connection
from parallel_deco.backends.connection import Connection
from parallel_deco.backends.contexts import pack, unpack
from parallel_deco.backends.outcomes import Outcomes, pack_error, pack_outcomes, unpack_error, unpack_outcomes
from parallel_deco.backends.payload import dump
from parallel_deco.backends.replay import Replayer, replay
from parallel_deco.backends.slot import FINISHED, Slot
from parallel_deco.backends.worker import Worker

DEADLINE = 30.0
READINGS = Readings(1, 0.5, 0.25)


@contextlib.contextmanager
def connected():
    """Two connected connections."""
    sockets = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    ends = [Connection(socket) for socket in sockets]
    yield ends
    for end, socket in zip(ends, sockets, strict=True):
        socket.close()
        end.close()


@pytest.fixture
def ends():
    with connected() as ends:
        yield ends


def test_waiting_thread_comes_near_now_and_then_when_its_waits_are_short(ends, monkeypatch):
    """Not at each wait, nor when it is to sleep, or may be anywhere."""
    told = []
    monkeypatch.setattr(connection, "go", told.append)
    for alert, near in ((True, 3), (False, 4), (True, -1)):
        for _ in range(320):
            ends[0].send(0, b"x")
            assert ends[1].receive(alert, near).body == b"x"
    assert 0 < len(told) <= 20
    assert set(told) == {3}


def test_frames_arrive_one_by_one_when_sent_together(ends):
    """Frames that one read takes together are told apart, and the end of the stream is None."""
    one, other = ends
    for number in range(3):
        one.send(number, b"x" * number, seconds=number)
    frames = [other.receive() for _ in range(3)]
    assert [(frame.kind, bytes(frame.body), frame.seconds) for frame in frames] == [
        (0, b"", 0.0),
        (1, b"x", 1.0),
        (2, b"xx", 2.0),
    ]


SIZES = st.one_of(st.integers(0, 50), st.integers(65_400, 65_700), st.integers(0, 300_000))
FRAMES = st.lists(st.tuples(SIZES, st.lists(st.integers(1, 200_000), max_size=2)), max_size=8)


@settings(max_examples=100, deadline=None)
@given(FRAMES)
def test_frames_arrive_as_they_were_when_they_have_any_size(frames):
    """Whatever a read takes of them: small and large ones, with and without large buffers, and those at its end."""
    sent = [(os.urandom(size), [os.urandom(large) for large in buffers]) for size, buffers in frames]
    with connected() as (one, other):
        sender = threading.Thread(target=lambda: [one.send(1, body, [*map(memoryview, apart)]) for body, apart in sent])
        sender.start()
        arrived = [other.receive() for _ in sent]
        sender.join(DEADLINE)
        assert [(bytes(frame.body), [*map(bytes, frame.buffers)]) for frame in arrived] == sent
        assert [frame.size for frame in arrived] == [len(body) + sum(map(len, apart)) for body, apart in sent]


class Interruption(Exception):
    """What a signal's handler raises."""


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("what", ["write", "read"])
def test_signal_is_heeded_when_it_comes_while_a_frame_waits(ends, what, most):
    """Its handler runs at once, and what it raises comes out; where it raises nothing, the frame waits on."""
    one, other = ends
    heard = []

    def handle(number, frame):
        heard.append(number)
        if len(heard) == most:
            raise Interruption

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02 if most > 1 else 0)
    try:
        with pytest.raises(Interruption):
            one.send(1, bytes(10_000_000)) if what == "write" else other.receive()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(heard) == most


@pytest.mark.parametrize("shared", [True, False])
def test_frame_is_whole_when_it_exceeds_the_socket(ends, shared):
    """Large pickles and buffers pass, with shared memory and without."""
    one, other = ends
    one._outbox._works = shared
    buffers = [bytes([number]) * 1_000_000 for number in range(3)]
    sender = threading.Thread(target=one.send, args=(7, b"b" * 500_000, [memoryview(buffer) for buffer in buffers]))
    sender.start()
    frame = other.receive()
    sender.join()
    assert (frame.kind, bytes(frame.body)) == (7, b"b" * 500_000)
    assert [bytes(buffer) for buffer in frame.buffers] == buffers


def unsendable(position, value, cause):
    """Make an error for a value that cannot be pickled."""
    return NotPicklableError(f"{position}: {type(value).__name__}")


def test_outcomes_are_the_same_when_they_come_back():
    """Values, errors and readings survive."""
    body = pack_outcomes(Outcomes([1, None], {1: ValueError("x")}, READINGS), [], unsendable)
    outcomes = unpack_outcomes(body, ())
    assert (outcomes.values, outcomes.readings) == ([1, None], READINGS)
    assert repr(outcomes.errors[1]) == "ValueError('x')"


@pytest.mark.parametrize("values", [[threading.Lock()], [1, threading.Lock(), (2,)]])
def test_value_is_an_error_when_it_cannot_be_pickled(values):
    """Only that value's item fails."""
    outcomes = unpack_outcomes(pack_outcomes(Outcomes(values, {}, None), [], unsendable), ())
    assert len(outcomes.errors) == 1
    assert [value for value in outcomes.values if value is not None] == [v for v in values if type(v) in (int, tuple)]


def test_buffers_belong_to_their_values_when_values_go_one_by_one():
    """Each value finds its own large buffers again."""
    numpy = pytest.importorskip("numpy")
    values = [numpy.full(10_000, number) for number in range(3)]
    buffers = []
    body = pack_outcomes(Outcomes(values, {}, None), buffers, unsendable)
    copies = unpack_outcomes(body, [bytearray(buffer) for buffer in buffers]).values
    assert [copy[0] for copy in copies] == [0, 1, 2]


def test_error_is_remote_when_its_class_cannot_travel():
    """Its text comes back instead."""
    kind = type("Rooted", (Exception,), {"lock": threading.Lock()})
    error = unpack_error(pack_error(kind("here")))
    assert isinstance(error, RemoteError)
    assert "Rooted: here" in str(error)


def test_cause_is_the_same_when_an_error_had_one():
    """Behind both is the whole chain of the worker's traceback."""
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise ValueError("outer") from inner
    except ValueError as outer:
        error = unpack_error(pack_error(outer))
    inner = error.__cause__
    assert (type(inner), inner.args) == (KeyError, ("inner",))
    assert "KeyError: 'inner'" in str(inner.__cause__)
    assert "ValueError: outer" in str(inner.__cause__)


def test_context_is_none_or_empty_when_it_was():
    """No context stays none; an empty one is one."""
    assert (unpack(pack(None)), len(unpack([]))) == (None, 0)


def test_position_is_seen_when_another_mapping_looks():
    """What is noted in a slot is seen by whoever maps it."""
    slot = Slot.create()
    slot.words[0], slot.words[1] = 3, FINISHED
    assert (list(slot.words), slot.report()) == ([3, FINISHED], "")
    slot.close()


def test_echo_is_reported_when_a_handler_of_the_users_fails(capsys, monkeypatch):
    """A failing handler does not stop the reader."""

    class Broken(logging.Handler):
        def handle(self, record):
            raise RuntimeError("broken")

    logger = logging.getLogger("test_worker.broken")
    monkeypatch.setattr(logger, "handlers", [Broken()])
    monkeypatch.setattr(logger, "propagate", False)
    record = logger.makeRecord(logger.name, logging.ERROR, __file__, 1, "text", (), None)
    replayer = Replayer()
    replayer.wait(replayer.say(dump(("log", vars(record)))))
    replayer.end()
    assert "RuntimeError: broken" in capsys.readouterr().err


def test_warning_is_shown_once_when_the_filter_says_so():
    """The caller's registry decides, however many workers gave the warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            replay(("warning", UserWarning("once"), UserWarning, __file__, 10), (sys.stdout, sys.stderr))
    assert len(caught) == 1
    assert dump(1)


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """Refuses attributes."""


def test_error_is_itself_when_it_refuses_attributes():
    """It has the remote traceback as its cause all the same."""
    error = unpack_error(pack_error(Frozen()))
    assert (type(error), type(error.__cause__)) == (Frozen, RemoteTraceback)


class Causeless(Exception):
    """Has a cause of its own."""

    __cause__ = property(lambda self: None)


def test_error_is_itself_when_it_refuses_a_cause():
    """Then the traceback is lost, and the error is not."""
    assert type(unpack_error(pack_error(Causeless()))) is Causeless


class Crowded:
    """A socket over which no descriptor can be sent any more."""

    def __init__(self, socket):
        self._socket = socket

    def __getattr__(self, name):
        return getattr(self._socket, name)

    def sendmsg(self, parts, rights=()):
        if rights:
            raise OSError(errno.ETOOMANYREFS, "Too many references: cannot splice")
        return self._socket.sendmsg(parts)


def test_buffer_goes_through_the_socket_when_no_descriptor_can(ends):
    """The system bounds how many descriptors may be under way; the frame arrives all the same."""
    one, other = ends
    one._socket = Crowded(one._socket)
    one.send(7, b"body", [memoryview(b"x" * 100_000)])
    frame = other.receive()
    assert [bytes(buffer) for buffer in frame.buffers] == [b"x" * 100_000]
    one._socket = one._socket._socket  # the segment is there for the next
    one.send(7, b"body", [memoryview(b"y" * 100_000)])
    frame = other.receive()
    assert ([bytes(buffer) for buffer in frame.buffers], one._outbox._count) == ([b"y" * 100_000], 1)


def test_memory_is_given_back_when_only_small_frames_come_any_more(ends, monkeypatch):
    """The sender looks with each, and says so; the receiver lets go of it."""
    one, other = ends
    one.send(7, b"large", [memoryview(b"x" * 100_000)])
    del other.receive().buffers[:]
    other.send(8, b"returned")
    one.receive()
    one.send(7, b"small")
    other.receive()
    now = time.monotonic()
    monkeypatch.setattr("parallel_deco.backends.segments.monotonic", lambda: now + 60)
    one.send(7, b"small")
    other.receive()
    assert (one._outbox._total, other._inbox._mappings) == (0, {})


@contextlib.contextmanager
def no_descriptors():
    """Have this process open no descriptor: the system drops those that come, and says so."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limits[0], 256), limits[1]))
    taken = []
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def mapping_of_the_sender(descriptor, size, populate=False, made=_shared.Mapping):
    """Map nothing for a receiver, as where a process has all the mappings that it may have."""
    if populate:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")
    return made(descriptor, size)


@pytest.mark.parametrize("what", ["descriptors", "mappings"])
def test_buffer_is_refused_when_the_receiver_has_no_room_for_it(ends, what, monkeypatch):
    """Its value cannot be had, all else of the frame can; what comes next comes through the socket."""
    one, other = ends
    one.send(7, b"before", [memoryview(b"a" * 100_000)])
    held = other.receive()
    if what == "descriptors":
        no_room, error = no_descriptors(), "Too many open files"
    else:
        no_room, error = contextlib.nullcontext(), "Cannot allocate memory"
        monkeypatch.setattr(_shared, "Mapping", mapping_of_the_sender)
    buffers, values = [], [PickleBuffer(bytes(size)) for size in (100_000, 1, 200_000)]
    body = pack_outcomes(Outcomes(values, {}, None), buffers, unsendable)
    one.send(7, body, buffers)
    with no_room:
        frame = other.receive()
    assert frame.size == len(body) + 300_000
    outcomes = unpack_outcomes(frame.body, frame.buffers)
    assert outcomes.values == [None, b"\0", None]
    assert [error in str(outcomes.errors[position]) for position in (0, 2)] == [True, True]
    other.send(8, b"heard")
    assert one.receive().kind == 8
    one.send(7, b"after", [memoryview(b"b" * 100_000)])
    assert [bytes(buffer) for buffer in other.receive().buffers] == [b"b" * 100_000]
    assert bytes(held.buffers[0]) == b"a" * 100_000


def test_worker_goes_on_to_read_when_other_threads_leave_it_more_and_more():
    """The caller may answer the main thread's frame with more than the socket holds: it sends no further than that."""
    worker = Worker.__new__(Worker)
    worker._pid, worker._main = os.getpid(), threading.get_ident()
    worker._outbox, worker._sending = collections.deque(), threading.Lock()
    sent, read = [], threading.Event()

    class Full:
        """A connection that takes no more than three frames before the caller's next one was read."""

        def transmit(self, staged):
            if len(sent) >= 3 and not read.wait(DEADLINE):
                raise AssertionError("nobody reads")
            sent.append(staged)
            if len(sent) <= 3:  # as another thread, which finds the lock taken
                worker._outbox.append(("left", len(sent)))

    worker._connection = Full()
    worker.transmit("own")
    read.set()
    end = time.monotonic() + DEADLINE
    while len(sent) < 4 and time.monotonic() < end:
        time.sleep(1e-3)
    assert sent == ["own", ("left", 1), ("left", 2), ("left", 3)]
