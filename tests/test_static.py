"""The prior guesses well, reading is quiet and cheap, and nothing that is given makes it raise."""

from __future__ import annotations

import argparse
import asyncio
import asyncio.base_events
import bz2
import collections
import copy
import csv
import functools
import gc
import hashlib
import importlib.machinery
import io
import itertools
import json
import lzma
import math
import operator
import pickle
import queue
import random
import re
import select
import socket
import statistics
import subprocess
import sys
import threading
import time
import types
import urllib.request
import weakref
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel_deco import kernels
from parallel_deco._cpus import gil_enabled
from parallel_deco.routing import bytecode
from parallel_deco.routing.ledger import STEPS_MAX, Ledger
from parallel_deco.routing.static import Effect, EffectKind, Nature, Prior, Reading, read

# The functions below are what users write.
# ruff: noqa: B905, SIM

LABELLED: list[tuple[Nature, Callable[..., Any]]] = []
PATTERN = re.compile(r"(a+)+b")
EVENT = threading.Event()


def labelled(nature: Nature) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Collect a function with what it spends its time on."""

    def collect(function: Callable[..., Any]) -> Callable[..., Any]:
        LABELLED.append((nature, function))
        return function

    return collect


WAITS, FREE, HELD, TINY = Nature.WAITS, Nature.GIL_FREE, Nature.GIL_HELD, Nature.TINY


@labelled(WAITS)
def _sleeps(x):
    time.sleep(1)
    return x


@labelled(WAITS)
def _sleeps_by_an_inner_import(x):
    from time import sleep

    sleep(x)


@labelled(WAITS)
def _sleeps_in_a_helper(x):
    _sleeps(x)


@labelled(WAITS)
def _fetches(url):
    with urllib.request.urlopen(url) as answer:
        return answer.read()


@labelled(WAITS)
def _talks(address):
    with socket.create_connection(address) as connection:
        connection.sendall(b"hello")
        return connection.recv(1024)


@labelled(WAITS)
def _runs_a_command(name):
    return subprocess.run(["echo", name], check=True, capture_output=True).stdout


@labelled(WAITS)
def _polls(descriptor):
    return select.select([descriptor], [], [], 1.0)


@labelled(WAITS)
def _waits_for_an_event(x):
    EVENT.wait(1)
    return x


@labelled(WAITS)
def _takes_from_a_queue(source):
    inbox = queue.Queue()
    return inbox.get(timeout=1)


@labelled(WAITS)
def _runs_a_loop(x):
    return asyncio.run(asyncio.sleep(x))


@labelled(WAITS)
def _retries(url):
    for _ in range(3):
        try:
            return urllib.request.urlopen(url, timeout=1).read()
        except OSError:
            time.sleep(1)
    return None


@labelled(WAITS)
def _asks_a_database(cursor):
    cursor.execute("select 1")
    return cursor.fetchall()


@labelled(FREE)
def _compresses(data):
    return zlib.compress(data, 9)


@labelled(FREE)
def _compresses_with_lzma(data):
    return lzma.compress(data)


@labelled(FREE)
def _compresses_with_bz2(data):
    return bz2.decompress(bz2.compress(data))


@labelled(FREE)
def _hashes(data):
    return hashlib.sha256(data).hexdigest()


@labelled(FREE)
def _derives_a_key(password):
    return hashlib.pbkdf2_hmac("sha256", password, b"salt", 1_000_000)


@labelled(FREE)
def _multiplies(a):
    return a @ a


@labelled(FREE)
def _solves(a):
    return np.linalg.solve(a, a.T)


@labelled(FREE)
def _decomposes(a):
    u, s, _ = np.linalg.svd(a)
    return u, s


@labelled(FREE)
def _transforms(x):
    return np.abs(np.fft.fft(x)) ** 2


@labelled(FREE)
def _computes_elementwise(x):
    return np.sqrt(np.sin(x) ** 2 + np.cos(x) ** 2)


@labelled(FREE)
def _sorts_an_array(x):
    return np.sort(x)


@labelled(FREE)
def _draws_normals(seed):
    return np.random.default_rng(seed).normal(size=1_000_000).mean()


@labelled(FREE)
def _compresses_in_pieces(pieces):
    return [zlib.compress(piece) for piece in pieces]


@labelled(HELD)
def _loops(n):
    total = 0
    for i in range(n):
        total += i * i
    return total


@labelled(HELD)
def _loops_with_while(n):
    steps = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


@labelled(HELD)
def _recurses(n):
    return n if n < 2 else _recurses(n - 1) + _recurses(n - 2)


@labelled(HELD)
def _comprehends(n):
    return [i * i for i in range(n)]


@labelled(HELD)
def _generates(n):
    return sum(i * i for i in range(n))


@labelled(HELD)
def _sieves(n):
    sieve = [True] * n
    for i in range(2, int(n**0.5) + 1):
        if sieve[i]:
            for j in range(i * i, n, i):
                sieve[j] = False
    return sum(sieve)


@labelled(HELD)
def _parses_json(text):
    return json.loads(text)


@labelled(HELD)
def _dumps_json(x):
    return len(json.dumps(x))


@labelled(HELD)
def _reads_csv(text):
    return list(csv.reader(io.StringIO(text)))


@labelled(HELD)
def _matches(text):
    return PATTERN.findall(text)


@labelled(HELD)
def _substitutes(text):
    return re.sub(r"\s+", " ", text)


@labelled(HELD)
def _sorts(items):
    return sorted(items, key=operator.itemgetter(0))


@labelled(HELD)
def _counts_words(text):
    return collections.Counter(text.split()).most_common(10)


@labelled(HELD)
def _multiplies_big_integers(n):
    return math.factorial(n) % 1_000_007


@labelled(HELD)
def _copies_deeply(x):
    return copy.deepcopy(x)


@labelled(HELD)
def _pickles(x):
    return pickle.loads(pickle.dumps(x))


@labelled(HELD)
def _computes_statistics(xs):
    return statistics.median(xs), statistics.stdev(xs)


@labelled(HELD)
def _estimates_pi(n):
    source = random.Random(n)
    return sum(source.random() ** 2 + source.random() ** 2 < 1 for _ in range(n))


@labelled(HELD)
def _calls_a_helper_that_loops(n):
    return _loops(n) + 1


@labelled(HELD)
def _multiplies_matrices_by_hand(a, b):
    return [[sum(x * y for x, y in zip(row, column)) for column in zip(*b)] for row in a]


@labelled(HELD)
def _maps_in_c(n):
    return sum(map(operator.mul, range(n), range(n)))


@labelled(HELD)
def _permutes(n):
    return sum(1 for p in itertools.permutations(range(n)) if p[0] < p[-1])


@labelled(TINY)
def _adds_one(x):
    return x + 1


@labelled(TINY)
def _computes_a_distance(x, y):
    return math.sqrt(x * x + y * y)


@labelled(TINY)
def _formats(x):
    return f"{x:>10}".strip()


@labelled(TINY)
def _looks_up(d, key):
    return d.get(key, 0) if key else None


@labelled(TINY)
def _clamps(x):
    return min(max(x, 0), 255)


@labelled(TINY)
def _calls_a_tiny_helper(x):
    return _adds_one(x) * _clamps(x)


@labelled(TINY)
def _splits_a_pair(text):
    key, _, value = text.partition("=")
    return key.strip(), int(value)


@labelled(TINY)
def _sums_three(p):
    total = 0
    for i in range(3):
        total += p[i]
    return total


def test_prior_is_mostly_right_on_labelled_functions() -> None:
    """At least nine in ten labelled functions are guessed right, and none of the wrong ones with confidence."""
    wrong = {f.__name__: read(f).prior for nature, f in LABELLED if read(f).prior.nature is not nature}
    assert len(LABELLED) >= 50
    assert len(wrong) <= len(LABELLED) // 10, wrong
    assert [name for name, prior in wrong.items() if prior.confidence > 0.9] == []


def test_prior_is_calibrated_on_labelled_functions() -> None:
    """The mean confidence is near the share that is right."""
    priors = [(nature, read(f).prior) for nature, f in LABELLED]
    right = sum(nature is prior.nature for nature, prior in priors) / len(priors)
    mean = sum(prior.confidence for _, prior in priors) / len(priors)
    assert abs(right - mean) < 0.25


@pytest.mark.parametrize(
    ("function", "nature", "because"),
    [
        (_sleeps, Nature.WAITS, "calls time.sleep"),
        (_compresses, Nature.GIL_FREE, "calls zlib.compress"),
        (_recurses, Nature.GIL_HELD, "calls itself (_recurses)"),
        (_loops, Nature.GIL_HELD, "loops in Python"),
        (time.sleep, Nature.WAITS, "is time.sleep"),
        (functools.partial(time.sleep, 1), Nature.WAITS, "is time.sleep"),
    ],
)
def test_prior_says_why_when_it_knows(function: object, nature: Nature, because: str) -> None:
    """The reason is short and names what spoke for the guess."""
    prior = read(function).prior
    assert (prior.nature, prior.because) == (nature, because)


def test_prior_is_unknown_when_callee_is() -> None:
    """A function that calls what cannot be read is not guessed at."""
    strange = type("Strange", (), {"__call__": operator.itemgetter(1)})()
    strange.__call__ = None
    assert read(42).prior.nature is Nature.UNKNOWN


# --- odd input -------------------------------------------------------------------------------------------------


class Hostile:
    """Every access runs code of the user's, which fails."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    def __bool__(self) -> bool:
        raise RuntimeError("bool")

    def __len__(self) -> int:
        raise RuntimeError("len")

    def __iter__(self) -> Any:
        raise RuntimeError("iter")

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    def __call__(self) -> Any:
        raise RuntimeError("call")


class HostileMeta(type):
    """A metaclass whose hooks fail."""

    def __getattribute__(cls, name: str) -> Any:
        raise RuntimeError(name)

    def __hash__(cls) -> int:
        raise RuntimeError("hash")

    def __eq__(cls, other: object) -> bool:
        raise RuntimeError("eq")

    def __instancecheck__(cls, instance: object) -> bool:
        raise RuntimeError("instancecheck")

    def __call__(cls) -> Any:
        raise RuntimeError("call")


class HostileGlobals(dict[str, Any]):
    """Globals that fail when they are asked the ordinary way."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Fail."""
        raise RuntimeError(key)

    def __contains__(self, key: object) -> bool:
        raise RuntimeError(key)


class HostileDescriptor:
    """A descriptor that fails."""

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        raise RuntimeError("get")


class HasHostileDescriptor:
    """Has attributes that fail."""

    value = HostileDescriptor()

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        """Fail."""
        raise RuntimeError("class")

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        """Fail."""
        raise RuntimeError("dict")

    @property
    def __wrapped__(self) -> Any:
        """Fail."""
        raise RuntimeError("wrapped")

    def __call__(self, x: int) -> Any:
        return self.value + x


# In a box, because pytest looks at the attributes of what a test module holds.
BOX = types.SimpleNamespace(
    hostile=object.__new__(Hostile), described=HasHostileDescriptor(), cls=HostileMeta("OfHostileMeta", (), {})
)


def _user_of_hostile_things(hostile: Any, described: Any, cls: Any) -> Callable[[Any], Any]:
    def use(x: Any) -> Any:
        hostile.a.b(x)
        hostile()
        with hostile:
            hostile[x] += 1
        for _ in hostile:
            cls()
        cls.something(x)
        described.value.more(x)
        described(x)
        return hostile + x

    return use


def _rings(x: int) -> int:
    return _rings_back(x)


def _rings_back(x: int) -> int:
    return _rings(x)


class Ring:
    """A wrapper of itself."""

    def __init__(self) -> None:
        self.__wrapped__ = self


def _with_globals(module: dict[str, Any]) -> types.FunctionType:
    return types.FunctionType(compile("def f(x): return a + print(b)", "", "exec").co_consts[0], module)


def _many_locals() -> Callable[..., Any]:
    names = [f"v{i}" for i in range(600)]
    text = "def f(x):\n" + "".join(f"  {name} = x\n" for name in names) + "  return v599\n"
    module: dict[str, Any] = {}
    exec(text, module)
    found: Callable[..., Any] = module["f"]
    return found


def _deep_chain(depth: int) -> Callable[..., Any]:
    module: dict[str, Any] = {}
    exec("def f0(x): return x\n", module)
    for i in range(1, depth):
        exec(f"def f{i}(x): return f{i - 1}(x)\n", module)
    found: Callable[..., Any] = module[f"f{depth - 1}"]
    return found


def _wide_tree(depth: int) -> Callable[..., Any]:
    module: dict[str, Any] = {}
    exec("def f0(x, y): return x\n", module)
    for i in range(1, depth):
        exec(f"def f{i}(x, y): return [f{i - 1}([x], y), f{i - 1}(y, [x]), f{i - 1}([y], [x])]\n", module)
    found: Callable[..., Any] = module[f"f{depth - 1}"]
    return found


ODD: dict[str, Any] = {
    "none": None,
    "number": 42,
    "string": "f",
    "module": sys,
    "builtin": len,
    "builtin method": [].append,
    "method descriptor": str.upper,
    "slot wrapper": int.__add__,
    "class": int,
    "user class": Hostile,
    "class of a hostile metaclass": BOX.cls,
    "hostile object": BOX.hostile,
    "object with hostile attributes": BOX.described,
    "ring of wrappers": Ring(),
    "ring of functions": _rings,
    "recursive": _recurses,
    "partial": functools.partial(len, [1]),
    "partial of partial": functools.partial(functools.partial(_loops, n=1)),
    "partial of hostile": functools.partial(BOX.hostile, BOX.hostile),
    "lru_cache": functools.lru_cache(_loops),
    "bound method": "abc".upper,
    "bound user method": HasHostileDescriptor().__call__,
    "static method": staticmethod(_loops),
    "class method": classmethod(_loops),
    "lambda": lambda: (yield),
    "generator function": lambda x: (yield from x),
    "coroutine function": asyncio.sleep,
    "singledispatch": functools.singledispatch(_loops),
    "itemgetter": operator.itemgetter(1),
    "ufunc": np.add,
    "vectorized": np.vectorize(_loops),
    "code": _loops.__code__,
    "hostile uses": _user_of_hostile_things(BOX.hostile, BOX.described, BOX.cls),
    "hostile globals": _with_globals(HostileGlobals(a=1)),
    "no globals": _with_globals({}),
    "600 locals": _many_locals(),
    "deep chain": _deep_chain(60),
    "wide tree": _wide_tree(12),
    "weak proxy": weakref.proxy(Ring),
    "argument clinic": sys.settrace,
    "exception": ValueError,
    "standard library": json.dumps,
    "simple namespace": types.SimpleNamespace(__wrapped__=3, __call__=4),
}


@pytest.mark.parametrize("name", ODD)
def test_read_never_raises_when_input_is_odd(name: str) -> None:
    """Whatever is given, a reading comes back, and `pin` answers for odd arguments, too."""
    reading = read(ODD[name])
    assert type(reading) is Reading
    assert type(reading.prior) is Prior
    for args in ((), (1,), (BOX.hostile,), (BOX.cls, BOX.described), ([BOX.hostile, BOX.described],)):
        effect = reading.pin(args, {"x": BOX.hostile, "options": [BOX.hostile]})
        assert effect is None or type(effect) is Effect


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.functions(like=lambda x: x),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=6,
)


@given(thing=anything)
def test_read_never_raises_when_given_anything(thing: object) -> None:
    """Objects of all sorts are read without an exception."""
    assert type(read(thing)) is Reading


@given(args=st.tuples(anything, anything), kwargs=st.dictionaries(st.text(), anything))
def test_pin_never_raises_when_given_anything(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Arguments of all sorts are judged without an exception, even where the call would fail."""

    def function(a: Any, b: Any = 1, *rest: Any, key: Any = 2, **options: Any) -> Any:
        a.field.method(b)
        b += a[0]
        for part in rest:
            part(key)
        return options["x"].append(1)

    effect = read(function).pin(args, kwargs)
    assert effect is None or type(effect) is Effect


CORPUS = [
    value
    for module in (argparse, asyncio.base_events, csv, statistics, subprocess, types)
    for value in [
        *vars(module).values(),
        *(m for c in vars(module).values() if type(c) is type for m in vars(c).values()),
    ]
    if type(value) is types.FunctionType
]


def test_read_understands_every_instruction_of_the_standard_library() -> None:
    """Code of the standard library, read as if it were the user's, is neither refused nor misread."""
    own = [
        types.FunctionType(f.__code__.replace(co_filename="user.py"), {"__builtins__": __builtins__})
        for f in CORPUS
        if not f.__code__.co_freevars
    ]
    given_up = [f for f in own for effect in read(f).effects if effect.what == "cannot be read"]
    assert len(own) > 300
    assert given_up == []


def test_read_imports_and_calls_nothing() -> None:
    """Reading a function that imports and calls imports and calls nothing."""
    called = []

    class Telltale:
        def __getattr__(self, name: str) -> Any:
            called.append(name)
            return lambda *args: called.append(args)

        @property
        def count(self) -> int:
            called.append("count")
            return 1

    telltale = Telltale()

    def function(x: Any) -> Any:
        import antigravity  # type: ignore[import-not-found,unused-ignore]

        antigravity.fly()
        telltale.anything(x)
        telltale()
        return telltale.count + x.size

    modules = set(sys.modules)
    reading = read(function)
    reading.pin((telltale,))
    assert set(sys.modules) == modules
    assert called == []


# --- cost and caching ------------------------------------------------------------------------------------------


def test_read_is_bounded_when_code_is_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """No function makes the reader take more than its number of steps, and what is not read to the end is pinned."""
    spent: list[int] = []
    spend = Ledger.spend
    monkeypatch.setattr(Ledger, "spend", lambda self, steps: (spent.append(steps), spend(self, steps))[1])
    reading = read(_wide_tree(12))
    assert sum(spent) <= 2 * STEPS_MAX
    assert [effect.kind for effect in reading.effects] == [EffectKind.UNKNOWN]


def test_read_gives_the_same_reading_when_nothing_changed() -> None:
    """A second reading of a function comes from the cache."""
    assert read(_loops) is read(_loops)


def test_read_reads_again_when_a_global_is_rebound() -> None:
    """A global function that is replaced by another is read again."""
    module: dict[str, Any] = {"log": []}
    exec("def helper(x): return x\ndef f(x): return helper(x)", module)
    before = read(module["f"]).effects
    exec("def helper(x): log.append(x)", module)
    after = read(module["f"]).effects
    assert (before, [effect.what for effect in after]) == ((), ["appends to the global 'log'"])


def test_read_reads_again_when_a_closure_is_rebound() -> None:
    """A closure variable that holds something of another type is read again."""
    helper: Any = None

    def function(x: Any) -> Any:
        return helper(x)

    helper = math.sqrt
    before = read(function).effects
    log: list[Any] = []
    helper = log.append
    assert (before, len(read(function).effects)) == ((), 1)


HOOKS: list[Any] = []
CALLED: list[Any] = []
HOLDER = types.SimpleNamespace(hook=None, table={n: n for n in range(1000)})


def test_read_reads_again_when_a_part_of_a_global_is_of_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a container or an object holds may decide, and so may its latest item; of long ones the ends are seen."""

    def fires(x):
        for hook in HOOKS:
            hook(x)

    def calls_an_attribute(x):
        if HOLDER.hook:
            HOLDER.hook(x)

    def calls_one_of_many(x):
        return HOLDER.table[x](x)

    for function, change in (
        (fires, lambda: HOOKS.append(CALLED.append)),
        (calls_an_attribute, lambda: monkeypatch.setattr(HOLDER, "hook", lambda x: CALLED.append(x))),
        (calls_one_of_many, lambda: monkeypatch.setitem(HOLDER.table, 1000, CALLED.append)),
    ):
        first = read(function)
        assert first.pin() is first.pin((1,)) is None
        assert read(function) is first
        change()
        assert read(function).pin((1,)) is not None


ACTION: Callable[..., Any] = len


def test_pin_reads_again_when_a_global_of_a_method_is_rebound(monkeypatch: pytest.MonkeyPatch) -> None:
    """What only a reading for certain arguments has relied on is looked at again, too."""

    class Task:
        def run(self):
            return ACTION(self)

    def runs(task):
        return task.run()

    assert read(runs).pin((Task(),)) is None
    monkeypatch.setitem(globals(), "ACTION", lambda task: CALLED.append(task))
    assert read(runs).pin((Task(),)) is not None


def test_read_reads_again_when_a_module_was_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is imported inside is in doubt until it was imported once."""

    def function(x: Any) -> Any:
        import parallel_deco_made_up  # type: ignore[import-not-found,unused-ignore]

        return parallel_deco_made_up.double(x)

    before = read(function).effects
    module = types.ModuleType("parallel_deco_made_up")
    module.__spec__ = importlib.machinery.ModuleSpec("parallel_deco_made_up", None)
    exec("def double(x): return 2 * x", vars(module))
    monkeypatch.setitem(sys.modules, "parallel_deco_made_up", module)
    assert (len(before), read(function).effects) == (1, ())


@pytest.mark.skipif(
    not gil_enabled() and sys.version_info < (3, 14), reason="where threads ran, 3.13 keeps functions for ever here"
)
def test_read_keeps_no_function_alive() -> None:
    """A function that was read, and its globals, can go."""

    def make() -> weakref.ReferenceType[Any]:
        module: dict[str, Any] = {}
        exec("def f(x): return x.y() and f(x)", module)
        reading = read(module["f"])
        reading.pin((object(),))
        return weakref.ref(module["f"])

    reference = make()
    for _ in range(100):  # without a GIL, another thread may have to let go of it first
        gc.collect()
        if reference() is None:
            break
        time.sleep(0.01)
    assert reference() is None


def test_pin_keeps_no_argument_alive() -> None:
    """What was looked at to decide can go."""

    class Big:
        def method(self) -> int:
            return 1

    def function(x: Any) -> Any:
        return x.method()

    big = Big()
    reference = weakref.ref(big)
    reading = read(function)
    assert reading.pin((big,)) is None
    del big
    gc.collect()
    assert reference() is None


def test_pin_decides_by_type_when_arguments_matter() -> None:
    """One reading answers for each type of argument on its own."""

    def function(x: Any) -> Any:
        x += x
        return x

    reading = read(function)
    given: list[Any] = [1, 1.5, "a", (1,), [1], np.zeros(3), np.float64(1), None, bytearray(b"a")]
    pinned = [type(x).__name__ for x in given if reading.pin((x,)) is not None]
    assert pinned == ["list", "ndarray", "bytearray"]
    assert reading.effects[0].unless_immutable == "x"
    assert reading.pin() == reading.effects[0]


def test_pin_binds_arguments_when_given_in_any_way() -> None:
    """Positions, keywords, defaults and stars lead to the same parameters as in the call."""

    def function(a: Any, b: Any = (), *rest: Any, c: Any = 1, **options: Any) -> None:
        a += 1
        b += (1,)
        c += 1
        for part in rest:
            part += 1
        options["d"] += 1

    reading = read(function)
    calls: list[tuple[tuple[Any, ...], dict[str, Any], bool]] = [
        ((1,), {"d": 1}, False),
        (([1],), {"d": 1}, True),
        ((1, [2]), {"d": 1}, True),
        ((1,), {"b": [2], "d": 1}, True),
        ((1,), {"c": [2], "d": 1}, True),
        ((1, (), 3, 4), {"d": 1}, False),
        ((1, (), 3, [4]), {"d": 1}, True),
        ((1,), {"d": [1]}, True),
    ]
    assert [reading.pin(args, kwargs) is not None for args, kwargs, _ in calls] == [pinned for _, _, pinned in calls]


def test_read_looks_through_when_bound_or_partial() -> None:
    """What is bound to a method or a partial object is captured, and changing it is an effect."""
    log: list[Any] = []

    class Keeper:
        def __init__(self) -> None:
            self.items: list[Any] = []

        def keep(self, x: Any) -> None:
            self.items.append(x)

        def __call__(self, x: Any) -> None:
            self.items.append(x)

        def look(self, x: Any) -> Any:
            return len(self.items) + x

    def put(items: list[Any], x: Any) -> None:
        items.append(x)

    things: list[Any] = [
        Keeper().keep,
        Keeper(),
        functools.partial(put, log),
        log.append,
        functools.partial(log.append),
    ]
    assert [len(read(thing).effects) for thing in things] == [1] * len(things)
    assert [len(read(thing).effects) for thing in (Keeper().look, functools.partial(len), Keeper, str.upper)] == [0] * 4


def test_read_works_when_there_is_no_source() -> None:
    """A function from a string is read like any other, with its line."""
    module: dict[str, Any] = {"log": []}
    exec(compile("\n\ndef f(x):\n    log.append(x)\n", "<stdin>", "exec"), module)
    (effect,) = read(module["f"]).effects
    assert (effect.file, effect.line, effect.kind) == ("<stdin>", 4, EffectKind.WRITES_GLOBAL)


def test_read_is_right_when_threads_read_at_once() -> None:
    """Threads that read the same functions get the same effects."""
    functions = [f for _, f in LABELLED]
    expected = [read(f).effects for f in functions]
    results: list[Any] = []
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        results.append([read(types.FunctionType(f.__code__, f.__globals__)).effects for f in functions])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


WRAPS: list[Callable[[Any], Any]] = [
    lambda thing: functools.partial(str, thing),
    lambda thing: lambda: thing,
    lambda thing: [thing],
    lambda thing: thing,
]


@pytest.mark.parametrize("wrap", WRAPS)
def test_arguments_are_not_kept_when_a_call_is_asked_about(wrap: Callable[[Any], Any]) -> None:
    """What `pin` looked at goes with its last reference of the caller's, at once."""

    class Big(list[int]):
        pass

    def call(task: Any) -> Any:
        return task()

    thing = Big()
    gone = weakref.ref(thing)
    gc.collect()
    gc.disable()
    try:
        reading = read(call)
        reading.pin((wrap(thing),))
        reading.pin((thing.copy,))
        del thing
        assert gone() is None
    finally:
        gc.enable()


def test_answer_is_not_given_again_when_its_function_has_gone() -> None:
    """A new function that has the identity of an old one is read for itself."""
    log: list[int] = []

    def call(function: Callable[[int], Any]) -> Any:
        return function(1)

    reading = read(call)
    for _ in range(20):
        assert reading.pin((lambda x: x,)) is None
        assert reading.pin((lambda x: log.append(x),)) is not None


def test_answer_tells_one_odd_item_from_many_when_a_list_is_long() -> None:
    """All types in a long list are looked at, though few of its items are."""

    class Odd:
        @property
        def size(self) -> None:
            LABELLED.clear()

    class Even:
        size = 1

    def sizes(things: list[Any]) -> list[Any]:
        return [thing.size for thing in things]

    many: list[Any] = [Even()] * 50_000
    assert read(sizes).pin((many,)) is None
    many[31_234] = Odd()
    assert read(sizes).pin((many,)) is not None


def test_function_is_given_up_at_once_when_it_is_very_long() -> None:
    """It is not even decoded."""
    module: dict[str, Any] = {}
    exec(compile("def f(x):\n    return [" + "x + 1, " * 20_000 + "]", "<string>", "exec"), module)
    before = set(bytecode._decoded)
    assert read(module["f"]).effects[0].kind is EffectKind.UNKNOWN
    assert id(module["f"].__code__) not in set(bytecode._decoded) - before


def test_effect_is_found_when_a_try_stores_very_many_variables() -> None:
    """An exception may find each of them as it was after any store."""
    stores = "".join(f"        v{i} = [x]\n" for i in range(500))
    source = f"def f(x):\n    v7 = x\n    try:\n{stores}    except Exception:\n        v7.append(1)\n"
    module: dict[str, Any] = {}
    exec(compile(source, "<string>", "exec"), module)
    effect = read(module["f"]).pin(([1],))
    assert effect is not None
    assert effect.line == 505


@pytest.mark.parametrize("function", [math.sqrt, zlib.crc32, abs, kernels.count_primes])
def test_reading_of_a_compiled_function_is_kept(function):
    """It cannot change; to look its name up anew for each call takes 20 to 40 µs."""
    assert read(function) is read(function)


def test_reading_of_an_objects_method_is_not_kept():
    """What it does depends on the object, which may be another in a moment."""
    known = [1]
    assert read(known.append) is not read(known.append)
    function = functools.partial(operator.add, 1)
    assert read(function) is not read(function)
