"""The input of a map: pulled once, in order, by whichever thread needs an item; never entered twice."""

import itertools
import queue
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parallel_deco import _source
from parallel_deco._source import SLOW, TRUST, Piece, Source

LAWS = settings(max_examples=200, derandomize=True)
sizes = st.lists(st.integers(1, 7), min_size=1, max_size=60)


def drain(source, sizes):
    """Pull pieces of these sizes, over and over, until there is none."""
    pieces = []
    for size in itertools.cycle(sizes):
        piece = source.pull(size)
        if piece is None:
            return pieces
        pieces.append(piece)
    raise AssertionError("unreachable")


@given(st.integers(0, 100), sizes, st.sampled_from([list, tuple, range, iter, "generator", "lent"]))
@LAWS
def test_items_come_once_and_in_order_when_pulled(count, sizes, kind):
    """Pieces know where they begin, and together are the input."""
    if kind in ("generator", "lent"):
        iterable = (number for number in range(count))
    else:
        iterable = range(count) if kind is range else kind(range(count))
    source = Source.of((iterable,))
    lent = []
    if kind == "lent":
        items = source.lend()
        lent = list(itertools.islice(items, 3))
        source.take_back(len(lent), False)
    pieces = drain(source, sizes)
    assert [piece.first for piece in pieces] == [
        sum(map(len, ([], lent, *(p.items for p in pieces[:n])))) for n in range(len(pieces))
    ]
    assert [*lent, *(item for piece in pieces for item in piece.items)] == list(range(count))
    assert source.exhausted
    assert source.pulled == count
    assert source.left == 0
    assert source.error is None


@pytest.mark.parametrize(
    ("iterables", "left"),
    [
        (([1, 2, 3],), 3),
        ((range(5), "ab"), 2),
        ((iter([1]),), None),
        (([1], itertools.count()), None),
        ((set("abc"),), 3),
    ],
)
def test_length_is_known_when_the_inputs_tell(iterables, left):
    """The shortest counts, as in zip."""
    assert Source.of(iterables).left == left


def test_error_of_the_input_comes_after_its_items_when_it_raises():
    """What was drawn before is delivered."""

    def items():
        yield from (1, 2, 3)
        raise LookupError

    source = Source.of((items(),))
    assert [piece.items for piece in drain(source, [2])] == [[1, 2], [3]]
    assert isinstance(source.error, LookupError)


def test_first_item_can_be_looked_at_only_when_that_takes_nothing_away():
    """A list's can, a generator's cannot."""
    assert Source.of(([7, 8],)).first() == (7,)
    assert Source.of(((number for number in [7]),)).first() == ()
    assert Source.of(([],)).first() == ()


def test_rows_are_tuples_when_for_starmap():
    """Whatever iterable a row is."""
    source = Source.of_rows([[1, 2], "ab", iter((3,))])
    assert source.pull(5).items == [(1, 2), ("a", "b"), (3,)]
    assert not source.prompt  # the last is an iterator, which may wait
    assert Source.of_rows([[1, 2], "ab", (3,)]).prompt


def test_drawn_items_are_rescued_when_the_next_keeps_everybody_waiting():
    """They never wait for one that comes later, and each is in one piece."""
    box = queue.SimpleQueue()
    source = Source.of((iter(box.get, None),))
    pieces = []

    def pull():
        while (piece := source.pull(10)) is not None or not source.exhausted:
            pieces.extend([piece] if piece is not None else [])

    thread = threading.Thread(target=pull)
    for number in range(3):
        box.put(number)
    thread.start()
    # All three at once, unless the thread lacked a CPU meanwhile, and took the first for slow in coming.
    while sum(len(piece.items) for piece in pieces) < 3:
        time.sleep(SLOW)
        rescued = source.rescue()
        pieces.extend([rescued] if rescued is not None else [])
    assert source.slow
    box.put(3)
    box.put(None)
    thread.join()
    pieces.sort(key=lambda piece: piece.first)
    assert [item for piece in pieces for item in piece.items] == [0, 1, 2, 3]
    assert source.pull(1) is None


def test_items_are_pulled_together_again_when_they_are_prompt_again():
    """One slow item makes for caution, not for ever."""

    def items():
        time.sleep(2 * SLOW)
        yield from range(100)

    source = Source.of((items(),))
    lengths = [len(piece.items) for piece in drain(source, [10])]
    assert lengths[: TRUST + 1] == [1] * (TRUST + 1)
    assert max(lengths) == 10


def test_input_is_entered_by_one_thread_at_a_time_when_many_pull():
    """Every item goes to exactly one of them."""
    inside = threading.Lock()

    def items():
        for number in range(2000):
            assert inside.acquire(blocking=False)
            inside.release()
            yield number

    source = Source.of((items(),))
    found = []
    threads = [threading.Thread(target=lambda: found.extend(drain(source, [3]))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(item for piece in found for item in piece.items) == list(range(2000))


def test_nothing_is_pulled_when_it_was_ended():
    """And the input is let go of."""

    class Input:
        def __iter__(self):
            return iter(range(9))

    source = Source.of((Input(),))
    source.end()
    assert source.pull(1) is None
    assert source.lend() is None


@pytest.fixture
def slowly(monkeypatch):
    """Return a function that yields numbers, each after so many seconds by the clock of the source."""
    now = 0.0
    monkeypatch.setattr(_source, "perf_counter", lambda: now)

    def items(seconds, count):
        nonlocal now
        for number in range(count):
            now += seconds
            yield number

    return items


def test_pull_ends_early_when_items_are_long_in_coming_and_there_is_work_enough(slowly):
    """Not before there is, and not where no number is enough; the next pull goes on behind it."""
    source = Source.of((slowly(2e-3, 20),))
    assert source.pull(10, enough=3).items == [0, 1, 2]
    assert source.pull(2).items == [3, 4]
    assert source.pull(10, enough=1).items == [5]
    prompt = Source.of((slowly(1e-6, 1000),))
    assert len(prompt.pull(100, enough=1).items) == 100


def test_caution_ends_when_one_item_is_enough(slowly):
    """Items that come one by one, each after a short while, are no slow ones."""
    source = Source.of((slowly(1.5e-3, 100),))
    source.slow = True
    for _ in range(TRUST):
        source.pull(8, enough=1)
    assert not source.slow


@pytest.mark.parametrize(
    ("rows", "instant"),
    [
        ([(1, 2), [3, 4]], True),
        ([(1, 2)] * 1000, True),
        ([(1, 2)] * 999 + ["ab"], False),
        ([(1, 2), iter([3, 4])], False),
        (((1, number) for number in range(3)), False),
    ],
)
def test_rows_are_there_when_all_are_tuples_or_lists(rows, instant):
    """Then the thread that has come to the end of a batch may pull the next one itself."""
    assert Source.of_rows(rows).instant == instant


@given(st.integers(0, 60), st.integers(1, 9), st.integers(0, 9))
@LAWS
def test_piece_is_cut_into_pieces_that_are_it_together(count, size, most):
    """No more than so many, each of the size but perhaps the last; the rest comes behind them."""
    piece = Piece(5, range(5, 5 + count))
    pieces, rest = piece.cut(size, most)
    assert len(pieces) <= most
    assert all(len(one.items) == size for one in pieces[:-1])
    together = [*pieces, *([] if rest is None else [rest])]
    assert [item for one in together for item in one.items] == list(piece.items)
    assert all(one.first == one.items[0] for one in together if len(one.items))
    assert rest is None or (len(rest.items) > 0 and len(pieces) == most)
