"""The switch interval: short while a thread of ours needs the GIL, and then the user's again."""

import os
import sys
import threading

import pytest

from parallel_deco._switching import INTERVAL, ask, cease, soon

SET = 0.004


@pytest.fixture(autouse=True)
def interval():
    """The interval of the user."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SET)
    yield
    sys.setswitchinterval(before + 0.5e-6)


def is_short():
    return abs(sys.getswitchinterval() - INTERVAL) < 1e-6


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
    ask(one, 0.002)
    assert sys.getswitchinterval() == pytest.approx(0.002, abs=2e-6)
    ask(other, 0.003)
    assert sys.getswitchinterval() == pytest.approx(0.002, abs=2e-6)
    with soon():
        assert is_short()
    cease(one)
    assert sys.getswitchinterval() == pytest.approx(0.003, abs=2e-6)
    cease(one)
    cease(other)
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
