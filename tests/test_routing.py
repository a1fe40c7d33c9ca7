"""Evidence, cost model and router: what is believed of readings, what is predicted from it, and what is chosen."""

import itertools
import math
import sys
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parallel_deco import _sampler
from parallel_deco._cpus import gil_enabled
from parallel_deco._options import Options
from parallel_deco._profile import Profile
from parallel_deco._readings import Readings
from parallel_deco.routing.cost import NO_GAIN, PROCESSES_PER_CPU, Machine, predict, process_width, waiting_width
from parallel_deco.routing.evidence import HANDING, KEEP, LONG_WAIT, MEASURE_EVERY, WAITS, Evidence, Facts, facts_so_far
from parallel_deco.routing.guess import guess
from parallel_deco.routing.prior import Nature, Prior
from parallel_deco.routing.router import SHARE, Situation, decide

MACHINE = Machine()
LAWS = settings(max_examples=200, derandomize=True)
seconds = st.floats(1e-7, 10.0)
shares = st.floats(0.0, 1.0)


def batch(items=1, wall=1e-3, cpu=None, gil=1.0, crowd=1, **more):
    """Return what a batch was seen to take per item: `gil` is the share of its CPU time with the GIL held."""
    cpu = wall if cpu is None else cpu
    looked = {"samples": 40, "looked": items * wall, "held": gil * items * cpu}
    looked |= {"looked_cpu": items * cpu, "held_cpu": gil * items * cpu}
    return Readings(items, items * wall, items * cpu, crowd=crowd, **{**looked, **more})


def learned(*readings):
    """Return the facts that follow from some batches."""
    evidence = Evidence()
    for seen in readings:
        evidence.learn(seen)
    return evidence.facts()


@st.composite
def facts(draw):
    """Any facts that can be."""
    wall = draw(seconds)
    cpu = wall * draw(shares)
    return Facts(
        items=draw(st.integers(1, 1000)),
        seconds=draw(seconds),
        wall=wall,
        cpu=cpu,
        gil=draw(st.none() | shares.map(lambda share: share * cpu)),
        samples=40,
        moved=draw(st.none() | st.floats(0, 1e-2)),
        sent=draw(st.floats(0, 1e7)),
        received=draw(st.floats(0, 1e7)),
        inner=draw(st.floats(1, 8)),
        gain=draw(st.none() | st.floats(0.1, 32)),
        pace=wall,
        kept=draw(st.floats(0, 10)),
    )


# Evidence.


def test_nothing_is_known_when_nothing_was_learned():
    """No division by zero, and no GIL time."""
    known = Evidence().facts()
    assert (known.items, known.wall, known.gil, known.gain) == (0, 0.0, None, None)
    assert learned(Readings(0, 1.0, 1.0)).items == 0


@given(st.lists(st.tuples(st.integers(1, 100), seconds, shares), min_size=1, max_size=20))
@LAWS
def test_facts_are_between_the_readings_when_learned(batches):
    """A mean is never outside of what it is the mean of; items are counted exactly."""
    known = learned(*(batch(items, wall, wall * share) for items, wall, share in batches))
    walls = [wall for _, wall, _ in batches]
    assert known.items == sum(items for items, _, _ in batches)
    assert min(walls) * (1 - 1e-9) <= known.wall <= max(walls) * (1 + 1e-9)
    assert 0 <= known.cpu <= known.wall * (1 + 1e-9)
    assert known.gil is None or 0 <= known.gil <= known.wall * (1 + 1e-9)


def test_what_a_function_did_lately_counts_when_it_changes():
    """After four batches or so, the new times have taken over."""
    slow, fast = batch(10, 1.8e-3), batch(10, 1e-3)
    known = learned(slow, *[fast] * 8)
    assert known.wall == pytest.approx(
        (KEEP**8 * 1.8e-3 + sum(KEEP**n for n in range(8)) * 1e-3) / sum(KEEP**n for n in range(9))
    )


def test_few_items_count_when_batches_in_a_row_are_unlike_what_was_known():
    """They are cut short, and would weigh little beside the many before; one alone may be chance."""
    before, cut = [batch(100, 1e-3)] * 8, batch(2, 1e-2, 1e-4)
    assert learned(*before, cut).wall == pytest.approx(1e-3, rel=0.1)
    now = learned(*before, cut, cut, cut)
    assert now.wall > 6e-3
    assert now.waits
    assert learned(*[batch(8, 1e-2)] * 8, *[batch(8, 1e-3)] * 3).wall < 2e-3
    assert learned(*before, cut, before[0], cut, before[0]).wall == pytest.approx(1e-3, rel=0.2)


def test_other_programs_do_not_count_when_they_have_the_cpu():
    """Time in which the thread could have run but got no CPU is not the function's."""
    assert learned(batch(10, 4e-3, 1e-3, delay=10 * 3e-3)).wall == pytest.approx(1e-3)


def test_crowded_time_does_not_count_when_it_waits_for_others():
    """Beside other threads an item may take longer; what it takes alone stays known."""
    alone, crowded = batch(10, 1e-3), batch(10, 8e-3, 1e-3, crowd=8)
    assert learned(alone, *[crowded] * 20).wall == pytest.approx(1e-3)
    assert learned(crowded, *[batch(10, 2e-3, 1e-3, crowd=8)] * 20).wall < 2.1e-3


@pytest.mark.skipif(not gil_enabled(), reason="nobody holds a GIL here")
def test_gil_time_is_of_what_it_does_now_when_it_waited_before():
    """A wait without the GIL long ago makes no computing with it free."""
    waited = batch(1, 50e-3, 1e-4, samples=40, looked=50e-3, looked_cpu=1e-4, held_cpu=1e-4, held=1e-4)
    known = learned(waited, *[batch(1, 3e-3)] * 3, *[batch(1, 3e-3, samples=0)] * 20)  # these were not watched
    assert known.computes
    assert known.gil == pytest.approx(known.cpu, rel=0.05)


def test_call_that_still_ran_does_not_count_when_it_has_ended():
    """What it had cost when it was looked at is no measure of what it costs, even if it ends beside others."""
    evidence = Evidence()
    evidence.learn(batch(1, 5e-3, 1e-5), so_far=True)
    assert evidence.facts().wall == pytest.approx(5e-3)
    for _ in range(2):
        evidence.learn(batch(1, 1.0, 1e-4, crowd=2))
    known = evidence.facts()
    assert (known.items, known.wall) == (2, pytest.approx(1.0))
    assert known.waits
    evidence.learn(batch(1, 5e-3, 1e-5), so_far=True)
    assert evidence.facts() == known


def test_looks_while_it_ran_are_not_added_up_when_there_were_several():
    """Each look at the first call, and its end, takes the place of the one before."""
    evidence = Evidence()
    for seconds_so_far in (2e-3, 4e-3, 8e-3):
        evidence.learn(batch(1, seconds_so_far), so_far=True)
        known = evidence.facts()
        assert (known.items, known.wall, known.samples) == (1, pytest.approx(seconds_so_far), 40)
        assert known.so_far
    evidence.learn(batch(1, 10e-3, gil=0.0))
    known = evidence.facts()
    assert (known.items, known.gil, known.so_far) == (1, 0.0, False)


def test_gain_is_not_learned_when_other_programs_have_the_cpus():
    """Threads that hardly ever run at the same time say nothing of how they get along; waiting does."""
    starved = {"crowd": 2, "delay": 20 * 1e-3}
    assert learned(batch(20, 1e-3), *[batch(20, 3e-3, 1e-3, **starved)] * 20).gain is None
    assert learned(batch(20, 1e-3), *[batch(20, 2e-3, 1e-3, crowd=2)] * 20).gain is not None
    waits = learned(batch(1, 5e-3, 1e-5), *[batch(1, 8e-3, 1e-5, crowd=8, delay=3e-3)] * 100)
    assert waits.gain == pytest.approx(8)


def test_doubts_stay_when_all_that_was_not_computing_was_lost_to_others():
    """A thread that is preempted on its way into a wait has waited for nothing, by what the system says."""
    disturbed = batch(1, 2e-3, 0.02e-3, disturbed=True)
    preempted = batch(1, 2.4e-3, 0.06e-3, crowd=12, delay=2.34e-3)
    assert learned(disturbed, preempted).waits
    assert learned(disturbed, batch(1, 0.06e-3, 0.06e-3)).computes
    assert learned(disturbed, *[batch(1, 5e-3, 1e-3, delay=2e-3)] * 4).wall == pytest.approx(3e-3)


def test_few_microseconds_do_not_tell_how_many_cpus_it_keeps_busy():
    """Others of its process may have computed as much by chance."""
    lost = batch(1, 2e-3, 0.04e-3, delay=1.96e-3, process_cpu=2e-3)
    assert facts_so_far(lost).inner == learned(lost).inner == 1


def test_gain_is_not_believed_when_many_of_the_batches_lacked_a_cpu():
    """Those between them waited for the GIL of one that had none, which no delay of their own shows."""
    alone, held = batch(20, 1e-3), batch(20, 3e-3, 1e-3, crowd=2)
    starved = batch(20, 6e-3, 1e-3, crowd=2, delay=2e-3 * 20)
    assert learned(alone, *[held] * 20).gain < 1
    assert learned(alone, *[held, starved] * 20).gain is None
    assert learned(alone, *[held] * 20, starved).gain < 1


def test_work_stays_parallel_inside_when_its_threads_lack_cpus():
    """Its own threads wait for each other to get one; without that, it would be another kind of call."""
    inside = batch(1, 4e-3, process_cpu=8e-3)
    assert learned(inside).inner == pytest.approx(2)
    assert learned(inside, batch(1, 20e-3, 4e-3, delay=6e-3, process_cpu=8e-3)).inner == pytest.approx(2)
    assert learned(inside, batch(1, 20e-3, 4e-3, process_cpu=8e-3)).inner == 1


def test_times_count_little_when_the_library_computed_beside():
    """What looked like waiting may have been for the GIL; other batches tell, and the first has to do until then."""
    disturbed, own = batch(10, 5e-3, 1e-3, disturbed=True), batch(10, 1.1e-3, 1e-3)
    assert learned(disturbed).wall == pytest.approx(1e-3)  # rather so than taken for waiting
    assert learned(batch(10, 5e-3, 1e-5, disturbed=True)).waits
    assert learned(disturbed, own).wall == pytest.approx(1.1e-3)
    assert learned(disturbed, batch(10, 4e-3, 1e-3, crowd=2)).wall == pytest.approx(1e-3)
    assert learned(disturbed, own, batch(10, 4e-3, 1e-3, crowd=2)).wall == pytest.approx(1.1e-3)
    known = learned(own, *[disturbed] * 20)
    assert (known.wall, known.items) == (pytest.approx(1.1e-3), 210)
    assert facts_so_far(batch(1, 5e-3, 1e-3, disturbed=True)) is None
    assert facts_so_far(batch(1, 5e-3, 3e-3, disturbed=True)) is None
    assert facts_so_far(batch(1, 5e-3, 1e-3)) is not None
    assert facts_so_far(batch(1, 5e-3, disturbed=True)) is not None


@pytest.mark.parametrize("seen", [batch(1, 30e-3, 27e-3, disturbed=True), batch(1, 30e-3, 27e-3), batch(1, 5e-3, 1e-5)])
def test_what_a_running_call_was_judged_by_is_what_is_learned_of_it(seen):
    """Calls that were held back for its sake are decided on by the same facts, at the edge between two routes too."""
    evidence = Evidence()
    evidence.learn(seen, so_far=True)
    assert evidence.facts() == facts_so_far(seen)
    evidence.learn(batch(1, 60e-3, 50e-3, disturbed=True))  # its end: what was learned of it so far is gone
    assert (evidence.facts().wall, evidence.facts().doubtful) == (pytest.approx(50e-3), True)


def test_gain_is_the_number_of_threads_when_nobody_is_in_the_way():
    """Waiting in 32 threads gains 32 times, computing without the GIL in 2 gains 2 times."""
    assert learned(batch(1, 5e-3, 1e-5), *[batch(1, 5e-3, 1e-5, crowd=32)] * 100).gain == pytest.approx(32)
    assert learned(batch(1, 5e-3, gil=0.0), *[batch(1, 5e-3, gil=0.0, crowd=2)] * 10).gain == pytest.approx(2)


def test_gain_is_small_when_threads_are_in_each_others_way():
    """A lock of the user's, a disk, the GIL, or a cache: items take longer beside others."""
    assert learned(batch(1, 5e-3, 1e-5), *[batch(1, 40e-3, 1e-5, crowd=8)] * 100).gain == pytest.approx(1)
    assert learned(batch(1, 5e-3), *[batch(1, 10e-3, 5e-3, crowd=2)] * 10).gain == pytest.approx(1)
    assert learned(batch(1, 5e-3), *[batch(1, 10e-3, 10e-3, crowd=2)] * 10).gain == pytest.approx(1)


def test_gain_is_not_known_when_threads_were_hardly_tried():
    """A few batches prove nothing."""
    assert learned(batch(1, 5e-3), batch(1, 10e-3, crowd=2)).gain is None


def test_gain_is_tried_again_ever_more_rarely_when_it_was_small():
    """A busy moment does not decide for the life of the function; nor is it asked again and again."""
    evidence = Evidence()
    alone, crowded = batch(1, 5e-3), batch(1, 10e-3, 5e-3, crowd=2)
    waits = []
    for _ in range(4):
        for _ in range(10):
            evidence.learn(crowded)
        count = 0
        while evidence.facts().gain is not None:
            evidence.learn(alone)
            count += 1
        waits.append(count)
    assert waits[0] >= 10
    assert all(1.5 < later / earlier < 2.5 for earlier, later in itertools.pairwise(waits))


def test_gain_is_not_small_when_items_only_became_larger():
    """Larger items, seen alone before, are no sign of a crowd."""
    known = learned(batch(1, 20e-3, gil=0.0), batch(1, 2e-3, gil=0.0), *[batch(1, 20e-3, gil=0.0, crowd=2)] * 10)
    assert known.gain == pytest.approx(2)


def test_moving_is_counted_per_item_when_batches_are_small():
    """What a batch costs however small it is does not count as its items'."""
    assert learned(batch(1, moved=HANDING)).moved == 0
    assert learned(batch(1000, moved=HANDING + 1e-3)).moved == pytest.approx(1e-6)


def test_work_is_parallel_inside_when_the_process_computes_more_than_the_thread():
    """BLAS and OpenMP: CPU time above wall time. Waiting beside others that compute is not."""
    assert learned(batch(1, 5e-3, process_cpu=10e-3)).inner == pytest.approx(2)
    assert learned(batch(1, 5e-3, 1e-4, process_cpu=10e-3)).inner == 1
    assert learned(batch(1, 5e-3)).inner == 1


# The cost model.


@given(facts(), st.integers(1, 10**6), st.integers(1, 64), st.booleans())
@LAWS
def test_predictions_are_possible_when_anything_varies(known, items, cpus, cold):
    """Positive, finite, and no route beats all its CPUs, or its threads, at work; a cold pool is never faster."""
    forecast = predict(known, items, cpus, MACHINE, cold=cold)
    for prediction in forecast.values():
        assert math.isfinite(prediction.seconds)
        assert prediction.seconds > 0
        assert prediction.width >= 1
    assert forecast["serial"].seconds == pytest.approx(items * known.wall)
    assert forecast["processes"].seconds >= items * known.cpu / cpus * (1 - 1e-9)
    warm = predict(known, items, cpus, MACHINE, cold=False)
    assert warm["processes"].seconds <= forecast["processes"].seconds or MACHINE.wake > MACHINE.start


@given(facts(), st.integers(1, 10**5), st.integers(1, 64))
@example(Facts(items=1, seconds=1.0, wall=2**-8, pace=2**-8), 1, 2)
@LAWS
def test_more_items_take_longer_when_predicted(known, items, cpus):
    """On every route."""
    fewer, more = (predict(known, count, cpus, MACHINE) for count in (items, 2 * items))
    for route in fewer:
        assert fewer[route].seconds <= more[route].seconds * (1 + 1e-9)


@given(facts(), st.integers(1, 64), st.none() | st.integers(1, 100))
@LAWS
def test_width_is_kept_when_the_user_gives_one(known, cpus, most):
    """`max_workers` bounds every route; computing work gets no more threads than CPUs."""
    forecast = predict(known, 10_000, cpus, MACHINE, most=most)
    for prediction in forecast.values():
        assert prediction.width <= (most or max(PROCESSES_PER_CPU * cpus, 32))
    assert waiting_width(known, cpus, most) >= 1
    if known.computes:
        assert waiting_width(known, cpus, most) <= cpus


# The router.


@given(
    facts(),
    st.integers(1, 10**5),
    st.integers(1, 16),
    st.sets(st.sampled_from(["serial", "threads", "processes"]), min_size=1),
)
@LAWS
def test_route_is_open_when_decided(known, items, cpus, routes):
    """Whatever the facts, the route is one of those that are open, and there are words for it."""
    if routes == {"processes"} and known.gil is None:
        known = known._replace(gil=0.0)
    decision = decide(known, Situation(items=items, cpus=cpus, open=frozenset(routes)))
    assert decision.route in routes
    assert decision.rule
    assert decision.reason
    assert decision.width >= 1


@given(facts(), st.integers(1, 10**5), st.integers(1, 16))
@LAWS
def test_loop_is_left_only_for_less_time_when_decided(known, items, cpus):
    """The route is predicted to be faster than the loop, by a margin that covers a wrong guess."""
    decision = decide(known, Situation(items=items, cpus=cpus))
    if decision.route != "serial":
        assert decision.predicted[decision.route] < (1 - SHARE) * decision.predicted["serial"]


def seen(wall, cpu, gil, **more):
    """Return facts of a function that is well known."""
    return Facts(items=100, seconds=1.0, wall=wall, cpu=cpu, gil=gil, samples=100, pace=wall, **more)


@pytest.mark.parametrize(
    ("known", "route", "rule"),
    [
        (seen(5e-3, 1e-5, 0.0), "threads", "waits"),
        (seen(5e-3, 5e-3, 0.0), "threads", "computes, GIL released"),
        (seen(5e-3, 5e-3, 5e-3), "processes", "computes, holds the GIL"),
        (seen(1e-7, 1e-7, 1e-7), "serial", "too small"),
        (seen(5e-3, 5e-3, 0.0, inner=2.0, single=9e-3), "serial", "parallel inside"),
        (seen(5e-3, 5e-3, 1e-4, gain=0.8, moved=1e-2), "serial", "threads do not scale"),
        (seen(5e-3, 5e-3, 1e-4, gain=0.8, moved=1e-5), "processes", "threads do not scale"),
        (seen(5e-3, 5e-3, 5e-3, moved=50e-3), "serial", "too small"),
    ],
)
def test_route_is_right_when_the_facts_are_plain(known, route, rule):
    """The textbook cases, on two CPUs with warm workers."""
    decision = decide(known, Situation(items=200, cpus=2))
    assert (decision.route, decision.rule) == (route, rule)


def test_loop_is_kept_when_there_is_one_cpu():
    """Computing cannot gain; waiting can."""
    assert decide(seen(5e-3, 5e-3, 5e-3), Situation(items=200, cpus=1)).rule == "one CPU"
    assert decide(seen(5e-3, 1e-5, 0.0), Situation(items=200, cpus=1)).route == "threads"


@pytest.mark.skipif(not _sampler.works, reason="then computing counts as holding the GIL")
def test_no_pool_is_started_when_the_gil_was_not_seen():
    """Processes are for what is proved."""
    assert decide(seen(5e-3, 5e-3, None), Situation(items=200, cpus=2)).route != "processes"


def test_work_that_computes_and_waits_gets_more_processes_than_cpus():
    """So many that the CPUs are busy, and no more than allowed; what only computes gets one for each."""
    here = Situation(items=400, cpus=2)
    mixed = decide(seen(4e-3, 2e-3, 2e-3), here)
    assert (mixed.route, mixed.width, mixed.rule) == ("processes", 4, "computes and waits")
    assert "waits 50 %" in mixed.reason
    assert decide(seen(4e-3, 2e-3, 2e-3), here._replace(most=3)).width == 3
    assert decide(seen(4e-3, 3.9e-3, 3.9e-3), here).width == 2
    assert process_width(seen(1.0, 1e-4, 1e-4), 2, None) == 8
    assert process_width(seen(1.0, 0.3, 0.3)._replace(items=1), 2, None) == 2, "a first call proves nothing"


def test_reach_is_left_alone_when_a_batch_ran_nothing():
    """Its first item was late: there is nothing to divide by, and nothing to learn."""
    evidence = Evidence()
    evidence.learn(batch(4, 5e-3, cpu=1e-5))
    evidence.learn_reach(batch(4, 5e-3, cpu=1e-5)._replace(items=0), 3)
    assert evidence.facts().waits


def test_chance_counts_for_nothing_while_the_first_call_runs():
    """Others had the GIL meanwhile, who submitted it for one: half of the looks at a loop in Python may miss it."""
    seen = Facts(items=1, seconds=0.04, wall=40e-3, cpu=40e-3, gil=0.4 * 40e-3, samples=22, pace=40e-3)
    here = Situation(items=2, cpus=2)
    assert decide(seen, here).route == "threads"
    assert decide(seen._replace(so_far=True), here).route == "processes"


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 64))
def test_threads_take_longer_when_the_gil_is_held_longer(one, other, cpus):
    """Never less than all of the CPUs take, nor than the GIL lets through; and the more it is held, the longer."""
    less, more = sorted((one, other))

    def threads(share):
        facts = Facts(items=400, seconds=2.0, wall=5e-3, cpu=5e-3, gil=share * 5e-3, samples=400, pace=5e-3)
        return predict(facts, 1000 * cpus, cpus, Machine())["threads"].seconds

    assert threads(less) <= threads(more) * (1 + 1e-9)
    assert threads(less) >= max(5.0, less * 5.0 * cpus) * (1 - 1e-9)


def test_chance_counts_against_processes_but_not_for_threads():
    """Few looks: a small share of the GIL may be none, so threads stay; a large one is no reason for threads."""
    few = Facts(items=4, seconds=0.02, wall=5e-3, cpu=5e-3, samples=4, pace=5e-3)
    here = Situation(items=200, cpus=2)
    assert decide(few._replace(gil=0.35 * 5e-3), here).route == "threads"
    assert decide(few._replace(gil=0.35 * 5e-3, samples=400), here).route == "processes"
    assert decide(few._replace(gil=5e-3), here).route == "processes"
    assert decide(few._replace(gil=5e-3), here._replace(open=frozenset(("serial", "threads")))).route == "serial"


@pytest.mark.skipif(not gil_enabled(), reason="nobody waits for a GIL here")
def test_threads_are_left_when_their_items_wait_for_the_gil_at_each_call_of_the_system():
    """It holds the GIL for 10 of 160 µs and waits by itself for 60: four threads should do, and wait 2.5 times more."""
    alone, beside = batch(50, 160e-6, 100e-6, 0.1, rests=50), batch(50, 400e-6, 130e-6, 0.1, crowd=4, rests=175)
    here = Situation(items=1000, cpus=2, current="threads", abreast=True)
    known = learned(*[alone] * 4)
    assert known.kept == 0
    assert decide(known, here).route == "threads"
    known = learned(*[alone] * 4, *[beside] * 20)
    assert known.kept == pytest.approx(2.5, rel=0.05)
    assert decide(known, here).rule == "waits for the GIL"
    assert learned(*[alone] * 4, *[beside._replace(moved=1e-5)] * 20).kept == 0  # another process has another GIL


@pytest.mark.skipif(not gil_enabled(), reason="nobody waits for a GIL here")
def test_who_waits_for_the_gil_has_waited_once_however_often_it_asks():
    """It wakes each few milliseconds to ask for it: that is no other wait."""
    alone = batch(1, 6e-3, 1e-3, rests=1)
    asking = batch(1, 1.0, 1e-3, crowd=4, rests=1 + round(1.0 / sys.getswitchinterval()))
    assert learned(*[alone] * 4, *[asking] * 20).kept == pytest.approx(1.0, abs=0.3)


def test_waits_for_the_gil_cost_nothing_when_nobody_wants_a_cpu():
    """Who sleeps for 0.2 ms is woken once more; who writes files wants a CPU for that."""
    sleeps = Facts(items=1000, seconds=1.0, wall=270e-6, cpu=10e-6, gil=1e-6, samples=99, kept=1.5)
    writes = sleeps._replace(wall=180e-6, cpu=85e-6)
    for facts, costs in ((sleeps, False), (writes, True)):
        kept, free = (predict(one, 1000, 2, MACHINE)["threads"].seconds for one in (facts, facts._replace(kept=0.0)))
        assert (kept > 1.1 * free) is costs


def test_waits_are_counted_when_the_switch_interval_is_nothing():
    """Python cuts it to whole microseconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-7)
    try:
        assert learned(batch(1, 6e-3, 1e-3, rests=1), batch(1, 6e-3, 1e-3, rests=9, crowd=2)).kept == 0
    finally:
        sys.setswitchinterval(before)


@pytest.mark.skipif(not gil_enabled(), reason="nobody waits for a GIL here")
def test_waits_for_the_gil_are_not_its_own_when_it_waits_most_of_the_time():
    """Beside others it takes longer, and waits more often than alone: a longer wait of its own would be one."""
    alone = batch(50, 200e-6, 80e-6, 0.1, rests=50)
    kept, longer = (batch(50, 195e-6, 40e-6, 0.1, crowd=4, rests=rests) for rests in (500, 50))
    assert learned(*[alone] * 4, *[kept] * 20).cpu == pytest.approx(40e-6, rel=0.01)
    assert learned(*[alone] * 4, *[kept] * 20).wall == pytest.approx(200e-6)
    assert learned(*[alone] * 4, *[longer] * 20).wall == pytest.approx(195e-6, rel=0.01)


def test_threads_are_left_when_they_gain_nothing():
    """As soon as that is seen; and kept as long as they gain."""
    here = Situation(items=200, cpus=2, current="threads")
    assert decide(seen(5e-3, 5e-3, 1e-4, gain=NO_GAIN - 0.05), here).route == "processes"
    assert decide(seen(5e-3, 5e-3, 1e-4, gain=1.9), here).route == "threads"


def test_loop_is_kept_when_trips_are_dear():
    """Two threads would save 2.5 ms, which a machine whose threads are slow to wake does not give for certain."""
    known = seen(0.5e-3, 0.5e-3, 0.0)
    quick, slow = Machine(dispatch_thread=20e-6), Machine(dispatch_thread=220e-6)
    routes = frozenset(("serial", "threads"))
    assert decide(known, Situation(items=10, cpus=2, open=routes, machine=quick)).route == "threads"
    assert decide(known, Situation(items=10, cpus=2, open=routes, machine=slow)).route == "serial"
    # It was timed once, perhaps at a bad moment: what saves twice as much leaves all the same.
    worst = Machine(dispatch_thread=600e-6)
    assert decide(seen(1e-3, 1e-5, 0.0), Situation(items=8, cpus=2, open=routes, machine=worst)).route == "threads"


def test_no_worker_beyond_the_cpus_is_started_when_little_was_seen():
    """The first calls wait for the judge's GIL, and a worker too many costs its start."""
    known = seen(2e-3, 1e-3, 1e-3)._replace(items=100)
    assert process_width(known._replace(seconds=5e-3), 2, None) == 2
    assert process_width(known._replace(seconds=1.0), 2, None) == 4


def test_workers_beyond_the_cpus_are_started_only_where_that_pays():
    """Each takes a CPU for a while, to start and to import; those that are there cost nothing."""
    half = seen(10e-3, 5e-3, 5e-3)
    assert predict(half, 10, 2, Machine(), workers=2)["processes"].width == 2
    assert predict(half, 2000, 2, Machine(), workers=2)["processes"].width == 4
    assert predict(half, 10, 2, Machine(), workers=8)["processes"].width == 4
    assert predict(half, 10, 2, Machine(), workers=2, most=3)["processes"].width == 3


def test_margin_says_how_sure_it_was_when_decided():
    """Seconds to the next best route."""
    decision = decide(seen(5e-3, 5e-3, 5e-3), Situation(items=200, cpus=2))
    others = [seconds for route, seconds in decision.predicted.items() if route != "processes"]
    assert decision.margin == pytest.approx(min(others) - decision.predicted["processes"])
    assert decide(seen(5e-3, 5e-3, 5e-3), Situation(items=9, cpus=2, open=frozenset(["threads"]))).margin == 0


@pytest.mark.parametrize("nature", list(Nature))
@pytest.mark.parametrize(
    "routes", [("threads",), ("serial",), ("serial", "threads"), ("serial", "threads", "processes")]
)
def test_guess_is_open_when_only_the_code_is_known(nature, routes):
    """Before anything was measured, the code gives a hint, and says so."""
    decision = guess(Prior(nature, 0.9, "it calls something"), Situation(items=10, cpus=2, open=frozenset(routes)))
    assert decision.route in routes
    assert decision.rule == "the code"
    assert "nothing was measured yet" in decision.reason
    if nature is Nature.TINY and "serial" in routes:
        assert (decision.route, decision.width) == ("serial", 1)


def test_work_that_is_parallel_inside_is_tried_in_a_worker_when_it_was_seen_here():
    """Threads of its own may gain nothing; what it takes in one thread, a worker shows."""
    here = Situation(items=100, cpus=2, machine=MACHINE)
    inside = [batch(1, 5e-3, process_cpu=10e-3)] * 4
    apart = {"moved": 1e-4, "process_cpu": 0.0}
    assert decide(learned(*inside[:2]), here).route == "serial"
    assert decide(learned(*inside), here).route == "processes"
    useless = learned(*inside, *[batch(1, 5e-3, **apart)] * 4)
    assert (useless.single, decide(useless, here).route) == (pytest.approx(5e-3), "processes")
    assert decide(useless, here).rule == "parallel inside, in vain"
    useful = learned(*inside, *[batch(1, 9.5e-3, **apart)] * 4)
    assert (useful.wall, useful.single) == (pytest.approx(5e-3), pytest.approx(9.5e-3))
    assert (decide(useful, here).route, decide(useful, here).rule) == ("serial", "parallel inside")


@pytest.mark.parametrize("process_cpu", [14e-3, 18e-3, 24e-3])
def test_work_that_is_parallel_inside_stays_when_other_programs_have_the_cpus(process_cpu):
    """Then its threads wait for each other, computing: that says neither what they gain nor how many there are."""
    here = Situation(items=100, cpus=2, machine=MACHINE)
    starved = batch(1, 20e-3, 9e-3, delay=8e-3, process_cpu=process_cpu)
    known = facts_so_far(starved)
    assert (decide(known, here).route, decide(known, here).rule) == ("serial", "parallel inside")
    known = learned(*[starved] * 9)
    assert (decide(known, here).route, decide(known, here).rule) == ("processes", "parallel inside, in vain")  # a trial
    apart = batch(1, 9e-3, moved=1e-4)
    assert decide(learned(*[starved] * 9, *[apart] * 4), here).route == "serial"
    alone = batch(1, 9e-3, process_cpu=18e-3)
    assert decide(learned(*[starved] * 9, *[alone] * 4, *[apart] * 4), here).route == "processes"


def test_work_that_is_parallel_inside_leaves_when_its_threads_are_in_vain_beside_other_programs():
    """They wait for each other, computing, for many times as long as the work takes in one thread."""
    here = Situation(items=100, cpus=2, machine=MACHINE)
    starved = batch(1, 200e-3, 90e-3, delay=80e-3, process_cpu=180e-3)
    apart = batch(1, 5e-3, moved=1e-4)
    assert decide(learned(*[starved] * 9, *[apart] * 4), here).route == "processes"


def test_times_are_not_its_own_when_its_threads_lack_cpus():
    """Work that is parallel inside waits for its other threads when they have no CPU, and no delay shows it."""
    starved = batch(1, 20e-3, 9e-3, delay=8e-3, process_cpu=18e-3)
    alone = batch(1, 5e-3, process_cpu=10e-3)
    assert learned(starved).wall == pytest.approx(9e-3)
    assert learned(starved, alone).wall == pytest.approx(5e-3)
    assert learned(starved, alone, starved).wall == pytest.approx(5e-3)


def test_items_are_not_in_each_others_way_when_they_are_only_larger():
    """Beside one other, an item takes at most twice as long: what takes four times as long is another item."""
    small, large = batch(1, 1e-3), batch(4, 4e-3, crowd=2)
    assert learned(small, *[batch(4, 1e-3, crowd=2)] * 10).gain == pytest.approx(2, rel=0.1)
    assert learned(small, *[large] * 10).gain == pytest.approx(1, rel=0.1)  # the worst that it can be
    mixed = [batch(4, 1e-3, crowd=2)] * 8 + [batch(2, 9e-3, crowd=2)]
    assert learned(small, *mixed).gain == pytest.approx(2, rel=0.1)


def test_first_times_are_doubted_when_others_ran_beside_and_there_was_no_cpu():
    """It may have waited for the GIL of a thread that had no CPU: what it computes is its time until it ran alone."""
    beside = batch(1, 7.6e-3, 2.4e-3, delay=3.6e-3, crowd=2)
    assert learned(beside).wall == pytest.approx(2.4e-3)
    assert learned(beside).computes
    assert learned(beside, batch(1, 5e-3, 2.4e-3)).wall == pytest.approx(5e-3)
    assert learned(batch(1, 5e-3, 2.4e-3), beside).wall == pytest.approx(5e-3)
    asleep = batch(1, 7.6e-3, 0.1e-3, delay=3.6e-3, crowd=2)
    assert learned(asleep).waits


def test_reason_is_that_of_the_whole_call_when_it_was_decided_in_its_first_moment(monkeypatch):
    """The route is the one that was taken, so nobody has to read what the call had shown after 0.3 ms."""
    monkeypatch.setattr(Profile, "cpus", lambda _: 2)
    profile, options = Profile(time.sleep), Options()
    evidence = profile.evidence((0.05,), {})
    evidence.learn(batch(1, 0.3e-3), so_far=True)
    early = decide(evidence.facts(), profile.situation(options, 4))
    profile.decision = early._replace(route="threads", given=early.words())  # as for a call that was submitted
    assert profile.explain(options).rule == "too small"
    assert any("still running" in note for note in profile.explain(options).notes)

    evidence.learn(batch(1, 50e-3, 0.1e-3))
    assert (profile.explain(options).route, profile.explain(options).rule) == ("threads", "waits")
    assert not any("still running" in note for note in profile.explain(options).notes)
    profile.decision = early  # it stayed in the loop: the whole call is no reason for that
    assert (profile.explain(options).route, profile.explain(options).rule) == ("serial", "too small")
    assert any("still running" in note for note in profile.explain(options).notes)


@pytest.mark.parametrize("cpus", [2, 8, 16, 37, 64, 128])
def test_waits_stay_in_threads_when_there_are_many_cpus(cpus):
    """As many may wait there as in processes, of which each would be an interpreter of its own."""
    decision = decide(seen(50e-3, 1e-5, 0.0), Situation(items=1000, cpus=cpus))
    assert decision.route == "threads"
    assert decision.width >= max(32, cpus)


@given(seconds, shares, st.integers(1, 256))
@LAWS
def test_threads_are_no_fewer_than_cpus_when_it_computes_without_the_gil_or_waits(wall, share, cpus):
    """Each CPU has one that may compute, however long the others wait."""
    assert waiting_width(Facts(wall=wall, cpu=share * wall, gil=0.0), cpus, None) >= cpus


@pytest.mark.skipif(not gil_enabled(), reason="without a GIL, threads do as well")
def test_moving_is_not_what_the_first_batch_of_a_worker_took():
    """It may have imported what the arguments are made of; until another comes, nothing is known."""
    first = batch(1, 5e-3, moved=0.1, first=True)
    assert learned(batch(1, 5e-3), first, first).moved is None
    usual = batch(1, 5e-3, moved=HANDING + 1e-4)
    assert learned(batch(1, 5e-3), first, first, usual).moved == pytest.approx(1e-4)
    assert decide(learned(batch(1, 5e-3), first, first, usual), Situation(items=200, cpus=2)).route == "processes"


@pytest.mark.skipif(not gil_enabled(), reason="nobody holds a GIL here")
def test_gain_is_no_reason_for_threads_when_the_gil_is_held():
    """What it seemed to gain it did beside something else, that only waited."""
    known = learned(batch(1, 1e-3), *[batch(1, 1e-3, crowd=2)] * 40)
    assert known.gain == pytest.approx(2.0)
    assert decide(known, Situation(items=2000, cpus=2)).route == "processes"
    free = learned(batch(1, 1e-3, gil=0.0), *[batch(1, 1e-3, gil=0.0, crowd=2)] * 40)
    assert decide(free, Situation(items=2000, cpus=2)).route == "threads"


@pytest.mark.skipif(not gil_enabled(), reason="nobody holds a GIL here")
def test_it_leaves_the_threads_when_it_waited_and_now_computes():
    """CPU time is a thread's own, however many are beside it: fewer threads show what it is now."""
    evidence = Evidence()
    for each in (batch(1, 0.1, 1e-3), *[batch(1, 0.32, 0.01, crowd=32)] * 100):
        evidence.learn(each)
    assert evidence.facts().cpu == pytest.approx(0.01, rel=0.05)
    width = decide(evidence.facts(), Situation(items=1000, cpus=2)).width
    assert width < 16
    for _ in range(100):
        evidence.learn(batch(1, 0.01 * width, 0.01, crowd=width))
    assert decide(evidence.facts(), Situation(items=1000, cpus=2)).route == "processes"


def test_gain_is_told_when_the_first_call_took_much_longer():
    """An import in it is no measure of how large items may be; where there is nothing else, it is."""
    slow, alone, beside = batch(1, 50e-3, gil=0.0), batch(1, 1e-3, gil=0.0), batch(8, 2.6e-3, gil=0.0, crowd=2)
    assert learned(slow, *[alone] * 100, *[beside] * 100).gain == pytest.approx(1.0)
    assert learned(slow, alone, *[beside] * 100).gain == pytest.approx(2.0)


def test_gain_is_believed_again_when_the_cpus_are_free_again():
    """However long other programs had them."""
    starved, free = batch(20, 6e-3, 1e-3, crowd=2, delay=40e-3), batch(20, 3e-3, 1e-3, crowd=2)
    known = learned(batch(20, 1e-3), *[starved] * 1000)
    assert known.gain is None
    assert learned(batch(20, 1e-3), *[starved] * 1000, *[free] * 40).gain == pytest.approx(2 / 3)


def test_more_threads_are_tried_when_the_first_wait_was_a_short_one():
    """Waits vary; that those beside others are longer is no sign that they are in each other's way."""
    evidence = Evidence()
    evidence.learn(batch(1, 0.05, 1e-4))
    width = evidence.facts().reach
    for _ in range(20 * width):
        seen_now = batch(1, 0.1, 1e-4, crowd=width)
        evidence.learn(seen_now)
        evidence.learn_reach(seen_now, width)
        if evidence.facts().reach > width:
            break
    assert evidence.facts().reach == 2 * width


@pytest.mark.parametrize(
    ("seen", "share"),
    [
        (batch(wall=4e-3, cpu=40e-6, gil=0.0, crowd=32), 1 / MEASURE_EVERY),
        (batch(wall=2 * LONG_WAIT, cpu=40e-6, gil=0.0, crowd=32), 1.0),
        (batch(wall=4e-3, cpu=3.9e-3), 1.0),
    ],
    ids=["short waits", "long waits", "computes"],
)
def test_few_batches_are_measured_when_they_are_short_waits(seen, share):
    """To measure one takes 60 µs of the GIL, for which the others wait; the first few are, whatever they are."""
    evidence = Evidence()
    assert all(evidence.measures(evidence.facts(), 0, 0) for _ in range(WAITS))
    for _ in range(WAITS):
        evidence.learn(seen)
    known = evidence.facts()
    assert sum(evidence.measures(known, 0, 0) for _ in range(400)) == pytest.approx(400 * share, abs=1)


def test_every_batch_is_measured_when_a_wait_has_begun_to_compute():
    """One in four that is seen to be another is enough to look at all, until one waits again."""
    evidence = Evidence()
    waits = batch(wall=4e-3, cpu=40e-6, gil=0.0, crowd=32)
    for _ in range(4 * WAITS):
        evidence.learn(waits)
        evidence.measures(evidence.facts(), 0, 0)
    evidence.learn(batch(wall=4e-3, cpu=3.9e-3, crowd=32))
    assert evidence.facts().waits
    assert all(evidence.measures(evidence.facts(), 0, 0) for _ in range(20))
    evidence.learn(waits)
    assert not all(evidence.measures(evidence.facts(), 0, 0) for _ in range(20))


def test_batches_are_measured_when_the_width_is_asked_for():
    """As many as tell how much is done in so many threads; those that are not count as run all the same."""
    evidence = Evidence()
    waits = batch(wall=4e-3, cpu=40e-6, gil=0.0, crowd=32)
    for _ in range(4 * WAITS):
        evidence.measures(evidence.facts(), 0, 0)
        evidence.learn(waits)
    width = evidence.facts().reach
    asked = sum(evidence.measures(evidence.facts(), width, math.inf) for _ in range(10 * width))
    assert asked == pytest.approx(width + 9 * width / MEASURE_EVERY, abs=width / 2)
    before = evidence.items
    evidence.learn_count(100)
    assert evidence.items == before + 100
