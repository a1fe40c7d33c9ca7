"""Batch sizes and windows: arithmetic with laws."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from parallel_deco._flow import (
    GROWTH,
    HANDING,
    LAST_ROUNDS,
    MOST_ITEMS,
    Aim,
    Demand,
    batch_size,
    window,
)
from parallel_deco._options import Options
from parallel_deco._steering import LONGEST_PAUSE
from parallel_deco.routing.cost import TARGET, grain
from parallel_deco.routing.evidence import Facts

LAWS = settings(max_examples=300, derandomize=True)
walls = st.floats(-8.0, 1.0).map(lambda power: 10.0**power)  # each order of magnitude as often
routes = st.sampled_from(["serial", "threads", "processes"])
lefts = st.none() | st.integers(0, 10**6)


def known(wall, received=0.0):
    """Return facts of items that take so long and give so much."""
    return Facts(items=10, seconds=1.0, wall=wall, cpu=wall, gil=wall, received=received, pace=wall)


def aim(facts, route, width):
    """Return that batches of such items go there."""
    return Aim(route, facts, width, width, 0)


@given(walls, routes, st.integers(1, 64), lefts, st.integers(0, 10**5))
@LAWS
def test_batch_is_of_a_size_that_can_be_when_anything_varies(wall, route, width, left, before):
    """At least one item; no more than fit the target, and no more than so many times the batch before."""
    size = batch_size(aim(known(wall), route, width), Options(), left, before)
    assert 1 <= size <= MOST_ITEMS // 8
    assert size == 1 or size * wall <= grain(route, known(wall))[0] * (1 + 1e-9)
    assert not before or size <= GROWTH * before


@given(st.floats(2e-6, 1e-3), st.floats(0.0, LONGEST_PAUSE))
@LAWS
def test_loop_is_cut_as_rarely_as_is_decided(wall, pause):
    """A batch costs some tenths of a millisecond, and nothing comes of it before the next decision."""
    target = max(pause, 1e-3)
    size = batch_size(aim(known(wall), "serial", 1), Options(), None, MOST_ITEMS, pause)
    assert size <= max(1, target * (1 + 1e-9) / wall)
    assert (size + 1) * wall >= target * (1 - 1e-9)
    first = batch_size(aim(known(wall), "serial", 1), Options(), None, 0, pause)
    assert first <= max(1, min(target, TARGET) * (1 + 1e-9) / wall)


@given(walls, st.integers(1, 64), st.integers(1, 10**6))
@LAWS
def test_batches_are_even_at_the_end_when_the_length_is_known(wall, width, left):
    """Each worker gets half of its share at the most, unless that would not be worth handing out."""
    for route in ("threads", "processes"):
        size = batch_size(aim(known(wall), route, width), Options(), left, 0)
        assert size <= max(-(-left // (2 * width)), grain(route, known(wall))[1] / wall)


@given(st.floats(2e-3, 8e-3), st.floats(1.0, 8.0), st.integers(1, 64), st.integers(1, 10**6), st.booleans())
@LAWS
def test_batches_stay_as_large_as_waits_are_crowded_when_the_end_comes(wall, crowded, width, left, by_gil):
    """Where waits take so many times as long for want of the GIL, a batch has that many items, if they are not long."""
    pace = max(wall, crowded * wall / 4)
    width = min(width, int(pace / HANDING))  # else they are short, and stay together for another reason
    held = 1.01 * pace / 1.4 / width if by_gil else 0.0
    facts = known(wall)._replace(cpu=min(held, 0.4 * wall), gil=held, pace=crowded * wall)
    size = batch_size(aim(facts, "threads", width), Options(), left, 0)
    assert not by_gil or size >= min(int(crowded), int(TARGET / pace), left)
    assert size <= max(-(-left // (2 * width)), 0.5e-3 / pace, crowded if by_gil else 1)


@given(st.floats(0.03, 0.95), st.integers(8, 128), st.integers(1, 10**4))
@example(0.000579493162681807 / 0.2e-3 / 41, 41, 1149)
@LAWS
def test_short_waits_run_in_one_round_when_all_that_is_left_can_begin_at_once(share, width, left):
    """Each of so many threads has as many as the others; and no batch is over before all others were handed out.

    They are short where they take a share of what it takes to hand all the threads theirs.
    """
    wall = share * width * HANDING
    facts = known(wall)._replace(cpu=0.0, gil=0.0)
    sizes, rest, before = [], left, 0
    while rest and len(sizes) < width:
        before = batch_size(aim(facts, "threads", width), Options(), rest, before, free=width - len(sizes))
        sizes.append(min(before, rest))
        rest -= sizes[-1]
    least = width * HANDING / wall
    if left >= width * least:
        assert min(sizes[:-1]) >= int(least)
    if least <= left / width <= min(2 * least, 2 * width * HANDING / wall):
        assert not rest
        assert max(sizes) - min(sizes) <= 1


@given(walls, routes, st.integers(1, 64), lefts, st.integers(1, 10**5), st.integers(0, 10**4))
@LAWS
def test_chunksize_is_obeyed_when_given(wall, route, width, left, chunksize, before):
    """Whatever is known."""
    assert batch_size(aim(known(wall), route, width), Options(chunksize=chunksize), left, before) == chunksize


def test_first_batch_is_one_item_when_nothing_is_known():
    """It may be a long one."""
    assert batch_size(aim(Facts(), "serial", 1), Options(), 1000, 0) == 1


@given(walls, st.floats(0, 1e9), st.integers(1, 64), st.integers(1, 10**4), st.integers(0, 10**6), st.booleans())
@LAWS
def test_window_keeps_all_workers_busy_and_memory_bounded_when_anything_varies(
    wall, received, width, size, taken, waiting
):
    """Room for two items each; never more than the bounds in number; more when somebody waits, or has taken more."""
    facts = known(wall, received)
    room = window(facts, Options(), width, size, Demand(taken, waiting))
    assert 2 * width <= room <= max(MOST_ITEMS, 2 * width)
    assert room <= window(facts, Options(), width, size, Demand(taken, waiting=True))
    assert room <= window(facts, Options(), width, size, Demand(2 * taken, waiting))


@given(walls, st.integers(1, 64), st.integers(1, 10**4), st.integers(1, 10**4))
@LAWS
def test_buffersize_is_obeyed_when_given(wall, width, size, buffersize):
    """It is the window, whatever is known."""
    assert window(known(wall), Options(buffersize=buffersize), width, size, Demand(10**6, True)) == buffersize


def test_window_is_bounded_in_bytes_when_results_are_large():
    """A gigabyte each: just enough for the workers."""
    assert window(known(0.01, 1e9), Options(), 4, 100, Demand(10**6, True)) == 8


@given(walls, st.integers(1, 64), st.integers(1, 10**6), st.floats(0, 1e9))
@LAWS
def test_window_has_a_batch_for_each_worker_when_their_size_is_given(wall, width, chunksize, received):
    """However many items that is, and however large their results are."""
    assert window(known(wall, received), Options(chunksize=chunksize), width, 0, Demand()) >= width * chunksize


def test_loop_takes_the_rest_when_a_worker_could_not_load_the_function_in_time():
    """Of computing with the GIL held that was never moved; not where threads, or a worker that has it, may gain."""
    facts = known(0.5e-3)
    assert batch_size(aim(facts, "serial", 1), Options(), 8, 2) == 8
    for other in (facts._replace(gil=0.0), facts._replace(gil=None), facts._replace(moved=1e-5)):
        assert batch_size(aim(other, "serial", 1), Options(), 8, 2) < 8
    assert batch_size(aim(facts, "serial", 1), Options(), 80, 20) < 80


@given(st.integers(1, 8), st.integers(2, 64), st.integers(1, 10**5))
@LAWS
def test_last_rounds_are_shared_at_once_when_items_run_abreast(width, abreast, left):
    """In a batch, who is done takes the next item; between two batches, all wait for the last."""
    facts = known(10e-3)._replace(cpu=0.3e-3, gil=0.3e-3)
    to = Aim("processes", facts, width, width, 0, abreast)
    sizes, rest = [], left
    for free in range(width, 0, -1):
        sizes.append(batch_size(to, Options(), rest, sizes[-1] if sizes else 0, free=free))
        rest -= min(rest, sizes[-1])
    if left <= LAST_ROUNDS * abreast * width:
        assert rest == 0
    assert all(1 <= size <= LAST_ROUNDS * abreast for size in sizes)
