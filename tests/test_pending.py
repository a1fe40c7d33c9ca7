"""Pieces on their way from the input to the user: each is handed out once, in order, and the counts add up."""

from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel_deco._pending import HANDFUL, Pending
from parallel_deco.backends.batch import Batch, BatchResult


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30), st.booleans(), st.integers(0, 2**32))
def test_items_are_handed_out_once_when_results_come_in_any_order(sizes, ordered, seed):
    """Whatever is pulled, comes and is taken next: what is outstanding is what was pulled and not taken."""
    random, pending = Random(seed), Pending(ordered)
    to_pull, flying, handed, drawn = list(sizes), [], [], 0
    while to_pull or flying or not pending.nothing:
        action = random.choice(("pull", "come", "take"))
        if action == "pull" and to_pull:
            size = to_pull.pop()
            pending.reserve(size)
            pending.pulled(size, 1, size)
            pending.take_off(drawn, size)
            ticket = random.choice((None, SimpleNamespace(kills=False), SimpleNamespace(kills=True)))
            pending.hold(drawn, ticket)
            flying.append((drawn, size, ticket is not None and not ticket.kills))
            drawn += size
        elif action == "come" and flying:
            first, size, _ = flying.pop(random.randrange(len(flying)))
            pending.land(first)
            items, errors = range(first, first + size), random.choice(({}, {}, {0: ValueError()}))
            pending.keep(first, Batch(abs, items), BatchResult(list(items), errors, None))
        elif action == "take":
            due = pending.due
            pending.count_handed()
            arrived = pending.pop()
            assert not (ordered and due and flying) or arrived is not None
            if arrived is not None:
                values = arrived[1].values
                assert values == list(arrived[0].items)
                if not arrived[1].errors and random.random() < 0.5:
                    pending.pop_along(values)
                handed += values
        assert pending.flying == len(flying)
        assert pending.aloft == sum(size for _, size, _ in flying)
        assert pending.in_threads == sum(here for _, _, here in flying)
        assert pending.untaken == drawn - len(handed)
        assert pending.taken + pending.outstanding == drawn
    pending.count_handed()
    assert sorted(handed) == list(range(sum(sizes)))
    assert not ordered or handed == sorted(handed)
    assert (pending.outstanding, pending.taken, pending.nothing) == (0, sum(sizes), True)


@pytest.mark.parametrize("ordered", [True, False])
def test_results_that_come_together_are_handed_out_together_up_to_an_error(ordered):
    """Each hand-over costs two locks; what raised is told apart, and the user's window counts what is in hand."""
    pending = Pending(ordered)
    pending.reserve(1, 24)
    pending.pulled(1, 24, 24)
    for first in range(6):
        pending.take_off(first)
        pending.land(first)
        errors = {0: ValueError()} if first == 4 else {}
        pending.keep(first, Batch(abs, [first]), BatchResult([first], errors, None))
    _, result = pending.pop()
    pending.pop_along(result.values)
    assert result.values == [0, 1, 2, 3]
    assert (pending.untaken, pending.outstanding, pending.taken) == (20, 23, 1)
    pending.count_handed()
    assert (pending.untaken, pending.outstanding, pending.taken) == (20, 20, 4)
    assert list(pending.pop()[1].errors) == [0]


def test_no_more_than_a_handful_is_handed_out_together():
    """The rest may yet be there for another thread that takes from the same map."""
    pending = Pending(ordered=True)
    pending.reserve(HANDFUL, 3)
    pending.pulled(HANDFUL, 3, 3 * HANDFUL)
    for first in (0, 1, 1 + HANDFUL):
        pending.take_off(first)
        pending.land(first)
        pending.keep(
            first, Batch(abs, range(HANDFUL if first else 1)), BatchResult([7] * (HANDFUL if first else 1), {}, None)
        )
    _, result = pending.pop()
    pending.pop_along(result.values)
    assert len(result.values) == 1 + HANDFUL
    assert pending.pop() is not None


def test_room_is_given_back_when_fewer_items_come():
    """What the input did not have does not count, nor what went back to it."""
    pending = Pending(ordered=True)
    pending.reserve(8)
    assert (pending.outstanding, pending.running, pending.size) == (8, 1, 8)
    pending.pulled(8, 1, 3)
    assert (pending.outstanding, pending.running) == (3, 0)
    pending.take_off(0)
    pending.put_back(2)
    assert (pending.outstanding, pending.running) == (1, 1)


def test_ticket_is_kept_only_while_its_piece_flies():
    """A result may come before the one who started the piece goes on."""
    pending = Pending(ordered=True)
    pending.take_off(0)
    pending.take_off(4)
    pending.land(0)
    pending.hold(0, SimpleNamespace(kills=False))
    ticket = SimpleNamespace(kills=False)
    pending.hold(4, ticket)
    assert pending.in_threads == 1
    assert pending.clear()[0] == [ticket]
    assert pending.nothing
    assert (pending.in_threads, pending.aloft) == (0, 0)


def test_items_past_it_count_when_the_next_is_taken():
    """What the consumer's own loop ran is before what is pulled then."""
    pending = Pending(ordered=True)
    pending.skip(5)
    pending.take_off(5)
    pending.land(5)
    pending.keep(5, Batch(abs, [0]), BatchResult([0], {}, None))
    assert pending.due
    assert pending.pop() is not None
