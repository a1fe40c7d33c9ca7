"""Sizes: how many bytes travel, what pickling them takes, and orders of magnitude."""

import pytest

from parallel_deco._sizes import FEW, moving_seconds, rough_bytes, size_class
from parallel_deco.routing.evidence import Evidence
from tests.test_routing import batch


class Loud:
    """Says when its code is called."""

    def __reduce__(self):
        raise AssertionError("pickled")


@pytest.mark.parametrize("value", [1, 1.5, "word", b"bytes", None, True, 10**30, (1, "two")], ids=repr)
def test_plain_values_are_pickled_when_there_are_enough(value):
    """It takes some time, less than a moment each."""
    seconds = moving_seconds(range(FEW), [value] * FEW)
    assert seconds is not None
    assert 0 < seconds < 1e-3
    assert moving_seconds([value] * FEW, range(FEW)) is not None
    assert moving_seconds([value] * (FEW - 1), range(FEW - 1)) is None


@pytest.mark.parametrize(
    "value", [Loud(), [1], (Loud(),), (1,) * 100, "long" * 1000, 1 << 9999], ids=lambda value: type(value).__name__
)
def test_other_values_are_not_pickled_when_met(value):
    """Nobody's code is called, and nothing large is copied."""
    assert moving_seconds([*range(FEW), value], range(FEW + 1)) is None
    assert moving_seconds(range(FEW + 1), [*range(FEW), value]) is None


def test_what_moving_took_counts_when_it_was_moved():
    """Until then, what pickling takes stands for it."""
    evidence = Evidence()
    evidence.learn(batch(10, 1e-6))
    assert evidence.facts().moved is None
    evidence.learn_moving(2e-7)
    assert evidence.facts().moved == 2e-7
    evidence.learn(batch(1000, 1e-6, moved=1e-3))
    assert evidence.facts().moved == pytest.approx(1e-6, rel=0.1)


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        (b"x" * 1000, 1000, 1000),
        ([b"x" * 100] * 50, 5000, 5000),
        ({1: "x" * 100}, 100, 110),
        (7, 2, 2),
        (Loud(), 64, 64),
    ],
)
def test_bytes_are_about_right_when_estimated(value, least, most):
    """Containers are taken to be like their first elements."""
    assert least <= rough_bytes(value) <= most


def test_size_classes_are_two_orders_of_magnitude_when_compared():
    """So `f(10)` does not decide for `f(10**7)`."""
    assert size_class((10,), {}) < size_class((10**4,), {}) < size_class((), {"n": 10**7})
    assert size_class((10,), {}) == size_class((11,), {})
    assert size_class((float("nan"), -(10.0**7)), {}) == size_class((10**7,), {})
    assert size_class((b"x" * 10**4,), {}) == size_class((10**4,), {})
