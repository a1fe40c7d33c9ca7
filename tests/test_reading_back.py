"""What a call writes and reads back another way takes turns; what a library is asked to write, or to draw, stays.

Another way: through a property, a module's globals, a view of an array, a method that hands out what is there. The
functions are read, and never run.
"""

from __future__ import annotations

import asyncio
import builtins
import collections
import copy
import functools
import importlib
import importlib.machinery
import logging
import os
import queue
import random
import string
import sys
import types
import unittest.mock
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from parallel_deco.routing.static import read

# Nothing below is typed: the functions are what users write.


class State:
    """Its level is a property."""

    step = 1

    def __init__(self):
        self._level = self._other = 0

    @property
    def level(self):
        return self._level

    @level.setter
    def level(self, value):
        self._level = value

    @property
    def other(self):
        return self._other

    def raise_level(self, x):
        seen = self.level
        self.level = seen + x


class Checked:
    """It looks at what is set."""

    def __setattr__(self, name, value):
        vars(self)["last"] = value

    def latest(self):
        return self.last


STATE = State()
OTHER_STATE = State()
CHECKED = Checked()
PLAIN = types.SimpleNamespace(level=0)
SETTINGS = types.ModuleType("settings_read_back")
exec("level = other = 0\ndef get(): return level\ndef get_other(): return other", vars(SETTINGS))
ME = sys.modules[__name__]
LEVEL = OTHER = 0
BUFFER = np.zeros(4)
TAIL = BUFFER[1:]
MATRIX = np.zeros((3, 3))
INPUT = np.zeros(4)
GENERATOR = np.random.default_rng(1)
STACK: list[Any] = [1]
DEQUE = collections.deque([1])
TABLE: dict[Any, Any] = {1: 1}
SEEN = {1}
INBOX: queue.Queue[Any] = queue.Queue()
OPTIONS = {"inplace": True}
HARMLESS = {"axis": 0}
FORMATTER = logging.Formatter("%(message)s")
RECORD = logging.LogRecord("name", 10, "file", 1, "message", (), None)


class Shouting(logging.Formatter):
    """A formatter of the user's."""

    def format(self, record):
        return super().format(record).upper()


SHOUTING = Shouting()
TURNS: list[Callable[..., Any]] = []
AT_ONCE: list[Callable[..., Any]] = []


def turns(function: Callable[..., Any]) -> Callable[..., Any]:
    """Note a function of which threads may not run two calls at once."""
    TURNS.append(function)
    return function


def at_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Note one with an effect of which they may."""
    AT_ONCE.append(function)
    return function


# --- properties ------------------------------------------------------------------------------------------------------


@turns
def _raises_a_level(x):
    seen = STATE.level
    STATE.level = seen + x


@turns
def _reads_back_a_property(x):
    STATE.level = x
    return STATE.level


@turns
def _reads_back_below_a_property(x):
    STATE.level = x
    return STATE._level


@turns
def _raises_a_level_in_a_method(x):
    STATE.raise_level(x)


@turns
def _reads_back_what_setattr_keeps(x):
    CHECKED.anything = x
    return CHECKED.latest()


@turns
def _reads_back_what_the_class_has(x):
    State.step = x
    return STATE.step


@at_once
def _sets_one_object_and_reads_another(x):
    STATE.step = x
    return OTHER_STATE.step


@at_once
def _sets_a_property(x):
    STATE.level = x


@at_once
def _sets_one_property_and_reads_another(x):
    STATE.level = x
    return STATE.other


# --- modules and namespaces ------------------------------------------------------------------------------------------


@turns
def _reads_back_in_a_function_of_the_module(x):
    SETTINGS.level = x
    return SETTINGS.get()


@turns
def _reads_back_a_global_set_on_its_module(x):
    me = sys.modules[__name__]
    me.LEVEL = x
    return LEVEL


@turns
def _reads_back_a_global_set_on_a_global_module(x):
    ME.LEVEL = x
    return LEVEL


@turns
def _reads_back_an_imported_module(x):
    me = importlib.import_module(__name__)
    me.LEVEL = x
    return LEVEL


@turns
def _reads_back_a_global_set_by_name(x):
    globals()["LEVEL"] = x
    return LEVEL


@turns
def _reads_back_any_global(x):
    globals()[x] = x
    return LEVEL


@turns
def _reads_back_from_globals(x):
    ME.LEVEL = x
    return globals()["LEVEL"]


@turns
def _reads_back_what_vars_gave(x):
    vars(STATE)["_level"] = x
    return STATE._level


@turns
def _reads_back_what_dict_gave(x):
    ME.__dict__["LEVEL"] = x
    return LEVEL


@turns
def _patches_a_name(x):
    with unittest.mock.patch("string.digits", str(x)):
        return string.digits


@turns
def _patches_an_object(x):
    with unittest.mock.patch.object(string, "digits", str(x)):
        return string.digits


@turns
def _patches_the_environment(x):
    with unittest.mock.patch.dict(os.environ, {"A": str(x)}):
        return os.environ["A"]


@at_once
def _sets_one_global_and_reads_another_in_its_module(x):
    SETTINGS.level = x
    return SETTINGS.get_other()


@at_once
def _sets_one_global_and_reads_another(x):
    ME.LEVEL = x
    return OTHER


@at_once
def _sets_one_global_by_name_and_reads_another(x):
    globals()["LEVEL"] = x
    return OTHER


# --- views -----------------------------------------------------------------------------------------------------------


@turns
def _reads_back_a_reshaped_array(x):
    BUFFER.reshape(2, 2)[0, 0] = x
    return float(BUFFER[0])


@turns
def _reads_back_in_a_reshaped_array(x):
    BUFFER[0] = x
    return float(BUFFER.reshape(2, 2)[0, 0])


@turns
def _reads_back_a_flat_array(x):
    BUFFER.flat[0] = x
    return float(BUFFER[0])


@turns
def _reads_back_a_raw_view(x):
    BUFFER.view("f8")[0] = x
    return float(BUFFER[0])


@turns
def _reads_back_the_memory_of_an_array(x):
    BUFFER.data[0] = x
    return float(BUFFER[0])


@turns
def _reads_back_a_transposed_array(x):
    MATRIX.T[0, 1] = x
    return float(MATRIX[1, 0])


@turns
def _reads_back_a_diagonal(x):
    MATRIX.diagonal()[0] = x
    return float(MATRIX[0, 0])


@turns
def _reads_back_a_global_view(x):
    TAIL[0] = x
    return float(BUFFER[1])


@turns
def _reshapes_in_place(x):
    BUFFER.shape = (2, 2)
    return BUFFER[0]


@turns
def _sets_the_state_of_a_generator(x):
    GENERATOR.bit_generator.state = x
    return GENERATOR.random()


@at_once
def _fills_a_view(x):
    BUFFER.reshape(2, 2)[0, x] = x


@at_once
def _fills_one_array_of_another(x):
    BUFFER.reshape(2, 2)[0, x] = float(INPUT.reshape(2, 2)[1, x])


@at_once
def _fills_an_item_and_reads_another(x):
    BUFFER[0] = x
    return BUFFER[1]


@at_once
def _fills_an_item_and_asks_for_the_shape(x):
    BUFFER[x] = x
    return BUFFER.shape


# --- what is handed out ----------------------------------------------------------------------------------------------


@turns
def _appends_and_pops(x):
    STACK.append(x)
    return STACK.pop()


@turns
def _appends_and_pops_at_the_left(x):
    DEQUE.append(x)
    return DEQUE.popleft()


@turns
def _stores_and_pops_an_item(x):
    TABLE[x] = x
    return TABLE.popitem()


@turns
def _stores_and_pops(x):
    TABLE["last"] = x
    return TABLE.pop("last")


@turns
def _adds_and_pops(x):
    SEEN.add(x)
    return SEEN.pop()


@turns
def _puts_and_gets(x):
    INBOX.put(x)
    return INBOX.get()


@turns
def _puts_and_gets_at_once(x):
    INBOX.put_nowait(x)
    return INBOX.get_nowait()


@at_once
def _borrows_from_a_queue(x):
    borrowed = INBOX.get()
    try:
        return borrowed + x
    finally:
        INBOX.put(borrowed)


@at_once
def _borrows_from_a_queue_often(x):
    for _ in range(x):
        INBOX.put(INBOX.get())


@at_once
def _removes_what_it_has_stored(x):
    TABLE[x] = 1
    TABLE.pop(x)
    return x


# --- event loops -----------------------------------------------------------------------------------------------------


async def wait(x):
    await asyncio.sleep(0)
    return asyncio.get_event_loop().time() + x


async def wait_for_two(x):
    return await asyncio.gather(wait(x), wait(x))


@turns
def _asks_for_the_loop_of_its_thread(x):
    return asyncio.get_event_loop().run_until_complete(wait(x))


@turns
def _sets_the_loop_of_its_thread(x):
    asyncio.set_event_loop(asyncio.new_event_loop())


def name_of(function: Callable[..., Any]) -> str:
    """Return the name under which pytest shows a case."""
    return function.__name__.strip("_")


@pytest.mark.parametrize("function", TURNS, ids=name_of)
def test_calls_take_turns_when_they_read_back_what_they_write(function: Callable[..., Any]) -> None:
    """However that is reached: threads might write in between."""
    effect = read(function).pin((3,))
    assert effect is not None
    assert not effect.atomic


@pytest.mark.parametrize("function", AT_ONCE, ids=name_of)
def test_threads_may_run_calls_at_once_when_these_read_something_else(function: Callable[..., Any]) -> None:
    """What resembles them, but looks at nothing that it has written."""
    effect = read(function).pin((3,))
    assert effect is not None
    assert effect.atomic


# --- what libraries write --------------------------------------------------------------------------------------------

#: Calls that write to `out`, by position, or to another argument.
WRITING = {
    "np": """
        a.sum(0, None, out); a.argmax(0, out); a.any(0, out); a.max(0, out); a.cumsum(0, None, out); v.round(1, out)
        a.dot(v, out); v.take([0], 0, out); v.clip(0, 1, out); v.compress([True], 0, out); v.choose([v, v], out)
        a.trace(0, 0, 1, None, out); (a + 1).sum(0, None, out); np.median(a, 0, out); np.concatenate([v], 0, out)
        np.outer(v, v, out); np.add.reduce(a, 0, None, out); np.add.accumulate(v, 0, None, out); np.add.at(out, [0], 1)
        np.add.reduceat(v, [0], 0, None, out); np.dot(a, v, out); np.matmul(a, v, out); np.percentile(a, 50, 0, out)
        np.quantile(a, 0.5, 0, out); np.nansum(a, 0, None, out); np.nanmedian(a, 0, out); np.argmin(a, 0, out)
        np.trace(a, 0, 0, 1, None, out); np.stack([v], 0, out); np.fix(v, out); np.median(v, 0, None, True)
        np.random.default_rng(1).random(3, float, out); np.random.RandomState(1).shuffle(out)
        np.add(v, 1, **{"out": out}); add(v, out=out); np.add(v, 1, **json.loads("{}"), **dict(zip(["out"], [out])))
    """,
    "scipy": """
        scipy.ndimage.gaussian_filter(v, 1, 0, out); scipy.ndimage.zoom(v, 1, out); scipy.ndimage.convolve(v, v, out)
        scipy.ndimage.distance_transform_edt(v, None, True, False, out); scipy.linalg.blas.dscal(2.0, v)
        scipy.linalg.blas.daxpy(v, out); scipy.linalg.blas.dgemm(1.0, a, a, 0.0, a, 0, 0, 1); scipy.linalg.inv(a, True)
        scipy.linalg.lapack.dgetrf(a, True); scipy.linalg.solve(np.eye(3), v, overwrite_b=True)
    """,
    "pandas": """
        tidy(d, inplace=True); d.dropna(**{"inplace": True}); d.dropna(**OPTIONS); d.dropna(**dict(inplace=True))
        d.dropna(**options); d.dropna(**{"axis": 0, **OPTIONS}); d.dropna(**({"axis": 0} | OPTIONS)); build(d)
        d.dropna(**{key: True for key in ["inplace"]}); d.dropna(**dict([("inplace", True)])); fill(d)
        functools.partial(tidy, inplace=True)(d); d.dropna(**OPTIONS.copy()); type(d).dropna(d, **OPTIONS)
        d.pipe(lambda table: table.dropna(inplace=True))
    """,
}
#: Calls that resemble them.
COMPUTING = {
    "np": """
        a.sum(0); a.mean(0, float); a.max(0); v.clip(0, 1); np.median(a, 0); np.concatenate([v, v], 0); np.outer(v, v)
        np.add.reduce(a, 0); np.add.outer(v, v); np.percentile(a, 50, 0); a.sum(0, None, None); np.dot(a, v); v.round(2)
        np.sum(a, 0, None, None, True); np.where(v > 0, v, out); np.interp(v, v, out); np.convolve(v, out, "same")
        np.linalg.norm(a, None, 0); np.polyfit(v, out, 1); np.add(v, out, **{"dtype": float}); add(v, dtype=float)
    """,
    "scipy": """
        scipy.ndimage.gaussian_filter(v, 1, 0); scipy.ndimage.zoom(v, 2); scipy.linalg.blas.ddot(v, v)
        scipy.linalg.blas.dgemm(1.0, a, a); scipy.linalg.lapack.dgetrf(a); scipy.linalg.inv(a)
        scipy.linalg.inv(a, False)
    """,
    "pandas": """
        tidy(d, ascending=True); tidy(d); tidy(d, inplace=False); d.dropna(**HARMLESS); d.dropna(**{"axis": 0})
        d.dropna(**{"axis": 0, **HARMLESS}); d.assign(**{name: d[name] * 2 for name in d.columns})
        "{a}".format(**options); d.dropna(**dict(HARMLESS, how="all"))
        d.pipe(lambda table: table.dropna()); d.groupby("a").agg(**{name: ("a", "sum") for name in d.columns})
    """,
}
HELPERS = """
import functools, json
import numpy as np
def tidy(d, **options): return d.sort_values("a", **options)
def add(v, **options): return np.add(v, 1, **options)
def build(d):
    options = {}
    options["inplace"] = True
    return d.dropna(**options)
def fill(d):
    options = {}
    options.update(inplace=True)
    return d.dropna(**options)
"""


def _calls(table: dict[str, str]) -> list[tuple[str, str]]:
    """Return each call with the library that it needs."""
    return [
        (library, call.strip())
        for library, calls in table.items()
        for line in calls.strip().splitlines()
        for call in line.split(";")
    ]


def _pinned(library: str, call: str) -> bool:
    """Read a function that does nothing but the call."""
    space: dict[str, Any] = {"OPTIONS": {"inplace": True}, "HARMLESS": {"axis": 0}, "__name__": "calling"}
    arguments: dict[str, Any] = {
        "a": np.ones((3, 3)),
        "v": np.ones(3),
        "out": np.zeros(3),
        "options": {"inplace": True},
    }
    exec(HELPERS, space)
    if library == "scipy":
        space["scipy"] = pytest.importorskip("scipy")
        for name in ("ndimage", "linalg.blas", "linalg.lapack"):
            importlib.import_module(f"scipy.{name}")
    if library == "pandas":
        arguments["d"] = pytest.importorskip("pandas").DataFrame({"a": [1.0, 2.0]})
    exec(f"def function({', '.join(arguments)}): return {call}", space)
    return read(space["function"]).pin(tuple(arguments.values())) is not None


@pytest.mark.parametrize(("library", "call"), _calls(WRITING))
def test_function_stays_when_it_asks_a_library_to_write_to_an_argument(library: str, call: str) -> None:
    """By position, or by keywords whose names are not seen: another process would keep what was written."""
    assert _pinned(library, call)


@pytest.mark.parametrize(("library", "call"), _calls(COMPUTING))
def test_function_is_free_when_it_asks_a_library_to_compute(library: str, call: str) -> None:
    """The same functions, and the same dicts of options, where nothing is written."""
    assert not _pinned(library, call)


def test_keywords_of_the_function_itself_are_seen_when_it_is_called() -> None:
    """Another call may be asked to write in place."""
    table = pytest.importorskip("pandas").DataFrame({"a": [1.0]})

    def tidy(d, **options):
        return d.sort_values("a", **options)

    found = [read(tidy).pin((table,), options) is not None for options in ({}, {"ascending": True}, {"inplace": True})]
    assert found == [False, False, True]
    assert read(functools.partial(tidy, inplace=True)).pin((table,)) is not None


# --- generators, records and modules ---------------------------------------------------------------------------------


@pytest.mark.parametrize("generator", [np.random.default_rng(1), np.random.RandomState(1), random.Random(1)], ids=repr)
def test_generator_of_the_caller_stays_when_a_library_draws_from_it(generator: Any) -> None:
    """The caller's goes on where the call has left it."""
    stats = pytest.importorskip("scipy.stats")

    def draws(g):
        return stats.norm.rvs(random_state=g)

    def draws_by_position(g):
        return stats.norm.rvs(0, 1, 3, g)

    def draws_from_a_part(parts):
        return stats.norm.rvs(random_state=parts["g"])

    assert read(draws).pin((generator,)) is not None
    assert read(draws_by_position).pin((generator,)) is not None
    assert read(draws_from_a_part).pin(({"g": generator},)) is not None
    assert read(draws).pin((3,)) is None


def test_generator_of_the_caller_stays_when_another_draws_from_its_stream() -> None:
    """What two generators share goes on with either."""

    def shares(g):
        return np.random.Generator(g.bit_generator).random()

    assert read(shares).pin((np.random.default_rng(1),)) is not None


def test_generator_of_the_caller_leaves_when_nobody_draws_from_it() -> None:
    """A copy is drawn from, or a new one of the same seed."""

    def copies(g):
        return copy.deepcopy(g).random(), isinstance(g, np.random.Generator)

    def makes_one(seed):
        return np.random.default_rng(seed).random()

    assert read(copies).pin((np.random.default_rng(1),)) is None
    assert read(makes_one).pin((3,)) is None
    assert read(makes_one).pin((np.random.default_rng(1),)) is not None


@pytest.mark.parametrize(
    "function",
    [
        lambda record: logging.Formatter("%(asctime)s").format(record),
        lambda record: FORMATTER.format(record),
        lambda record: SHOUTING.format(record),
        lambda record: Shouting().format(record),
        lambda record: logging.StreamHandler().format(record),
        lambda record: logging.getLogger("name").handle(record),
    ],
)
def test_record_of_the_log_stays_when_it_is_formatted(function: Callable[..., Any]) -> None:
    """It keeps the text of its message, and of its time."""
    assert read(function).pin((RECORD,)) is not None
    assert read(lambda record: f"{record.getMessage()}").pin((RECORD,)) is None


@pytest.fixture
def made_up() -> Iterator[types.ModuleType]:
    """A module that the program has made, without a word of how to import it."""
    module = types.ModuleType("made_up_by_a_test")
    module.rate = 3  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def _imports(x):
    import made_up_by_a_test

    return made_up_by_a_test.rate * x


def _imports_from(x):
    from made_up_by_a_test import rate

    return rate * x


def _imports_by_name(x):
    return importlib.import_module("made_up_by_a_test").rate * x


def _finds_it(x):
    return sys.modules["made_up_by_a_test"].rate * x


@pytest.mark.parametrize("function", [_imports, _imports_from, _imports_by_name, _finds_it], ids=name_of)
def test_function_stays_when_it_imports_what_the_program_has_made(
    function: Callable[..., Any], made_up: types.ModuleType
) -> None:
    """A worker process could not import it, as long as nothing says how."""
    effect = read(function).pin((3,))
    assert effect is not None
    assert "made_up_by_a_test" in effect.what
    assert effect.atomic


def test_function_leaves_when_it_imports_what_can_be_imported(made_up: types.ModuleType) -> None:
    """A module says where it is from, or its package makes it."""
    made_up.__spec__ = importlib.machinery.ModuleSpec(made_up.__name__, None)
    assert read(_imports).pin((3,)) is None


def test_function_stays_when_it_names_what_was_added_to_the_built_in_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an attribute, too: a worker process has not."""
    monkeypatch.setattr(builtins, "added_by_a_test", 3, raising=False)
    assert read(lambda x: builtins.added_by_a_test + x).pin((3,)) is not None  # type: ignore[attr-defined]
    assert read(lambda x: builtins.abs(x)).pin((3,)) is None


@pytest.mark.parametrize(
    "function", [lambda x: asyncio.run(wait(x)), lambda x: asyncio.run(wait_for_two(x)), wait, wait_for_two]
)
def test_function_is_free_when_coroutines_ask_for_the_loop_that_runs_them(function: Callable[..., Any]) -> None:
    """Each runs a loop of its own."""
    assert read(function).pin((3,)) is None
