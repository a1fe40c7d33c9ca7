"""The fifteen questions of manners that were asked of every peer, on every backend; and what their users ask for."""

import dataclasses
import decimal
import itertools
import locale
import logging
import math
import os
import random
import sys
import threading
import time
import traceback
import warnings

import numpy as np
import pytest

import parallel_deco
from parallel_deco import NotPicklableError, RemoteTraceback, WorkerDied, config, parallel
from tests import workloads

DEADLINE = 30.0


def rebound(x):
    """Become something else: the name leads to the decorated function only."""
    return x + 1


rebound = parallel(rebound)


@pytest.fixture(params=["serial", "threads", "processes"])
def chosen(request):
    """The backends that a user chooses, where auto might rightly do otherwise."""
    return request.param


@pytest.fixture(params=["map", "submit"])
def outcomes(request, backend):
    """Run a function over items by map or by submits; return values, with exceptions in their places."""

    def run(function, items):
        function = parallel(function, backend=backend)
        if request.param == "map":
            return list(function.map(items, return_exceptions=True))
        futures = [function.submit(item) for item in items]
        return [future.exception(DEADLINE) or future.result() for future in futures]

    return run


def test_lambda_works_when_run(outcomes):
    """Question 1: a lambda."""
    assert outcomes(lambda x: x + 1, range(5)) == [1, 2, 3, 4, 5]


def test_closure_works_when_run(outcomes):
    """Question 2: a closure, also over another closure."""
    amount = 10

    def inner(x):
        return x + amount

    def outer(x):
        return inner(x) * 2

    assert outcomes(outer, range(3)) == [20, 22, 24]


def test_rebound_name_works_when_run(backend, functions):
    """Question 3: a name that was rebound, as a decorator does, here and in an importable module."""
    assert list(rebound.options(backend=backend).map(range(3))) == [1, 2, 3]
    assert list(functions.decorated.options(backend=backend).map(range(3))) == [1, 2, 3]
    assert functions.decorated.options(backend=backend).submit(5).result(DEADLINE) == 6


@pytest.mark.parametrize("guarded", [False, True], ids=["bare", "guarded"])
def test_main_function_works_when_a_script_has_no_guard(backend, guarded, run_program):
    """Questions 4 and 5: a function of `__main__`, in a script with and without the guard; it runs only once."""
    body = f"""
    print("started", flush=True)
    from parallel_deco import parallel

    SCALE = 3

    class Point:
        def __init__(self, x):
            self.x = x

    @parallel(backend={backend!r})
    def scale(x):
        return Point(SCALE * x)

    def main():
        print([type(point) is Point and point.x for point in scale.map(range(5))], scale.submit(7).result().x)

    if {not guarded} or __name__ == "__main__":
        main()
    """
    status, out, err = run_program(body)
    assert (status, out.split("\n", 1), err) == (0, ["started", "[0, 3, 6, 9, 12] 21\n"], "")


def test_exception_has_the_workers_traceback_when_a_task_fails(outcomes, functions):
    """Question 6: the exception comes back as itself, and shows where it was raised."""
    import traceback

    value = outcomes(functions.fails_on_seven, [6, 7])[1]
    assert type(value) is ValueError
    text = "".join(traceback.format_exception(value))
    assert "in fails_on_seven" in text
    assert 'raise ValueError("seven")' in text


class NotFound(Exception):
    """Makes its message, which is then its only argument."""

    def __init__(self, name):
        super().__init__(f"no such thing: {name}")
        self.name = name


class Two(Exception):
    """Wants more than it hands on."""

    def __init__(self, a, b):
        super().__init__(f"{a}/{b}")
        self.a, self.b = a, b


class Made(Exception):
    """Is made in a way of its own."""

    def __new__(cls, *, code):
        self = super().__new__(cls)
        self.code = code
        return self

    def __init__(self, *, code):
        super().__init__(code)


class Slotted(OSError):
    """An error of the system's with more to it, and a `__slots__`."""

    __slots__ = ("place",)

    def __init__(self, path):
        super().__init__(2, "gone", path)
        self.place = path


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """Refuses attributes, once it is there."""

    code: int
    why: str


class Held(Exception):
    """Gets a lock as an attribute."""


def _with_lock():
    error = Held("held")
    error.lock, error.code = threading.Lock(), 3
    return error


def _noted():
    error = NotFound("noted")
    error.add_note("with a note")
    return error


ERRORS = {
    "formats its message": lambda: NotFound("x"),
    "wants two arguments": lambda: Two(1, 2),
    "is made by keyword": lambda: Made(code=3),
    "is an OSError with slots": lambda: Slotted("/there"),
    "is frozen": lambda: Frozen(3, "so"),
    "holds a lock": _with_lock,
    "has a note": _noted,
    "is a group of such": lambda: ExceptionGroup("out", [NotFound("y"), ExceptionGroup("in", [Two(3, 4)])]),
    "has an array": lambda: ValueError("array", np.arange(3)),
    "is of an attribute": lambda: AttributeError("no such", name="there"),
    "is of a name": lambda: NameError("no such", name="there"),
    "is of an import": lambda: ImportError("no such", name="there", path="here"),
    "is an end": lambda: StopIteration(5),
    "is of a codec": lambda: UnicodeDecodeError("utf-8", b"x", 0, 1, "so"),
}


def _seen(error):
    """What a program may ask an exception."""
    names = ("name", "path", "value", "errno", "filename", "place", "reason", "code", "why", "a", "b", "__notes__")
    inner = [_seen(one) for one in getattr(error, "exceptions", ())]
    return type(error), str(error), repr(error.args), [repr(getattr(error, name, None)) for name in names], inner


@pytest.mark.parametrize("which", ERRORS)
def test_exception_is_the_same_when_a_task_raises_it(which, backend):
    """Type, text, arguments and attributes are those of the plain loop, whatever its `__init__` is like."""

    def fail(_):
        raise ERRORS[which]()

    task = parallel(fail, backend=backend).submit(0)
    assert _seen(task.exception(30)) == _seen(ERRORS[which]())


def _from_other(x):
    try:
        raise Two(3, 4)
    except Two as error:
        raise NotFound("y") from error


def _while_handling(x):
    try:
        _from_other(x)
    except NotFound:
        raise Held("held", 5)  # noqa: B904


def _from_none(x):
    try:
        _while_handling(x)
    except Held:
        raise KeyError(x) from None


def _behind(error):
    """What a program, or a traceback, finds behind an exception; not the text that stands for a worker's traceback."""
    cause = None if isinstance(error.__cause__, RemoteTraceback) else error.__cause__
    context = None if cause is not None or error.__suppress_context__ else error.__context__
    return [_seen(error), *(_behind(one) if one is not None else [None] for one in (cause, context))]


@pytest.mark.parametrize("fail", [_from_other, _while_handling, _from_none])
def test_what_is_behind_an_exception_is_the_same_when_a_task_raises_it(fail, backend):
    """Who catches it may ask for its cause, and for what was being handled; the text shows where all were raised."""
    with pytest.raises((NotFound, Held, KeyError)) as caught:
        fail(0)
    error = parallel(fail, backend=backend).submit(0).exception(30)
    assert _behind(error) == _behind(caught.value)
    text = "".join(traceback.format_exception(error))
    assert f"in {fail.__name__}" in text
    assert ("Two" in text) == (fail is not _from_none)


def _in_group(x):
    parts = []
    for fail in (_from_other, _while_handling, _from_none):
        try:
            fail(x)
        except Exception as error:
            parts.append(error)
    try:
        raise ExceptionGroup("inner", [parts.pop(), *parts])
    except ExceptionGroup as inner:
        raise ExceptionGroup("outer", [*parts, inner, TypeError("never raised")]) from parts[0]


def _parts_behind(error):
    """What is behind an exception and, one after the other, the parts of a group."""
    return [_behind(error), *(_parts_behind(part) for part in getattr(error, "exceptions", ()))]


def test_what_is_behind_the_parts_of_a_group_is_the_same_when_a_task_raises_it(backend):
    """Each has its cause, what was being handled, and its own traceback as text."""
    with pytest.raises(ExceptionGroup) as caught:
        _in_group(0)
    error = parallel(_in_group, backend=backend).submit(0).exception(30)
    assert _parts_behind(error) == _parts_behind(caught.value)
    while_handling, never = error.exceptions[1], error.exceptions[-1]
    assert "in _while_handling" in "".join(traceback.format_exception(while_handling))
    assert never.__cause__ is None


def test_exception_comes_when_it_is_behind_its_own_part(backend):
    """A circle that leads through groups ends where it closes."""

    def fail(_):
        part = NotFound("part")
        group = ExceptionGroup("group", [part] * 3)
        part.__cause__ = group
        raise group

    error = parallel(fail, backend=backend).submit(0).exception(30)
    assert [str(part) for part in error.exceptions] == [str(NotFound("part"))] * 3


def test_exception_comes_when_what_is_behind_it_cannot_travel():
    """The chain ends before it; the text has it all the same."""

    def fail(_):
        class Stays(Exception):
            lock = threading.Lock()

        try:
            raise Stays("here")
        except Stays as error:
            raise NotFound("y") from error

    error = parallel(fail, backend="processes").submit(0).exception(30)
    assert (type(error), type(error.__cause__)) == (NotFound, RemoteTraceback)
    assert "Stays: here" in str(error.__cause__)


def test_exception_comes_when_it_is_behind_itself(backend):
    """A circle of causes, which Python allows, ends where it closes."""

    def fail(_):
        one, other = NotFound("one"), NotFound("other")
        one.__cause__, other.__cause__ = other, one
        raise one

    error = parallel(fail, backend=backend).submit(0).exception(30)
    assert (str(error), str(error.__cause__)) == (str(NotFound("one")), str(NotFound("other")))


def test_exception_is_caught_when_an_argument_of_it_cannot_travel():
    """It is of its type; in the place of the argument there is a text."""

    def fail(_):
        raise Held("held", threading.Lock())

    error = parallel(fail, backend="processes").submit(0).exception(30)
    assert (type(error), error.args[0], "lock" in error.args[1]) == (Held, "held", True)


def test_only_its_item_fails_when_an_exception_wants_other_arguments(outcomes, functions):
    """Question 7: an exception that pickles but cannot be unpickled fails its item, and is itself."""
    value, after = outcomes(lambda x: functions.raise_two_arguments(x) if x else x, [3, 0])
    assert isinstance(value, functions.TwoArguments)
    assert "3 and more" in str(value)
    assert after == 0


def test_only_its_item_fails_when_a_result_cannot_be_pickled(backend, outcomes, functions):
    """Question 8: a result that cannot be pickled is a clear error for its item; in shared memory it just comes."""
    values = outcomes(functions.lock_on_three, range(6))
    assert [values[x] for x in (0, 1, 2, 4, 5)] == [0, 1, 2, 4, 5]
    if backend == "processes":
        assert isinstance(values[3], NotPicklableError)
        assert "lock" in str(values[3])
    else:
        assert type(values[3]) is type(threading.Lock())


@pytest.mark.parametrize("way", ["map", "submit"])
@pytest.mark.parametrize("chunksize", [None, 4])
def test_only_its_item_fails_when_a_worker_exits(way, chunksize, functions):
    """Questions 9 and 10: `os._exit(7)` in a worker fails its item, named; the others and the pool live on."""
    function = parallel(functions.exit_on_three, backend="processes", chunksize=chunksize)
    for _ in range(2):
        if way == "map":
            values = list(function.map(range(8), return_exceptions=True))
        else:
            futures = [function.submit(number) for number in range(8)]
            values = [future.exception(DEADLINE) or future.result() for future in futures]
        assert [values[x] for x in (0, 1, 2, 4, 5, 6, 7)] == [0, 1, 2, 4, 5, 6, 7]
        assert isinstance(values[3], WorkerDied)
        assert values[3].exitcode == 7
        assert "exit_on_three" in str(values[3])
        assert "exit code 7" in str(values[3])
        if way == "map":
            assert "item 3" in str(values[3])


def test_item_is_named_when_a_worker_exits_in_a_plain_map(functions):
    """Without return_exceptions the map raises it where the result would be."""
    results = parallel(functions.exit_on_three, backend="processes").map(range(8))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(WorkerDied, match="item 3"):
        next(results)


def test_system_exit_is_of_its_item_when_a_task_leaves(outcomes, functions):
    """Question 11: `sys.exit(5)` in a task is a SystemExit for that item."""
    values = outcomes(functions.leave_on_three, range(6))
    assert [values[x] for x in (0, 1, 2, 4, 5)] == [0, 1, 2, 4, 5]
    assert type(values[3]) is SystemExit
    assert values[3].code == 5


def test_fresh_map_works_when_inside_a_task(outcomes):
    """Question 12: a function decorated inside a task, and mapped there."""

    def task(n):
        return sum(parallel(lambda x: x * x).map(range(n)))

    assert outcomes(task, [3, 10, 100]) == [5, 285, 328350]


def test_same_map_works_when_inside_its_own_task(outcomes, functions):
    """Question 13: the same function's map inside its own task."""
    assert outcomes(functions.factorial, [1, 4, 10]) == [1, 24, 3628800]


def test_few_are_drawn_when_one_result_is_taken(backend):
    """Question 14: of very many lazy inputs a few are drawn for one result, even if it is long in coming."""
    drawn = itertools.count()
    results = parallel(lambda _: sum(range(3000)), backend=backend).map(next(drawn) for _ in range(100_000))
    next(results)
    results.close()
    assert next(drawn) < 50_000


# Question 15, one Ctrl-C in a long map, is in test_lifecycle.


def test_context_variables_are_the_callers_when_run(outcomes):
    """Every item sees the caller's context variables."""
    token = workloads.VARIABLE.set("mine")
    try:
        assert outcomes(lambda _: workloads.VARIABLE.get(), range(20)) == ["mine"] * 20
    finally:
        workloads.VARIABLE.reset(token)


def test_decimals_are_the_callers_when_run(outcomes):
    """Their precision, rounding and traps."""
    with decimal.localcontext() as context:
        context.prec, context.rounding = 50, decimal.ROUND_UP
        context.traps[decimal.Inexact] = True
        context.traps[decimal.DivisionByZero] = False
        one, zero = decimal.Decimal(1), decimal.Decimal(0)
        values = outcomes(lambda x: (str(one / x), decimal.getcontext().rounding), [zero, one * 4, one * 3])
    assert values[:2] == [("Infinity", decimal.ROUND_UP), ("0.25", decimal.ROUND_UP)]
    assert type(values[2]) is decimal.Inexact
    with decimal.localcontext(prec=50):
        assert len(outcomes(lambda x: str(decimal.Decimal(1) / x), [3])[0]) == 52
    assert len(outcomes(lambda x: str(decimal.Decimal(1) / x), [3])[0]) == 30


@pytest.mark.skipif(int(np.__version__.partition(".")[0]) < 2, reason="numpy keeps it for each thread before 2")
def test_floating_point_errors_are_the_callers_when_run(outcomes):
    """What numpy does about them, as long as that is so in the caller."""
    with np.errstate(all="raise"):
        assert [type(value) for value in outcomes(lambda x: np.array([1.0]) / x, [0.0])] == [FloatingPointError]
    with np.errstate(all="ignore"):
        assert outcomes(lambda x: float((np.array([1.0]) / x)[0]), [0.0]) == [math.inf]


@pytest.mark.skipif(int(np.__version__.partition(".")[0]) < 2, reason="numpy keeps it for each thread before 2")
def test_settings_wait_for_their_library_when_a_worker_has_not_imported_it(run_program):
    """It is not imported for them, and they are those of the batch that imports it."""
    program = """
    import decimal, sys
    import numpy as np
    from parallel_deco import parallel

    def imported(name):
        return "decimal" in sys.modules

    def divide(x):
        import decimal, numpy, warnings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float((numpy.array([1.0]) / x)[0]), len(str(decimal.Decimal(1) / 3))

    def run(function, x):
        import parallel_deco
        try:
            return list(parallel(function, backend="processes", max_workers=1).map([x]))
        except FloatingPointError as error:
            return type(error).__name__

    with np.errstate(all="raise"), decimal.localcontext(prec=50):
        print(run(imported, 0.0))
    print(run(divide, 0.0))
    import parallel_deco
    parallel_deco.shutdown()
    with np.errstate(all="raise"), decimal.localcontext(prec=50):
        print(run(divide, 0.0), run(divide, 1.0))
    """
    out = "[False]\n[(inf, 30)]\nFloatingPointError [(1.0, 52)]\n"
    assert run_program(program) == (0, out, "")


def test_limits_are_the_callers_when_run(outcomes):
    """How deep a function may call itself, and how long a number may be that becomes text."""

    def deep(n):
        return n if not n else 1 + deep(n - 1)

    before = sys.getrecursionlimit(), sys.get_int_max_str_digits()
    outcomes(abs, range(5))  # the workers exist already
    try:
        sys.setrecursionlimit(5000)
        sys.set_int_max_str_digits(20_000)
        assert outcomes(lambda x: (deep(3000), len(str(10**x))), [10_000]) == [(3000, 10_001)]
    finally:
        sys.setrecursionlimit(before[0])
        sys.set_int_max_str_digits(before[1])
    assert [type(value) for value in outcomes(lambda x: str(10**x), [10_000])] == [ValueError]


def test_time_zone_and_locale_are_the_callers_when_run(outcomes, monkeypatch):
    """After `tzset`, and as the `locale` module says."""
    outcomes(abs, range(5))  # the workers exist already
    categories = locale.LC_TIME, locale.LC_NUMERIC
    before = [locale.setlocale(category) for category in categories]
    try:
        for zone, name in (("Asia/Tokyo", "C.UTF-8"), ("UTC", "C")):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            for category in categories:
                locale.setlocale(category, name)
            seen = outcomes(lambda _: (time.localtime(0).tm_hour, locale.setlocale(locale.LC_TIME)), [0])
            assert seen == [(9 if zone == "Asia/Tokyo" else 0, name)]
    finally:
        monkeypatch.undo()
        time.tzset()
        for category, name in zip(categories, before, strict=True):
            locale.setlocale(category, name)


def test_context_is_the_callers_own_when_items_change_it(backend):
    """What an item sets in its context does not reach the caller."""

    def change(x):
        workloads.VARIABLE.set(x)
        return workloads.VARIABLE.get()

    assert list(parallel(change, backend=backend).map(range(300))) == list(range(300))
    assert workloads.VARIABLE.get() == "default"


def test_log_records_reach_the_callers_handlers_when_logged(backend, caplog):
    """Log records of a task come to the caller's loggers, at the caller's levels."""

    def log(x):
        logging.getLogger("pd.task").info("seen %s", x)
        logging.getLogger("pd.task").debug("not wanted")
        return x

    with caplog.at_level(logging.INFO, logger="pd.task"):
        assert list(parallel(log, backend=backend).map(range(10))) == list(range(10))
    assert sorted(record.getMessage() for record in caplog.records) == sorted(f"seen {x}" for x in range(10))


class Noting(logging.Handler):
    """Formats records, and notes them."""

    def __init__(self):
        super().__init__()
        self.texts = []

    def emit(self, record):
        self.texts.append(self.format(record))


def test_log_record_does_no_harm_when_its_arguments_do_not_fit(chosen, run_program):
    """The item has its value, and the caller's handlers say what is wrong, as in the plain loop."""
    program = f"""
    import logging
    from parallel_deco import parallel

    class Noting(logging.StreamHandler):
        def handleError(self, record):
            print("wrong:", record.msg)

    logging.basicConfig(handlers=[Noting()])

    def log(x):
        logging.getLogger("pd").warning("%d items", "three")
        return x

    print(list(parallel(log, backend={chosen!r}).map(range(3))))
    """
    status, out, err = run_program(program)
    assert (status, sorted(out.splitlines()), err) == (0, ["[0, 1, 2]", *["wrong: %d items"] * 3], "")


def test_item_has_its_value_when_its_log_record_can_neither_be_shown_nor_sent(chosen):
    """What a handler of logging's own does is the same everywhere: it says so, and goes on."""

    class Unspeakable:
        def __str__(self):
            raise ValueError("unspeakable")

        def __reduce__(self):
            raise ValueError("immovable")

    def log(x):
        logging.raiseExceptions = False
        logging.getLogger("pd.unspeakable").warning("%s", Unspeakable())
        return x

    before = logging.raiseExceptions
    logging.getLogger("pd.unspeakable").addHandler(logging.StreamHandler())
    logging.getLogger("pd.unspeakable").propagate = False
    try:
        assert list(parallel(log, backend=chosen).map(range(3))) == [0, 1, 2]
    finally:
        logging.raiseExceptions = before
        logging.getLogger("pd.unspeakable").handlers.clear()


LOGGING = """
import logging, logging.config, sys
log = logging.getLogger("of_module")
log.setLevel(logging.INFO)
handler = logging.StreamHandler(sys.stdout)
handler.setFormatter(logging.Formatter("ours: %(message)s"))
if PROPAGATES == "anew":
    formats = {"plain": {"format": "root: %(message)s"}}
    streams = {"out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "plain"}}
    root = {"handlers": ["out"], "level": "INFO"}
    logging.config.dictConfig(
        {"version": 1, "formatters": formats, "handlers": streams, "root": root, "disable_existing_loggers": False}
    )
else:
    log.addHandler(handler)
    log.propagate = PROPAGATES
def work(x):
    log.info("item %s", x)
    return x
"""


@pytest.mark.parametrize("propagates", [True, False, "anew"])
def test_log_record_is_handled_once_when_a_module_configures_logging(propagates, chosen, run_program, tmp_path):
    """Its handlers are there in every process that imports it; the caller's alone are called."""
    (tmp_path / "logging_module.py").write_text(f"PROPAGATES = {propagates!r}\n{LOGGING}")
    program = f"""
    import logging_module, sys
    from parallel_deco import parallel
    wrote = []
    write = sys.stdout.write
    sys.stdout.write = lambda text: wrote.append(text) or write(text)
    list(parallel(logging_module.work, backend={chosen!r}).map(range(3)))
    assert len(wrote) == 3, wrote
    """
    status, out, err = run_program(program)
    head = "root" if propagates == "anew" else "ours"
    assert (status, sorted(out.splitlines()), err) == (0, [f"{head}: item {x}" for x in range(3)], "")


def test_log_records_are_the_tasks_own_when_it_collects_them(chosen):
    """A handler that a task adds is called where it is, and what it keeps to itself goes nowhere else."""

    def collect(x):
        texts = []
        handler = logging.Handler()
        handler.emit = lambda record: texts.append(record.getMessage())
        logger = logging.getLogger(f"pd.collecting.{x}")
        logger.addHandler(handler)
        logger.propagate = False
        logger.warning("item %s", x)
        logger.removeHandler(handler)
        return texts

    noting = Noting()
    logging.getLogger("pd.collecting").addHandler(noting)
    try:
        assert list(parallel(collect, backend=chosen).map(range(3))) == [[f"item {x}"] for x in range(3)]
    finally:
        logging.getLogger("pd.collecting").removeHandler(noting)
    assert noting.texts == []


def test_warnings_reach_the_callers_filters_when_warned(backend):
    """Warnings of a task are the caller's."""

    def warn(x):
        warnings.warn(f"careful with {x}", UserWarning, stacklevel=2)
        return x

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert list(parallel(warn, backend=backend).map(range(5))) == list(range(5))
    assert sorted(str(warning.message) for warning in caught) == [f"careful with {x}" for x in range(5)]


def test_warnings_are_errors_when_the_callers_filters_say_so(outcomes):
    """A filter that makes warnings errors makes them errors in every task."""

    def warn(x):
        warnings.warn(f"careful with {x}", UserWarning, stacklevel=2)
        return x

    assert [type(value) for value in outcomes(warn, range(3))] == [UserWarning] * 3


def test_printed_text_reaches_the_callers_stream_when_printed(backend, capsys):
    """What a task prints is printed, whole lines at a time."""

    def say(x):
        sys.stdout.write(f"line {x}\n")  # `print` writes the end of the line apart
        return x

    assert list(parallel(say, backend=backend).map(range(20))) == list(range(20))
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(f"line {x}" for x in range(20))


def test_directory_environment_and_path_are_the_callers_when_run(outcomes, monkeypatch, tmp_path):
    """Tasks see the caller's working directory and environment as they are now."""
    outcomes(abs, range(5))  # the workers exist already
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PD_TEST_VARIABLE", "set late")
    expected = (str(tmp_path), "set late")
    assert outcomes(lambda _: (os.getcwd(), os.environ.get("PD_TEST_VARIABLE")), range(4)) == [expected] * 4


def test_random_numbers_differ_when_items_draw_them(backend):
    """Items that draw from the global generators do not all draw the same numbers."""
    values = list(parallel(lambda _: random.random(), backend=backend).map(range(200)))
    assert len(set(values)) == 200


def test_arguments_are_writable_and_private_when_sent(chosen):
    """An array argument can be written to in the task; in a process that leaves the caller's alone."""
    np = pytest.importorskip("numpy")
    arrays = [np.zeros(size) for size in (10, 200_000)]

    def fill(array):
        array[:] = 1
        return float(array.sum())

    assert list(parallel(fill, backend=chosen).map(arrays)) == [10.0, 200_000.0]
    assert [float(array.sum()) for array in arrays] == ([0.0, 0.0] if chosen == "processes" else [10.0, 200_000.0])


@pytest.mark.parametrize("size", [10, 100_000])
def test_function_is_as_it_was_when_the_program_changes_an_array_of_it(size):
    """All workers get it as it was when the map began, however large the array is and whenever they need it."""
    parallel_deco.shutdown()  # workers that are yet to start get it late
    array = np.zeros(size)
    function = parallel(lambda i: float(array[0]), backend="processes", max_workers=2, chunksize=1)
    results = function.map(range(8))
    array[:] = 1
    assert list(results) == [0.0] * 8
    assert list(function.map(range(8))) == [1.0] * 8


def test_closure_is_sent_once_when_it_is_large(functions):
    """A large closure is pickled once for a map, not for every batch."""
    pickled = []

    class Large:
        def __reduce__(self):
            pickled.append(1)
            return str, ("large",)

    large = Large()
    function = parallel(lambda x: (x, bool(large)), backend="processes", max_workers=2, chunksize=1)
    assert list(function.map(range(60))) == [(x, True) for x in range(60)]
    assert len(pickled) == 1


def test_nested_work_is_narrow_when_its_width_is_given(backend):
    """Work inside of tasks does not multiply workers without end: threads alive stay in bounds."""

    def task(n):
        return sum(parallel(lambda x: x + 1, backend="threads").map(range(n)))

    with config(max_workers=4):
        assert list(parallel(task, backend=backend).map([20] * 20)) == [210] * 20
    assert threading.active_count() < 60
