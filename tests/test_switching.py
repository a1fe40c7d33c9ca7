"""The switch interval: short while a thread of ours needs the GIL, and then the user's again."""

import os
import sys
import threading

import pytest

from parallel_deco import _switching
from parallel_deco._switching import AT_ONCE, SOON, ask, cease, soon

SET = 0.004


@pytest.fixture(autouse=True)
def interval():
    """The interval of the user."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SET)
    yield
    sys.setswitchinterval(before + 0.5e-6)


def is_short():
    return abs(sys.getswitchinterval() - AT_ONCE) < 1e-6


def test_interval_is_the_users_again_when_all_are_out():
    """Also when several are inside, and when one leaves by an exception."""
    with soon():
        assert is_short()
        with pytest.raises(LookupError), soon():
            raise LookupError
        assert is_short()
    assert sys.getswitchinterval() == pytest.approx(SET, abs=2e-6)


def test_interval_is_the_shortest_that_is_asked_for():
    """Whoever asks for less gets it, as long as that is asked for; and to cease twice is to cease once."""
    one, other = object(), object()
    ask(one, SOON)
    assert sys.getswitchinterval() == pytest.approx(SOON, abs=2e-6)
    with soon():
        assert is_short()
        ask(other, SOON)
        assert is_short()
    cease(one)
    assert sys.getswitchinterval() == pytest.approx(SOON, abs=2e-6)
    cease(one)
    cease(other)
    assert sys.getswitchinterval() == pytest.approx(SET, abs=2e-6)


class Interrupting(dict):
    """Raises when it has changed, as Ctrl-C may between any two steps."""

    def __setitem__(self, who, seconds):
        super().__setitem__(who, seconds)
        raise KeyboardInterrupt

    def pop(self, *args):
        super().pop(*args)
        raise KeyboardInterrupt


def test_interval_is_the_users_again_when_ctrl_c_came_in_between(monkeypatch):
    """Whoever ceases next puts it right, or asks and ceases."""
    one = object()
    with monkeypatch.context() as patched:
        patched.setattr(_switching, "_asked", Interrupting())
        with pytest.raises(KeyboardInterrupt):
            ask(one, SOON)
    cease(one)
    assert sys.getswitchinterval() == pytest.approx(SET, abs=2e-6)
    ask(one, SOON)
    with monkeypatch.context() as patched:
        patched.setattr(_switching, "_asked", Interrupting(_switching._asked))
        with pytest.raises(KeyboardInterrupt):
            cease(one)
    _switching._asked.pop(one)
    with soon():
        assert is_short()
    assert sys.getswitchinterval() == pytest.approx(SET, abs=2e-6)


def test_interval_is_the_users_again_when_ours_was_saved_and_restored():
    """By a function that was called when it was ours."""
    ask(one := object(), SOON)
    saved = sys.getswitchinterval()
    cease(one)
    sys.setswitchinterval(saved)
    with soon():
        assert is_short()
    assert sys.getswitchinterval() == pytest.approx(SET, abs=2e-6)


def test_interval_does_not_drift_when_changed_often():
    """The interpreter rounds it down; that must not add up."""
    before = sys.getswitchinterval()
    for _ in range(1000):
        with soon():
            pass
    assert sys.getswitchinterval() == before


def test_interval_is_kept_when_it_is_shorter_already():
    """Nobody's interval is made longer."""
    sys.setswitchinterval(0.000105)
    with soon():
        assert sys.getswitchinterval() == pytest.approx(0.000105, abs=2e-6)
    assert sys.getswitchinterval() == pytest.approx(0.000105, abs=2e-6)


def test_interval_is_kept_when_the_user_sets_one_meanwhile():
    """What the user says last holds."""
    with soon():
        sys.setswitchinterval(0.01)
    assert sys.getswitchinterval() == pytest.approx(0.01, abs=2e-6)


def test_interval_is_the_users_again_when_many_threads_come_and_go():
    """The last one out puts it back."""

    def visit():
        for _ in range(200):
            with soon():
                assert is_short()

    threads = [threading.Thread(target=visit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sys.getswitchinterval() == pytest.approx(SET, abs=2e-6)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_interval_is_the_users_in_the_child_when_forked_inside():
    """Whoever was inside is not in the child."""
    with soon():
        pid = os.fork()
        if not pid:
            os._exit(0 if abs(sys.getswitchinterval() - SET) < 2e-6 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
