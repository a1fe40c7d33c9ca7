"""The book of a batch in worker processes: every item has exactly one outcome, whatever dies, and in which order."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from parallel_deco._readings import Readings
from parallel_deco.backends.batch import Batch, Shape
from parallel_deco.backends.outcomes import Outcomes
from parallel_deco.backends.task import Task, nowhere, report

LAWS = settings(max_examples=300, derandomize=True)


def task_of(count, keep_going=True):
    """Return the task of a batch with so many items, and its only piece."""
    batch = Batch(abs, list(range(count)), Shape.ONE, keep_going=keep_going)
    task = Task(batch, nowhere, None, ahead=False, width=1)
    return task, task.whole()


def values_of(piece, start, stop):
    """What a worker reports: None for even items, which is a value like any other."""
    return [None if (piece.start + at) % 2 == 0 else piece.start + at for at in range(start, stop)]


def death(position):
    """Name the item in its error."""
    return RuntimeError(position)


@given(st.integers(1, 30), st.integers(0, 10**6))
@LAWS
def test_every_item_has_one_outcome_when_workers_die_at_random(count, seed):
    """Pieces end, die at an item, die at none, are reported in parts; the whole is complete exactly once."""
    chance = random.Random(seed)
    task, whole = task_of(count)
    waiting, complete, blamed = [whole], 0, set()
    while waiting:
        piece = waiting.pop(chance.randrange(len(waiting)))
        reported = chance.randrange(len(piece) + 1)
        if reported:
            report(piece, Outcomes(values_of(piece, 0, reported), {}, None))
        fate = chance.choice(["ends", "dies at an item", "dies at none"])
        if fate == "ends":
            rest = Outcomes(values_of(piece, reported, len(piece)), {}, Readings(len(piece), 1.0, 1.0))
            again = task.ended(piece, rest, 0)
        elif fate == "dies at an item" and reported < len(piece):
            position = chance.randrange(reported, len(piece))
            blamed.add(piece.start + position)
            again = task.lost(piece, position, death)
        else:
            again = task.lost(piece, None, death)
        assert len(again) <= 1  # the batch has one place
        complete += not again
        waiting += again
    assert complete == 1
    result = task.result()
    assert len(result.values) == count
    assert blamed <= set(result.errors)
    for position, value in enumerate(result.values):
        if position in result.errors:
            assert value is None
            assert result.errors[position].args == (position,)
        else:
            assert value == (None if position % 2 == 0 else position)


def test_finished_items_are_kept_when_the_rest_is_abandoned():
    """Also those whose value is None."""
    task, whole = task_of(5)
    report(whole, Outcomes([None, 1], {}, None))
    task.lost(whole, 2, death)  # items 3 and 4 wait
    task.abandon(death)
    result = task.result()
    assert result.values == [None, 1, None, None, None]
    assert sorted(result.errors) == [2, 3, 4]


def test_everything_fails_when_nothing_has_run():
    """A task that is abandoned as it was."""
    task, _ = task_of(3)
    task.abandon(death)
    assert sorted(task.result().errors) == [0, 1, 2]
    assert task.result().values == [None] * 3


def test_readings_of_pieces_are_added_but_not_their_crowd():
    """Two pieces that ran alone did not run beside each other."""
    task, whole = task_of(4)
    pieces = task.failed(whole, ValueError(), whole=False)
    while pieces:
        pieces = task.ended(pieces[0], Outcomes([1], {}, Readings(1, 0.5, 0.25)), 0)
    seen = task.result().readings
    assert (seen.items, seen.wall, seen.cpu, seen.crowd) == (4, 2.0, 1.0, 1)


def test_piece_is_another_when_it_is_sent_again():
    """Dropping the pickle of the first takes nothing from the second."""
    _, whole = task_of(3)
    again = whole.again()
    again.body = b"pickle"
    whole.drop_payload()
    assert (again.body, len(again), again.task is whole.task) == (b"pickle", 3, True)
