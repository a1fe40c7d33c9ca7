"""Under auto, functions with effects leave behind what the plain loop leaves: no write is lost, and `explain` says why.

Each case makes a function and what it writes to, anew for each run. `sleep` between reading and writing back makes a
lost update certain where two calls run at once, and makes threads tempting; `busy` makes processes tempting.
"""

import ast
import asyncio
import collections
import contextlib
import copy
import dataclasses
import functools
import hashlib
import io
import itertools
import os
import pickle
import random
import sys
import threading
import time
import types
import unittest.mock
import zipfile
import zlib

import numpy as np
import pytest

from parallel_deco import _profile, config, parallel
from parallel_deco._cpus import available_cpus, gil_enabled
from parallel_deco._options import Options
from parallel_deco.backends.batch import Batch, Shape

DEADLINE = 60.0
COUNT = 40
#: How often something is tried that another program can spoil.
SEVERAL = 20
BLOCK = bytes(300_000)

LIST = []
DICTIONARY = {}
COUNTER = 0
RANDOM = random.Random(1)


def sleep():
    """Wait as a request would."""
    time.sleep(0.002)


def busy():
    """Compute with the GIL held."""
    return sum(number * number for number in range(15_000))


def crunch():
    """Compute with the GIL released."""
    return zlib.crc32(hashlib.sha256(BLOCK).digest())


def tiny():
    """Do nothing."""


WORK = [tiny, sleep, busy, crunch]


@dataclasses.dataclass
class Account:
    """A user's class."""

    total: int = 0
    seen: list = dataclasses.field(default_factory=list)
    shared = []  # noqa: RUF012

    def deposit(self, amount):
        """Read, and write back."""
        before = self.total
        sleep()
        self.total = before + amount

    def __iadd__(self, amount):
        self.deposit(amount)
        return self


def case_global_list(work):
    LIST.clear()

    def function(x):
        work()
        LIST.append(x)
        return x

    return function, lambda: sorted(LIST)


def case_global_dictionary(work):
    DICTIONARY.clear()

    def function(x):
        work()
        DICTIONARY[x] = x * x

    return function, lambda: dict(sorted(DICTIONARY.items()))


def case_global_counter(work):
    global COUNTER
    COUNTER = 0

    def function(x):
        global COUNTER
        before = COUNTER
        work()
        COUNTER = before + x

    return function, lambda: COUNTER


def case_augmented_global(work):
    global COUNTER
    COUNTER = 0

    def function(x):
        global COUNTER
        work()
        COUNTER += x

    return function, lambda: COUNTER


def case_dictionary_counter(work):
    counts = {}

    def function(x):
        before = counts.get(x % 3, 0)
        work()
        counts[x % 3] = before + 1

    return function, lambda: dict(sorted(counts.items()))


def case_augmented_item(work):
    counts = [0] * 3

    def function(x):
        before = counts[x % 3]
        work()
        counts[x % 3] = before + 1

    return function, lambda: counts


def case_collections_counter(work):
    counts = collections.Counter()

    def function(x):
        work()
        counts[x % 3] += 1

    return function, lambda: dict(counts)


def case_nonlocal(work):
    total = 0

    def function(x):
        nonlocal total
        before = total
        work()
        total = before + x

    return function, lambda: total


def case_attribute_of_closure(work):
    account = Account()

    def function(x):
        before = account.total
        work()
        account.total = before + x

    return function, lambda: account.total


def case_method_of_closure(work):
    account = Account()

    def function(x):
        work()
        account.deposit(x)

    return function, lambda: account.total


def case_bound_method(work):
    class Worker:
        def __init__(self):
            self.total = 0

        def function(self, x):
            before = self.total
            work()
            self.total = before + x

    worker = Worker()
    return worker.function, lambda: worker.total


def case_callable_object(work):
    class Worker:
        total = 0

        def __call__(self, x):
            before = self.total
            work()
            self.total = before + x

    worker = Worker()
    return worker, lambda: worker.total


def case_class_attribute(work):
    class Holder:
        total = 0

    def function(x):
        before = Holder.total
        work()
        Holder.total = before + x

    return function, lambda: Holder.total


def case_function_attribute(work):
    def function(x):
        before = getattr(function, "total", 0)
        work()
        function.total = before + x

    return function, lambda: function.total


def case_helper_writes(work):
    found = []

    def remember(x):
        found.append(x)

    def function(x):
        work()
        remember(x)

    return function, lambda: sorted(found)


def case_callback(work):
    found = []

    def apply(action, x):
        work()
        action(x)

    def function(x):
        apply(found.append, x)

    return function, lambda: sorted(found)


def case_captured_method(work):
    found = []
    push = found.append

    def function(x):
        work()
        push(x)

    return function, lambda: sorted(found)


def case_lambda(work):
    found = []
    return (lambda x: (work(), found.append(x))[1]), lambda: sorted(found)


def case_inner_decorated(work):
    found = []

    @parallel
    def inner(x):
        found.append(x)

    def function(x):
        work()
        inner(x)

    return function, lambda: sorted(found)


def case_inner_mapped(work):
    found = []

    @parallel
    def inner(x):
        found.append(x)

    def function(x):
        work()
        list(inner.map([x, -x]))

    return function, lambda: sorted(found)


def case_lock(work):
    lock = threading.Lock()
    total = [0]

    def function(x):
        with lock:
            before = total[0]
            work()
            total[0] = before + x

    return function, lambda: total


def case_random_state(work):
    RANDOM.seed(7)

    def function(x):
        work()
        return RANDOM.random()

    return function, RANDOM.getstate


def case_generator(work):
    numbers = itertools.count()

    def function(x):
        work()
        return next(numbers) >= 0

    return function, lambda: next(numbers)


def case_memo(work):
    memo = {}

    def function(x):
        key = x % 5
        if key not in memo:
            work()
            memo[key] = key * 10
        return memo[key]

    return function, lambda: dict(sorted(memo.items()))


def case_default_argument(work):
    kept = []

    def function(x, kept=kept):
        work()
        kept.append(x)

    return function, lambda: sorted(kept)


def case_numpy_global(work):
    array = np.zeros(COUNT)

    def function(x):
        work()
        array[x] = x

    return function, array.tolist


def case_numpy_out(work):
    array = np.zeros(1000)
    ones = np.ones(1000)

    def function(x):
        before = array.copy()
        work()
        np.add(before, ones, out=array)

    return function, array.tolist


def case_text_stream(work):
    import io

    stream = io.StringIO()

    def function(x):
        work()
        stream.write(f"{x}\n")

    return function, lambda: sorted(stream.getvalue().split())


def case_harmless_and_not(work):
    found, total = [], [0]

    def function(x):
        found.append(x)
        before = total[0]
        work()
        total[0] = before + x

    return function, lambda: (sorted(found), total)


def case_compared_by_sorted(work):
    class Ranked:
        count = 0

        def __lt__(self, other):
            before = Ranked.count
            work()
            Ranked.count = before + 1
            return True

    several = [Ranked(), Ranked()]

    def function(x):
        return len(sorted(several)) + x

    return function, lambda: Ranked.count


def case_carried_by_an_exception(work):
    found = []

    def function(x):
        try:
            raise ValueError(found)
        except ValueError as error:
            work()
            error.args[0].append(x)

    return function, lambda: sorted(found)


def case_noted_by_a_local_class(work):
    found = []

    def function(x):
        class Key:
            def __hash__(self):
                found.append(x)
                return x

        work()
        return len({Key()})

    return function, lambda: sorted(found)


def case_patched(work):
    account = Account()

    def function(x):
        with unittest.mock.patch.object(account, "total", x):
            work()
            return account.total

    return function, lambda: account.total


def case_property(work):
    class State:
        def __init__(self):
            self._level = 0

        @property
        def level(self):
            return self._level

        @level.setter
        def level(self, value):
            self._level = value

    state = State()

    def function(x):
        seen = state.level
        work()
        state.level = seen + x

    return function, lambda: state.level


def case_global_of_a_module(work):
    settings = types.ModuleType("settings_of_a_case")
    exec("level = 0\ndef get(): return level", vars(settings))

    def function(x):
        seen = settings.get()
        work()
        settings.level = seen + x

    return function, lambda: settings.level


def case_view(work):
    counts = np.zeros(4)

    def function(x):
        before = counts[0]
        work()
        counts.reshape(2, 2)[0, 0] = before + x

    return function, lambda: counts.tolist()


def case_append_and_pop(work):
    stack, found = [], []

    def function(x):
        stack.append(x)
        work()
        found.append((x, stack.pop()))

    return function, lambda: sorted(found)


CASES = {name[5:]: case for name, case in list(globals().items()) if name.startswith("case_")}


def by_map(function):
    """Run the function by map, twice over: the second time it is known."""
    parallel_function = parallel(function)
    half = COUNT // 2
    return [*parallel_function.map(range(half)), *parallel_function.map(range(half, COUNT))]


def by_submit(function):
    """Run the function by submits."""
    parallel_function = parallel(function)
    return [future.result(DEADLINE) for future in [parallel_function.submit(x) for x in range(COUNT)]]


def by_loop(function):
    """Run the function in the plain loop."""
    return [function(x) for x in range(COUNT)]


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
@pytest.mark.parametrize("way", [by_map, by_submit], ids=lambda way: way.__name__)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_no_write_is_lost_when_a_function_has_effects(case, way, work):
    """The state afterwards, and the values, are those of the plain loop."""
    function, state = case(tiny)  # what it does besides changes neither the values nor the state
    expected = by_loop(function), state()
    function, state = case(work)
    values = way(function), state()
    if case is case_random_state:  # the same draws, but perhaps by other items
        values, expected = (sorted(values[0]), values[1]), (sorted(expected[0]), expected[1])
    assert values == expected


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
@pytest.mark.parametrize("way", ["map", "starmap", "submit"])
def test_arguments_are_filled_when_written_in_place(way, work):
    """Lists, dictionaries, arrays and objects that are filled in place are the caller's own."""

    def fill(items, table, array, account):
        work()
        items.append(1)
        table["key"] = 2
        array[:] = 3
        account.seen.append(4)
        account.total = 5

    rows = [([], {}, np.zeros(4), Account()) for _ in range(COUNT)]
    function = parallel(fill)
    if way == "map":
        list(function.map(*zip(*rows, strict=True)))
    elif way == "starmap":
        list(function.starmap(rows))
    else:
        for future in [function.submit(*row) for row in rows]:
            future.result(DEADLINE)
    for items, table, array, account in rows:
        assert (items, table, array.tolist(), account) == ([1], {"key": 2}, [3.0] * 4, Account(5, [4]))


@pytest.mark.parametrize("work", [sleep, busy, crunch], ids=lambda work: work.__name__)
@pytest.mark.parametrize("way", ["map", "submit"])
def test_one_argument_keeps_all_changes_when_it_is_given_many_times(way, work):
    """The same object, given as every item and changed by reading and writing back, has every change."""

    def add(account):
        before = account.total
        work()
        account.total = before + 1

    account = Account()
    function = parallel(add)
    if way == "map":
        list(function.map([account] * COUNT))
        list(function.map([account] * COUNT))
    else:
        for future in [function.submit(account) for _ in range(2 * COUNT)]:
            future.result(DEADLINE)
    assert account.total == 2 * COUNT


@pytest.mark.parametrize("way", ["map", "submit"])
@pytest.mark.parametrize("work", [sleep, busy, crunch], ids=lambda work: work.__name__)
def test_changes_are_kept_when_only_later_arguments_are_changed(way, work):
    """A function that is harmless for numbers, and known as such, still changes an object that it is given later."""

    def add(x):
        work()
        x += 1
        return x

    function = parallel(add)
    account = Account()
    items = [*range(COUNT), *[account] * COUNT]
    if way == "map":
        assert list(function.map(range(COUNT))) == list(range(1, COUNT + 1))
        list(function.map(items))
    else:
        for future in [function.submit(item) for item in [*range(COUNT), *items]]:
            future.result(DEADLINE)
    assert account.total == COUNT


@pytest.mark.parametrize("work", [sleep, busy], ids=lambda work: work.__name__)
def test_module_is_found_when_the_program_has_made_it(work, monkeypatch):
    """A worker process could not import it."""
    module = types.ModuleType("made_up_for_a_call")
    module.rate = 3
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def function(x):
        import made_up_for_a_call

        work()
        return made_up_for_a_call.rate * x

    assert list(parallel(function).map(range(COUNT))) == list(range(0, 3 * COUNT, 3))


@pytest.mark.parametrize("work", [sleep, busy], ids=lambda work: work.__name__)
def test_loop_of_the_thread_is_the_callers_when_a_function_asks_for_it(work):
    """Other threads have none."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    def function(x):
        work()
        return asyncio.get_event_loop() is loop

    try:
        assert all(parallel(function).map(range(COUNT)))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_order_of_effects_is_the_loops_when_the_function_computes():
    """A computing function that appends leaves its list in the order of the loop."""
    for work in (tiny, busy):
        found = []

        def function(x, work=work, found=found):
            work()
            found.append(x)

        routes = set()

        def auto(evidence, routes=routes):
            routes.add(evidence.route)
            return evidence.route

        list(parallel(function, backend=auto).map(range(200)))
        assert sorted(found) == list(range(200))
        if routes == {"serial"}:  # on a loaded machine, computing may look like waiting
            assert found == list(range(200))


@pytest.mark.parametrize("work", [busy, sleep], ids=lambda work: work.__name__)
def test_explain_says_why_when_effects_keep_a_function_here(work):
    """The report names the effect, the file and the line."""
    if work is busy and len(os.sched_getaffinity(0)) == 1:
        pytest.skip("on one CPU, that is why it stays")
    found = []

    def function(x):
        work()
        found.append(x)  # the line

    parallel_function = parallel(function)
    for _ in range(SEVERAL):  # on a busy machine the sampler has few looks
        list(parallel_function.map(range(10 * COUNT)))
        explanation = parallel_function.explain()
        assert explanation.route in ("serial", "threads")
        if explanation.notes:
            break
    line = function.__code__.co_firstlineno + 2
    assert any(f"{__file__}:{line}" in note.replace("\\", "/") for note in explanation.notes), explanation.notes
    assert "shared memory" in str(explanation)


def test_explicit_processes_are_obeyed_when_a_function_has_effects():
    """The user's own choice counts, effects or not: the caller's list stays as it was."""
    found = []

    def function(x):
        found.append(x)
        return x

    with config(backend="processes"):
        assert list(parallel(function).map(range(10))) == list(range(10))
    assert found == []


@pytest.mark.parametrize("work", [busy], ids=lambda work: work.__name__)
def test_pure_function_is_not_pinned_when_it_looks_alike(work):
    """Writing to what the function made itself pins nothing."""

    def function(x):
        found, table, account = [], {}, Account()
        found.append(work())
        table[x] = found
        account.total = x
        return account.total

    parallel_function = parallel(function)
    assert list(parallel_function.map(range(COUNT))) == list(range(COUNT))
    assert parallel_function.explain().notes == ()


def test_explain_says_why_when_the_work_ended_before_its_code_was_read(monkeypatch):
    """Nothing leaves the loop before; and who asks afterwards is told all the same."""
    monkeypatch.setattr(_profile._reader, "ready", lambda: False)
    found = []

    def function(x):
        busy()
        found.append(x)

    list(parallel(abs, backend="processes").map(range(8)))  # on a busy machine, starting workers may not be worth it
    parallel_function = parallel(function)
    for _ in range(SEVERAL):  # nor has the sampler many looks then
        found.clear()
        list(parallel_function.map(range(10 * COUNT)))
        assert found == list(range(10 * COUNT))
        explanation = parallel_function.explain()
        if explanation.rule == "reading the code":
            break
    if len(os.sched_getaffinity(0)) > 1:
        assert (explanation.route, explanation.rule) == ("serial", "reading the code")
        assert any(__file__ in note for note in explanation.notes)


def test_calls_meet_when_earlier_ones_had_effects():
    """What a list let it do says nothing of numbers: these wait side by side."""
    meeting = threading.Barrier(4)

    def load(x):
        number = type(x) is int
        x += x
        if number:
            meeting.wait(DEADLINE / 2)
        else:
            sleep()
        return x

    function = parallel(load, max_workers=8)
    assert list(function.map([[1] for _ in range(COUNT)])) == [[1, 1]] * COUNT
    assert [future.result(DEADLINE) for future in [function.submit(n) for n in range(4)]] == [0, 2, 4, 6]


def test_routes_are_open_again_when_earlier_items_had_effects(until):
    """What kept one map here is no reason to keep the next, of other arguments, and `explain` is of the last.

    The code is read when the loop is to be left, which a busy machine may put off: until it was seen often that the
    function waits without the GIL.
    """

    def function(x):
        x += x
        sleep()
        return x

    function = parallel(function)

    def is_kept():
        assert list(function.map([[1] for _ in range(COUNT)])) == [[1, 1]] * COUNT
        return "changes in place" in str(function.explain())

    def leaves():
        assert list(function.map(range(COUNT))) == list(range(0, 2 * COUNT, 2))
        assert "changes in place" not in str(function.explain())
        return function.explain().route == "threads"

    until(is_kept)
    assert function.explain().predicted.keys() == {"serial"}
    until(leaves)


def test_effects_are_each_maps_own_when_two_run_at_once():
    """Lists keep the map of lists here, and not the map of numbers that runs beside it."""

    def function(x):
        x += x
        sleep()
        return x

    function = parallel(function)
    list(function.map(range(COUNT)))
    lists, numbers = [[n] for n in range(COUNT)], range(COUNT)
    assert list(zip(function.map(lists), function.map(numbers), strict=True)) == [([n, n], 2 * n) for n in numbers]
    assert lists == [[n, n] for n in numbers]
    assert list(function.map(numbers)) == [2 * n for n in numbers]
    assert "changes in place" not in str(function.explain())


HASHES = """
import os
import pickle
from parallel_deco import parallel

for name in {late!r}.split():
    os.environ["PYTHONHASHSEED"] = name

def hashed(x):
    sum(number * number for number in range(50_000))
    return hash(x), os.getpid()

list(parallel(abs, backend="processes").map([-1] * 4))  # there are workers
function = parallel(hashed, backend=lambda _: "processes")
list(function.map([0.5] * 40))  # which load it meanwhile, and what reads the code is loaded here
for x in (1.5, "apple"):
    for _ in range(5):  # beside other programs a map may be over before a worker is ready
        found = list(function.map([x] * 40))
        if {{place for _, place in found}} != {{os.getpid()}}:
            break
    print({{number for number, _ in found}} == {{hash(x)}}, {{place for _, place in found}} != {{os.getpid()}})
"""


@pytest.mark.skipif(available_cpus() == 1, reason="no process is worth it on one CPU")
@pytest.mark.parametrize(
    ("seed", "late", "leaves"),
    [("random", "", False), ("42", "", sys.platform == "linux"), ("random", "42", False), ("0", "42", False)],
)
def test_hashes_are_the_callers_when_a_function_asks_for_them(seed, late, leaves, run_program):
    """Text hashes differently in each process, unless the seed was set in time; numbers do not."""
    status, out, err = run_program(HASHES.format(late=late), environment={"PYTHONHASHSEED": seed})
    assert (status, err) == (0, "")
    assert out.split() == ["True", "True", "True", str(leaves)]


def test_explain_says_why_when_hashes_keep_a_function_here():
    """It is nothing that the function writes."""
    function = parallel(lambda x: sleep() or hash(x))
    assert len(set(function.map(["apple"] * COUNT))) == 1
    if os.environ.get("PYTHONHASHSEED", "random") == "random":
        assert "calls hash()" in str(function.explain())
        assert "PYTHONHASHSEED" in str(function.explain())


def test_scalars_are_asked_about_again_when_a_function_has_changed(monkeypatch):
    """What the old code lost nothing of, the new code may lose."""

    def item(x):
        return _changed_later(x) if x else x

    profile = _profile.Profile(item)
    batch = Batch(item, [1, 2], Shape.ONE)
    assert profile.lost(batch, Options()) is None
    monkeypatch.setitem(globals(), "_changed_later", lambda x: SEEN_LATER.append(x) if type(x) is int else x)
    assert profile.lost(batch, Options()) is not None


SEEN_LATER = []


def _changed_later(x):
    x += 1
    return x


@dataclasses.dataclass(frozen=True)
class Offset:
    """Adds to a number, or to what a list holds."""

    by: int = 1

    def add(self, x):
        """Change nothing of the caller's, if `x` is a number."""
        x += self.by
        return x

    def append(self, x):
        """Change the caller's list."""
        x.append(self.by)


def test_the_object_of_a_bound_method_is_not_taken_for_its_first_argument():
    """What a method writes to depends on its arguments, which come after the object."""
    offset = Offset()
    add, append = parallel(offset.add)._profile, parallel(offset.append)._profile
    assert add.lost(Batch(offset.add, [1], Shape.ONE), Options()) is None
    assert add.lost(Batch(offset.add, [np.ones(3)], Shape.ONE), Options()) is not None
    assert append.lost(Batch(offset.append, [[1]], Shape.ONE), Options()) is not None


class Counts:
    """Has operators that write."""

    def __init__(self):
        self.calls = []

    def __getitem__(self, key):
        self.calls.append(key)
        return key

    def reads(self, x):
        """Write, by an operator of the object's own."""
        return self[x]


def test_operators_of_a_bound_methods_object_are_read():
    """The object is known, and what they write would be lost in another process."""
    counts = Counts()
    assert parallel(counts.reads)._profile.lost(Batch(counts.reads, [1], Shape.ONE), Options()) is not None


class Decorated:
    """Has parallel methods."""

    by = 1

    @parallel
    def add(self, x):
        """Change nothing of the caller's, if `x` is a number."""
        x += self.by
        return x


def test_arguments_of_a_decorated_method_come_after_its_object():
    """Numbers leave, and arrays that would be changed do not."""
    add = Decorated().add
    assert add._profile.lost(Batch(add.__wrapped__, [1], Shape.ONE), Options()) is None
    assert add._profile.lost(Batch(add.__wrapped__, [np.ones(3)], Shape.ONE), Options()) is not None


@pytest.mark.skipif(available_cpus() == 1 or not gil_enabled(), reason="no process is worth it here")
def test_decorated_methods_leave_the_process_when_they_change_nothing():
    """The first look at a map's arguments has the object too."""
    toil = Toil()
    assert list(toil.add.map(range(100))) == list(range(1, 101))
    assert toil.add.explain().route == "processes"
    arrays = [np.zeros(1) for _ in range(50)]
    list(toil.add.map(arrays))
    assert sum(array[0] for array in arrays) == 50


class Toil:
    """Takes its time."""

    by = 1

    @parallel
    def add(self, x):
        """Compute for 3 ms, and add."""
        end = time.perf_counter() + 3e-3
        while time.perf_counter() < end:
            sum(range(100))
        x += self.by
        return x


class Step:
    """Writes to what it is given."""

    def run(self, record):
        """Mark it."""
        record["done"] = True

    def look(self, record):
        """Change nothing."""
        return len(record)


class Leads:
    """Leads to a step, so many objects deep; without a dictionary of its own."""

    __slots__ = ("inner",)

    def __init__(self, depth):
        self.inner = type(self)(depth - 1) if depth else Step()

    def run(self, record):
        """Have the inner one do it."""
        self.inner.run(record)

    def look(self, record):
        """Have the inner one look."""
        return self.inner.look(record)


class Stages:
    """The same, in a dictionary."""

    __init__, run, look = Leads.__init__, Leads.run, Leads.look


class Counted(contextlib.ContextDecorator):
    """Counts what it was around."""

    def __init__(self):
        self.count = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.count += 1


@functools.singledispatch
def dispatched(x):
    """Write nowhere, unless it is a number."""


@dispatched.register
def _(x: int):
    LIST.append(x)


@dataclasses.dataclass
class Numbered:
    """Has a number of its own."""

    given: int
    number: int = dataclasses.field(default_factory=itertools.count().__next__)


class Dispatches:
    """Has a method for each type."""

    @functools.singledispatchmethod
    def method(self, x):
        """Write nowhere, unless it is a number."""

    @method.register
    def _(self, x: int):
        LIST.append(x)


DISPATCHES = Dispatches()


@Counted()
def counted(x):
    """Have a counter around."""
    return x


@functools.singledispatch
def purely_dispatched(x):
    """Write nowhere."""


@purely_dispatched.register
def _(x: int):
    return x + 1


class PurelyDispatches:
    """Has a method for each type."""

    @functools.singledispatchmethod
    def method(self, x):
        """Write nowhere."""

    @method.register
    def _(self, x: int):
        return x + 1


PURELY = PurelyDispatches()


class Around(contextlib.ContextDecorator):
    """Does nothing."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


@Around()
def purely_around(x):
    """Return it."""
    return x


class Tree:
    """Adds up what is in it."""

    def __init__(self, parts, value):
        self.parts, self.value = parts, value

    def total(self):
        """Return the sum."""
        return sum([part.total() for part in self.parts]) + 1


def tree(depth, value=1):
    """Return a tree of two branches."""
    return Tree([tree(depth - 1, value), tree(depth - 1, value)] if depth else [], value)


def kinds(count):
    """Return a tree of so many classes."""
    return Tree([type(f"Tree{number}", (Tree,), {})([tree(3)], 1.5) for number in range(count)], "text")


def yields_from(iterator):
    """Use an iterator up, in a generator."""

    def inner():
        yield from iterator

    return list(inner())


def unpacked(job):
    """Take a job apart."""
    stages, record = job
    stages.run(record)


WRITES = {
    "parts of a tuple": (unpacked, (Stages(0), {})),
    "parts of a dict": (lambda job: job["stages"].run(job["record"]), {"stages": Stages(0), "record": {}}),
    "far in a tuple": (unpacked, (Stages(7), {})),
    "far in slots": (unpacked, (Leads(7), {})),
    "far in lists": (lambda job: job[0][0][0][0][0].run(job[1]), ([[[[Step()]]]], {})),
    "a stream that is read": (lambda stream: stream.readline(), io.StringIO("a\nb\n")),
    "bytes that are read": (lambda stream: stream.read(1), io.BytesIO(b"ab")),
    "bytes that are unpickled": (lambda stream: pickle.load(stream), io.BytesIO(pickle.dumps(1))),
    "bytes that are wrapped": (lambda stream: io.TextIOWrapper(stream).write("a"), io.BytesIO()),
    "an archive in memory": (lambda stream: zipfile.ZipFile(stream, "a").writestr("a", "b"), io.BytesIO()),
    "an iterator, in a generator": (yields_from, iter([1, 2])),
    "an iterator, in a function of C": (lambda iterator: collections.deque(iterator, maxlen=1), iter([1, 2])),
    "an iterator that something is looked for in": (lambda iterator: 3 in iterator, iter([1, 2])),
    "an iterator that is joined": (lambda iterator: ",".join(iterator), iter("ab")),
    "a number that each has": (lambda x: Numbered(x), 1),
    "dispatched by type": (dispatched, 1),
    "a method dispatched by type": (DISPATCHES.method, 1),
    "a context manager around it": (counted, 1),
    "a tree of code": (lambda tree: ast.fix_missing_locations(tree), ast.parse("a + b")),
}
LOOKS = {
    "parts of a tuple": (lambda job: job[0].look(job[1]), (Stages(0), {})),
    "far in a tuple": (lambda job: job[0].look(job[1]), (Stages(7), {})),
    "far in slots": (lambda job: job[0].look(job[1]), (Leads(7), {})),
    "what a stream has": (lambda stream: stream.getvalue(), io.StringIO("a\nb\n")),
    "a stream of its own": (lambda text: io.StringIO(text).readline(), "a\nb\n"),
    "dispatched by type": (purely_dispatched, 1),
    "a method dispatched by type": (PURELY.method, 1),
    "a context manager around it": (purely_around, 1),
    "a large tree": (lambda tree: tree.total(), tree(9)),
    "a tree with arrays": (lambda tree: tree.total(), tree(3, np.ones(3))),
    "a tree of many kinds": (lambda tree: tree.total(), kinds(12)),
    "a tree in a job": (lambda job: job[0].total() + len(job[1]), (tree(6), {})),
    "a stream that is kept": (lambda stream: [].append(stream), io.StringIO("a")),
    "a stream that is copied": (lambda stream: copy.deepcopy(stream).read(), io.StringIO("a")),
    "a list that something is looked for in": (lambda numbers: 3 in numbers, [1, 2]),
    "a list that is joined": (lambda texts: ",".join(texts), ["a", "b"]),
    "an iterator of its own": (lambda items: collections.deque(iter(items), maxlen=1), [1, 2]),
}


@pytest.mark.parametrize("case", WRITES)
def test_what_it_does_to_its_argument_is_seen_when_that_is_not_plain(case):
    """However far inside, and whoever of a library does it: another process would lose it."""
    function, item = WRITES[case]
    assert parallel(function)._profile.lost(Batch(function, [item], Shape.ONE), Options()) is not None


@pytest.mark.parametrize("case", LOOKS)
def test_function_is_free_when_it_only_looks_at_its_argument(case):
    """It looks like those that write."""
    function, item = LOOKS[case]
    assert parallel(function)._profile.lost(Batch(function, [item], Shape.ONE), Options()) is None


@pytest.mark.parametrize("case", LOOKS)
def test_answer_is_known_when_an_argument_was_seen_before(case):
    """To read the code for each item would take as long as many an item."""
    function, item = LOOKS[case]
    profile = parallel(function)._profile
    batch = Batch(function, [item] * 3, Shape.ONE)
    profile.lost(batch, Options())
    before = len(profile.read()._answers)
    profile.lost(batch, Options())
    assert len(profile.read()._answers) == before <= 1


@pytest.mark.parametrize("function", [lambda x: np.sin(x), lambda x: pickle.dumps(x), lambda x: sorted_copy(x)])
def test_function_is_pure_although_it_hands_its_argument_to_a_library(function):
    """Streams and iterators alone would be used up; what it is need not be looked at for each call."""
    profile = parallel(function)._profile
    assert profile.is_pure()
    assert profile.lost(Batch(function, [1.5, (1, 2)], Shape.ONE), Options()) is None
    assert profile.lost(Batch(function, [1.5, iter([1])], Shape.ONE), Options()) is not None


def sorted_copy(x):
    """Have a library look at it."""
    return pickle.dumps(x)


_step = abs


def _take_step(item):
    return _step(item)


def _count_step(item):
    global _steps
    _steps = _steps + 1
    return item


_steps = 0


def test_turns_are_given_when_the_code_has_changed_since_the_map_began(monkeypatch):
    """Batches of one map have a reading in common for a moment, and no longer."""
    give = _profile.Profile(_take_step).turns(Options())
    batch = Batch(_take_step, [1])
    assert give(batch) is None
    monkeypatch.setattr(sys.modules[__name__], "_step", _count_step)
    time.sleep(2 * _profile.READ_FOR)
    assert give(batch) is not None
    assert give(batch) is give(batch)
