"""`progress=`: a bar that counts items, on every route, and that is quiet where nobody would see it."""

import io
import itertools
import re
import sys

import pytest
from tqdm import tqdm

from parallel_deco import InvalidOptionError, InvalidTypeError, parallel
from parallel_deco._progress import ENVIRONMENT
from tests.workloads import busy, double, fails_on_odd


@pytest.fixture(autouse=True)
def no_monitor(monkeypatch):
    """Have tqdm start no thread of its own, which it keeps for the life of the program."""
    monkeypatch.setattr(tqdm, "monitor_interval", 0)


@pytest.fixture
def shown(monkeypatch, capsys):
    """Force bars, and return what the last line of each looked like in the end."""
    monkeypatch.setenv(ENVIRONMENT, "1")

    def read():
        return [line.rpartition("\r")[2] for line in capsys.readouterr().err.split("\n") if line.strip()]

    return read


@pytest.mark.parametrize("function", [double, busy], ids=["tiny", "busy"])
@pytest.mark.parametrize("count", [1, 7, 5000])
def test_bar_counts_all_items_when_a_map_ends(backend, function, count, shown):
    """Items, not batches; with the total, since the input has a length."""
    assert len(list(parallel(function, backend=backend).map(range(count), progress=True))) == count
    (line,) = shown()
    assert line.startswith(f"{function.__name__}: 100%")
    assert f"{count}/{count}" in line


def test_bar_has_no_total_when_the_input_has_no_length(backend, shown):
    """It counts all the same."""
    list(parallel(double, backend=backend).map((number for number in range(300)), progress=True))
    (line,) = shown()
    assert re.match(r"double: 300item \[", line)


def test_bar_has_the_label_when_one_is_given(backend, shown):
    """Of starmap too."""
    list(parallel(pow, backend=backend).starmap([(2, 3)] * 10, progress="powers"))
    (line,) = shown()
    assert line.startswith("powers: 100%")


def test_bar_counts_what_came_before_when_an_item_of_a_stretch_raises(shown):
    """Tiny items run one by one, and are counted at the end, whatever that is."""

    def function(x):
        return 1 // (90_000 - x)

    with pytest.raises(ZeroDivisionError):
        for _ in parallel(function).map(range(100_000), progress="fails"):
            pass
    (line,) = shown()
    assert "90001/100000" in line


def test_bar_ends_when_the_map_does_not_come_to_its_end(backend, shown):
    """Closed early, ended by an error, or dropped unused."""
    function = parallel(double, backend=backend)
    results = function.map(itertools.count(), progress="closed")
    assert next(results) == 0
    results.close()
    with pytest.raises(ValueError, match="1"):
        list(parallel(fails_on_odd, backend=backend).map(range(10), progress="failed"))
    del results
    function.map(range(10), progress="dropped")
    assert [line.partition(":")[0] for line in shown()] == ["closed", "failed", "dropped"]


@pytest.mark.parametrize("value", [None, "0"])
def test_nothing_is_shown_when_nobody_would_see_it(backend, value, monkeypatch, capsys):
    """The output of a test is no terminal; and 0 forbids it anyway."""
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    if value is not None:
        monkeypatch.setenv(ENVIRONMENT, value)
    assert list(parallel(double, backend=backend).map(range(10), progress=True)) == list(range(0, 20, 2))
    assert capsys.readouterr().err == ""


def test_mistakes_are_named_when_progress_cannot_be_that(monkeypatch):
    """The value, and what to write instead."""
    with pytest.raises(InvalidTypeError, match="progress must be True, False or a label, not 3"):
        parallel(double).map([1], progress=3)
    monkeypatch.setenv(ENVIRONMENT, "yes")
    with pytest.raises(InvalidOptionError, match="PARALLEL_DECO_PROGRESS must be 0 or 1, not 'yes'"):
        parallel(double).map([1], progress=True)


class Broken(io.StringIO):
    """A stream that nobody reads any more, after a while."""

    def __init__(self, error):
        super().__init__()
        self.error, self.left = error, 2

    def write(self, text):
        """Write, twice."""
        self.left -= 1
        if self.left < 0:
            raise self.error
        return super().write(text)


@pytest.mark.parametrize("error", [BrokenPipeError(32, "gone"), OSError(28, "full"), ValueError("closed")])
def test_results_come_when_the_bar_cannot_be_written(backend, error, monkeypatch):
    """A map does not end for the sake of its bar, and does not wait for ever."""
    monkeypatch.setenv(ENVIRONMENT, "1")
    function = parallel(double, backend=backend)
    monkeypatch.setattr(sys, "stderr", Broken(error))
    assert list(function.map(range(200), progress=True, chunksize=1)) == list(range(0, 400, 2))
    monkeypatch.setattr(sys, "stderr", None)
    assert list(function.map(range(10), progress=True)) == list(range(0, 20, 2))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert list(function.map(range(10), progress="schön")) == list(range(0, 20, 2))
    sys.stderr.flush()
    assert b"sch?n: 100%" in sys.stderr.buffer.getvalue()
