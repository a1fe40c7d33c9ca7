"""The comparison with the peers: what is kept of a run, the page that is made of it, and ratios that became worse."""

import pytest

from benchmarks.page import overview, section, shown, times
from benchmarks.ratios import compare, middle, ratios

GROUP = {
    "name": "tiny",
    "question": "How long?",
    "notes": "A note.",
    "unit": ["µs", 1e6],
    "per": 1000,
    "limit": {"words": "the loop's time over 2 CPUs", "seconds": 0.5e-3},
    "medians": {"the loop": 1e-3, "parallel_deco": 1.1e-3, "ThreadPoolExecutor": 25e-3},
    "missing": {"Ray": "ray is not installed"},
}


def test_ratios_have_a_base_when_it_took_part():
    """The loop where there is one; a question without any base is left out."""
    found = ratios({"tiny": GROUP["medians"], "odd": {"parallel_deco": 1.0}})
    assert found == {"tiny": {"the loop": 1.0, "parallel_deco": 1.1, "ThreadPoolExecutor": 25.0}}


def test_only_our_own_ratios_count_when_they_grow():
    """A peer that became slower, an entry that is new or gone, and what is within the tolerance are no news."""
    kept = {"tiny": {"parallel_deco": 1.0, "parallel_deco threads": 2.0, "loky": 3.0, "parallel_deco gone": 1.0}}
    now = {"tiny": {"parallel_deco": 1.4, "parallel_deco threads": 3.1, "loky": 99.0, "parallel_deco new": 99.0}}
    assert compare(kept, [now], 1.5) == ["tiny, parallel_deco threads: 2.00 times its base when it was kept, 3.10 now"]


def test_one_busy_run_condemns_nobody():
    """Two entries that were slow in one run each are not slower; one that was in both is."""
    kept = {"tiny": {"parallel_deco": 1.0, "parallel_deco threads": 2.0}}
    runs = [
        {"tiny": {"parallel_deco": 9.0, "parallel_deco threads": 2.0}},
        {"tiny": {"parallel_deco": 1.0, "parallel_deco threads": 19.0}},
    ]
    assert compare(kept, runs, 2.5) == []
    runs[0]["tiny"]["parallel_deco threads"] = 6.0
    assert compare(kept, runs, 2.5) == [
        "tiny, parallel_deco threads: 2.00 times its base when it was kept, 6.00, 19.00 now"
    ]


def test_medians_are_kept_of_several_runs():
    """Each over the runs that it took part in."""
    runs = [{"tiny": {"parallel_deco": ratio}} for ratio in (1.0, 9.0, 2.0)]
    runs[0]["call"] = {"parallel_deco": 3.0}
    assert middle(runs) == {"tiny": {"parallel_deco": 2.0}, "call": {"parallel_deco": 3.0}}


def test_page_tells_who_is_faster_when_it_is_a_peer():
    """The tables say it in numbers: entries from the fastest to the slowest, with ratios to the loop and the limit."""
    assert "| [How long?](#tiny) | 1.10 µs | the loop: 1.00 µs | 1.10 |" in overview([GROUP])
    rows = [line for line in section(GROUP).splitlines() if line.startswith("|")]
    assert rows == [
        "| contender | median | times the loop | times the limit |",
        "|---|--:|--:|--:|",
        "| the loop | 1.00 µs | 1.00 | 2.00 |",
        "| **parallel_deco** | 1.10 µs | 1.10 | 2.20 |",
        "| ThreadPoolExecutor | 25.0 µs | 25.0 | 50.0 |",
    ]
    assert "Did not take part: Ray (ray is not installed)." in section(GROUP)


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.234e-3, "1.23 µs"), (12.34e-3, "12.3 µs"), (1.234, "1,234 µs"), (0.0, "0.00 µs")]
)
def test_times_have_three_digits_when_shown(seconds, text):
    """More would be noise."""
    assert shown(seconds, GROUP) == text
    assert (times(1.234), times(12.34), times(1234.0)) == ("1.23", "12.3", "1,234")
